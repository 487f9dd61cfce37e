"""Extend a volume, also one that a guest is using.

1. ``accept``: ``extending``, and the quota for the growth
2. ``wait_for_others``: until nobody copies it any more
3. ``claim_growth``: the volume's pool has room for it, and it is claimed
4. ``grow_bytes``: the backend grows the volume
5. ``pause_guest``: where the target cannot grow without disturbing what is under way
6. ``tell_target``, ``tell_guest``: who uses the volume sees its new size, and the guest goes on
7. ``publish``: the new size, and the state it had

5 and 6 only where the volume is in use. A volume is never shrunk, so growing has no undo: if a later step fails
the backend holds more than the row says, which harms nobody and is used by the next extend.
"""

import asyncio
import contextlib
from dataclasses import dataclass, replace

from pumice.catalog import volume_types
from pumice.host import luks
from pumice.hypervisor.contract import disk_named
from pumice.model.errors import Invalid, InvalidState, NoValidBackend, TryAnotherBackend
from pumice.model.ids import AttachmentId, ServerId, VolumeId, new_id
from pumice.model.qos import disk_limits
from pumice.model.scope import Scope
from pumice.model.states import ServerStatus, VolumeStatus
from pumice.model.tunables import Tunables
from pumice.model.units import GIB
from pumice.model.volume import Volume, pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Hold, Thing, change, use
from pumice.operations.operation import Operation, Step, Verb, Wait, enqueue, on_backend, on_compute, scheduler
from pumice.scheduler.filters import capacity
from pumice.scheduler.request import Request
from pumice.store import attachments, clock, messages, pools, qos_specs, quotas, servers, types, volumes
from pumice.store.database import Transaction
from pumice.store.messages import Event
from pumice.store.serialize import serialized

V = VolumeStatus


@dataclass(frozen=True, slots=True)
class ExtendParams:
    """The parameters of the operation. Sizes in GiB."""

    volume_id: VolumeId
    pool: str
    size: int
    new_size: int
    in_use: bool = False
    server_id: ServerId | None = None
    """The server that uses it, and the host of that."""
    host: str | None = None
    attachment_id: AttachmentId | None = None
    encrypted: bool = False
    pauses: bool = False
    """The guest has to stand still while the target grows."""


@serialized(quotas.turn)
def accept(
    tx: Transaction, who: Scope, volume_id: str, new_size: int, tunables: Tunables, *, in_use: bool = False
) -> None:
    """Answer the request. ``in_use``: an attached volume is welcome too.

    Raises ``NotFound``, ``Invalid``, ``InvalidState`` or ``OverQuota``.
    """
    volume = volumes.get(tx, who, volume_id)
    if new_size <= volume.size:
        raise Invalid(
            "Invalid input received: New size for extend must be greater than current size. "
            f"(current: {volume.size}, extended: {new_size})."
        )
    if volume.type_id and (kind := types.get(tx, volume.type_id)):
        volume_types.refuse_size(kind, new_size)
    start = {V.AVAILABLE, V.IN_USE} if in_use else {V.AVAILABLE}
    must = f"be {' or '.join(repr(str(word)) for word in sorted(start))} to extend"
    limits = quotas.limits(tx, volume.project_id, tunables.quotas)
    quotas.refuse_larger(limits, new_size)
    operation_id = new_id()
    volumes.move(tx, volume.id, start, V.EXTENDING, must=must, operation_id=operation_id)
    quotas.take(tx, volume.project_id, limits, _growth(tx, volume.type_id, new_size - volume.size))
    assert volume.pool is not None
    params = ExtendParams(volume.id, volume.pool, volume.size, new_size)
    if volume.status == V.IN_USE:
        params = _by_user(tx, volume, params)
    enqueue(tx, EXTEND, params, subject=volume.id, who=who, id=operation_id)


def _by_user(tx: Transaction, volume: Volume, params: ExtendParams) -> ExtendParams:
    """The parameters for a volume in use. Raises ``InvalidState`` where its user would be disturbed."""
    assert volume.pool is not None
    links = attachments.of_volume(tx, volume.id)
    if len(links) != 1:
        raise InvalidState(f"Invalid volume: volume {volume.id} is in use {len(links)} times: extend it later.")
    pool = pools.find(tx, volume.pool)
    grows = pool is not None and pool.capabilities.get("online_extend_support") is True
    server = servers.find(tx, links[0].server_id) if links[0].server_id else None
    if server is not None and server.host is not None:
        pauses = not grows and server.status != ServerStatus.PAUSED
        return replace(
            params,
            in_use=True,
            server_id=server.id,
            host=server.host,
            attachment_id=links[0].id,
            encrypted=volume.encryption_key_id is not None,
            pauses=pauses,
        )
    if not grows:
        raise InvalidState(
            f"Invalid volume: volume {volume.id} is in use by a host of its own, and its target cannot "
            "grow without disturbing it: detach it first."
        )
    return replace(params, in_use=True)


def _growth(tx: Transaction, type_id: str | None, gigabytes: int) -> dict[str, int]:
    kind = volume_types.get(tx, type_id) if type_id else None
    amounts = quotas.amounts_of("volumes", 0, gigabytes, kind.name if kind else None)
    return {resource: amount for resource, amount in amounts.items() if amount}


def claim_growth(tx: Transaction, op: Operation[ExtendParams], tunables: Tunables) -> None:
    """Claim the growth in the volume's pool. Raises ``NoValidBackend`` when there is no room."""
    asked = op.params
    growth = asked.new_size - asked.size
    pool = pools.find(tx, asked.pool)
    if pool is None:
        raise NoValidBackend("The volume's pool is not known at the moment: its backend has not reported it.")
    if not capacity(pool, Request(growth, pool.availability_zone)):
        raise NoValidBackend(f"The volume's pool has no room for {growth} GiB more.")
    pools.claim(tx, pool.name, op.id, growth, volumes=0)


