"""How to reach a volume, as os-brick and other initiators read it (Cinder's connection properties)."""

from dataclasses import dataclass, field
from typing import Any

from pumice.model.export import Export, IscsiExport, LocalDevice, NvmeExport, RbdImage, SharedFile
from pumice.model.qos import Resolved
from pumice.model.volume import Attachment

Qos = Resolved | None
"""What the hypervisor is to hold the volume to, if anything."""


@dataclass(frozen=True, slots=True)
class _Way:
    """One kind of connection, as os-brick calls it, what it takes, and what is said beside that."""

    kind: str
    data: dict[str, Any]
    beside: dict[str, Any] = field(default_factory=dict)


def data(one: Attachment, qos: Qos) -> dict[str, Any]:
    """What an initiator needs to connect; ``one`` is connected."""
    assert one.portal is not None
    every = {
        "volume_id": one.volume_id,
        "encrypted": one.portal.encrypted,
        "qos_specs": qos,
        "access_mode": one.mode,
        "cacheable": False,
        "discard": False,
    }
    return every | _way(one, one.portal).data


def _way(one: Attachment, export: Export) -> _Way:
    match export:
        case IscsiExport():
            return _Way("iscsi", _iscsi(one, export))
        case NvmeExport():
            return _Way("nvmeof", _nvme(export))
        case LocalDevice():
            return _Way("local", {"device_path": export.path})
        case SharedFile():
            return _shared(export)
        case RbdImage():
            return _Way("rbd", _rbd(export))


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


def _rbd(export: RbdImage) -> dict[str, Any]:
    """An image, for who has a key of the cluster. Nova knows it by its secret in libvirt.

    Cinder can be made to tell the key, to whoever may read an attachment (OSSN-0085). Nobody is told it here.
    """
    pairs = [monitor.rpartition(":") for monitor in export.monitors]
    return {
        "name": export.name,
        "hosts": [address.strip("[]") for address, _, _ in pairs],
        "ports": [port for _, _, port in pairs],
        "cluster_name": export.cluster,
        "auth_enabled": True,
        "auth_username": export.user,
        "secret_type": "ceph",
        "secret_uuid": export.secret_uuid or None,
        "discard": True,
    }


def _shared(export: SharedFile) -> _Way:
    """What to mount and the file in it, as of an NFS; where nobody said what is mounted, the path alone."""
    if not export.share:
        return _Way("local", {"device_path": export.path})
    found = {"export": export.share, "name": export.within, "format": "raw"}
    found |= {"options": export.options} if export.options else {}
    return _Way("nfs", found, {"mount_point_base": export.base})


def nested(one: Attachment, qos: Qos) -> dict[str, Any]:
    """Connection info as ``os-initialize_connection`` answers it; ``one`` is connected."""
    assert one.portal is not None
    way = _way(one, one.portal)
    return {"driver_volume_type": way.kind, **way.beside, "data": data(one, qos) | _multipath(one)}


def flat(one: Attachment, qos: Qos) -> dict[str, Any]:
    """Connection info as the attachments API shows it; empty until the volume is connected."""
    if one.portal is None:
        return {}
    way = _way(one, one.portal)
    told = {"driver_volume_type": way.kind, "attachment_id": one.id, **way.beside}
    return {**told, **data(one, qos), **_multipath(one)}


def _multipath(one: Attachment) -> dict[str, bool]:
    """Whether the connector asked for several paths, told back to it."""
    return {"enforce_multipath": one.connector is not None and one.connector.enforce_multipath}
