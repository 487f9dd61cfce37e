"""A host that is gone for good: what waited for it ends, what it had is told, and nothing is left behind."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from fake_world import HOST, TENANT, FakeWorld, fake_world
from tests.patience import patience

from pumice.app.verbs import VERBS
from pumice.backends.fake import FakeBackend
from pumice.hypervisor.fake import FakeHypervisor
from pumice.loops.audit import violations
from pumice.loops.heartbeats import Heartbeats
from pumice.loops.hosts import Gone
from pumice.model.errors import Misconfigured
from pumice.model.tunables import RetryPolicy, Tunables
from pumice.operations.places import SCHEDULER, compute_host, volume_host
from pumice.operations.runner import Runner
from pumice.servers import attach_volume, detach_volume, power
from pumice.servers import delete as delete_server
from pumice.store import attachments, hosts, operations, pools, servers, services, snapshots, tables
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.services import Heartbeat
from pumice.volumes import create, delete
from pumice.volumes.snapshots import create as create_snapshot

GONE = "gone"
PLACES = {
    HOST: [SCHEDULER, volume_host(f"{HOST}@one"), compute_host(HOST)],
    GONE: [volume_host(f"{GONE}@two"), compute_host(GONE)],
}


@dataclass
class Scene:
    """Two hosts, each with a backend and a server, which has a volume of each backend."""

    world: FakeWorld
    volumes: dict[str, list[str]]
    """Three of each host: of its own server, of the other's server, and free."""
    servers: dict[str, str]
    snapshot: str

    @property
    def gone(self) -> Gone:
        return Gone(self.world.db, {verb.kind: verb for verb in VERBS}, self.world.tunables)

    async def write(self, work: Any, *args: Any) -> Any:
        return await self.world.db.write(work, *args)

    async def status(self, volume_id: str) -> str | None:
        return await self.world.volume_status(volume_id)

    async def under_way(self) -> list[str]:
        states = operations.UNDER_WAY
        rows = await self.world.db.read(operations.page, states=states, kind=None, subject=None, limit=100)
        return [f"{row['kind']} {row['state']} at {row['place']}" for row in rows]

    async def until_only_gone_is_left(self) -> None:
        """Until everything that is under way waits for the host that is gone."""
        async with patience():
            while [one for one in await self.under_way() if GONE not in one and " waiting " not in one]:
                await asyncio.sleep(0.01)

    async def end(self) -> None:
        """The living host works, and the loop looks, until nothing is under way."""
        async with working(self.world, HOST):
            for _ in range(20):
                await self.until_only_gone_is_left()
                if not await self.gone.check() and not await self.under_way():
                    return
        assert await self.under_way() == []


@asynccontextmanager
async def working(world: FakeWorld, *names: str) -> AsyncIterator[None]:
    tunables = replace(world.tunables, retry_policy=RetryPolicy(first=0.001))
    places = [place for name in names for place in PLACES[name]]
    runner = Runner(world.db, VERBS, world.drivers, host=names[0], boot="1", places=places, tunables=tunables)
    task = asyncio.create_task(runner.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, BaseExceptionGroup):
            await task


async def heartbeat(world: FakeWorld, *names: str) -> None:
    def work(tx: Transaction) -> None:
        facts = {name: {"connector": {"initiator": f"iqn.2026-11.x:{name}", "host": name}} for name in names}
        heartbeats = [Heartbeat("nova-compute", name, "nova", facts[name]) for name in names]
        places = [PLACES[name][-2].removeprefix("volume:") for name in names]
        services.heartbeat(tx, [*heartbeats, *(Heartbeat("cinder-volume", place, "nova") for place in places)])

    await world.db.write(work)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    backends = {f"{HOST}@one": FakeBackend(("a",)), f"{GONE}@two": FakeBackend(("b",))}
    async with fake_world(backends, tunables=Tunables(service_down_seconds=3600)) as world:
        world.drivers = replace(
            world.drivers, hypervisors={HOST: world.machines, GONE: FakeHypervisor(host=GONE)}
        )
        await world.db.write(lambda tx: tx.execute(sa.delete(tables.services)) and None)
        made: dict[str, list[str]] = {}
        running: dict[str, str] = {}
        async with working(world, HOST, GONE):
            for name, other in ((GONE, HOST), (HOST, GONE)):
                await heartbeat(world, name)
                await use_only(world, name)
                made[name] = [await world.a_volume() for _ in range(3)]
                running[name] = await world.a_server(made[name][0])
                await world.db.write(lambda tx, it=other: services.silence(tx, [("nova-compute", it)]))
                await world.db.write(services.silence, [("nova-compute", name)])
            for name, other in ((GONE, HOST), (HOST, GONE)):
                await world.db.write(attach_volume.accept, TENANT, running[other], made[name][1])
            snapshot = await world.db.write(
                lambda tx: create_snapshot.accept(
                    tx, TENANT, made[GONE][2], name=None, description=None, metadata={}, in_use=False,
                    tunables=world.tunables,
                )
            )  # fmt: skip
            scene = Scene(world, made, running, snapshot.id)
            async with patience():
                while await scene.under_way():
                    await asyncio.sleep(0.01)
        await heartbeat(world, HOST)
        yield scene


