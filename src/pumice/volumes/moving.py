"""What both verbs that move a volume do: ``migrate.py``, and ``migrate_in_use.py`` where a guest uses it.

The pool is chosen and claimed, bytes come to be there under the volume's own id, and in one transaction they
are the volume's. Until then they are nobody's but the operation's.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pumice.backends import replica
from pumice.catalog import volume_types
from pumice.model.errors import NotFound, NoValidBackend
from pumice.model.ids import VolumeId
from pumice.model.states import VolumeStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import MigrationStatus, Pool, Volume, pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.operation import Operation
from pumice.scheduler.choose import choose
from pumice.scheduler.request import Request
from pumice.store import attachments, messages, operations, pools, quotas, tombstones, volumes
from pumice.store.columns import is_unread
from pumice.store.database import Transaction
from pumice.store.messages import Event
from pumice.volumes import vacate
from pumice.volumes.between_hosts import as_seen_here, forget_account, node

M, V = MigrationStatus, VolumeStatus
KINDS = ("volume.migrate", "volume.migrate_in_use")
STAYS = "stays"
"""The note of an operation that was to be undone too late: the volume is where it was to come."""


@dataclass(frozen=True, slots=True)
class MigrateParams:
    """What the operation was asked to do. ``size`` in GiB."""

    volume_id: VolumeId
    pool: str
    """Where it is."""
    size: int
    to: str | None = None
    """``host@backend#pool``, or ``host@backend`` for any of its pools; None: wherever its new type fits."""
    new_type: str | None = None
    """The id of the type that it shall have with that, and its name."""
    new_type_name: str | None = None
    zones: list[str] = field(default_factory=list)
    """The zones that the new type allows."""


def claim_one(
    tx: Transaction,
    op: Operation[Any],
    tunables: Tunables,
    *,
    afar: bool,
    may: Callable[[Pool], bool] = lambda _: True,
) -> None:
    """Choose among the pools that are meant, and ``may`` be, and claim the space. Raises ``NoValidBackend``.

    Pools of the volume's own host come first; those of others only if they may be ``afar``.
    """
    asked = op.params
    volume = volume_of(tx, op)
    kind = volume_types.get(tx, asked.new_type or volume.type_id or "")
    request = Request(
        size=asked.size,
        availability_zone=volume.availability_zone,
        extra_specs=kind.extra_specs if kind else {},
        left_out=frozenset(
            {asked.pool, *op.notes.get("left_out", ()), *being_vacated(tx, asked.volume_id, but=op.id)}
        ),
        zones=frozenset(asked.zones),
    )
    alive = pools.alive(tx, tunables.service_down_seconds)
    meant = [pool for pool in alive if asked.to in (None, pool.name, pool.host) and may(pool)]
    near = [pool for pool in meant if node(pool.host) == node(asked.pool)]
    far = [pool for pool in meant if pool not in near] if afar else []
    if not near and not far:
        raise NoValidBackend(f"Cannot place volume {asked.volume_id} on {asked.to or 'any other pool'}.")
    pool = _choose(near, far, request, tunables)
    pools.claim(tx, pool.name, op.id, asked.size, volumes=0)
    volumes.change(tx, volume.id, migration_status=M.MIGRATING)
    op.notes["pool"] = pool.name


def _choose(near: list[Pool], far: list[Pool], request: Request, tunables: Tunables) -> Pool:
    """The best of the near ones, or else of the far ones."""
    try:
        return choose(near or far, request, tunables)
    except NoValidBackend:
        if not near or not far:
            raise
    return choose(far, request, tunables)


def being_vacated(tx: Transaction, volume_id: str, *, but: str = "") -> Iterator[str]:
    """Pools where an operation, ``but`` for one, frees bytes of the volume: what comes there would go too."""
    rows = operations.page(tx, states=operations.UNDER_WAY, kind=None, subject=volume_id, limit=1000)
    for row in rows:
        if row["id"] == but or row["kind"] not in (*KINDS, vacate.VACATE.kind):
            continue
        for told in (row["params"], row["notes"]):
            if told and not is_unread(told) and (pool := told.get("pool")):
                yield pool


def give_space_back(tx: Transaction, op: Operation[Any], tunables: Tunables) -> None:
    """The pool is free of the copy; if another is to be tried, this one is left out."""
    if op.notes.get(STAYS):
        return
    if pool := op.notes.pop("pool", None):
        pools.give_back(tx, pool, op.id)
        forget_account(tx, op)
        tombstones.bury_one(tx, tombstones.Kind.VOLUME, op.params.volume_id, pool)
        op.notes["left_out"] = [*op.notes.get("left_out", ()), pool]


async def delete_copy(op: Operation[Any], drivers: Drivers) -> None:
    """Delete whatever was made in the new pool."""
    if not op.notes.get(STAYS) and not await is_the_volume(op, drivers):
        pool = op.notes["pool"]
        await drivers.backend_of(pool).delete(op.params.volume_id, pool_of(pool))


async def is_the_volume(op: Operation[Any], drivers: Drivers) -> bool:
    """Whether the new pool is the old one by another name: what is there are no copies, then."""
    name, pool = op.params.volume_id, op.notes["pool"]
    try:
        there = await drivers.backend_of(pool).device(name, pool_of(pool))
        here = await as_seen_here(op, drivers)
        return here is not None and await replica.are_one(here, there)
    except (NotFound, FileNotFoundError):
        return False


def note_copied(tx: Transaction, op: Operation[Any], tunables: Tunables) -> None:
    """Say how far it is."""
    volumes.change(tx, op.params.volume_id, migration_status=M.COMPLETING)


def as_new_type(tx: Transaction, volume: Volume, new_type: str | None, pool: str) -> dict[str, object]:
    """What the volume's row says from now on; the quota of its old type is given back."""
    kind = volume_types.get(tx, new_type or "")
    if kind is None:  # one that nothing has may be deleted meanwhile: the volume keeps its own
        raise NoValidBackend(f"Volume type {new_type} was deleted meanwhile.")
    if before := volume_types.get(tx, volume.type_id) if volume.type_id else None:
        quotas.give_back(tx, volume.project_id, quotas.amounts_of_type("volumes", 1, volume.size, before.name))
    found = pools.find(tx, pool)
    zone = found.availability_zone if found else volume.availability_zone
    return {"type_id": kind.id, "multiattach": volume_types.is_multiattach(kind), "availability_zone": zone}


def volume_of(tx: Transaction, op: Operation[Any]) -> Volume:
    """The volume that is moved."""
    volume = volumes.find(tx, op.params.volume_id)
    assert volume is not None, "nobody deletes what is held"
    return volume


def explain(tx: Transaction, op: Operation[Any], error: str) -> None:
    """The volume is what it was, where it was. Who wanted another type is told why it has not got it."""
    volumes.reset(tx, op.params.volume_id, V.AVAILABLE, op.id, migration_status=M.ERROR)
    attachments.let_volume_follow(tx, op.params.volume_id)
    volume = volumes.find(tx, op.params.volume_id)
    if volume is None or op.params.new_type is None:
        return
    amounts = quotas.amounts_of_type("volumes", 1, volume.size, op.params.new_type_name)
    quotas.give_back(tx, volume.project_id, amounts)
    messages.tell(tx, volume.project_id, Event.CREATE_VOLUME, volume.id, error, op.request_id)
