"""Hosts that are silent, and hosts that are gone for good.

Of a silent host the audit says what waits for it. Once an administrator has said that it is gone (``pumice
hosts forget``) or fenced (the Compute API's ``forced_down``), nobody serves its places any more: this loop
does, without any hands. What was to be taken away there is gone with the host; what was to be done there cannot
be, and is tried elsewhere or explained. So whatever waits ends, and whatever comes later ends as well.

Then what a forgotten host had is settled: its servers are in ``ERROR``, without host or attachments, so that
their volumes elsewhere are free; its volumes and snapshots are in ``error`` with a message, and can be deleted.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from pumice.attachments import disconnect
from pumice.loops.breach import Breach
from pumice.model.errors import Elsewhere, LostLease
from pumice.model.ids import new_id
from pumice.model.rules import Rules
from pumice.model.scope import HOUSE
from pumice.model.states import ServerStatus, SnapshotStatus, VolumeStatus
from pumice.operations.course import Course, StepFailed, Stopwatch
from pumice.operations.hands import Hands
from pumice.operations.operation import Operation, Step, Verb, from_row
from pumice.store import attachments, hosts, messages, servers, snapshots, volumes
from pumice.store import operations as log
from pumice.store.columns import now
from pumice.store.database import Database, Transaction
from pumice.store.messages import Event

logger = structlog.get_logger(__name__)

SECONDS = 10.0
SILENT = timedelta(minutes=5)
"""How long a host must have been silent until the audit says what waits for it."""
LEASE_SECONDS = 30.0
AT_ONCE = 100
LOST = "Host '{}' was gone for good, and with it {}. It can be deleted, and its quota is given back then."


async def look(hands: Hands) -> list[Breach]:
    """At hosts that this process does not serve and that are silent, although something waits for them."""
    mine = {place.partition("@")[0] for place in (*hands.backends, *hands.hypervisors)}
    found = await hands.db.read(hosts.every)
    return [Breach(_waits(host)) for host in found if host.name not in mine and _is_missed(host)]


def _is_missed(host: hosts.Host) -> bool:
    silent = host.heard_at is None or host.heard_at < now() - SILENT
    return silent and host.is_awaited and host.forgotten_at is None


def _waits(host: hosts.Host) -> str:
    oldest = f", the oldest since {_moment(host.oldest)}" if host.oldest else ""
    heard = f"has been silent since {_moment(host.heard_at)}" if host.heard_at else "was never heard of"
    return (
        f"host {host.name} {heard}; waiting for it: {host.operations} operations{oldest}, {host.servers} "
        f"servers, {host.volumes} volumes, {host.attachments} attachments. If it is gone for good: "
        f"pumice hosts forget {host.name}"
    )


def _moment(at: datetime) -> str:
    return "its last stop" if at.year == 2000 else f"{at:%Y-%m-%d %H:%M} UTC"  # see services.silence


@dataclass(slots=True)
class Gone:
    """Serves the places of hosts that are gone, and settles what they had."""

    db: Database
    verbs: Mapping[str, Verb[Any]]
    rules: Rules = field(default_factory=Rules)
    owner: str = field(default_factory=lambda: f"hosts:{new_id()}")

    async def look(self) -> int:
        """Bring to an end what can be. How many operations and things were."""
        why = await self.db.read(hosts.dead_places)
        done = 0
        while why and (number := await self._serve(why)):
            done += number
            why = await self.db.read(hosts.dead_places)
        for name in sorted(await self.db.read(hosts.forgotten)):
            done += await self.db.write(settle, name)
        return done

    async def _serve(self, why: Mapping[str, str]) -> int:
        """Carry what is due at these places, as far as they are concerned. How many operations."""
        course = Course(self.verbs, self.owner, frozenset(why), self.rules)
        asked = log.Asked(course.places, self.owner)
        rows, _ = await self.db.write(log.claim, asked, time.time(), LEASE_SECONDS, AT_ONCE)
        for row in rows:
            if (verb := self.verbs.get(row["kind"])) is None:
                continue
            op = from_row(verb, row)
            try:
                while op.owner == self.owner:
                    op = await self._next(course, op, why)
            except LostLease as error:
                logger.warning("operation.lease_lost", operation=op.id, error=str(error))
            logger.warning("operation.host_gone", operation=op.id, kind=op.kind, state=op.state)
        return len(rows)

    async def _next(self, course: Course, op: Operation[Any], why: Mapping[str, str]) -> Operation[Any]:
        step, line = self.verbs[op.kind].step(op), None
        if step is not None and step.work(op.state == "undoing")[1] is not None:
            line = replace(Stopwatch(op, step.name).line(), outcome="gone", error=why[op.place])
            if op.state != "undoing" and isinstance(step, Step) and not step.takes_away:
                return await self.db.write(course.turn_back, op, line, Elsewhere(why[op.place]))
        try:
            return await self.db.write(course.advance, op, line)
        except StepFailed as failed:
            if line is not None or failed.position != op.position:
                op = await self.db.write(course.advance, op, line, failed.position)
            return await self.db.write(course.turn_back, op, failed.line, failed.error)


def settle(tx: Transaction, name: str) -> int:
    """What a forgotten host, or ``CLUSTER@backend``, had, and no operation settles. How many things were."""
    places = {name} if "@" in name else hosts.backends(tx, name)
    lost_volumes = hosts.unsettled_volumes(tx, places)
    for volume_id in lost_volumes:
        _lose_volume(tx, name, volume_id)
    lost_servers = hosts.unsettled_servers(tx, name)
    for server_id in lost_servers:
        _lose_server(tx, name, server_id)
    lost_snapshots = hosts.unsettled_snapshots(tx, places)
    for snapshot_id in lost_snapshots:
        _lose_snapshot(tx, name, snapshot_id)
    return len(lost_servers) + len(lost_volumes) + len(lost_snapshots)


def _lose_server(tx: Transaction, name: str, server_id: str) -> None:
    """Its volumes that live elsewhere are free; disks of the host's own are gone, and so is the machine."""
    for link in attachments.of_server(tx, server_id):
        disconnect.accept(tx, HOUSE, link)
    why = f"Host '{name}' is gone for good. The server's volumes are detached; boot another one from them."
    fault = {"code": 500, "message": why, "created": now().isoformat(timespec="seconds") + "Z"}
    servers.change(
        tx, server_id, status=ServerStatus.ERROR, task=None, operation_id=None, host=None, fault=fault
    )