async def use_only(world: FakeWorld, name: str) -> None:
    """Only this host's pool has room."""
    p = tables.pools.c
    here = p.host.startswith(f"{name}@")
    room = sa.update(tables.pools).values(free_gb=sa.case((here, 1000.0), else_=0.0), thin=False)
    await world.db.write(lambda tx: tx.execute(room) and None)


async def forget(scene: Scene) -> None:
    await scene.write(hosts.forget, GONE)


async def test_what_a_host_had_is_settled_and_told(scene: Scene) -> None:
    own, others, free = scene.volumes[GONE]
    of_here = scene.volumes[HOST]
    await forget(scene)
    await scene.end()
    db = scene.world.db
    lost = await db.read(servers.find, scene.servers[GONE])
    assert lost is not None
    assert (lost.status, lost.host, lost.task) == ("ERROR", None, None)
    assert lost.fault is not None
    assert "gone for good" in lost.fault["message"]
    assert [await scene.status(it) for it in (own, others, free)] == ["error"] * 3
    assert [await scene.status(it) for it in of_here] == ["in-use", "available", "available"]
    assert await db.read(attachments.of_server, scene.servers[GONE]) == []
    living = await db.read(servers.disks, scene.servers[HOST])
    assert [disk.volume_id for disk in living] == [of_here[0]]
    snapshot = await db.read(snapshots.find, scene.snapshot)
    assert snapshot is not None
    assert snapshot.status == "error"
    texts = await db.read(lambda tx: list(tx.execute(sa.select(tables.messages.c.text)).scalars()))
    assert len([text for text in texts if "can be deleted" in text]) == 4
    assert [row["host"] for row in await db.read(services.every)] == [f"{HOST}@one", HOST]
    assert await db.read(pools.find, f"{GONE}@two#b") is None


async def test_what_is_lost_can_be_deleted_and_its_quota_is_given_back(scene: Scene) -> None:
    await forget(scene)
    await scene.end()
    from pumice.volumes.snapshots import delete as delete_snapshot

    await scene.write(delete_snapshot.accept, TENANT, scene.snapshot)
    await scene.end()
    for volume_id in scene.volumes[GONE]:
        await scene.write(delete.accept, TENANT, volume_id)
    for server_id in scene.servers.values():
        await scene.write(delete_server.accept, TENANT, server_id)
    await scene.end()
    assert [await scene.status(it) for it in scene.volumes[GONE]] == [None] * 3
    assert [await scene.status(it) for it in scene.volumes[HOST]] == ["available"] * 3
    drivers = replace(scene.world.drivers, backends={f"{HOST}@one": scene.world.backends[f"{HOST}@one"]})
    drivers = replace(drivers, hypervisors={HOST: scene.world.machines}, targets={})
    assert await violations(drivers) == []


async def test_whatever_waited_for_it_ends(scene: Scene) -> None:
    """Attach, detach, delete, stop, a delete of a server, and a create whose pool was chosen there."""
    _, others, free = scene.volumes[GONE]
    own, to_gone, spare = scene.volumes[HOST]
    await use_only(scene.world, GONE)
    await heartbeat(scene.world, GONE, HOST)
    await scene.write(services.silence, [("nova-compute", GONE)])
    await scene.write(attach_volume.accept, TENANT, scene.servers[GONE], spare)
    await scene.write(detach_volume.accept, TENANT, scene.servers[HOST], others)
    queued = await scene.write(create.accept, TENANT, create.Wanted(size=1), scene.world.tunables)
    async with working(scene.world, HOST):
        await scene.until_only_gone_is_left()
    assert len(await scene.under_way()) == 3
    await use_only(scene.world, HOST)
    await forget(scene)
    await scene.end()
    assert await scene.status(spare) == "available"
    assert await scene.status(others) == "error"
    assert await scene.status(queued.id) == "available"  # on the pool that is left
    assert set(await scene.world.target.exports()).intersection(scene.volumes[HOST]) == {own}
    assert [await scene.status(it) for it in (to_gone, free)] == ["available", "error"]


