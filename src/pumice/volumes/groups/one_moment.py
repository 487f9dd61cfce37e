"""A snapshot of a group of which some volumes are in use: of one moment, because their guests stand still.

1. ``pause_guests``: on their host, for as long as the setting says and no longer
2. ``keep_bytes``: the backend keeps the bytes of every volume, which it shares: that takes next to no time
3. ``prove_stillness``: no guest has gone on meanwhile, else all is undone and begun again
4. ``let_guests_go_on``

A guest that has gone on is never paused again by itself: one that stands still at the end did so all the time.
So nothing is said of the clocks of two hosts, and a process that died in between costs another try at most.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from pumice.backends.contract import no_progress
from pumice.hypervisor.contract import Power
from pumice.model.errors import InvalidState, TryAnotherBackend
from pumice.model.group import Group
from pumice.model.ids import ServerId, SnapshotId, VolumeId
from pumice.model.states import AttachStatus, ServerStatus, VolumeStatus
from pumice.model.volume import IMAGE_CACHE, SHARES, Attachment, Volume, pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.operation import Operation, since
from pumice.store import attachments, clock, pools, servers
from pumice.store.database import Transaction


class Kept(NamedTuple):
    """A snapshot that is to be made, of which volume, and where."""

    snapshot_id: str
    volume_id: str
    pool: str


@dataclass(slots=True)
class Users:
    """Who uses the volumes: servers of ours on one host."""

    host: str | None = None
    servers: list[str] = field(default_factory=list)
    guests: list[str] = field(default_factory=list)
    """The servers that run."""


@dataclass(frozen=True, slots=True)
class GroupSnapshotParams:
    """The parameters of the operation."""

    group_snapshot_id: str
    group_id: str
    still: list[str] = field(default_factory=list)
    """Volumes that nobody comes to use while they are copied."""
    kept: list[list[str]] = field(default_factory=list, metadata=since(2))
    """Snapshot, volume and pool of what the operation makes itself, because some of the volumes are in use…"""
    pool: str = field(default="", metadata=since(2))
    host: str | None = field(default=None, metadata=since(2))
    servers: list[str] = field(default_factory=list, metadata=since(2))
    """…by these, on that host…"""
    guests: list[str] = field(default_factory=list, metadata=since(2))
    """…of which these have to stand still."""

    @property
    def pieces(self) -> list[Kept]:
        """What is kept, by name."""
        return [Kept(*one) for one in self.kept]


def users(tx: Transaction, group: Group, found: Sequence[Volume]) -> Users:
    """Who uses the volumes of a group. Raises ``InvalidState`` where not all can be kept still together."""
    told = Users()
    for volume in found:
        if volume.status not in (VolumeStatus.AVAILABLE, VolumeStatus.IN_USE):
            raise refusal(group, volume, "which can be kept for volumes that are available or in use")
        if volume.status == VolumeStatus.IN_USE:
            pool = pools.find(tx, volume.pool) if volume.pool else None
            if pool is None or pool.capabilities.get(IMAGE_CACHE) != SHARES:
                why = "and its pool copies what it keeps, for longer than a guest may stand still. Detach it"
                raise refusal(group, volume, why)
            for link in attachments.of_volume(tx, volume.id):
                _add(tx, group, volume, link, told)
    return told


def _add(tx: Transaction, group: Group, volume: Volume, link: Attachment, told: Users) -> None:
    server_id = attachments.used_by_server(tx, link.id)
    server = servers.find(tx, server_id) if server_id else None
    if server is None or server.host is None or link.status != AttachStatus.ATTACHED:
        why = "and it is used by somebody whom this cloud cannot let stand still. Detach it"
        raise refusal(group, volume, why)
    if told.host not in (None, server.host):
        why = "and servers on several hosts use its volumes, which cannot stand still together. Detach it"
        raise refusal(group, volume, why)
    told.host = server.host
    if server.id not in told.servers:
        told.servers.append(server.id)
        if server.status == ServerStatus.ACTIVE:
            told.guests.append(server.id)


def refusal(group: Group, volume: Volume, why: str) -> InvalidState:
    """The error for a volume whose snapshot would not be of the same moment as the others'."""
    return InvalidState(
        f"Invalid volume: Volume {volume.id} is {volume.status}: the type of group {group.id} promises "
        f"snapshots of one moment, {why}."
    )


def is_in_use(op: Operation[GroupSnapshotParams]) -> bool:
    """Whether somebody uses one of the volumes."""
    return bool(op.params.kept)


async def pause_guests(op: Operation[GroupSnapshotParams], drivers: Drivers) -> None:
    """Let them do nothing for the moment that it takes, and no longer: their own host sees to that."""
    began = clock.time()
    for guest in op.params.guests:
        await drivers.hypervisors[op.params.host or ""].pause(ServerId(guest), drivers.pause_seconds)
    op.notes["paused_until"] = began + drivers.pause_seconds


async def let_guests_go_on(op: Operation[GroupSnapshotParams], drivers: Drivers) -> None:
    """Resume them."""
    for guest in op.params.guests:
        await drivers.hypervisors[op.params.host or ""].resume(ServerId(guest))


async def keep_bytes(op: Operation[GroupSnapshotParams], drivers: Drivers) -> None:
    """Keep what the volumes have now.

    Cut short and begun again while the guests still stand, it finds what it has kept, which is of their moment.
    Raises ``TryAnotherBackend`` when they have gone on, or will before this is done: they are paused once more.
    """
    backend = drivers.backend_of(op.params.pool)
    deadline = op.notes["paused_until"] if op.params.guests else clock.time() + drivers.pause_seconds
    with suppress(TimeoutError):
        async with asyncio.timeout(max(deadline - clock.time(), 0.0)):
            for one in op.params.pieces:
                await backend.create_snapshot(
                    SnapshotId(one.snapshot_id), VolumeId(one.volume_id), pool_of(one.pool), no_progress
                )
            return
    raise _gone_on()


async def delete_copies(op: Operation[GroupSnapshotParams], drivers: Drivers) -> None:
    """Delete whatever was kept."""
    for one in op.params.pieces:
        await drivers.backend_of(one.pool).delete_snapshot(SnapshotId(one.snapshot_id), pool_of(one.pool))


async def prove_stillness(op: Operation[GroupSnapshotParams], drivers: Drivers) -> None:
    """Raises ``TryAnotherBackend`` when a guest has gone on: what was kept may be of two moments."""
    for guest in op.params.guests:
        if await drivers.hypervisors[op.params.host or ""].power(ServerId(guest)) == Power.RUNNING:
            raise _gone_on()


def _gone_on() -> TryAnotherBackend:
    return TryAnotherBackend("The guests went on before the bytes of all volumes were kept.")
