"""Give a running machine the disks it should have: plug in what it lacks, take out what its server let go of.

Begun by the loop that found a difference (``loops/machines.py``); nobody can ask for it. As with powering on,
it waits until what is under way on the server's disks has ended, and nothing new begins meanwhile.
"""

from datetime import timedelta

from pumice.hypervisor.contract import disk_named
from pumice.model.ids import new_id
from pumice.model.scope import INTERNAL
from pumice.model.states import ServerStatus
from pumice.operations.drivers import Drivers
from pumice.operations.operation import Operation, Step, Verb, Wait, enqueue, on_compute
from pumice.servers.machine import machine_of
from pumice.servers.power import (
    PowerParams,
    changes_server,
    explain,
    is_active,
    renew_connections,
)
from pumice.store import operations, servers, tombstones
from pumice.store.columns import now
from pumice.store.database import Transaction

S = ServerStatus
REST_SECONDS = 300.0
"""How long a server is left alone after this failed: a guest that keeps its disk is not asked every minute."""


def accept(tx: Transaction, server_id: str) -> bool:
    """Begin, unless the server is not running, something holds it, or it was tried in vain a moment ago."""
    server = servers.find(tx, server_id)
    if server is None or server.host is None or server.status != S.ACTIVE or server.task is not None:
        return False
    last = operations.page(tx, states=None, kind=REPAIR_DISKS.kind, subject=server.id, limit=1)
    if last and last[0]["state"] != "done" and not _is_old(last[0]):
        return False
    operation_id = new_id()
    servers.begin(tx, server, {S.ACTIVE}, "block_device_mapping", operation_id, "repair_disks")
    params = PowerParams(server.id, server.host, server.status)
    enqueue(tx, REPAIR_DISKS, params, subject=server.id, who=INTERNAL, id=operation_id)
    return True


def _is_old(row: operations.Row) -> bool:
    finished = row["finished_at"]
    return finished is not None and finished < now() - timedelta(seconds=REST_SECONDS)


async def fit_disks(op: Operation[PowerParams], drivers: Drivers) -> None:
    """Plug in what the machine lacks, then take out what the server let go of. Raises ``GuestKeepsDisk``."""
    machine = await machine_of(drivers, op.params.server_id)
    hypervisor = drivers.hypervisors[op.params.host]
    server = op.params.server_id
    there = await hypervisor.disks(server)
    for disk in machine.disks:
        if disk.serial not in there:
            await hypervisor.attach(server, disk)
    too_many = there - {disk.serial for disk in machine.disks}
    let_go = await drivers.db.read(tombstones.buried, tombstones.Kind.DISK, too_many, op.params.server_id)
    for serial in sorted(let_go):
        await hypervisor.detach(server, disk_named(serial, "a disk"), drivers.detach_seconds)


REPAIR_DISKS = Verb(
    kind="server.repair_disks",
    params=PowerParams,
    holds=changes_server,
    steps=(
        Wait("others", at=on_compute, whatever=True),
        Step(renew_connections, at=on_compute),
        Wait("connections", at=on_compute, whatever=True),
        Step(fit_disks, at=on_compute, timeout=600),
        Step(is_active, at=on_compute),
    ),
    failed=explain,
    spares_bytes=True,
    deadline=900,
)
