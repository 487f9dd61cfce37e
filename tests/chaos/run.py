"""One run: build the world, let clients and nemesis at it, heal it, and look at what is there.

Then everything is deleted by its owners, and there must be nothing: what is left was leaked.
"""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests import version_before
from tests.chaos.caller import PATHS, WITH_SIZE, Caller
from tests.chaos.clients import Client
from tests.chaos.copies import TYPES
from tests.chaos.grouping import GROUP_TYPES, GroupingClient
from tests.chaos.guests import GuestClient
from tests.chaos.last_acts import LastActs
from tests.chaos.model import Model
from tests.chaos.nemesis import Nemesis
from tests.chaos.plan import steps
from tests.chaos.report import Verdict
from tests.chaos.world import World

from pumice.app.guest_image import build_guest_image
from pumice.app.tour.run import cache_dir

CLIENTS, WITH_GUESTS = 12, 2
SETTLE_SECONDS = 240.0
"""How long what is under way may take once everything is healed."""
CLEAN_SECONDS = 180.0
"""How long repair may take after that: it lets a grace period pass."""


class Timeline:
    """Everything that happened, with the seconds since the start."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.file = file.open("w", buffering=1)
        self.start = time.monotonic()

    def tell(self, what: str) -> None:
        """One line."""
        self.file.write(f"{time.monotonic() - self.start:8.2f} {what}\n")


async def run(seed: int, minutes: float, compute_hosts: int, logs: Path, *, whole: bool) -> Verdict:
    """Run it. Where anything is wrong, ``logs`` keeps all that was written.

    A ``whole`` run begins with the version before, and ends with what has no way back (``last_acts.py``).
    """
    timeline = Timeline(logs / "timeline.log")
    before = whole and not version_before.why_not()
    world = World(volume_hosts=2, compute_hosts=compute_hosts, tell=timeline.tell, before=before)
    try:
        chaos = _Chaos(seed, world, whole=whole)
        await chaos.go(minutes)
        model, nemesis = chaos.model, chaos.nemesis
        verdict = Verdict(
            seed,
            minutes,
            world.network.why_not,
            model,
            nemesis.done,
            world.ended_by_themselves,
            world.repaired(),
            chaos.stuck,
            chaos.leaked,
            logs,
        )
        if not verdict.good:
            world.keep_logs(logs)
        return verdict
    except BaseException:
        world.keep_logs(logs)
        raise
    finally:
        await world.close()


class _Chaos:
    """The parts of a run, and what it finds."""

    def __init__(self, seed: int, world: World, *, whole: bool) -> None:
        self.seed = seed
        self.whole = whole
        self.world = world
        self.model = Model()
        self.nemesis = Nemesis(
            world, seed, lambda: len(self.model.requests), self.model.shake, self.model.violation
        )
        self.stuck: Sequence[str] = ()
        self.leaked: list[str] = []

    async def go(self, minutes: float) -> None:
        """The whole run."""
        guest = await build_guest_image(self.world.directory / "guest.qcow2", cache_dir())
        headers = await self.world.open()
        judge = Caller("judge", self.world, self.model, headers)
        image = await self._upload(judge, guest)
        await self._make_types(judge)
        known = (self.world, self.model, headers)
        clients: list[Client] = [GuestClient(number, *known, image) for number in range(WITH_GUESTS)]
        clients += [GroupingClient(number, *known) for number in range(WITH_GUESTS, CLIENTS)]
        keeper = asyncio.create_task(self.world.keep_up())
        try:
            await self._make_chaos(clients, minutes)
            self.world.tell("HEALED")
            if not await self._settle():
                return
            await self._verify(judge)
            if self.whole:  # the version before counts what is claimed in its own way: as the manual says
                await asyncio.to_thread(self.world.command, "audit", "--repair")
            self.leaked += await self._audited()
            if self.whole:
                acts = LastActs(self.world, self.model, judge)
                await acts.restore_the_database()
                await acts.lose_a_host()
            await self._clear_away(judge)
        finally:
            keeper.cancel()
            for caller in (judge, *clients):
                await caller.http.aclose()

    async def _upload(self, judge: Caller, guest: Path) -> str:
        body = {"name": "guest", "disk_format": "qcow2", "container_format": "bare", "visibility": "public"}
        image = (await judge.http.post(PATHS["image"], json=body)).json()["id"]
        headers = {"Content-Type": "application/octet-stream"}
        path = f"{PATHS['image']}/{image}/file"
        (await judge.http.put(path, content=guest.read_bytes(), headers=headers)).raise_for_status()
        return str(image)

    async def _make_types(self, judge: Caller) -> None:
        for name, backend in TYPES.items():
            specs = {"volume_backend_name": backend}
            body: dict[str, Any] = {"volume_type": {"name": name, "extra_specs": specs}}
            (await judge.http.post("/volume/v3/types", json=body)).raise_for_status()
        for name, specs in GROUP_TYPES.items():
            body = {"group_type": {"name": name, "group_specs": specs}}
            (await judge.http.post("/volume/v3/group_types", json=body)).raise_for_status()

    async def _make_chaos(self, clients: list[Client], minutes: float) -> None:
        """Clients and nemesis, for as long as was asked; the steps in hand are brought to an end."""
        end = time.monotonic() + minutes * 60

        async def follow(number: int, client: Client) -> None:
            for step in steps(self.seed, number, guests=number < WITH_GUESTS):
                if time.monotonic() > end:
                    return
                await client.follow(step)
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as tasks:
            following = [tasks.create_task(follow(*pair)) for pair in enumerate(clients)]
            harm = tasks.create_task(self.nemesis.run())
            await asyncio.sleep(minutes * 60)
            harm.cancel()
            await asyncio.wait([harm])
            await self.nemesis.heal()
            await asyncio.wait(following)

    async def _settle(self) -> bool:
        """Wait until nothing is under way. Whether that is so."""
        start = time.monotonic()
        while under_way := await self.world.under_way():
            if time.monotonic() > start + SETTLE_SECONDS:
                self.stuck = under_way
                return False
            await asyncio.sleep(0.5)
        self.world.tell(f"nothing is under way any more, after {time.monotonic() - start:.1f} s")
        return True

    async def _verify(self, judge: Caller) -> None:
        """Look at everything once more; what was never answered is found by its name."""
        for kind, path in PATHS.items():
            listed = await judge.get(f"{path}?limit=1000")
            for found in listed[f"{kind}s"]:
                if found["name"]:  # what a server made for itself has none, and goes with it
                    self._recognise(kind, found["name"], found["id"])
        for request in self.model.requests:
            if request.outcome == "under way":
                await judge.end(request)
        for thing in self.model.things:
            await judge.look(thing)
        await self._judge_quota(judge)

    async def _judge_quota(self, judge: Caller) -> None:
        """What is counted of a project's things is what a list shows."""
        kinds = ("volume", "snapshot", "backup", "group")
        found = {kind: (await judge.get(f"{PATHS[kind]}/detail?limit=1000"))[f"{kind}s"] for kind in kinds}
        sizes = {kind: sum(it["size"] for it in found[kind]) for kind in WITH_SIZE}
        expected = {f"{kind}s": len(found[kind]) for kind in kinds}
        expected |= {"gigabytes": sizes["volume"] + sizes["snapshot"], "backup_gigabytes": sizes["backup"]}
        usage = (await judge.get(f"/volume/v3/os-quota-sets/{self.world.project}?usage=true"))["quota_set"]
        for resource, number in expected.items():
            if usage[resource]["in_use"] != number or usage[resource]["reserved"]:
                self.model.violation(f"the quota of {resource} is {usage[resource]}, and {number} are there")

    def _recognise(self, kind: str, name: str, identity: str) -> None:
        wholes = {thing.name for thing in self.model.things if thing.kind == "group_snapshot"}
        if name == "guest" or (kind == "snapshot" and name in wholes):
            return
        known = [thing for thing in self.model.things if (thing.kind, thing.name) == (kind, name)]
        if not known:
            self.model.violation(f"{kind} {name} ({identity}) is there, and nobody asked for it")
        elif known[0].id not in ("", identity):
            self.model.violation(f"{known[0]} is there twice: {identity}", known[0])
        else:
            known[0].id = identity

    async def _audited(self) -> list[str]:
        """What the audits find that repair does not repair."""
        give_up = time.monotonic() + CLEAN_SECONDS
        while True:
            audits = (asyncio.to_thread(self.world.audit, host) for host in self.world.hosts)
            found = [line for audit in await asyncio.gather(*audits) for line in audit]
            if not found or time.monotonic() > give_up:
                return found
            await asyncio.sleep(3)

    async def _clear_away(self, judge: Caller) -> None:
        """Delete everything as its owner would; nothing must be left anywhere."""
        attachments = await judge.get("/volume/v3/attachments?limit=1000")
        for kind in (
            "server",
            "attachment",
            "group_snapshot",
            "snapshot",
            "group",
            "backup",
            "volume",
            "image",
        ):
            path = PATHS.get(kind, "/volume/v3/attachments")
            listed = attachments if kind == "attachment" else await judge.get(f"{path}?limit=1000")
            if kind == "backup":
                await self._clear_backups(judge)
                continue
            for found in listed[f"{kind}s"]:
                await self._delete(judge, kind, found["id"])
            if not await self._settle():
                return
            if kind == "server":
                left = (await judge.get(f"{PATHS['volume']}/detail?limit=1000"))["volumes"]
                lonely = [it["id"] for it in left if not (it["name"] or it["group_id"])]
                self.leaked += [f"volume {it} of a server that is gone" for it in lonely]
        for kind in ("server", "group_snapshot", "snapshot", "group", "backup", "volume"):
            left = (await judge.get(f"{PATHS[kind]}?limit=1000"))[f"{kind}s"]
            self.leaked += [f"{kind} {it['id']} is still there" for it in left]
        await self._judge_quota(judge)
        self.leaked += await self._audited()
        self.leaked += self.world.traces()

    async def _delete(self, judge: Caller, kind: str, identity: str) -> None:
        path = f"{PATHS.get(kind, '/volume/v3/attachments')}/{identity}"
        if kind == "group":
            body = {"delete": {"delete-volumes": True}}
            answer = await judge.http.post(f"{path}/action", json=body)
        else:
            answer = await judge.http.delete(path)
        if answer.status_code not in (200, 202, 204, 404):
            self.model.violation(f"{kind} {identity} cannot be deleted: {answer.text[:300]}")

    async def _clear_backups(self, judge: Caller) -> None:
        """Those that nothing adds to, until there are none."""
        before = None
        while left := (await judge.get(f"{PATHS['backup']}/detail?limit=1000"))["backups"]:
            if len(left) == before:
                return
            before = len(left)
            for it in left:
                if not it["has_dependent_backups"]:
                    await self._delete(judge, "backup", it["id"])
            if not await self._settle():
                return
