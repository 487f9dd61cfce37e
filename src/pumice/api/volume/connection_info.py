"""How to reach a volume, as os-brick and other initiators read it (Cinder's connection properties)."""

from typing import Any

from pumice.model.qos import Resolved
from pumice.model.volume import Attachment

Qos = Resolved | None
"""What the hypervisor is to hold the volume to, if anything."""


def data(one: Attachment, qos: Qos) -> dict[str, Any]:
    """What an initiator needs to connect; ``one`` is connected."""
    assert one.portal is not None
    how = _nvme(one.portal) if "uuid" in one.portal else _iscsi(one, one.portal)
    return how | {
        "volume_id": one.volume_id,
        "encrypted": bool(one.portal.get("encrypted")),
        "qos_specs": qos,
        "access_mode": one.mode,
        "cacheable": False,
        "discard": False,
    }


def _iscsi(one: Attachment, portal: dict[str, Any]) -> dict[str, Any]:
    """One path; all of them for a connector that makes one disk of several."""
    found = {
        "target_discovered": False,
        "target_portal": portal["portal"],
        "target_iqn": portal["iqn"],
        "target_lun": portal["lun"],
        "auth_method": "CHAP",
        "auth_username": one.chap_username,
        "auth_password": one.chap_password,
    }
    if portal.get("others") and (one.connector or {}).get("multipath"):
        portals = [portal["portal"], *portal["others"]]
        found |= {
            "target_portals": portals,
            "target_iqns": [portal["iqn"]] * len(portals),
            "target_luns": [portal["lun"]] * len(portals),
        }
    return found


def _nvme(portal: dict[str, Any]) -> dict[str, Any]:
    """A subsystem, found at any of its portals; the namespace is told by its UUID."""
    pairs = [where.rpartition(":") for where in (portal["portal"], *portal.get("others", ()))]
    return {
        "target_nqn": portal["iqn"],
        "vol_uuid": portal["uuid"],
        "ns_id": portal["lun"],
        "portals": [[address.strip("[]"), int(port), "tcp"] for address, _, port in pairs],
    }


def _kind(one: Attachment) -> str:
    return "nvmeof" if "uuid" in (one.portal or {}) else "iscsi"


def nested(one: Attachment, qos: Qos) -> dict[str, Any]:
    """As ``os-initialize_connection`` answers."""
    return {"driver_volume_type": _kind(one), "data": data(one, qos) | _multipath(one)}


def flat(one: Attachment, qos: Qos) -> dict[str, Any]:
    """As the attachments API shows it; empty until the volume is connected."""
    if one.portal is None:
        return {}
    return {"driver_volume_type": _kind(one), "attachment_id": one.id, **data(one, qos), **_multipath(one)}


def _multipath(one: Attachment) -> dict[str, bool]:
    """What the connector asked for, told back."""
    return {"enforce_multipath": bool((one.connector or {}).get("enforce_multipath", False))}
