"""Delete a backup that no incremental one adds to.

1. ``accept``: ``deleting``
2. ``wait_for_others``: until it has been read
3. ``delete_objects``: a host that reaches the store frees them, unless another backup has them as well
4. ``forget``: the row, the key and the quota go together
"""

from dataclasses import dataclass

from pumice.model.errors import NoValidBackend
from pumice.model.ids import BackupId, new_id
from pumice.model.scope import Scope
from pumice.model.states import BackupStatus
from pumice.model.tunables import Tunables
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Thing, change
from pumice.operations.operation import Operation, Step, Verb, Wait, enqueue, on_backend
from pumice.store import backups, keys, messages, quotas
from pumice.store.database import Transaction
from pumice.store.messages import Event
from pumice.store.told import KEPT, kept
from pumice.volumes.backups.records import NO_SERVICE, place_of, record_of

B = BackupStatus
DELETABLE = frozenset({B.AVAILABLE, B.ERROR, B.ERROR_DELETING})


@dataclass(frozen=True, slots=True)
class DeleteBackupParams:
    """The parameters of the operation."""

    backup_id: BackupId
    pool: str
    """A pool of the host that reaches its objects."""


def accept(tx: Transaction, who: Scope, backup_id: str, tunables: Tunables) -> None:
    """Answer the request. Raises ``NotFound``, ``InvalidState``, or ``NoValidBackend`` without a host."""
    backup = backups.get(tx, who, backup_id)
    pool = place_of(tx, backup, tunables)
    if pool is None:
        raise NoValidBackend(NO_SERVICE)
    begin(tx, who, backup.id, pool)


def begin(tx: Transaction, who: Scope, backup_id: BackupId, pool: str) -> None:
    """Delete it by way of the host of a pool. Raises ``InvalidState``."""
    operation_id = new_id()
    must = "be available or error"
    backups.move(tx, backup_id, DELETABLE, B.DELETING, must=must, childless=True, operation_id=operation_id)
    params = DeleteBackupParams(backup_id, pool)
    enqueue(tx, DELETE_BACKUP, params, subject=backup_id, who=who, id=operation_id)


async def delete_objects(op: Operation[DeleteBackupParams], drivers: Drivers) -> None:
    """The objects are gone, or somebody else's: nobody comes to share them while this backup is deleted."""
    backup = await drivers.db.read(backups.find, op.params.backup_id)
    if backup is not None and backup.prefix is not None:
        others = await drivers.db.read(backups.sharing, backup)
        if all(other.status == B.DELETING for other in others):
            await drivers.store_of_backups().delete(record_of(backup))


def forget(tx: Transaction, op: Operation[DeleteBackupParams], tunables: Tunables) -> None:
    """Forget the row, with its key and the quota it took."""
    if backup := backups.find(tx, op.params.backup_id):
        op.notes[KEPT] = kept(backup)
        backups.delete(tx, backup.id)
        keys.forget(tx, backup.encryption_key_id)
        quotas.give_back(tx, backup.project_id, quotas.amounts_of_backups(1, backup.size))


def explain(tx: Transaction, op: Operation[DeleteBackupParams], error: str) -> None:
    """The backup is in ``error_deleting`` and says why; so does a message."""
    backups.reset(tx, op.params.backup_id, B.ERROR_DELETING, op.id, fail_reason=error)
    if backup := backups.find(tx, op.params.backup_id):
        messages.tell(tx, backup.project_id, Event.DELETE_BACKUP, backup.id, error, op.request_id)


DELETE_BACKUP = Verb(
    kind="backup.delete",
    params=DeleteBackupParams,
    holds=lambda op: (change(Thing.BACKUP, op.params.backup_id),),
    steps=(
        Wait("others", at=on_backend, whatever=True),
        Step(delete_objects, at=on_backend, tries=1000, timeout=1800),
        Step(forget, at=on_backend),
    ),
    failed=explain,
    deadline=3600,
    again=lambda tx, op, who, tunables: accept(tx, who, op.params.backup_id, tunables),
)
