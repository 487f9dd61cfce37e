"""What has no way back, done when all else was looked at: an old database, a host that is gone for good.

Each has its own rule of what must be true; after both, all must still be deletable, and nothing be left.
"""

import asyncio
import time
from typing import Any

from tests.chaos.caller import SNAPSHOTS, VOLUMES, Caller
from tests.chaos.model import Model
from tests.chaos.world import World

LOOK_SECONDS = 180.0
"""How long the loops may take to look at everything once more: a minute apart, and a grace after that."""


class LastActs:
    """Done by the judge, while nobody else asks for anything."""

    def __init__(self, world: World, model: Model, judge: Caller) -> None:
        self.world, self.model, self.judge = world, model, judge
        self._deleted_since = set[str]()
        """What has a row again and no bytes, because the database is older than its delete."""

    async def restore_the_database(self) -> None:
        """The rows are older than the bytes. No bytes go: those that no row knows are put aside, and told.

        What was deleted since has a row again and no bytes: it is told too, and its owner can delete it.
        """
        world = self.world
        old = [it["id"] for it in await self._volumes() if it["status"] == "available"]
        await asyncio.to_thread(world.back_up)
        new = [await self._created() for _ in range(3)]
        deleted = [it for it in old[:4] if await self._deleted(it)]
        self._deleted_since.update(deleted)
        await self._quiet()
        before = {it: path.name for it in new if (path := world.bytes_of(it))}
        guests = world.guests()
        await asyncio.to_thread(world.restore)
        world.tell(
            f"an older database: {len(new)} volumes are newer than it, {len(deleted)} were deleted since"
        )
        give_up = time.monotonic() + LOOK_SECONDS
        while left := before.keys() - {it for it in before if world.put_aside(it)}:
            gone = [it for it in left if not world.bytes_of(it) and not world.put_aside(it)]
            if gone or time.monotonic() > give_up:
                self.model.violation(f"after a restore of the database: {gone} went, {left} were not put aside")
                return
            await asyncio.sleep(1)
        if lost := guests.keys() - world.guests().keys():
            self.model.violation(f"after a restore of the database these guests were gone: {lost}")
        told = [line for host in world.volume_hosts for line in await asyncio.to_thread(world.audit, host)]
        for it in deleted:
            if not any(it in line for line in told):
                self.model.violation(f"volume {it} has a row and no bytes, and no audit says so")
        for host in world.volume_hosts:
            for it in new:
                await asyncio.to_thread(world.command, "orphans", "remove", it, "--yes", host=host)
        if kept := [it for it in new if world.put_aside(it)]:
            self.model.violation(f"'pumice orphans remove' did not remove {kept}")

    async def lose_a_host(self) -> None:
        """The last volume host never comes back. What was there is told; all else is as it was, and can go."""
        world, host = self.world, self.world.volume_hosts[-1]
        found = await self._volumes()
        there = {it["id"] for it in found if (it["os-vol-host-attr:host"] or "").startswith(f"{host}@")}
        await asyncio.to_thread(world.lose, host)
        world.tell(f"{host} never comes back: {len(there)} volumes")
        give_up = time.monotonic() + LOOK_SECONDS
        while (done := await asyncio.to_thread(world.command, "hosts", "forget", host, "--yes")).returncode:
            if time.monotonic() > give_up:
                self.model.violation(f"'pumice hosts forget' does not: {done.stdout}{done.stderr}")
                return
            await asyncio.sleep(5)
        await self._quiet()
        while wrong := {
            it["id"]: it["status"]
            for it in await self._volumes()
            if it["id"] in there and not it["status"].startswith("error")
        }:
            if time.monotonic() > give_up + LOOK_SECONDS:
                self.model.violation(f"volumes of a host that was forgotten are {wrong}")
                return
            await asyncio.sleep(1)
        lost = (
            there
            | self._deleted_since
            | {it["id"] for it in await self._snapshots() if it["volume_id"] in there}
        )
        for thing in self.model.things:
            if thing.kind in ("volume", "snapshot") and thing.id and thing.id not in lost:
                await self._must_be_there(thing.id, thing.kind)

    async def _must_be_there(self, identity: str, kind: str) -> None:
        path = VOLUMES if kind == "volume" else SNAPSHOTS
        shown = await self.judge.get(f"{path}/{identity}")
        if shown and shown[kind]["status"] in ("available", "in-use") and not self.world.bytes_of(identity):
            self.model.violation(
                f"{kind} {identity} was on another host than the one that is gone, and has no bytes"
            )

    async def _volumes(self) -> list[Any]:
        return list((await self.judge.get(f"{VOLUMES}/detail?limit=1000"))["volumes"])

    async def _snapshots(self) -> list[Any]:
        return list((await self.judge.get(f"{SNAPSHOTS}/detail?limit=1000"))["snapshots"])

    async def _created(self) -> str:
        answer = await self.judge.answered("POST", VOLUMES, json={"volume": {"size": 1}})
        return str(answer.json()["volume"]["id"])

    async def _deleted(self, volume: str) -> bool:
        return (await self.judge.answered("DELETE", f"{VOLUMES}/{volume}")).status_code == 202

    async def _quiet(self) -> None:
        while await self.world.under_way():
            await asyncio.sleep(0.5)
