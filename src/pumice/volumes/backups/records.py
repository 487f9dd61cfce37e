"""A backup as its store knows it, and what of its volume comes back with the bytes."""

import base64
import binascii
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pumice.backends.backups import layout
from pumice.backends.backups.contract import Progress, Record
from pumice.model.backup import Backup
from pumice.model.errors import Invalid
from pumice.model.tunables import Tunables
from pumice.model.units import GIB
from pumice.model.volume import Snapshot, Volume
from pumice.operations.drivers import Drivers
from pumice.store import backups, keys, pools, services, volumes
from pumice.store.database import Transaction

NO_SERVICE = "Service cinder-backup could not be found."
SECONDS = 24 * 3600.0
"""How long the bytes of one backup may take, to be written or restored."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service that makes backups, by its own word."""

    zone: str
    bucket: str | None
    """The container that it keeps all of them in; None where each has one of its own."""


def service_up(tx: Transaction, tunables: Tunables, zone: str | None = None) -> Service | None:
    """A service that makes backups, of any zone or of this; None when none is up there."""
    for row in services.serving(tx, services.BACKUP_BINARY, tunables.service_down_seconds):
        if zone in (None, row["zone"]):
            return Service(row["zone"], row["facts"].get("bucket"))
    return None


def place_of(tx: Transaction, backup: Backup, tunables: Tunables) -> str | None:
    """The pool by whose host its objects are reached: where they were written, or any that is served.

    All hosts that make backups see the same store.
    """
    return pools.with_backups(tx, tunables.service_down_seconds, backup.pool) or backup.pool


def source_of(volume: Volume, moment: Snapshot | Volume) -> dict[str, Any]:
    """What is to be known of a volume when there is nothing left of it but a backup."""
    return {
        "name": volume.name,
        "description": volume.description,
        "metadata": volume.metadata,
        "type_id": volume.type_id,
        "image_metadata": moment.image_metadata,
        "bootable": bool(moment.bootable),
    }


def record_of(backup: Backup) -> Record:
    """The record of a backup as its store takes it."""
    assert backup.container is not None and backup.prefix is not None
    return Record(
        id=backup.id,
        volume_id=backup.volume_id,
        size=backup.size * GIB,
        container=backup.container,
        prefix=backup.prefix,
        created_at=backup.created_at,
        parent_id=backup.parent_id,
        name=backup.name,
        description=backup.description,
        volume_meta=layout.volume_meta(backup.source),
    )


async def restore_bytes(
    drivers: Drivers, backup_id: str, device: Path, *, is_new: bool, progress: Progress
) -> None:
    """Write a backup, and those that it needs, to a device. ``is_new``: it is all zeroes."""
    chain = [record_of(one) for one in await drivers.db.read(backups.chain, backup_id)]
    await drivers.store_of_backups().restore(chain, device, is_new=is_new, progress=progress)


def give_back_what_it_was(tx: Transaction, volume_id: str, backup: Backup) -> None:
    """Give back what Cinder restores beside the bytes: metadata, the image's too; a name if there is none."""
    volume, source = volumes.find(tx, volume_id), backup.source
    if volume is None:
        return
    changes: dict[str, Any] = {}
    if source.get("metadata"):
        changes["metadata"] = source["metadata"]
    if source.get("image_metadata"):
        changes |= {"image_metadata": source["image_metadata"], "bootable": True}
    if source.get("name") and (volume.name or "restore_backup_").startswith("restore_backup_"):
        changes |= {"name": source["name"], "description": source.get("description")}
    if backup.encryption_key_id and volume.encryption_key_id:
        changes["encryption_key_id"] = keys.copy(tx, backup.encryption_key_id)
        keys.forget(tx, volume.encryption_key_id)
    if changes:
        volumes.change(tx, volume_id, **changes)


def service_of(backup: Backup) -> str:
    """The name by which its record calls the driver that keeps it."""
    return layout.service_of(backup.prefix or "")


def export(backup: Backup) -> str:
    """A record of a backup, as Cinder's ``export_record`` gives it and ``import_record`` takes it."""
    told = {
        "id": backup.id,
        "user_id": backup.user_id,
        "project_id": backup.project_id,
        "volume_id": backup.volume_id,
        "host": None,
        "availability_zone": backup.availability_zone,
        "container": backup.container,
        "parent_id": backup.parent_id,
        "status": backup.status,
        "fail_reason": None,
        "size": backup.size,
        "display_name": backup.name,
        "display_description": backup.description,
        "service_metadata": backup.prefix,
        "service": service_of(backup),
        "object_count": backup.object_count,
        "temp_volume_id": None,
        "temp_snapshot_id": None,
        "num_dependent_backups": 0,
        "snapshot_id": backup.snapshot_id,
        "data_timestamp": backup.data_timestamp.isoformat(timespec="seconds") + "Z",
        "restore_volume_id": None,
        "metadata": backup.metadata,
        "encryption_key_id": backup.encryption_key_id,
        "created_at": backup.created_at.isoformat(timespec="seconds") + "Z",
        "updated_at": None,
        "deleted_at": None,
        "deleted": False,
    }
    return base64.b64encode(json.dumps(told).encode()).decode()


def read_export(url: str) -> dict[str, Any]:
    """The backup that an exported record describes. Raises ``Invalid``."""
    try:
        told = json.loads(base64.b64decode(url, validate=True))
    except (binascii.Error, ValueError):
        told = None
    if not isinstance(told, dict):
        raise Invalid("Invalid input received: Can't parse backup record.")
    for name in ("id", "size"):
        if name not in told:
            what = "an id" if name == "id" else "size attribute"
            raise Invalid(f"Invalid input received: Provided backup record is missing {what}.")
    return told
