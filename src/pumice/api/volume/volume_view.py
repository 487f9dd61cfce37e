"""A volume on the wire, at every microversion (api-ref, "Volumes")."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pumice.api.call import Version
from pumice.model.scope import Scope
from pumice.model.states import AttachStatus
from pumice.model.volume import Attachment, Volume


def wire_time(moment: datetime | None) -> str | None:
    """A time as Block Storage writes it: UTC, microseconds, no zone."""
    return moment.isoformat(timespec="microseconds") if moment else None


def links(base: str, volume_id: str) -> list[dict[str, str]]:
    """Where the volume is found; ``base`` ends before ``/volumes``."""
    return [
        {"rel": "self", "href": f"{base}/volumes/{volume_id}"},
        {"rel": "bookmark", "href": f"{base}/volumes/{volume_id}"},
    ]


def summary(volume: Volume, base: str) -> dict[str, Any]:
    """A volume in the plain list."""
    return {"id": volume.id, "name": volume.name, "links": links(base, volume.id)}


def detail(
    volume: Volume,
    attachments: Sequence[Attachment],
    types: Mapping[str, str],
    version: Version,
    who: Scope,
    base: str,
    service_uuids: Mapping[str, str],
) -> dict[str, Any]:
    """A volume in full. ``types`` are names by id, ``service_uuids`` by ``host@backend``."""
    shown: dict[str, Any] = {
        "id": volume.id,
        "status": volume.status,
        "size": volume.size,
        "availability_zone": volume.availability_zone,
        "created_at": wire_time(volume.created_at),
        "updated_at": wire_time(volume.updated_at),
        "name": volume.name,
        "description": volume.description,
        "volume_type": types.get(volume.type_id or ""),
        "snapshot_id": volume.snapshot_id,
        "source_volid": volume.source_volid,
        "metadata": _metadata(volume, attachments),
        "links": links(base, volume.id),
        "user_id": volume.user_id,
        "bootable": "true" if volume.bootable else "false",
        "encrypted": False,
        "replication_status": None,
        "consistencygroup_id": None,
        "multiattach": volume.multiattach,
        "attachments": [_attachment(one, who) for one in attachments if one.status == AttachStatus.ATTACHED],
        "os-vol-tenant-attr:tenant_id": volume.project_id,
    }
    if volume.image_metadata is not None:
        shown["volume_image_metadata"] = volume.image_metadata
    if who.is_admin:
        shown |= {
            "migration_status": None,
            "os-vol-host-attr:host": volume.pool,
            "os-vol-mig-status-attr:migstat": None,
            "os-vol-mig-status-attr:name_id": None,
        }
    if version < (3, 13):
        return shown
    shown["group_id"] = None
    if version >= (3, 21) and who.is_admin:
        shown["provider_id"] = None
    if version >= (3, 48):
        shown["shared_targets"] = False
        shown["service_uuid"] = service_uuids.get((volume.pool or "").partition("#")[0])
    if version >= (3, 61) and who.is_admin:
        shown["cluster_name"] = None
    if version >= (3, 63):
        shown["volume_type_id"] = volume.type_id
    if version >= (3, 65):
        shown["consumes_quota"] = True
    return shown


def _metadata(volume: Volume, attachments: Sequence[Attachment]) -> dict[str, str]:
    """The tenant's metadata, with ``readonly`` and ``attached_mode`` as the incumbent mixes them in."""
    shown = dict(volume.metadata)
    if volume.read_only:
        shown["readonly"] = "True"
    for one in attachments:
        if one.status == AttachStatus.ATTACHED:
            shown["attached_mode"] = one.mode
    return shown


def _attachment(one: Attachment, who: Scope) -> dict[str, Any]:
    return {
        "id": one.volume_id,
        "attachment_id": one.id,
        "volume_id": one.volume_id,
        "server_id": one.server_id,
        "host_name": one.host if who.is_admin or who.is_service else None,
        "device": one.device,
        "attached_at": wire_time(one.attached_at),
    }
