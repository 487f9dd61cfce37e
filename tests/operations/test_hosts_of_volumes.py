"""Volumes that their own host alone opens: servers go where they are, and nobody else is let at them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from fake_world import FLAVOR, HOST, TENANT, FakeWorld, fake_world

from pumice.app.verbs import VERBS
from pumice.attachments import connect, rotate
from pumice.backends.files import FilesBackend
from pumice.backends.targets.contract import Target
from pumice.backends.targets.local import LocalTarget
from pumice.backends.targets.shared import SharedTarget
from pumice.hypervisor.contract import FileSource
from pumice.hypervisor.fake import FakeHypervisor
from pumice.loops.heartbeats import Heartbeats
from pumice.model.connector import Connector
from pumice.model.errors import Invalid, InvalidState
from pumice.model.export import LocalDevice, SharedFile
from pumice.model.server import Server
from pumice.model.tunables import RetryPolicy, Tunables
from pumice.operations.harness import quiet
from pumice.operations.places import SCHEDULER, compute_host, volume_host
from pumice.operations.runner import Runner
from pumice.servers import attach_volume, boot, power
from pumice.store import attachments, servers, services, tables, volumes
from pumice.store.database import Transaction
from pumice.volumes import create

THERE = "there"
"""After ``here`` in the order of names: of two hosts that are as busy, the other one is chosen."""


@dataclass
class Scene:
    """Two hosts, ``here`` and ``there``, each with a pool that its own servers alone reach."""

    world: FakeWorld

    async def only_room(self, host: str) -> None:
        """No pool but this host's takes a volume."""
        p = tables.pools.c
        room = sa.update(tables.pools).values(
            free_gb=sa.case((p.host.startswith(f"{host}@"), 1000.0), else_=0.0), thin=False
        )
        await self.world.db.write(lambda tx: tx.execute(room) and None)

    async def a_volume(self, host: str) -> str:
        await self.only_room(host)
        return await self.world.a_volume()

    async def boots(self, *given: str, made: int = 0) -> Server:
        """A server with these volumes and some that are made for it, as it ends."""
        wanted = [boot.DiskWanted(boot_index=None, volume_id=it) for it in given]
        wanted += [boot.DiskWanted(boot_index=None, new_volume=create.Wanted(size=1)) for _ in range(made)]
        wanted[0] = replace(wanted[0], boot_index=0)
        asked = boot.ServerWanted(name="server", flavor=FLAVOR, disks=wanted)
        server = await self.world.db.write(boot.accept, TENANT, asked, self.world.tunables)
        await quiet(self.world)
        found = await self.world.db.read(servers.find, server.id)
        assert found
        return found

    async def silence(self, *who: tuple[str, str]) -> None:
        await self.world.db.write(services.silence, who)


@pytest.fixture
async def scene(tmp_path: Path, database_url: str) -> AsyncIterator[Scene]:
    async with a_scene(tmp_path, database_url, LocalTarget()) as scene:
        yield scene


@pytest.fixture
async def shared(tmp_path: Path, database_url: str) -> AsyncIterator[Scene]:
    """One whose hosts have each other's directories mounted."""
    target = SharedTarget({tmp_path: "nfs.example:/volumes"}, options="", base=Path("/mnt"))
    async with a_scene(tmp_path, database_url, target) as scene:
        yield scene


@asynccontextmanager
async def a_scene(tmp_path: Path, database_url: str, target: Target) -> AsyncIterator[Scene]:
    backends = {f"{host}@disks": FilesBackend({"pool": tmp_path / host}) for host in (HOST, THERE)}
    tunables = Tunables(service_down_seconds=3600)
    async with fake_world(backends, tunables, database_url) as world:  # type: ignore[arg-type]
        away = FakeHypervisor(host=THERE)
        world.drivers = replace(
            world.drivers,
            targets=dict.fromkeys(backends, target),
            hypervisors={HOST: world.machines, THERE: away},
        )
        for host in (HOST, THERE):
            place = f"{host}@disks"
            await backends[place].start()
            own = replace(
                world.drivers,
                backends={place: backends[place]},
                targets={place: target},
                hypervisors={host: world.drivers.hypervisors[host]},
            )
            await Heartbeats(own, host, tunables.availability_zone, {}).send()
        places = [SCHEDULER, *map(volume_host, backends), compute_host(HOST), compute_host(THERE)]
        fast = replace(tunables, retry_policy=RetryPolicy(first=0.001))
        runner = Runner(world.db, VERBS, world.drivers, host=HOST, boot="1", places=places, tunables=fast)
        task = asyncio.create_task(runner.run())
        try:
            yield Scene(world)
            await quiet(world)
            assert await world.violations() == []
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, BaseExceptionGroup):
                await task


