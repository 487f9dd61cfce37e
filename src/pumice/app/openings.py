"""Places open one by one: each as soon as its own driver has started.

A driver that is slow or absent costs its own place alone, at the start as later. One that fails is tried again
and again, at longer and longer intervals; one that is slow goes on, and is told like any call that hangs. Its
place opens when it has started after all.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from pumice.host.bulkhead import Bulkheads
from pumice.model.errors import PumiceError
from pumice.operations.drivers import Drivers
from pumice.operations.places import compute_host, volume_host

logger = structlog.get_logger(__name__)

START_SECONDS = 60.0
"""How long a driver may take to start until nobody waits for it. It goes on, and is told like what hangs."""
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0


@dataclass(slots=True, eq=False)
class Start:
    """The start of one driver."""

    place: str
    driver: str
    begin: Callable[[], Awaitable[None]]
    bulkheads: Bulkheads
    tried: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it was tried once, however that ended."""
    has_started: bool = False

    async def keep_trying(self) -> None:
        """Returns when the driver has started."""
        wait = FIRST_WAIT_SECONDS
        bulkhead = self.bulkheads.at(self.place)
        while True:
            starting = asyncio.create_task(bulkhead.call_patiently("start", self.begin, START_SECONDS))
            try:
                await asyncio.wait({starting}, timeout=START_SECONDS)
                if not starting.done():
                    self.tried.set()
                    await asyncio.wait({starting})
                starting.result()
                self.has_started = True
                return
            except PumiceError as error:
                logger.error(
                    "driver.unusable",
                    place=self.place,
                    driver=self.driver,
                    error=error.in_full,
                    again_in_seconds=wait,
                )
            finally:
                self.tried.set()
                starting.cancel()
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)


class Openings:
    """The places of this process that are to be opened, and those whose first try is still under way."""

    def __init__(self, drivers: Drivers) -> None:
        starts = {
            id(driver): Start(f"target of {place}", driver.driver, driver.start, drivers.bulkheads)
            for place, driver in drivers.targets.items()
        }
        self._targets = list(starts.values())
        self._places: list[tuple[Start, Start | None]] = [
            (
                Start(volume_host(place), driver.driver, driver.start, drivers.bulkheads),
                starts[id(drivers.targets[place])],
            )
            for place, driver in drivers.backends.items()
        ]
        self._places += [
            (Start(compute_host(host), driver.driver, driver.start_up, drivers.bulkheads), None)
            for host, driver in drivers.hypervisors.items()
        ]

    @property
    def places(self) -> set[str]:
        """The names of every place."""
        return {start.place for start, _ in self._places}

    async def run(self, opened: Callable[[str], Awaitable[None]], tried: Callable[[str], None]) -> None:
        """Start every driver; tell ``opened`` of each place that can be served, ``tried`` of each first try.

        A backend whose target cannot start is served all the same: volumes need none until they are attached.
        """
        async with asyncio.TaskGroup() as tasks:
            for target in self._targets:
                tasks.create_task(target.keep_trying())
            for start, needs in self._places:
                tasks.create_task(_open(start, needs, opened, tried))

    async def all_tried(self) -> None:
        """Wait until every place was tried once."""
        for start, needs in self._places:
            await start.tried.wait()
            if needs is not None:
                await needs.tried.wait()


async def _open(
    start: Start,
    needs: Start | None,
    opened: Callable[[str], Awaitable[None]],
    tried: Callable[[str], None],
) -> None:
    starting = asyncio.create_task(start.keep_trying())
    try:
        await start.tried.wait()
        if needs is not None:
            await needs.tried.wait()
        if not start.has_started:
            tried(start.place)
        await starting
        await opened(start.place)
        tried(start.place)
    finally:
        starting.cancel()