def _lose_volume(tx: Transaction, name: str, volume_id: str) -> None:
    """Servers elsewhere that have it lose the disk; a root disk stays, as what they cannot start without."""
    for link in attachments.of_volume(tx, volume_id):
        disk = servers.disk_of_attachment(tx, link.id)
        if disk is not None and disk.boot_index != 0:
            servers.remove_disk(tx, link.id)
        servers.unlink_disk(tx, link.id)
        attachments.delete(tx, link.id)
    volume = volumes.find(tx, volume_id)
    assert volume is not None
    volumes.change(tx, volume_id, operation_id=None)
    volumes.put(tx, volume_id, VolumeStatus.ERROR)
    messages.tell(
        tx, volume.project_id, Event.CREATE_VOLUME, volume_id, LOST.format(name, "the volume's bytes"), None
    )


def _lose_snapshot(tx: Transaction, name: str, snapshot_id: str) -> None:
    snapshot = snapshots.find(tx, snapshot_id)
    assert snapshot is not None
    snapshots.change(tx, snapshot_id, operation_id=None)
    snapshots.put(tx, snapshot_id, SnapshotStatus.ERROR)
    text = LOST.format(name, "the snapshot's bytes")
    messages.tell(tx, snapshot.project_id, Event.CREATE_SNAPSHOT, snapshot_id, text, None)
