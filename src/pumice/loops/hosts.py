"""Hosts that are silent, and hosts that are gone for good.

Of a silent host the audit says what waits for it. Once an administrator has said that it is gone (``pumice
hosts forget``) or fenced (the Compute API's ``forced_down``), nobody serves its places any more: this loop
does, without any drivers. What was to be taken away there is gone with the host; what was to be done there
cannot be, and is tried elsewhere or explained. So whatever waits ends, and whatever comes later ends as well.

Then what a forgotten host had is settled: its servers are in ``ERROR``, without host or attachments, so that
their volumes elsewhere are free; its volumes and snapshots are in ``error`` with a message, and can be deleted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from pumice.attachments import disconnect
from pumice.loops.every import tell_failure
from pumice.loops.violation import Violation
from pumice.model.errors import LostLease, TryAnotherBackend, in_full
from pumice.model.ids import new_id
from pumice.model.scope import INTERNAL
from pumice.model.states import ServerStatus, SnapshotStatus, VolumeStatus
from pumice.model.tunables import Tunables
from pumice.operations.drivers import Drivers
from pumice.operations.operation import Operation, Step, Verb, from_row
from pumice.operations.state_machine import StateMachine, StepFailed, Stopwatch
from pumice.store import attachments, clock, hosts, messages, servers, snapshots, volumes, work_queue
from pumice.store.columns import now
from pumice.store.database import Database, Transaction
from pumice.store.hosts import Lost
from pumice.store.messages import Event

logger = structlog.get_logger(__name__)

SECONDS = 15.0
SILENT = timedelta(minutes=5)
"""How long a host must have been silent until the audit says what waits for it."""
LEASE_SECONDS = 30.0
AT_ONCE = 100
LOST = (
    "Host '{}' is gone for good, and with it the {}'s bytes. It can be deleted; its quota is given back then."
)


async def check(drivers: Drivers) -> list[Violation]:
    """Find hosts that this process does not serve and that are silent, although something waits for them."""
    mine = {place.partition("@")[0] for place in (*drivers.backends, *drivers.hypervisors)}
    found = await drivers.db.read(hosts.unheard, now() - SILENT)
    return [Violation(_waits(host)) for host in found if host.name not in mine and _is_missed(host)]


def _is_missed(host: hosts.Host) -> bool:
    return host.is_awaited and host.forgotten_at is None


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
    tunables: Tunables = field(default_factory=Tunables)
    owner: str = field(default_factory=lambda: f"hosts:{new_id()}")

    async def check(self) -> int:
        """Bring to an end what can be. How many operations and things were."""
        why, left = await self.db.read(hosts.left_behind)
        done = 0
        while why and (number := await self._serve(why)):
            done += number
            why, left = await self.db.read(hosts.left_behind)
        for lost in left:
            try:
                done += await self.db.write(settle, lost)
            except Exception as error:  # one that cannot be settled keeps no other from it
                tell_failure("host.unsettled", error, kind=lost.kind, id=lost.id)
        return done

    async def _serve(self, why: Mapping[str, str]) -> int:
        """Carry what is due at these places, as far as they are concerned. How many operations."""
        state_machine = StateMachine(self.verbs, self.owner, frozenset(why), self.tunables)
        asked = work_queue.Asked(state_machine.places, self.owner)
        rows, _ = await self.db.write(work_queue.claim, asked, clock.time(), LEASE_SECONDS, AT_ONCE)
        for row in rows:
            try:
                op = from_row(self.verbs[row["kind"]], row)
                while op.owner == self.owner:
                    op = await self._next(state_machine, op, why)
            except LostLease as error:
                logger.warning("operation.lease_lost", operation=row["id"], error=in_full(error))
            except Exception as error:  # one that cannot be carried keeps no other from it
                tell_failure("operation.interrupted", error, operation=row["id"])
            else:
                logger.warning("operation.host_gone", operation=op.id, kind=op.kind, state=op.state)
        return len(rows)

    async def _next(
        self, state_machine: StateMachine, op: Operation[Any], why: Mapping[str, str]
    ) -> Operation[Any]:
        step, record = self.verbs[op.kind].step(op), None
        if step is not None and step.work(op.state == "undoing")[1] is not None:
            record = replace(Stopwatch(op, step.name).record(), outcome="gone", error=why[op.place])
            if op.state != "undoing" and isinstance(step, Step) and not step.takes_away:
                return await self.db.write(
                    state_machine.turn_back, op, record, TryAnotherBackend(why[op.place])
                )
        try:
            return await self.db.write(state_machine.advance, op, record)
        except StepFailed as failed:
            if record is not None or failed.position != op.position:
                op = await self.db.write(state_machine.advance, op, record, failed.position)
            return await self.db.write(state_machine.turn_back, op, failed.record, failed.error)


def settle(tx: Transaction, lost: Lost) -> bool:
    """Settle one thing that a forgotten host had. False if it was settled meanwhile."""
    if lost not in hosts.unsettled(tx, hosts.forgotten(tx), lost.id):
        return False
    {"volume": _lose_volume, "server": _lose_server, "snapshot": _lose_snapshot}[lost.kind](tx, lost)
    return True


def _lose_server(tx: Transaction, lost: Lost) -> None:
    """Free the server's volumes that live elsewhere; the machine is gone, and disks of the host's own."""
    for link in attachments.of_server(tx, lost.id):
        disconnect.accept(tx, INTERNAL, link)
    why = f"Host '{lost.host}' is gone for good. The server's volumes are detached; boot another one from them."
    fault = {"code": 500, "message": why, "created": now().isoformat(timespec="seconds") + "Z"}
    server = servers.find(tx, lost.id)
    if server:
        servers.move(tx, server, ServerStatus.ERROR, task=None, operation_id=None, host=None, fault=fault)


def _lose_volume(tx: Transaction, lost: Lost) -> None:
    """Servers elsewhere that have it lose the disk; a root disk stays, as what they cannot start without."""
    for link in attachments.of_volume(tx, lost.id):
        disk = servers.disk_of_attachment(tx, link.id)
        if disk is not None and disk.boot_index != 0:
            servers.remove_disk(tx, link.id)
        servers.unlink_disk(tx, link.id)
        attachments.delete(tx, link.id)
    volume = volumes.find(tx, lost.id)
    assert volume is not None
    volumes.change(tx, volume.id, operation_id=None)
    volumes.put(tx, volume.id, VolumeStatus.ERROR)
    messages.tell(tx, volume.project_id, Event.CREATE_VOLUME, volume.id, LOST.format(lost.host, "volume"), None)


def _lose_snapshot(tx: Transaction, lost: Lost) -> None:
    snapshot = snapshots.find(tx, lost.id)
    assert snapshot is not None
    snapshots.change(tx, snapshot.id, operation_id=None)
    snapshots.put(tx, snapshot.id, SnapshotStatus.ERROR)
    text = LOST.format(lost.host, "snapshot")
    messages.tell(tx, snapshot.project_id, Event.CREATE_SNAPSHOT, snapshot.id, text, None)
