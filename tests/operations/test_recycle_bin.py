"""The recycle bin beside servers and hosts: what comes there by itself, and what never does."""

from dataclasses import replace

import pytest
from fake_world import HOST, TENANT, FakeWorld, fake_world

from pumice.loops import hosts as host_loop
from pumice.loops.recycling import Recycling
from pumice.model.errors import Conflict
from pumice.model.scope import INTERNAL
from pumice.model.tunables import Tunables
from pumice.operations.harness import quiet, working
from pumice.operations.state_machine import no_faults
from pumice.store import hosts, recycle_bin
from pumice.volumes import delete_when_free
from pumice.volumes.recycle_bin import keep, restore

KEEPS = Tunables(recycle_days=7)


async def kept(world: FakeWorld, volume: str) -> str | None:
    """Its status in the bin, if it is there."""
    entry = await world.db.read(recycle_bin.find, volume)
    return entry.status if entry else None


async def test_what_was_to_end_with_its_server_goes_there_and_what_a_boot_takes_back_does_not() -> None:
    async with fake_world(tunables=KEEPS) as world, working(world, "1", no_faults):
        used, fresh = await world.a_volume(), await world.a_volume()
        await world.db.write(delete_when_free.accept, used)
        await world.db.write(lambda tx: delete_when_free.accept(tx, fresh, for_good=True))
        await quiet(world)
        assert (await kept(world, used), await kept(world, fresh)) == ("recycled", None)
        assert await world.volume_status(fresh) is None
        assert await world.violations() == []


async def test_a_volume_in_use_does_not_go_there() -> None:
    async with fake_world(tunables=KEEPS) as world, working(world, "1", no_faults):
        volume = await world.a_volume()
        await world.a_server(volume)
        with pytest.raises(Exception, match="in-use"):
            await world.db.write(keep.delete_volume, INTERNAL, volume, KEEPS)
        assert await kept(world, volume) is None


async def test_what_a_forgotten_host_had_can_only_be_deleted() -> None:
    async with fake_world(tunables=KEEPS) as world:
        async with working(world, "1", no_faults):
            volume = await world.a_volume()
        await world.db.write(keep.delete_volume, TENANT, volume, KEEPS)
        await world.db.write(hosts.forget, HOST)
        verbs = {verb.kind: verb for verb in world.runner("2").state_machine.verbs.values()}
        gone = host_loop.Gone(world.db, verbs, world.tunables)
        await gone.check()
        assert await kept(world, volume) == "error"
        with pytest.raises(Conflict):
            await world.db.write(restore.accept, TENANT, volume, KEEPS)

        def is_due(tx):  # type: ignore[no-untyped-def]
            recycle_bin.set_clock(tx, 8 * 86_400.0)

        await world.db.write(is_due)
        assert await Recycling(world.db).check() == 1
        await gone.check()
        assert await kept(world, volume) is None


async def test_a_bin_that_was_switched_off_keeps_what_it_has() -> None:
    off = replace(KEEPS, recycle_days=0)
    async with fake_world(tunables=KEEPS) as world, working(world, "1", no_faults):
        one, other = await world.a_volume(), await world.a_volume()
        await world.db.write(keep.delete_volume, TENANT, one, KEEPS)
        await world.db.write(keep.delete_volume, TENANT, other, off)
        await quiet(world)
        assert (await kept(world, one), await kept(world, other)) == ("recycled", None)
        await world.db.write(restore.accept, TENANT, one, off)
        assert await world.violations() == []
