"""Servers follow their machines and machines their servers' disks; but not while an operation holds one."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog
from fake_world import TENANT, FakeWorld, fake_world

from pumice.hypervisor.contract import Disk, FileSource, Power
from pumice.loops import machines
from pumice.loops.violation import CAME_RIGHT, Repair, Violation, repaired
from pumice.model.ids import ServerId
from pumice.model.server import Server
from pumice.operations.harness import quiet, working
from pumice.operations.state_machine import no_faults
from pumice.servers import attach_volume, detach_volume, power, repair_disks
from pumice.servers import delete as delete_server
from pumice.store import operations, servers, tables
from pumice.store.tombstones import Kind


@dataclass
class Scene:
    """A server that runs with two disks."""

    world: FakeWorld
    server: str
    second: str

    @property
    def machine(self) -> ServerId:
        return ServerId(self.server)

    async def row(self) -> Server:
        row = await self.world.db.read(servers.find, self.server)
        assert row is not None
        return row

    async def look_and_mend(self) -> None:
        for look in (machines.check_power, machines.check_disks):
            await Repair(look, self.world.drivers).run()

    async def work(self) -> None:
        """Until everything that was begun has ended."""
        async with working(self.world, "at-work", no_faults):
            await quiet(self.world)

    async def pull(self, volume: str) -> None:
        disk = Disk(volume, "vdb", FileSource(Path("/dev/zero")))
        await self.world.machines.detach(self.machine, disk, 1)

    async def plug(self, serial: str, *, known: bool = True) -> None:
        """Leave a disk in that the server has let go of, if it is ``known``."""
        if known:
            await self.world.bury(Kind.DISK, serial, self.server)
        await self.world.machines.attach(self.machine, Disk(serial, "vdz", FileSource(Path("/dev/zero"))))

    async def repairs(self) -> list[Any]:
        kind = repair_disks.REPAIR_DISKS.kind
        rows = await self.world.db.read(operations.page, states=None, kind=kind, subject=self.server, limit=9)
        return list(rows)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with fake_world() as world:
        async with working(world, "at-work", no_faults):
            server, second = await world.a_server(await world.a_volume()), await world.a_volume()
            await world.db.write(attach_volume.accept, TENANT, server, second)
            await quiet(world)
        yield Scene(world, server, second)


async def only_breach(scene: Scene) -> Violation:
    [violation] = await machines.check_power(scene.world.drivers)
    return violation


async def test_a_guest_that_is_off_is_followed_at_the_first_look_and_not_started_again(scene: Scene) -> None:
    await scene.world.machines.stop(scene.machine, 0)
    await scene.look_and_mend()
    row = await scene.row()
    assert (row.status, row.task, row.fault) == ("SHUTOFF", None, None)
    await scene.work()
    assert await scene.world.machines.power(scene.machine) is Power.SHUTDOWN


async def test_a_machine_that_vanished_is_explained_and_a_start_defines_it_again_with_its_disks(
    scene: Scene,
) -> None:
    disks = await scene.world.machines.disks(scene.machine)
    await scene.world.machines.delete(scene.machine)
    await scene.look_and_mend()
    row = await scene.row()
    assert row.status == "SHUTOFF"
    assert row.fault is not None and "does not know the machine any more" in row.fault["message"]
    await scene.world.db.write(power.accept_start, TENANT, scene.server)
    await scene.work()
    assert (await scene.row()).status == "ACTIVE"
    assert await scene.world.machines.disks(scene.machine) == disks


async def test_a_machine_that_is_on_although_its_server_is_off_is_stopped_again(scene: Scene) -> None:
    await scene.world.db.write(power.accept_stop, TENANT, scene.server)
    await scene.work()
    scene.world.machines._machines[scene.machine].power = Power.RUNNING
    await scene.look_and_mend()
    assert (await scene.row()).task == "powering-off"
    await scene.work()
    assert (await scene.row()).status == "SHUTOFF"
    assert await scene.world.machines.power(scene.machine) is Power.SHUTDOWN


async def test_a_server_that_an_operation_holds_is_left_alone(scene: Scene) -> None:
    await scene.world.db.write(power.accept_stop, TENANT, scene.server)
    await scene.world.machines.stop(scene.machine, 0)
    await scene.pull(scene.second)
    assert await machines.check_power(scene.world.drivers) == []
    assert await machines.check_disks(scene.world.drivers) == []


async def test_a_server_to_which_something_happened_since_the_look_is_left_alone(scene: Scene) -> None:
    """The look sees the guest off; before it acts, a stop and a start have come and gone."""
    await scene.world.machines.stop(scene.machine, 0)
    violation = await only_breach(scene)
    await scene.world.db.write(power.accept_stop, TENANT, scene.server)
    await scene.work()
    await scene.world.db.write(power.accept_start, TENANT, scene.server)
    await scene.work()
    assert violation.fix is not None
    assert await violation.fix() is None
    assert (await scene.row()).status == "ACTIVE"


async def test_a_stop_that_was_seen_too_late_begins_no_second_one(scene: Scene) -> None:
    change = sa.update(tables.servers).values(status="SHUTOFF")
    await scene.world.db.write(lambda tx: tx.execute(change) and None)
    violation = await only_breach(scene)
    await scene.world.db.write(power.accept_start, TENANT, scene.server)
    assert violation.fix is not None
    assert await violation.fix() is None
    await scene.work()
    assert (await scene.row()).status == "ACTIVE"


async def test_a_guest_that_is_paused_is_left_alone(scene: Scene) -> None:
    scene.world.machines._machines[scene.machine].power = Power.PAUSED
    assert await machines.check_power(scene.world.drivers) == []


async def test_disks_that_were_pulled_or_left_in_are_brought_in_line_by_one_operation(scene: Scene) -> None:
    right = await scene.world.machines.disks(scene.machine)
    await scene.pull(scene.second)
    await scene.plug("left-in")
    await scene.look_and_mend()
    await scene.look_and_mend()
    await scene.work()
    assert await scene.world.machines.disks(scene.machine) == right
    assert len(await scene.repairs()) == 1
    assert (await scene.row()).status == "ACTIVE"


async def test_a_disk_of_which_nothing_is_known_is_told_and_stays_in(scene: Scene) -> None:
    await scene.plug("unheard-of", known=False)
    await scene.look_and_mend()
    await scene.work()
    assert "unheard-of" in await scene.world.machines.disks(scene.machine)
    assert await scene.world.violations() == [
        f"the machine of server {scene.server} has disks of which nothing is known: unheard-of"
    ]


async def test_a_server_that_is_deleted_while_the_loop_looks_lacks_no_disks(scene: Scene) -> None:
    """The rows are of before the deletion, the machine's disks of after it."""
    look = scene.world.machines.disks

    async def meanwhile(server: ServerId) -> frozenset[str]:
        await scene.world.db.write(delete_server.accept, TENANT, scene.server)
        await scene.world.machines.delete(scene.machine)
        return await look(server)

    scene.world.machines.disks = meanwhile  # type: ignore[method-assign]
    assert await machines.check_disks(scene.world.drivers) == []


