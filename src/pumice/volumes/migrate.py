"""Move a volume that nobody uses to another pool: of its backend, of its host's others, or of another host.

1. ``accept``, or ``accept_for_type`` where a new type does not fit the pool: the volume is held, ``starting``
2. ``claim_space``: of the pools that are meant one passes the scheduler's filters and is claimed: ``migrating``
3. ``read_source``, ``open_source``, between hosts: what the volume's bytes are, and the other host is let in
4. ``copy_bytes``: the volume's bytes, in the new pool as well, under the same id; there they are nobody's yet
5. ``note_copied``, ``prove_copy``: ``completing``; what is on the new disk is read back, and is what was read
6. ``close_source``: no initiator is let in at the old place any more
7. ``change_over``: row, claims and, if it has a new one, type, in one transaction: ``success``. What lies in
   the old pool is freed by an operation of its own (``vacate.py``)

If the new type is encrypted otherwise, 4. writes through both keys, and 5. compares what is inside: between
pools of one host alone.

If it fails the volume is as it was, where it was, and its migration is in ``error``. It keeps its state
meanwhile; with ``lock`` it is in ``maintenance``, and for a new type in ``retyping``.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pumice.backends import replica
from pumice.catalog import volume_types
from pumice.model.errors import Invalid, InvalidState, TryAnotherBackend
from pumice.model.ids import new_id
from pumice.model.scope import Scope
from pumice.model.states import VolumeStatus
from pumice.model.tunables import Tunables
from pumice.model.units import GIB
from pumice.model.volume import Volume, VolumeType, host_of, pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Thing, change
from pumice.operations.operation import Operation, Step, Verb, enqueue, on_backend, scheduler, since
from pumice.store import attachments, keys, pools, services, volumes
from pumice.store.database import Transaction
from pumice.volumes import migrate_in_use, vacate
from pumice.volumes.between_hosts import (
    SECONDS,
    at_source,
    crosses,
    fetch,
    forget_account,
    is_read_from_afar,
    make_account,
    node,
    open_source,
    read_source,
    shut_out,
)
from pumice.volumes.encrypted import NOT_ALIKE, Keys, is_remade, is_rewritten, opened_by_new_key, remake
from pumice.volumes.frozen import refuse_frozen
from pumice.volumes.moving import (
    M,
    MigrateParams,
    V,
    as_new_type,
    being_vacated,
    claim_one,
    delete_copy,
    explain,
    give_space_back,
    is_the_volume,
    note_copied,
    volume_of,
)

__all__ = ["MIGRATE", "accept", "accept_for_type", "being_vacated"]


@dataclass(frozen=True, slots=True)
class MigrateUnusedParams(MigrateParams):
    """What is asked of any move; and if the bytes are to be encrypted otherwise there, their ``Keys``."""

    old_key_id: str | None = field(default=None, metadata=since(2))
    old_key_size: int | None = field(default=None, metadata=since(2))
    new_key_id: str | None = field(default=None, metadata=since(2))
    new_key_size: int | None = field(default=None, metadata=since(2))


def accept(
    tx: Transaction, who: Scope, volume_id: str, to: str, tunables: Tunables, *, cluster: bool, lock: bool
) -> None:
    """Answer the request: move a volume to a host, or with ``cluster`` to one of those.

    Cinder's conditions and sentences. Raises ``NotFound``, ``Invalid`` or ``InvalidState``.
    """
    volume = volumes.get(tx, who, volume_id)
    place = _served(tx, to, tunables, cluster=cluster)
    if (
        volume.status not in (V.AVAILABLE, V.IN_USE)
        or volume.is_moving
        or volume.group_id
        or volumes.has_snapshots(tx, volume.id)
        or place in (volume.pool, host_of(volume.pool or "") if cluster else None)
    ):
        raise InvalidState(
            f"Invalid volume: Volume {volume.id} status must be available or in-use, must not be migrating, "
            "have snapshots, be replicated, be part of a group and destination host/cluster must be different "
            "than the current one"
        )
    asked = replace(_asked(volume), to=place)
    crosses_over = volume.status == V.AVAILABLE and node(place) != node(asked.pool)
    if crosses_over and not is_read_from_afar(tx, asked.pool):
        raise Invalid(
            f"Invalid host: '{to}' is another host than the volume's, {node(asked.pool)}, and no other host "
            "reads what that one exports: make a volume there from a backup of this one."
        )
    _begin(tx, who, volume, asked, V.MAINTENANCE if lock else None)


def accept_for_type(
    tx: Transaction, who: Scope, volume: Volume, kind: VolumeType, opened_by: Keys | None
) -> None:
    """Move a volume to where its new type fits: the quota of that has been taken. Raises ``InvalidState``.

    ``opened_by`` is what opens it before and after, if its bytes are to be encrypted otherwise there.
    """
    if volumes.has_snapshots(tx, volume.id):
        raise InvalidState(
            f"Invalid volume: Volume {volume.id} has snapshots, perhaps in the recycle bin, and cannot be "
            "moved to where its new type fits."
        )
    zones = volume_types.zones_for(kind, None, volume.availability_zone)
    asked = replace(_asked(volume), new_type=kind.id, new_type_name=kind.name, zones=zones)
    _begin(tx, who, volume, asked, V.RETYPING, opened_by)


def _asked(volume: Volume) -> MigrateParams:
    """To move a volume from where it is. Raises ``InvalidState`` where that is nowhere."""
    if volume.pool is None:
        raise InvalidState(f"Invalid volume: volume {volume.id} has no bytes on any backend.")
    return MigrateParams(volume.id, volume.pool, volume.size)


def _begin(
    tx: Transaction,
    who: Scope,
    volume: Volume,
    asked: MigrateParams,
    status: VolumeStatus | None,
    opened_by: Keys | None = None,
) -> None:
    """Hold the volume, in its own state or in ``status``."""
    if volume.status == V.IN_USE:
        migrate_in_use.begin(tx, who, volume, asked, status)
        return
    if volume.status != V.AVAILABLE or attachments.of_volume(tx, volume.id):
        raise InvalidState(
            f"Invalid volume: Volume {volume.id} is {volume.status}, and only what nobody uses is moved to "
            "another pool: detach it first."
        )
    refuse_frozen(tx, volume.pool)
    operation_id = new_id()
    changes: dict[str, Any] = {"operation_id": operation_id, "migration_status": M.STARTING}
    if status is None:
        volumes.change(tx, volume.id, **changes)
    else:
        volumes.move(tx, volume.id, {V.AVAILABLE}, status, must="be available", **changes)
    params = MigrateUnusedParams(**asdict(asked), **asdict(opened_by or Keys()))
    enqueue(tx, MIGRATE, params, subject=volume.id, who=who, id=operation_id)


def _served(tx: Transaction, to: str, tunables: Tunables, *, cluster: bool) -> str:
    """The place by the name that its pools have: a member of a cluster means that. Raises ``Invalid``."""
    backend, hash_, pool = to.partition("#")
    for service in services.every(tx, binary=services.VOLUME_BINARY):
        named = service["cluster"] if cluster else service["host"]
        is_meant = backend in (named, service["cluster"])
        if is_meant and not service["disabled"] and services.is_up(service, tunables.service_down_seconds):
            return f"{service['cluster'] or service['host']}{hash_}{pool}"
    raise Invalid(f"Invalid host: No available service named '{to}'")


def claim_space(tx: Transaction, op: Operation[MigrateUnusedParams], tunables: Tunables) -> None:
    """Choose among the pools that are meant, and claim the space. Raises ``NoValidBackend``."""
    afar = not is_rewritten(op.params) and is_read_from_afar(tx, op.params.pool)
    claim_one(tx, op, tunables, afar=afar)
    if crosses(op):
        make_account(tx, op)


async def copy_bytes(op: Operation[MigrateUnusedParams], drivers: Drivers) -> None:
    """Make the volume's bytes in the new pool. A copy that was cut short is begun anew.

    Between pools of one backend the driver copies, or shares what it can. What is to be encrypted otherwise is
    written through both keys.
    """
    asked, pool = op.params, op.notes["pool"]
    target, name, there = drivers.backend_of(pool), asked.volume_id, pool_of(pool)

    if await is_the_volume(op, drivers):
        raise TryAnotherBackend("The other pool is the volume's own, by another name.", f"{pool}.")
    await target.delete(name, there)
    if crosses(op):
        await target.create(name, there, asked.size)
        async with target.opened(name, there) as device:
            await fetch(op, drivers, device)
        return
    source, here = drivers.backend_of(asked.pool), pool_of(asked.pool)
    async with source.opened(name, here) as origin:
        if is_rewritten(asked):
            await target.create(name, there, asked.size)
            async with target.opened(name, there) as device:
                await remake(drivers.db, asked, origin, device, op.note_progress)
            return
        if source is target:
            await source.create_from_volume(name, there, asked.size, name, here, op.note_progress)
            op.notes["digest"] = await replica.digest(origin, asked.size * GIB, op.note_progress)
            return
        await target.create(name, there, asked.size)
        async with target.opened(name, there) as device:
            op.notes["digest"] = await replica.copy(origin, device, asked.size * GIB, op.note_progress)


async def prove_copy(op: Operation[MigrateUnusedParams], drivers: Drivers) -> None:
    """Read the copy back. Raises ``TryAnotherBackend`` where it is not what was read of the volume."""
    asked, pool = op.params, op.notes["pool"]
    async with drivers.backend_of(pool).opened(op.params.volume_id, pool_of(pool)) as device:
        if is_rewritten(asked):
            source, here = drivers.backend_of(asked.pool), pool_of(asked.pool)
            async with source.opened(asked.volume_id, here) as origin:
                if not await is_remade(drivers.db, asked, origin, device, op.note_progress):
                    raise InvalidState(NOT_ALIKE)
            return
        found = await replica.digest(device, op.params.size * GIB, op.note_progress)
    if found != op.notes["digest"]:
        raise TryAnotherBackend("What was written is not what is read.", f"In {pool}.")


async def close_source(op: Operation[MigrateUnusedParams], drivers: Drivers) -> None:
    """Remove what may be left of exports: nobody is connected to the volume."""
    await drivers.target_of(op.params.pool).remove(op.params.volume_id)


def change_over(tx: Transaction, op: Operation[MigrateUnusedParams], tunables: Tunables) -> None:
    """The volume is where its copy is, and what it was before."""
    asked, pool = op.params, op.notes["pool"]
    volume = volume_of(tx, op)
    pools.give_back(tx, pool, op.id)
    pools.claim(tx, pool, volume.id, volume.size)
    forget_account(tx, op)
    vacate.begin(tx, volume.id, asked.pool, volume.size)
    volumes.place(tx, volume.id, pool)
    changes = as_new_type(tx, volume, asked.new_type, pool) if asked.new_type else {}
    changes |= opened_by_new_key(tx, asked)
    volumes.reset(tx, volume.id, V.AVAILABLE, op.id, migration_status=M.SUCCESS, **changes)


def explain_and_forget(tx: Transaction, op: Operation[MigrateUnusedParams], error: str) -> None:
    """The volume is what it was, where it was; nothing is left that a new key would open."""
    keys.forget(tx, op.params.new_key_id)
    explain(tx, op, error)


MIGRATE = Verb(
    kind="volume.migrate",
    params=MigrateUnusedParams,
    holds=lambda op: (change(Thing.VOLUME, op.params.volume_id),),
    steps=(
        Step(claim_space, undo=give_space_back, at=scheduler, chooses=True),
        Step(read_source, at=at_source, timeout=SECONDS, when=crosses, long=True),
        Step(open_source, undo=shut_out, at=at_source, when=crosses),
        Step(copy_bytes, undo=delete_copy, at=on_backend, timeout=SECONDS, tries=3, long=True),
        Step(note_copied, at=on_backend),
        Step(prove_copy, at=on_backend, timeout=SECONDS, long=True),
        Step(close_source, at=at_source),
        Step(change_over, at=at_source),
    ),
    failed=explain_and_forget,
    deadline=2 * SECONDS,
    moves=True,
    version=2,
)