async def test_a_host_that_is_fenced_lets_go_of_its_volumes(scene: Scene) -> None:
    """Its server stays as it is; detaching, deleting and attaching end at once, and it may come back."""
    server = scene.servers[GONE]
    _, to_gone, spare = scene.volumes[HOST]
    assert await scene.write(hosts.force_down, "nova-compute", GONE, True)
    await scene.write(detach_volume.accept, TENANT, server, to_gone)
    await scene.write(attach_volume.accept, TENANT, server, spare)
    async with working(scene.world, HOST):
        await scene.until_only_gone_is_left()
        await scene.gone.check()
        await scene.until_only_gone_is_left()
        await scene.gone.check()
    assert [await scene.status(it) for it in (to_gone, spare)] == ["available", "available"]
    found = await scene.world.db.read(servers.find, server)
    assert found is not None
    assert found.status == "ACTIVE"
    await scene.write(delete_server.accept, TENANT, server)
    async with working(scene.world, HOST, GONE), patience():
        while await scene.under_way():
            await scene.gone.check()
            await asyncio.sleep(0.01)
    assert await scene.world.db.read(servers.find, server) is None
    await heartbeat(scene.world, GONE)
    row = (await scene.world.db.read(lambda tx: services.every(tx, host=GONE)))[0]
    assert not services.is_up(row, 60)
    await scene.write(hosts.force_down, "nova-compute", GONE, False)
    assert services.is_up((await scene.world.db.read(lambda tx: services.every(tx, host=GONE)))[0], 60)


async def test_a_stop_that_waits_for_a_fenced_host_is_explained(scene: Scene) -> None:
    await scene.write(hosts.force_down, "nova-compute", GONE, True)
    await scene.write(power.accept_stop, TENANT, scene.servers[GONE])
    await scene.gone.check()
    found = await scene.world.db.read(servers.find, scene.servers[GONE])
    assert found is not None
    assert (found.status, found.task) == ("ACTIVE", None)
    assert found.fault is not None
    assert "fenced" in found.fault["message"]


async def test_who_comes_back_under_that_name_is_refused(scene: Scene) -> None:
    told: list[str] = []
    hearts = Heartbeats(scene.world.drivers, GONE, "nova", {}, forgotten=lambda: told.append("stop"))
    await hearts.send()
    await forget(scene)
    await hearts.send()
    assert told == ["stop"]
    with pytest.raises(Misconfigured, match="hosts readmit gone"):
        await scene.world.db.read(hosts.refuse_forgotten, GONE)
    assert [row["host"] for row in await scene.world.db.read(services.every) if GONE in row["host"]] == []
    assert await scene.write(hosts.readmit, GONE)
    await hearts.send()
    assert [row["host"] for row in await scene.world.db.read(services.every) if GONE in row["host"]] != []


async def test_the_audit_says_what_waits_for_a_silent_host(scene: Scene) -> None:
    here = replace(
        scene.world.drivers,
        backends={f"{HOST}@one": scene.world.backends[f"{HOST}@one"]},
        hypervisors={HOST: scene.world.machines},
        targets={},
    )
    assert not [words for words in await violations(here) if "silent" in words]
    long_ago = sa.update(tables.services).where(tables.services.c.host.startswith(GONE))
    moment = now() - timedelta(hours=2)
    await scene.write(lambda tx: tx.execute(long_ago.values(updated_at=moment)) and None)
    await scene.write(power.accept_stop, TENANT, scene.servers[GONE])
    [words] = [words for words in await violations(here) if "silent" in words]
    assert f"host gone has been silent since {moment:%Y-%m-%d %H:%M} UTC" in words
    assert "1 operations" in words
    assert "1 servers, 3 volumes, 3 attachments" in words
    assert words.endswith("pumice hosts forget gone")
    await forget(scene)
    await scene.end()
    assert not [words for words in await violations(here) if "silent" in words]