async def test_a_server_that_is_deleted_while_the_loop_looks_is_not_off(scene: Scene) -> None:
    look = scene.world.machines.powers

    async def meanwhile() -> dict[ServerId, Power]:
        await scene.world.db.write(delete_server.accept, TENANT, scene.server)
        await scene.world.machines.delete(scene.machine)
        return await look()

    scene.world.machines.powers = meanwhile  # type: ignore[method-assign]
    assert await machines.check_power(scene.world.drivers) == []


async def test_what_came_right_by_itself_is_no_warning(scene: Scene) -> None:
    await scene.pull(scene.second)
    [violation] = await machines.check_disks(scene.world.drivers)
    await scene.world.db.write(delete_server.accept, TENANT, scene.server)
    assert violation.fix is not None
    with structlog.testing.capture_logs() as logged:
        assert await repaired(violation, violation.fix) == CAME_RIGHT
    assert not [line for line in logged if line["log_level"] == "warning"]


async def test_a_disk_that_is_just_being_detached_is_not_plugged_in_again(scene: Scene) -> None:
    await scene.world.db.write(detach_volume.accept, TENANT, scene.server, scene.second)
    await scene.pull(scene.second)
    await scene.look_and_mend()
    assert not await scene.repairs()
    await scene.work()
    assert scene.second not in await scene.world.machines.disks(scene.machine)


async def test_a_detach_asked_for_between_look_and_repair_wins(scene: Scene) -> None:
    await scene.pull(scene.second)
    [violation] = await machines.check_disks(scene.world.drivers)
    await scene.world.db.write(detach_volume.accept, TENANT, scene.server, scene.second)
    assert violation.fix is not None
    assert await violation.fix() is None
    await scene.work()
    assert scene.second not in await scene.world.machines.disks(scene.machine)
    assert not await scene.world.violations()


async def test_a_guest_that_keeps_a_disk_is_asked_once_in_a_while_and_not_at_every_look(scene: Scene) -> None:
    await scene.plug("left-in")
    scene.world.machines.guests_keep_disks = True
    for _ in range(3):
        await scene.look_and_mend()
        await scene.work()
    [repair] = await scene.repairs()
    assert repair["state"] == "failed"
    assert (await scene.row()).status == "ACTIVE"
    long_ago = sa.update(tables.operations).values(finished_at=sa.func.datetime("2026-01-01 00:00:00"))
    await scene.world.db.write(lambda tx: tx.execute(long_ago) and None)
    scene.world.machines.guests_keep_disks = False
    await scene.look_and_mend()
    await scene.work()
    assert "left-in" not in await scene.world.machines.disks(scene.machine)


async def test_a_look_at_the_power_costs_one_read_and_one_call_however_many_servers(scene: Scene) -> None:
    async with working(scene.world, "at-work", no_faults):
        for _ in range(3):
            await scene.world.a_server(await scene.world.a_volume())
    statements: list[str] = []
    calls: list[str] = []

    @sa.event.listens_for(sa.Engine, "before_cursor_execute")
    def count(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    called = scene.world.machines._called

    async def counted(name: str) -> None:
        calls.append(name)
        await called(name)

    scene.world.machines._called = counted  # type: ignore[method-assign]
    try:
        assert await machines.check_power(scene.world.drivers) == []
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", count)
    assert [statement for statement in statements if statement.startswith("SELECT")] == statements[-1:]
    assert calls == ["powers"]