def give_growth_back(tx: Transaction, op: Operation[ExtendParams], tunables: Tunables) -> None:
    """The pool is free of the growth again."""
    pools.give_back(tx, op.params.pool, op.id)


async def grow_bytes(op: Operation[ExtendParams], drivers: Drivers) -> None:
    """Have the backend grow the volume."""
    pool = op.params.pool
    await drivers.backend_of(pool).extend(op.params.volume_id, pool_of(pool), op.params.new_size)


def is_in_use(op: Operation[ExtendParams]) -> bool:
    """Whether somebody has to be told."""
    return op.params.in_use


def has_guest(op: Operation[ExtendParams]) -> bool:
    """Whether that is a guest of ours."""
    return op.params.host is not None


def must_pause(op: Operation[ExtendParams]) -> bool:
    """Whether the guest has to stand still."""
    return op.params.pauses


async def pause_guest(op: Operation[ExtendParams], drivers: Drivers) -> None:
    """Let it do nothing for the moment that the target needs, and no longer: its own host sees to that."""
    began = clock.time()
    hypervisor = drivers.hypervisors[op.params.host or ""]
    await hypervisor.pause(ServerId(op.params.server_id or ""), drivers.pause_seconds)
    op.notes["paused_until"] = began + drivers.pause_seconds


async def resume_guest(op: Operation[ExtendParams], drivers: Drivers) -> None:
    """Let the guest go on."""
    await drivers.hypervisors[op.params.host or ""].resume(ServerId(op.params.server_id or ""))


async def tell_target(op: Operation[ExtendParams], drivers: Drivers) -> None:
    """Let initiators see the new size, while the guest stands still if it must.

    Raises ``TryAnotherBackend`` when it goes on, or will before this is done: it is paused once more.
    """
    volume, pool = op.params.volume_id, op.params.pool
    device = await drivers.backend_of(pool).device(volume, pool_of(pool))
    if not op.params.pauses:
        return await drivers.target_of(pool).resize(volume, device)
    left = op.notes["paused_until"] - clock.time()
    if left > 0:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left):
                return await drivers.target_of(pool).resize(volume, device)
    raise TryAnotherBackend("The guest went on before its disk's target had grown.")


async def tell_guest(op: Operation[ExtendParams], drivers: Drivers) -> None:
    """Let the guest see it, and go on. A disk that was detached meanwhile has nobody to tell."""
    asked = op.params
    qos = await drivers.db.read(qos_specs.of_volumes, [asked.volume_id], asked.new_size)
    limits = disk_limits(qos.get(asked.volume_id, {}))
    disk = disk_named(asked.volume_id, attachment=asked.attachment_id, limits=limits)
    size = asked.new_size * GIB - (luks.HEADER_BYTES if asked.encrypted else 0)
    hypervisor, server = drivers.hypervisors[asked.host or ""], ServerId(asked.server_id or "")
    await hypervisor.resize_disk(server, disk, size)
    if asked.pauses:
        await hypervisor.resume(server)


def publish(tx: Transaction, op: Operation[ExtendParams], tunables: Tunables) -> None:
    """The volume has its new size, and with it the growth's claim."""
    pools.give_back(tx, op.params.pool, op.id)
    if volumes.find(tx, op.params.volume_id):
        pools.claim(tx, op.params.pool, op.params.volume_id, op.params.new_size)
    end = {} if op.params.in_use else {"end_unseen": True}
    volumes.reset(tx, op.params.volume_id, V.AVAILABLE, op.id, size=op.params.new_size, **end)
    attachments.let_volume_follow(tx, op.params.volume_id)


def explain(tx: Transaction, op: Operation[ExtendParams], error: str) -> None:
    """The volume is as it was, the quota is given back, and the owner can read why."""
    if volume := volumes.find(tx, op.params.volume_id):
        growth = op.params.new_size - op.params.size
        quotas.give_back(tx, volume.project_id, _growth(tx, volume.type_id, growth))
        volumes.reset(tx, volume.id, V.AVAILABLE, op.id)
        attachments.let_volume_follow(tx, volume.id)
        messages.tell(tx, volume.project_id, Event.EXTEND_VOLUME, volume.id, error, op.request_id)


def _held(op: Operation[ExtendParams]) -> tuple[Hold, ...]:
    """The volume, and the server whose guest is told, and may have to stand still."""
    volume, server = op.params.volume_id, op.params.server_id
    return change(Thing.VOLUME, volume), *([use(Thing.SERVER, server)] if server else [])


EXTEND = Verb(
    kind="volume.extend",
    params=ExtendParams,
    holds=_held,
    steps=(
        Wait("others", at=scheduler, whatever=True),
        Step(claim_growth, undo=give_growth_back, at=scheduler),
        Step(grow_bytes, at=on_backend, timeout=1800),
        Step(pause_guest, undo=resume_guest, at=on_compute, when=must_pause, chooses=True),
        Step(tell_target, at=on_backend, when=is_in_use),
        Step(tell_guest, at=on_compute, when=has_guest),
        Step(publish, at=on_backend),
    ),
    failed=explain,
    spares_bytes=True,
    deadline=3600,
    again=lambda tx, op, who, tunables: accept(
        tx, who, op.params.volume_id, op.params.new_size, tunables, in_use=op.params.in_use
    ),
)
