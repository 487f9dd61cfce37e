"""A snapshot of a group whose volumes are in use: of one moment, or none. The guests write as the test does."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import pytest
import sqlalchemy as sa
from fake_world import HOST, TENANT, FakeWorld, fake_world

from pumice.attachments import reserve
from pumice.hypervisor.contract import Power
from pumice.model.errors import Conflict, InvalidState
from pumice.model.group import CONSISTENT, GroupSnapshot
from pumice.model.ids import ServerId, VolumeId, new_id
from pumice.model.states import AttachStatus
from pumice.model.volume import COPIES, IMAGE_CACHE
from pumice.operations.harness import eventually, quiet, working
from pumice.operations.state_machine import no_faults
from pumice.servers import attach_volume
from pumice.store import group_snapshots, group_types, operations, tables
from pumice.store.database import Transaction
from pumice.volumes import extend
from pumice.volumes.groups import snapshot as group_snapshot


class Scene:
    """A group of two volumes, a running server's root and its second disk; each holds ``old``."""

    def __init__(self, world: FakeWorld) -> None:
        self.world = world
        self.backend = world.backends[f"{HOST}@one"]
        self.group, self.server = "", ""
        self.volumes: list[str] = []

    async def set(self) -> "Scene":
        world = self.world
        self.group = await world.a_group()
        kind = await world.db.read(group_types.named, "steady")
        assert kind is not None
        await world.db.write(lambda tx: group_types.change(tx, kind.id, group_specs={CONSISTENT: "<is> True"}))
        self.volumes = [await self.volume(), await self.volume()]
        self.server = await world.a_server(self.volumes[0])
        await self.attach(self.server, self.volumes[1])
        [self.backend] = [one for one in world.backends.values() if self.volumes[0] in one.contents()]
        self.write("old")
        return self

    async def volume(self) -> str:
        return await self.world.a_volume(group_id=self.group, volume_type="__DEFAULT__")

    async def attach(self, server: str, volume: str) -> None:
        await self.world.db.write(attach_volume.accept, TENANT, server, volume)
        await quiet(self.world)

    def write(self, word: str) -> None:
        for volume in self.volumes:
            self.backend.write(VolumeId(volume), word)

    async def begin(self) -> GroupSnapshot:
        return await self.world.db.write(
            lambda tx: group_snapshot.accept(
                tx, TENANT, self.group, name="s", description=None, tunables=self.world.tunables
            )
        )

    async def extend_another_disk(self) -> str:
        """Begin to; the operation."""
        other = await self.world.a_volume()
        await self.attach(self.server, other)
        self.backend.free.clear()
        grow = partial(extend.accept, new_size=2, tunables=self.world.tunables, in_use=True)
        await self.world.db.write(lambda tx: grow(tx, TENANT, other))
        return await self.world.running(other)

    async def stands_still(self) -> None:
        async def look() -> bool | None:
            return await self.power() == Power.PAUSED or None

        await eventually(self.world.db, look)

    async def power(self) -> Power | None:
        return await self.world.machines.power(ServerId(self.server))

    async def kept(self, made: GroupSnapshot) -> list[str]:
        parts = await self.world.db.read(group_snapshots.members, made.id)
        assert {one.status for one in parts} == {"available"}
        return [self.backend.contents()[one.id] for one in parts]


@asynccontextmanager
async def a_scene(pause_seconds: float = 60.0) -> AsyncIterator[Scene]:
    async with fake_world() as world:
        world.drivers = replace(world.drivers, pause_seconds=pause_seconds)
        async with working(world, "1", no_faults):
            yield await Scene(world).set()


async def test_guests_stand_still_while_all_is_kept_and_go_on() -> None:
    async with a_scene() as scene:
        scene.backend.free.clear()
        made = await scene.begin()
        await scene.stands_still()
        scene.backend.free.set()
        await scene.world.ended(made.operation_id or "")
        assert await scene.power() == Power.RUNNING
        scene.write("new")
        assert await scene.kept(made) == ["old", "old"]
        assert await scene.world.violations() == []


