"""How to reach a volume, as os-brick and other initiators read it (Cinder's connection properties)."""

from typing import Any

from pumice.model.export import Export, IscsiExport, LocalDevice, NvmeExport
from pumice.model.qos import Resolved
from pumice.model.volume import Attachment

Qos = Resolved | None
"""What the hypervisor is to hold the volume to, if anything."""


def data(one: Attachment, qos: Qos) -> dict[str, Any]:
    """What an initiator needs to connect; ``one`` is connected."""
    assert one.portal is not None
    return _how(one, one.portal) | {
        "volume_id": one.volume_id,
        "encrypted": one.portal.encrypted,
        "qos_specs": qos,
        "access_mode": one.mode,
        "cacheable": False,
        "discard": False,
    }


def _how(one: Attachment, export: Export) -> dict[str, Any]:
    match export:
        case IscsiExport():
            return _iscsi(one, export)
        case NvmeExport():
            return _nvme(export)
        case LocalDevice():
            return {"device_path": export.path}


def _iscsi(one: Attachment, export: IscsiExport) -> dict[str, Any]:
    """The connection of iSCSI: one path, or all of them for a connector that uses several."""
    found = {
        "target_discovered": False,
        "target_portal": export.portals[0],
        "target_iqn": export.iqn,
        "target_lun": export.lun,
        "auth_method": "CHAP",
        "auth_username": one.chap_username,
        "auth_password": one.chap_password,
    }
    paths = len(export.portals)
    if paths > 1 and one.connector and one.connector.multipath:
        found |= {
            "target_portals": list(export.portals),
            "target_iqns": [export.iqn] * paths,
            "target_luns": [export.lun] * paths,
        }
    return found


def _nvme(export: NvmeExport) -> dict[str, Any]:
    """A subsystem, found at any of its portals; the namespace is told by its UUID."""
    pairs = [where.rpartition(":") for where in export.portals]
    return {
        "target_nqn": export.nqn,
        "vol_uuid": export.uuid,
        "ns_id": export.nsid,
        "portals": [[address.strip("[]"), int(port), "tcp"] for address, _, port in pairs],
    }


def _kind(one: Attachment) -> str:
    """The kind of connection, as os-brick calls it."""
    match one.portal:
        case NvmeExport():
            return "nvmeof"
        case LocalDevice():
            return "local"
        case _:
            return "iscsi"


def nested(one: Attachment, qos: Qos) -> dict[str, Any]:
    """Connection info as ``os-initialize_connection`` answers it."""
    return {"driver_volume_type": _kind(one), "data": data(one, qos) | _multipath(one)}


def flat(one: Attachment, qos: Qos) -> dict[str, Any]:
    """Connection info as the attachments API shows it; empty until the volume is connected."""
    if one.portal is None:
        return {}
    return {"driver_volume_type": _kind(one), "attachment_id": one.id, **data(one, qos), **_multipath(one)}


def _multipath(one: Attachment) -> dict[str, bool]:
    """What the connector asked for, told back."""
    return {"enforce_multipath": one.connector is not None and one.connector.enforce_multipath}
