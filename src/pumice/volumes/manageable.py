"""List what a pool holds that could be managed: an operation, because only the pool's host can look."""

from dataclasses import asdict, dataclass
from typing import Any

from pumice.model.scope import Scope
from pumice.model.volume import pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.operation import Operation, Step, Verb, enqueue, on_backend
from pumice.store import operations
from pumice.store.database import Transaction
from pumice.volumes.manage import pool_named


@dataclass(frozen=True, slots=True)
class ManageableParams:
    """The parameters of the operation."""

    pool: str


def accept(tx: Transaction, who: Scope, pool: str) -> str:
    """Begin to look; the operation's id. Raises ``Invalid`` when there is no such pool."""
    name = pool_named(tx, pool)
    return enqueue(tx, MANAGEABLE, ManageableParams(name), subject=name, who=who).id


def take_found(tx: Transaction, operation_id: str) -> list[dict[str, Any]]:
    """Take what was found, once: it is not kept."""
    return list(operations.take_notes(tx, operation_id).get("found", ()))


async def look(op: Operation[ManageableParams], drivers: Drivers) -> None:
    """Ask the backend what lies in its pool."""
    found = await drivers.backend_of(op.params.pool).manageable(pool_of(op.params.pool))
    op.notes["found"] = [asdict(one) for one in found]


def explain(tx: Transaction, op: Operation[ManageableParams], error: str) -> None:
    """Change nothing. The request that waits tells why."""


MANAGEABLE = Verb(
    kind="pool.strangers",  # as earlier versions wrote it, in the log and in settings of deadlines
    params=ManageableParams,
    holds=lambda _: (),
    steps=(Step(look, at=on_backend),),
    failed=explain,
    spares_bytes=True,
    deadline=30,
)