async def test_a_server_boots_where_its_volume_is(scene: Scene) -> None:
    volume = await scene.a_volume(THERE)
    server = await scene.boots(volume)
    assert (server.status, server.host) == ("ACTIVE", THERE)
    machines = scene.world.drivers.hypervisors[THERE]
    assert isinstance(machines, FakeHypervisor)
    assert isinstance(machines.sources[volume], FileSource)
    [link] = await scene.world.db.read(attachments.of_volume, volume)
    assert isinstance(link.portal, LocalDevice) and not link.portal.is_block
    with pytest.raises(InvalidState, match="has no password"):
        await scene.world.db.write(rotate.accept, link.id)
    assert await scene.world.db.read(attachments.of_our_servers) == []
    await scene.world.db.write(lambda tx: power.accept_reboot(tx, TENANT, server.id, hard=True))
    await quiet(scene.world)
    assert await scene.world.server_status(server.id) == "ACTIVE"


async def test_a_server_whose_volumes_are_still_to_be_made_follows_them(scene: Scene) -> None:
    await scene.only_room(THERE)
    server = await scene.boots(made=3)
    assert (server.status, server.host) == ("ACTIVE", THERE)


async def test_what_is_made_for_a_server_is_made_where_its_other_volumes_are(scene: Scene) -> None:
    volume = await scene.a_volume(THERE)
    room = sa.update(tables.pools).values(free_gb=500.0)
    await scene.world.db.write(lambda tx: tx.execute(room) and None)
    server = await scene.boots(volume, made=3)
    assert (server.status, server.host) == ("ACTIVE", THERE)
    disks = await scene.world.db.read(servers.disks, server.id)
    found = [await scene.world.db.read(volumes.find, disk.volume_id or "") for disk in disks]
    assert {it.pool for it in found if it} == {f"{THERE}@disks#pool"}


async def test_nothing_is_made_for_a_server_where_none_can_run(scene: Scene) -> None:
    await scene.silence(("nova-compute", THERE), ("cinder-volume", f"{HOST}@disks"))
    server = await scene.boots(made=1)
    assert server.status == "ERROR"
    assert server.fault and "no host that may run the server reaches a pool" in server.fault["message"]
    assert not await scene.world.db.read(servers.disks, server.id)


async def test_volumes_that_no_host_reaches_together_boot_no_server(scene: Scene) -> None:
    given = [await scene.a_volume(HOST), await scene.a_volume(THERE)]
    with pytest.raises(
        Invalid, match="no host reaches all of its volumes, which are on disks of here and there"
    ):
        await scene.boots(*given)
    assert [await scene.world.volume_status(it) for it in given] == ["available", "available"]


async def test_a_volume_whose_host_runs_no_servers_now_boots_none(scene: Scene) -> None:
    volume = await scene.a_volume(THERE)
    await scene.silence(("nova-compute", THERE))
    server = await scene.boots(volume)
    assert server.status == "ERROR"
    assert server.fault and "of there, where its volumes are, is up" in server.fault["message"]
    assert await scene.world.volume_status(volume) == "available"


async def test_a_server_of_another_host_is_refused_and_told_which_host_can(scene: Scene) -> None:
    server = await scene.boots(await scene.a_volume(HOST))
    volume = await scene.a_volume(THERE)
    with pytest.raises(Invalid, match="'there', which alone can use it; 'here' cannot"):
        await scene.world.db.write(attach_volume.accept, TENANT, server.id, volume)

    def from_elsewhere(tx: Transaction) -> None:
        connector = Connector(host=HOST, initiator="iqn.2026-11.org.example:here")
        connect.accept_new(tx, TENANT, volume, server_id=None, mode="rw", connector=connector)

    with pytest.raises(Invalid, match="'there', which alone"):
        await scene.world.db.write(from_elsewhere)
    assert await scene.world.volume_status(volume) == "available"
    assert await scene.world.links(volume) == 0


async def test_a_connector_without_a_hosts_name_is_refused(scene: Scene) -> None:
    volume = await scene.a_volume(THERE)

    def nameless(tx: Transaction) -> None:
        connector = Connector(initiator="iqn.2026-11.org.example:x")
        connect.accept_new(tx, TENANT, volume, server_id=None, mode="rw", connector=connector)

    with pytest.raises(Invalid, match="must name its 'host'"):
        await scene.world.db.write(nameless)


async def test_a_file_that_hosts_share_is_opened_on_whichever_of_them(shared: Scene) -> None:
    given = [await shared.a_volume(HOST), await shared.a_volume(THERE)]
    server = await shared.boots(*given)
    assert (server.status, server.host) == ("ACTIVE", HOST)
    extra = await shared.a_volume(THERE)
    await shared.world.db.write(attach_volume.accept, TENANT, server.id, extra)
    await quiet(shared.world)
    for volume in (*given, extra):
        [link] = await shared.world.db.read(attachments.of_volume, volume)
        assert isinstance(link.portal, SharedFile)
        path = Path(link.portal.path)
        assert shared.world.machines.sources[volume] == FileSource(path, inode=path.stat().st_ino)
        assert link.portal.within in (f"{HOST}/volumes/{volume}", f"{THERE}/volumes/{volume}")
