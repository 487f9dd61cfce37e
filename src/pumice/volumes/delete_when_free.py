"""Delete a volume that was to end with its server, as soon as nothing holds it any more.

1. ``accept``: once is enough
2. ``wait_for_others``: until what holds it has let go
3. ``begin``: it is deleted as its owner would, be it into the recycle bin

One that is in use elsewhere by then stays, and so does one whose time is over: nobody asked for its end.
"""

from contextlib import suppress

from pumice.model.errors import InvalidState, NotFound
from pumice.model.scope import INTERNAL
from pumice.model.tunables import Tunables
from pumice.operations.operation import Operation, Step, Verb, Wait, enqueue, scheduler
from pumice.store import operations, volumes
from pumice.store.database import Transaction
from pumice.volumes.delete import DeleteParams, held
from pumice.volumes.recycle_bin import keep

FOR_GOOD = "for_good"
"""The note that it is not for the recycle bin: nobody has ever used it."""


def accept(tx: Transaction, volume_id: str, *, for_good: bool = False) -> None:
    """Have it deleted; ``for_good`` if nobody has ever used it."""
    alive = ("running", "waiting", "undoing")
    begun = operations.page(tx, states=alive, kind=DELETE_WHEN_FREE.kind, subject=volume_id, limit=1)
    if not begun and (volume := volumes.find(tx, volume_id)):
        params = DeleteParams(volume.id, volume.pool or "")
        enqueue(tx, DELETE_WHEN_FREE, params, subject=volume.id, who=INTERNAL, notes={FOR_GOOD: for_good})


def begin(tx: Transaction, op: Operation[DeleteParams], tunables: Tunables) -> None:
    """Delete a volume that nothing holds any more, as its owner would. One in use elsewhere stays."""
    for_good = bool(op.notes.get(FOR_GOOD))
    with suppress(NotFound, InvalidState):
        keep.delete_volume(tx, INTERNAL, op.params.volume_id, tunables, parent=op, for_good=for_good)


def stays(tx: Transaction, op: Operation[DeleteParams], error: str) -> None:
    """Change nothing: the volume stays, as nobody asked for its end."""


DELETE_WHEN_FREE = Verb(
    kind="volume.delete_when_free",
    params=DeleteParams,
    holds=held,
    steps=(Wait("others", at=scheduler, whatever=True), Step(begin, at=scheduler)),
    failed=stays,
    deadline=3600,
)
