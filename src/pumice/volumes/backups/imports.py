"""Import a backup's record: make known what lies in the store already.

1. ``accept``: quota, the row in ``creating``, as the record says
2. ``look_at_objects``: a host that reaches the store finds all of them
3. ``publish``: ``available``

If it fails the backup is in ``error`` and says why. Deleting it then leaves the objects: they were never ours.

A record may be given another id than its objects are named after, as Cinder lets one. Then two backups may have
the same objects: they stay until the last of both is deleted.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pumice.backends.backups import layout
from pumice.model.backup import IMPORTED_VOLUME, Backup
from pumice.model.errors import Invalid, InvalidState, NoValidBackend, PumiceError
from pumice.model.ids import BackupId, SnapshotId, VolumeId, is_canonical, new_id
from pumice.model.scope import Scope
from pumice.model.states import BackupStatus
from pumice.model.tunables import Tunables
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Thing, make
from pumice.operations.operation import Operation, Step, Verb, enqueue, on_backend
from pumice.store import backups, keys, messages, pools, quotas
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.messages import Event
from pumice.store.serialize import serialized
from pumice.volumes.backups.records import NO_SERVICE, read_export, record_of, service_of, service_up

B = BackupStatus


@dataclass(frozen=True, slots=True)
class ImportParams:
    """The parameters of the operation."""

    backup_id: BackupId
    pool: str
    service: str


@serialized(quotas.turn)
def accept(tx: Transaction, who: Scope, service: str, url: str, tunables: Tunables) -> Backup:
    """Answer the request: the backup in ``creating``.

    Raises ``Invalid``, ``InvalidState``, ``OverQuota``, or ``NoValidBackend`` where no service makes backups.
    """
    up, pool = service_up(tx, tunables), pools.with_backups(tx, tunables.service_down_seconds, None)
    if up is None or pool is None:
        raise NoValidBackend(NO_SERVICE)
    backup = _backup(who, read_export(url), up.zone, pool)
    if backups.find(tx, backup.id):
        raise InvalidState("Invalid backup: Backup already exists in database.")
    if any(other.status == B.DELETING for other in backups.sharing(tx, backup)):
        raise InvalidState("Invalid backup: Its objects are being deleted.")
    if backup.encryption_key_id:
        backup = replace(backup, encryption_key_id=_own_key(tx, backup.encryption_key_id))
    amounts = quotas.amounts_of_backups(1, backup.size)
    quotas.take(tx, who.project, quotas.limits(tx, who.project, tunables.quotas), amounts)
    backups.insert(tx, backup)
    params = ImportParams(backup.id, pool, service)
    enqueue(tx, IMPORT, params, subject=backup.id, who=who, id=backup.operation_id)
    return backup


def _own_key(tx: Transaction, key_id: str) -> str:
    """A copy of the key that opens the bytes. Raises ``Invalid`` where it is not known."""
    if not keys.is_known(tx, key_id):
        raise Invalid(
            f"Invalid input received: The backup is encrypted, and its key {key_id[:36]} is not here."
        )
    return keys.copy(tx, key_id)


def _backup(who: Scope, told: dict[str, Any], zone: str, pool: str) -> Backup:
    """The row that a record tells of. Raises ``Invalid``."""
    backup_id, volume_id, size = told["id"], _text(told, "volume_id") or IMPORTED_VOLUME, told["size"]
    container, prefix = _text(told, "container"), _text(told, "service_metadata")
    parent_id, snapshot_id = _text(told, "parent_id"), _text(told, "snapshot_id")
    for one in (backup_id, volume_id, parent_id, snapshot_id):
        if one is not None and not (isinstance(one, str) and is_canonical(one)):
            raise Invalid("Invalid input received: Provided backup record has an id that is none.")
    if isinstance(size, bool) or not isinstance(size, int) or not 0 < size <= 2**31 - 1:
        raise Invalid("Invalid input received: Provided backup record has a size that makes no sense.")
    named = layout.PREFIX.fullmatch(prefix or "")
    if not named or not container:
        raise Invalid("Invalid input received: Provided backup record does not say where its objects are.")
    metadata = told.get("metadata") or {}
    if not isinstance(metadata, dict) or not all(isinstance(it, str) for it in metadata.values()):
        raise Invalid("Invalid input received: Provided backup record has metadata that make no sense.")
    return Backup(
        id=BackupId(backup_id),
        project_id=who.project,
        user_id=who.user_id,
        volume_id=VolumeId(volume_id),
        snapshot_id=SnapshotId(snapshot_id) if snapshot_id else None,
        parent_id=BackupId(parent_id) if parent_id else None,
        name=_text(told, "display_name"),
        description=_text(told, "display_description", 65_535),
        size=size,
        status=B.CREATING,
        fail_reason=None,
        availability_zone=zone,
        container=layout.container_for(named[2], container),
        prefix=prefix,
        object_count=0,
        data_timestamp=_time(told, "data_timestamp"),
        metadata=metadata,
        source={},
        encryption_key_id=_text(told, "encryption_key_id"),
        pool=pool,
        operation_id=new_id(),
        created_at=_time(told, "created_at"),
        updated_at=None,
    )


def _text(told: dict[str, Any], key: str, most: int = 255) -> str | None:
    found = told.get(key)
    if found is not None and (not isinstance(found, str) or len(found) > most or "\0" in found):
        raise Invalid(f"Invalid input received: Provided backup record has a {key} that makes no sense.")
    return found


def _time(told: dict[str, Any], key: str) -> datetime:
    """The moment that it names, in UTC; now where it names none."""
    try:
        found = datetime.fromisoformat(str(told.get(key)))
    except ValueError:
        return now()
    return (found.astimezone(UTC) if found.tzinfo else found).replace(tzinfo=None)


async def look_at_objects(op: Operation[ImportParams], drivers: Drivers) -> None:
    """Find every object, and read what the volume was. Raises what is wrong."""
    store = drivers.store_of_backups()
    backup = await drivers.db.read(backups.find, op.params.backup_id)
    assert backup is not None
    for service in (op.params.service, service_of(backup)):
        if store.service != service:
            raise PumiceError(f"Backups are kept by {store.service} here, not by {service[:200]}.")
    op.notes["objects"], op.notes["source"] = await store.check(record_of(backup))


def publish(tx: Transaction, op: Operation[ImportParams], tunables: Tunables) -> None:
    """Make the backup available: it can be restored, if those it adds to are here as well."""
    said = {"object_count": op.notes["objects"], "source": op.notes["source"]}
    backups.reset(tx, op.params.backup_id, B.AVAILABLE, op.id, **said)


def explain(tx: Transaction, op: Operation[ImportParams], error: str) -> None:
    """The backup is in ``error``, says why, and has nothing to do with any objects."""
    nowhere = {"container": None, "prefix": None}
    backups.reset(tx, op.params.backup_id, B.ERROR, op.id, fail_reason=error, **nowhere)
    if backup := backups.find(tx, op.params.backup_id):
        messages.tell(tx, backup.project_id, Event.CREATE_BACKUP, backup.id, error, op.request_id)


IMPORT = Verb(
    kind="backup.import",
    params=ImportParams,
    holds=lambda op: (make(Thing.BACKUP, op.params.backup_id),),
    steps=(Step(look_at_objects, at=on_backend, timeout=600), Step(publish, at=on_backend)),
    failed=explain,
    deadline=3600,
)
