"""How to reach a volume, as os-brick and other initiators read it (Cinder's iSCSI connection properties)."""

from typing import Any

from pumice.model.volume import Attachment


def data(one: Attachment) -> dict[str, Any]:
    """What an initiator needs to log in; ``one`` is connected."""
    assert one.portal is not None
    return {
        "target_discovered": False,
        "target_portal": one.portal["portal"],
        "target_iqn": one.portal["iqn"],
        "target_lun": one.portal["lun"],
        "volume_id": one.volume_id,
        "auth_method": "CHAP",
        "auth_username": one.chap_username,
        "auth_password": one.chap_password,
        "encrypted": bool(one.portal.get("encrypted")),
        "qos_specs": None,
        "access_mode": one.mode,
        "cacheable": False,
        "discard": False,
    }


def nested(one: Attachment) -> dict[str, Any]:
    """As ``os-initialize_connection`` answers."""
    multipath = bool((one.connector or {}).get("enforce_multipath", False))
    return {"driver_volume_type": "iscsi", "data": data(one), "enforce_multipath": multipath}


def flat(one: Attachment) -> dict[str, Any]:
    """As the attachments API shows it; empty until the volume is connected."""
    if one.portal is None:
        return {}
    return {"driver_volume_type": "iscsi", "attachment_id": one.id, **data(one)}
