"""A volume moves while a guest of ours uses it, or is refused in words; on the shipped fakes."""

from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from fake_world import CONNECTOR, HOST, TENANT, FakeWorld, fake_world

from pumice.attachments import connect
from pumice.hypervisor.contract import Power
from pumice.model.connector import Connector
from pumice.model.errors import InvalidState, Retryable
from pumice.model.ids import ServerId, VolumeId
from pumice.operations.harness import quiet, working
from pumice.operations.state_machine import no_faults
from pumice.servers import attach_volume, power
from pumice.servers import delete as delete_server
from pumice.store import attachments, operations, pools, tables, volumes
from pumice.volumes import migrate

ONE, TWO = f"{HOST}@one#a", f"{HOST}@two#b"


async def a_guest_with_a_volume(world: FakeWorld) -> tuple[str, str, str]:
    """A server, its second volume, and where that is not."""
    server, volume = await world.a_server(await world.a_volume()), await world.a_volume()
    await world.db.write(attach_volume.accept, TENANT, server, volume)
    await quiet(world)
    found = await world.db.read(volumes.find, volume)
    assert found is not None and found.pool is not None
    world.backends[found.pool.partition("#")[0]].write(VolumeId(volume), "word")
    return server, volume, TWO if found.pool == ONE else ONE


async def move(world: FakeWorld, volume: str, to: str) -> str:
    """Ask for it; the operation's id."""
    accept = partial(migrate.accept, tunables=world.tunables, cluster=False, lock=False)
    await world.db.write(lambda tx: accept(tx, TENANT, volume, to))
    [row] = await world.db.read(operations.page, states=None, kind=None, subject=volume, limit=1)
    return str(row["id"])


async def shown(world: FakeWorld, volume: str) -> tuple[Any, ...]:
    found = await world.db.read(volumes.find, volume)
    assert found is not None
    return found.status, found.pool, found.migration_status


async def test_a_volume_in_use_goes_there_and_back_by_two_names_and_no_third() -> None:
    async with fake_world() as world, working(world, "one", no_faults):
        server, volume, there = await a_guest_with_a_volume(world)
        names, [before] = list[str](), await world.db.read(attachments.of_volume, volume)
        for to in (there, ONE if there == TWO else TWO, there):
            await move(world, volume, to)
            assert (await shown(world, volume))[0] == "in-use"
            await quiet(world)
            assert await shown(world, volume) == ("in-use", to, "success")
            [link] = await world.db.read(attachments.of_volume, volume)
            assert (link.id, link.device, link.connector) == (before.id, before.device, before.connector)
            assert link.portal is not None and link.chap_username != before.chap_username
            names.append(link.portal.name)
            assert len(await world.target.exports()) == 2, "its own, and the root disk's"
        assert names[0] == names[2] != names[1] == (before.portal.name if before.portal else "")
        assert await world.machines.power(ServerId(server)) == Power.RUNNING
        assert await world.violations() == []


async def test_what_is_no_running_servers_alone_is_refused() -> None:
    async with fake_world() as world, working(world, "one", no_faults):
        server, volume, there = await a_guest_with_a_volume(world)
        for column, said in (("multiattach", "one server"), ("mode", "to be read and written")):
            table = tables.volumes if column == "multiattach" else tables.attachments
            mine = table.c.id == volume if column == "multiattach" else table.c.volume_id == volume
            changed: dict[str, tuple[Any, Any]] = {"multiattach": (True, False), "mode": ("ro", "rw")}
            for value, refused in zip(changed[column], (True, False), strict=True):
                change = sa.update(table).where(mine).values({column: value})
                await world.db.write(lambda tx, change=change: tx.execute(change) and None)
                if refused:
                    with pytest.raises(InvalidState, match=said):
                        await move(world, volume, there)
        await world.db.write(power.accept_stop, TENANT, server)
        await quiet(world)
        with pytest.raises(InvalidState, match="which is SHUTOFF"):
            await move(world, volume, there)
        outside = await world.a_volume()
        connector = Connector.parse(CONNECTOR)
        begin = partial(connect.accept_new, server_id=None, mode="rw", connector=connector)
        await world.db.write(lambda tx: begin(tx, TENANT, outside))
        await quiet(world)
        found = await world.db.read(attachments.of_volume, outside)
        complete = sa.update(tables.volumes).where(tables.volumes.c.id == outside).values(status="in-use")
        await world.db.write(lambda tx: tx.execute(complete) and None)
        assert len(found) == 1
        with pytest.raises(InvalidState, match="one server of this cloud"):
            await move(world, outside, ONE if (await shown(world, outside))[1] == TWO else TWO)


async def test_a_pool_that_the_servers_host_does_not_reach_is_not_chosen() -> None:
    async with fake_world() as world, working(world, "one", no_faults):
        _, volume, there = await a_guest_with_a_volume(world)
        before = await shown(world, volume)
        p = tables.pools.c
        [pool] = [pool for pool in await world.db.read(pools.every) if pool.name == there]
        told = pool.capabilities | {"storage_protocol": "NVMe-oF"}
        change = sa.update(tables.pools).where(p.name == there).values(capabilities=told)
        await world.db.write(lambda tx: tx.execute(change) and None)
        await move(world, volume, there)
        await quiet(world)
        assert await shown(world, volume) == (*before[:2], "error")
        assert await world.violations() == []


async def test_whoever_stops_the_server_meanwhile_finds_the_volume_where_it_was() -> None:
    async with fake_world() as world:
        async with working(world, "one", no_faults):
            server, volume, there = await a_guest_with_a_volume(world)
            before = await shown(world, volume)
            world.machines.fail_next["mirror"] = Retryable("It takes a while.")
            await move(world, volume, there)
            await world.db.write(power.accept_stop, TENANT, server)
            await quiet(world)
        if (await shown(world, volume))[1] == before[1]:
            assert await shown(world, volume) == ("in-use", before[1], "error")
        assert await world.machines.power(ServerId(server)) == Power.SHUTDOWN
        assert await world.violations() == []


async def test_a_servers_delete_breaks_the_move_off() -> None:
    async with fake_world() as world:
        async with working(world, "one", no_faults):
            server, volume, there = await a_guest_with_a_volume(world)
            before = await shown(world, volume)
        operation = await move(world, volume, there)
        await world.db.write(delete_server.accept, TENANT, server)
        async with working(world, "two", no_faults):
            await quiet(world)
        row = await world.db.read(operations.get, operation)
        assert row is not None and row["state"] == "failed"
        assert await shown(world, volume) == ("available", before[1], "error")
        assert await world.violations() == []