async def test_what_was_kept_while_a_guest_went_on_is_thrown_away_and_kept_anew() -> None:
    async with a_scene() as scene:
        scene.backend.free.clear()
        made = await scene.begin()
        await scene.stands_still()
        first, second = map(VolumeId, scene.volumes)
        scene.backend.write(first, "between")
        await scene.world.machines.resume(ServerId(scene.server))
        scene.backend.free.set()
        await scene.world.ended(made.operation_id or "")
        scene.backend.write(second, "later")
        assert await scene.kept(made) in (["between", "old"], ["old", "between"])
        lines = await scene.world.db.read(operations.lines, made.operation_id)
        assert [line["step"] for line in lines].count("pause_guests") > 1


async def test_guests_that_cannot_stand_still_for_so_long_are_let_go_and_nothing_is_kept() -> None:
    async with a_scene(pause_seconds=0.05) as scene:
        scene.backend.delay = 0.2
        made = await scene.begin()

        async def failed() -> bool | None:
            found = await scene.world.db.read(group_snapshots.find, made.id)
            return (found is not None and found.status == "error") or None

        await eventually(scene.world.db, failed)
        scene.backend.delay = 0.0
        assert await scene.power() == Power.RUNNING
        parts = await scene.world.db.read(group_snapshots.members, made.id)
        assert [one.status for one in parts] == ["error", "error"]
        assert not {one.id for one in parts} & scene.backend.contents().keys()
        assert [await scene.world.volume_status(one) for one in scene.volumes] == ["in-use", "in-use"]
        assert await scene.world.violations() == []


async def test_a_guest_that_stands_still_for_one_is_not_paused_nor_resumed_by_another() -> None:
    async with a_scene() as scene:
        extending = await scene.extend_another_disk()
        with pytest.raises(Conflict, match=r"'volume\.extend' is under way on it"):
            await scene.begin()
        scene.backend.free.set()
        await scene.world.ended(extending)
        other = await scene.world.a_volume()
        await scene.attach(scene.server, other)
        scene.backend.free.clear()
        made = await scene.begin()
        await scene.stands_still()
        grow = partial(extend.accept, new_size=2, tunables=scene.world.tunables, in_use=True)
        await scene.world.db.write(lambda tx: grow(tx, TENANT, other))
        extending = await scene.world.running(other)
        scene.backend.free.set()
        await scene.world.ended(extending)
        kept = await scene.world.db.read(operations.lines, made.operation_id)
        grown = await scene.world.db.read(operations.lines, extending)
        [began] = [line["number"] for line in grown if line["step"] == "claim_growth"]
        assert max(line["number"] for line in kept) < began


async def somebody_else_uses_one(scene: Scene) -> None:
    volume = await scene.volume()

    def use(tx: Transaction) -> None:
        link = reserve.reserve(tx, TENANT, volume, server_id=new_id(), status=AttachStatus.ATTACHING)
        reserve.complete_known(tx, link)

    await scene.world.db.write(use)


async def another_host_uses_one(scene: Scene) -> None:
    server = await scene.world.a_server(await scene.volume())
    s = tables.servers
    move = sa.update(s).where(s.c.id == server).values(host="elsewhere")
    await scene.world.db.write(lambda tx: tx.execute(move) and None)


async def the_pool_copies(scene: Scene) -> None:
    change = sa.update(tables.pools).values(capabilities={IMAGE_CACHE: COPIES})
    await scene.world.db.write(lambda tx: tx.execute(change) and None)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (somebody_else_uses_one, "used by somebody whom this cloud cannot let stand still"),
        (another_host_uses_one, "servers on several hosts use its volumes"),
        (the_pool_copies, "its pool copies what it keeps"),
    ],
)
async def test_what_cannot_be_of_one_moment_is_refused(
    given: Callable[[Scene], Awaitable[None]], why: str
) -> None:
    async with a_scene() as scene:
        await given(scene)
        with pytest.raises(InvalidState, match=why):
            await scene.begin()
        assert await scene.power() == Power.RUNNING
