"""Servers against their machines: a guest that is off or on behind our back, a disk that was pulled or left in.

* off while the server is ``ACTIVE`` (the guest shut itself down, its QEMU was killed, the host fell over): the
  server is ``SHUTOFF``. It is not started again, nor does Nova (``_sync_instance_power_state``): whoever shuts
  a guest down from the inside wants it off
* on while the server is ``SHUTOFF``: it is stopped again, as Nova does. Nobody knows which disks it runs with
* unknown to the hypervisor: ``SHUTOFF`` too, with the reason in its fault. The next start defines it again
* other disks than it should have: an operation brings them in line (``servers/repair_disks.py``)

A server that an operation holds is not looked at. What was seen is judged in the transaction that acts on it:
the rows are read before the machines, and whatever happens to a server meanwhile leaves it a newer
``updated_at``.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from pumice.hypervisor.contract import Hypervisor, Power
from pumice.loops.violation import Violation
from pumice.model.errors import PumiceError
from pumice.model.ids import ServerId
from pumice.model.states import GETS_IN, ServerStatus
from pumice.operations.drivers import Drivers
from pumice.servers import power, repair_disks
from pumice.store import ownership, servers, tombstones
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.ownership import AtRest, Wanted
from pumice.store.tombstones import Kind

POWER_SECONDS = 10.0
DISK_SECONDS = 60.0

S = ServerStatus
OFF = frozenset({Power.SHUTDOWN, Power.CRASHED})


async def check_power(drivers: Drivers) -> list[Violation]:
    """Compare which machines run: one read of the rows and one call of libvirt, however many there are."""
    return await _everywhere(drivers, _power)


async def check_disks(drivers: Drivers) -> list[Violation]:
    """Compare the disks of machines: as for power, and one call more for each running machine."""
    return await _everywhere(drivers, _disks)


Check = Callable[[Drivers, str, Hypervisor], Awaitable[list[Violation]]]


async def _everywhere(drivers: Drivers, check: Check) -> list[Violation]:
    found: list[Violation] = []
    for host, hypervisor in drivers.hypervisors.items():
        try:
            found += await check(drivers, host, hypervisor)
        except PumiceError as error:
            found.append(Violation(f"hypervisor {host} does not answer: {error.in_full}"))
    return found


async def _power(drivers: Drivers, host: str, hypervisor: Hypervisor) -> list[Violation]:
    seen = await drivers.db.read(ownership.at_rest, host)
    powers = await hypervisor.powers() if seen else {}
    judged = [(server, _judge(drivers, server, powers.get(ServerId(server.id)))) for server in seen]
    if not any(violation for _, violation in judged):
        return []
    still = set(await drivers.db.read(ownership.at_rest, host))
    return [violation for server, violation in judged if violation and server in still]


def _judge(drivers: Drivers, server: AtRest, power: Power | None) -> Violation | None:
    is_off = power is None or power in OFF
    if is_off == (server.status == S.SHUTOFF):
        return None
    words = f"server {server.id} is {server.status} and its machine is {power or 'not defined'}"
    fix = _stop_again if not is_off else _is_off if power else _is_gone
    return Violation(words, partial(fix, drivers, server), waits=False)


async def _is_off(drivers: Drivers, server: AtRest) -> str | None:
    return await _follow(drivers, server)


async def _is_gone(drivers: Drivers, server: AtRest) -> str | None:
    why = "The hypervisor does not know the machine any more, and Pumice did not remove it. Start it again."
    fault = {"code": 500, "message": why, "created": now().isoformat(timespec="seconds") + "Z"}
    return await _follow(drivers, server, fault=fault)


async def _follow(drivers: Drivers, server: AtRest, **changes: Any) -> str | None:
    followed = await drivers.db.write(lambda tx: servers.follow(tx, server, S.SHUTOFF, **changes))
    return "the server is SHUTOFF" if followed else None


async def _stop_again(drivers: Drivers, server: AtRest) -> str | None:
    begun = await drivers.db.write(power.accept_stop_again, server.id, server.updated_at)
    return "the machine is being stopped" if begun else None


async def _disks(drivers: Drivers, host: str, hypervisor: Hypervisor) -> list[Violation]:
    """Compare disks with rows read before and after: what changed meanwhile is left to the next check."""
    before = await drivers.db.read(ownership.disks_wanted, host, GETS_IN)
    powers = await hypervisor.powers() if before else {}
    running = [server for server in before if powers.get(ServerId(server)) is Power.RUNNING]
    there = {server: await hypervisor.disks(ServerId(server)) for server in running}
    strange = {server: disks for server, disks in there.items() if disks != before[server].serials}
    if not strange:
        return []

    def read(tx: Transaction) -> dict[str, frozenset[str]]:
        """The disks that each server has let go of, unless something happened to it meanwhile."""
        now = ownership.disks_wanted(tx, host, GETS_IN)
        same = [server for server in strange if now.get(server) == before[server]]
        return {it: tombstones.buried(tx, Kind.DISK, strange[it] - now[it].serials, it) for it in same}

    found = []
    for server, let_go in (await drivers.db.read(read)).items():
        wanted, has = before[server].serials, strange[server]
        unknown = has - wanted - let_go
        if wanted - has or let_go:
            lacks, many = (", ".join(sorted(some)) or "none" for some in (wanted - has, let_go))
            words = f"the machine of server {server} lacks disks: {lacks}; and has too many: {many}"
            found.append(Violation(words, partial(_fit, drivers, host, server, before[server]), waits=False))
        if unknown:
            words = ", ".join(sorted(unknown))
            found.append(
                Violation(f"the machine of server {server} has disks of which nothing is known: {words}")
            )
    return found


async def _fit(drivers: Drivers, host: str, server: str, seen: Wanted) -> str | None:
    def accept(tx: Transaction) -> bool:
        still = ownership.disks_wanted(tx, host, GETS_IN).get(server) == seen
        return still and repair_disks.accept(tx, server)

    return "an operation repairs it" if await drivers.db.write(accept) else None
