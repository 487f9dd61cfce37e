"""What goes wrong, and when: faults that are drawn from the seed, done to the world, and healed after a while.

A fault comes after so many more requests of the clients, and lasts so many seconds: a lease is a matter of
seconds, and what it hits may keep the clients from asking anything. Faults overlap; none hits what is being
hurt already.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.chaos.harm import Harm
from tests.chaos.network import HUB
from tests.chaos.world import CONTROL, LEASE_SECONDS, World

LONGEST_SILENCE = 15.0
"""Seconds after which the next fault comes although the clients ask too little."""
AT_ONCE = 3
"""Faults at a time, at most."""
LEFT_OUT: frozenset[str] = frozenset()
"""What Pumice does not get over yet."""


class Fault(NamedTuple):
    """One fault: its kind, which of the possible victims, after how many more requests, for how long."""

    kind: str
    victim: int
    after: int
    seconds: float


KINDS = {
    "kill -9 volume": 3,
    "kill -9 compute": 3,
    "kill -9 scheduler": 3,
    "kill -9 API": 2,
    "kill -9 API worker": 2,
    "stop volume": 2,
    "stop compute": 2,
    "stop scheduler": 2,
    "stop API": 1,
    "stop PostgreSQL": 1,
    "stop tgtd": 2,
    "stop libvirtd": 2,
    "stop QEMU": 1,
    "PostgreSQL immediate": 2,
    "PostgreSQL kill -9": 2,
    "kill -9 tgtd": 2,
    "kill -9 libvirtd": 2,
    "kill -9 QEMU": 2,
    "fill disk": 2,
    "cut host from database": 2,
    "cut volume from compute": 2,
    "lose power of volume": 2,
    "lose power of compute": 1,
    "kill everything": 1,
    "fill state disk": 2,
    "hang disk": 2,
    "fill backups": 1,
    "hang backups": 2,
    "disk turns read-only": 2,
    "another name of volume": 2,
    "restored state of volume": 1,
}
"""The faults, with their weights."""


def faults(seed: int) -> Iterator[Fault]:
    """The endless plan: a pure function of the seed."""
    dice = random.Random(f"{seed}/nemesis")
    while True:
        kind = dice.choices(list(KINDS), list(KINDS.values()))[0]
        victim, after = dice.randrange(1000), dice.randint(2, 12)
        long = kind.startswith(("stop", "cut", "hang", "disk", "another"))
        seconds = dice.uniform(1.5, 3) * LEASE_SECONDS if long else dice.uniform(0, 6)
        yield Fault(kind, victim, after, round(seconds, 1))


class Nemesis:
    """Follows the plan on a world.

    ``asked`` says how many requests were made so far, ``shake`` is told the server whose guest is about to die,
    ``violation`` what a fault did that it must not.
    """

    def __init__(
        self,
        world: World,
        seed: int,
        asked: Callable[[], int],
        shake: Callable[[str], None],
        violation: Callable[[str], None],
    ) -> None:
        self.violation = violation
        self.world = world
        self.harm = Harm(world)
        self.asked = asked
        self.shake = shake
        self.done: Counter[str] = Counter()
        self._plan = faults(seed)
        self._hurt: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until cancelled. ``heal`` afterwards."""
        for fault in self._plan:
            await self._wait(fault.after)
            while len(self._hurt) >= AT_ONCE:
                await asyncio.wait(self._hurt.values(), return_when=asyncio.FIRST_COMPLETED)
                self._forget_healed()
            self._begin(fault)

    async def heal(self) -> None:
        """Wait until everything that was hurt is healed."""
        for task in self._hurt.values():
            await task
        self._hurt.clear()

    async def _wait(self, requests: int) -> None:
        start, loop = self.asked(), asyncio.get_running_loop()
        give_up = loop.time() + LONGEST_SILENCE
        while self.asked() < start + requests and loop.time() < give_up:
            await asyncio.sleep(0.05)
        self._forget_healed()

    def _forget_healed(self) -> None:
        for victim, task in list(self._hurt.items()):
            if task.done():
                task.result()
                del self._hurt[victim]

    def _begin(self, fault: Fault) -> None:
        victim = self._victim(fault)
        busy = "everything" in self._hurt or (victim == "everything" and self._hurt)
        nobody = victim == "QEMU" and not self.world.guests()
        if not victim or victim in self._hurt or busy or nobody or fault.kind in LEFT_OUT:
            return
        self.done[fault.kind] += 1
        self.world.tell(f"NEMESIS {fault.kind}: {victim} for {fault.seconds} s")
        self._hurt[victim] = asyncio.create_task(self._hit(fault, victim))

    def _victim(self, fault: Fault) -> str:
        """Whom it hits; empty where that cannot be."""
        world = self.world
        schedulers = [name for name in world.names if name.startswith("scheduler")]
        disks = [f"{disk} of {host}" for host in world.volume_hosts for disk in ("disk", "spare")]
        among = {
            "volume": world.volume_hosts,
            "tgtd": [f"tgtd of {host}" for host in world.volume_hosts],
            "disk": disks,
            "read-only": disks,
            "compute": world.compute_hosts,
            "libvirtd": [f"libvirtd of {host}" for host in world.compute_hosts],
            "scheduler": schedulers,
            "API": ["api"],
            "worker": ["api"],
            "PostgreSQL": ["postgres"],
            "database": [f"{HUB}-{it}" for it in (CONTROL, *world.hosts)] if world.network.can_cut else [],
        }
        if fault.kind == "fill state disk":
            victims = [f"state of {host}" for host in (HUB, *world.hosts)]
        elif fault.kind == "hang disk":
            victims = [it for it in world.can_hang if it != "backups"]
        elif fault.kind == "hang backups":
            victims = [it for it in world.can_hang if it == "backups"]
        elif fault.kind.startswith(("lose power", "restored state")) and not world.network.can_cut:
            victims = []
        elif fault.kind == "cut volume from compute":
            pairs = [f"{one}-{other}" for one in world.volume_hosts for other in world.compute_hosts]
            victims = pairs if world.network.can_cut else []
        elif fault.kind.startswith("PostgreSQL"):
            victims = ["postgres"]
        else:
            victims = among.get(fault.kind.split()[-1], [fault.kind.split()[-1]])
        return victims[fault.victim % len(victims)] if victims else ""

    async def _hit(self, fault: Fault, victim: str) -> None:
        world = self.world
        match fault.kind.split():
            case ["kill", "-9", "tgtd" | "libvirtd"]:
                self.harm.kill_daemon(victim.split()[-1])
            case ["kill", "-9", "QEMU"]:
                self._kill_guest(fault.victim)
            case ["kill", "-9", "API", "worker"]:
                self.harm.kill_worker(fault.victim)
            case ["kill", "-9", *_]:
                await self._down([victim], fault.seconds)
            case ["kill", "everything"]:
                await self._down(world.names, fault.seconds, postgres="kill -9")
            case ["PostgreSQL", *how]:
                await self._down([], fault.seconds, postgres=" ".join(how))
            case ["stop", *_]:
                stopped = self.harm.pause(victim)
                await asyncio.sleep(fault.seconds)
                self.harm.go_on(stopped)
            case ["lose", "power", *_]:
                await self._without_power(victim, fault.seconds)
            case ["fill", *_]:
                disk = world.disk(victim)
                await asyncio.to_thread(self.harm.fill, disk)
                await asyncio.sleep(fault.seconds)
                self.harm.empty(disk)
            case ["hang", *_]:
                await asyncio.to_thread(self.harm.freeze, world.disk(victim), fault.seconds)
            case ["disk", "turns", "read-only"]:
                if await asyncio.to_thread(self.harm.set_read_only, victim, fault.seconds):
                    await asyncio.sleep(fault.seconds)
                    self.harm.set_writable(victim)
            case ["another", "name", *_]:
                await self._with_another_name(victim, fault.seconds)
            case ["restored", "state", *_]:
                await self._without_power(victim, fault.seconds, then=self.harm.restore_state)
            case ["cut", *_]:
                one, other = victim.split("-")
                world.network.cut(one, other)
                await asyncio.sleep(fault.seconds)
                world.network.repair(one, other)
        world.tell(f"NEMESIS healed: {fault.kind}: {victim}")

    async def _without_power(
        self, host: str, seconds: float, then: Callable[[str], None] | None = None
    ) -> None:
        """Nothing of it says good-bye; before it is back, ``then`` is done to its disks."""
        world = self.world
        world.held.add(host)
        for server in world.guests() if host in world.compute_hosts else ():
            self.shake(server)
        await asyncio.to_thread(self.harm.lose_power, host)
        await asyncio.sleep(seconds)
        if then:
            await asyncio.to_thread(then, host)
        self.harm.power_up(host)
        world.held.discard(host)
        world.start(host)

    async def _with_another_name(self, host: str, seconds: float) -> None:
        """As after DHCP: nothing is to be used under that name, and nothing is to go."""
        world = self.world
        world.held.add(host)
        world.kill(host)
        before = world.files(host)
        world.start(host, called=f"{host}-renamed")
        await asyncio.sleep(seconds)
        world.kill(host)
        if gone := before - world.files(host):
            self.violation(f"{host} was started under another name, and these went: {sorted(gone)}")
        world.held.discard(host)
        world.start(host)

    def _kill_guest(self, number: int) -> None:
        if guests := self.world.guests():
            server = sorted(guests)[number % len(guests)]
            self.shake(server)
            self.harm.kill_guest(guests[server])

    async def _down(self, names: list[str], seconds: float, postgres: str = "") -> None:
        """Dead, all at once, and started again after a while."""
        world = self.world
        world.held.update(names)
        for name in names:
            world.kill(name)
        if postgres:
            await asyncio.to_thread(self.harm.stop_postgres, immediate=postgres == "immediate")
        await asyncio.sleep(seconds)
        if postgres:
            await asyncio.to_thread(world.postgres.start)
        for name in names:
            world.held.discard(name)
            world.start(name)
