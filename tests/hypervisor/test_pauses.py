"""No guest stands still for longer than it was to, whoever dies or is late."""

import asyncio
from dataclasses import replace
from pathlib import Path

from fake_world import TENANT, fake_world
from tests.patience import patience

from pumice.hypervisor.contract import Machine, Power
from pumice.hypervisor.fake import FakeHypervisor
from pumice.model.errors import Retryable
from pumice.model.ids import ServerId, VolumeId, new_id
from pumice.operations.harness import Faults, Killed, quiet, working
from pumice.operations.state_machine import no_faults
from pumice.store import volumes
from pumice.volumes import extend

MACHINE = Machine(ServerId(new_id()), "server", 1, 128)


async def is_running(hypervisor: FakeHypervisor) -> bool:
    return await hypervisor.power(MACHINE.id) is Power.RUNNING


async def goes_on(hypervisor: FakeHypervisor) -> None:
    async with patience():
        while not await is_running(hypervisor):
            await asyncio.sleep(0.01)


async def test_a_guest_goes_on_by_itself(tmp_path: Path) -> None:
    hypervisor = FakeHypervisor(tmp_path)
    await hypervisor.start(MACHINE)
    await hypervisor.pause(MACHINE.id, 1.0)
    assert not await is_running(hypervisor)
    await goes_on(hypervisor)


async def test_a_guest_whose_host_does_not_answer_goes_on_as_soon_as_it_does(tmp_path: Path) -> None:
    hypervisor = FakeHypervisor(tmp_path)
    await hypervisor.start(MACHINE)
    hypervisor.fail_next["resume"] = Retryable("The daemon is down.")
    await hypervisor.pause(MACHINE.id, 0.01)
    await goes_on(hypervisor)


async def test_a_guest_goes_on_although_the_process_that_paused_it_was_killed(tmp_path: Path) -> None:
    killed = FakeHypervisor(tmp_path)
    await killed.start(MACHINE)
    await killed.pause(MACHINE.id, 1.0)
    killed._pauses._watches.pop(MACHINE.id).cancel()
    started = FakeHypervisor(tmp_path)
    assert not await is_running(started)
    await started.start_up()
    await goes_on(started)


async def test_a_guest_goes_on_while_the_host_of_its_volume_is_down_and_its_disk_grows_later() -> None:
    async with fake_world(grows_in_use=False) as world:
        async with working(world, "stage", no_faults):
            volume_id = await world.a_volume()
            server_id = ServerId(await world.a_server(volume_id))
            await quiet(world)
        world.drivers = replace(world.drivers, pause_seconds=2.0)
        await world.db.write(lambda tx: extend.accept(tx, TENANT, volume_id, 3, world.tunables, in_use=True))
        seen: list[Power | None] = []
        resize = world.target.resize

        async def look_and_resize(volume: VolumeId, device: Path) -> None:
            seen.append(await world.machines.power(server_id))
            await resize(volume, device)

        world.target.resize = look_and_resize  # type: ignore[method-assign]
        down = Faults(at=("do", "tell_target", "before"), error=Killed(), kind="volume.extend")
        async with working(world, "first", down) as worker:
            await asyncio.wait({worker})  # the volume's host is gone when it should tell the target
        assert await world.machines.power(server_id) is Power.PAUSED
        async with patience():
            while await world.machines.power(server_id) is not Power.RUNNING:
                await asyncio.sleep(0.01)
        async with working(world, "second", no_faults):
            await quiet(world)
        assert set(seen) == {Power.PAUSED}  # by either name that the export may have
        assert await world.machines.power(server_id) is Power.RUNNING
        volume = await world.db.read(volumes.find, volume_id)
        assert volume is not None
        assert (volume.status, volume.size) == ("in-use", 3)
