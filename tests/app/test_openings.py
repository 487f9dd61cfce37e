"""A place is served as soon as its own driver has started, whatever becomes of the others."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.patience import PATIENCE, patience, soon

from pumice.app import openings
from pumice.app.openings import Openings
from pumice.backends.fake import FakeBackend
from pumice.backends.targets.fake import FakeTarget
from pumice.host.thread import in_thread
from pumice.hypervisor.fake import FakeHypervisor
from pumice.model.errors import Misconfigured
from pumice.operations.drivers import Drivers
from pumice.store.database import Database


class Opened:
    """The places that were opened and that were tried, in the order it happened."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def opened(self, place: str) -> None:
        self.told.append(f"opened {place}")

    def tried(self, place: str) -> None:
        self.told.append(f"tried {place}")

    async def tells(self, *words: str) -> None:
        async with patience():
            while not set(words) <= set(self.told):
                await asyncio.sleep(0.01)


@pytest.fixture
async def opened() -> Opened:
    return Opened()


@pytest.fixture
async def running() -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks: list[asyncio.Task[None]] = []
    yield tasks
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def drivers(one: FakeBackend, two: FakeBackend, machines: FakeHypervisor) -> Drivers:
    return Drivers(
        cast(Database, SimpleNamespace()),
        backends={"here@one": one, "here@two": two},
        targets=dict.fromkeys(("here@one", "here@two"), FakeTarget()),
        hypervisors={"here": machines},
    )


async def test_nobody_waits_for_the_slowest_driver(opened: Opened, running: list[Any], tmp_path: Path) -> None:
    slow = FakeHypervisor(tmp_path, host="here")
    slow.delay = 3600
    places = Openings(drivers(FakeBackend(("a",)), FakeBackend(("b",), delay=3600), slow))
    assert places.places == {"volume:here@one", "volume:here@two", "compute:here"}
    running.append(asyncio.create_task(places.run(opened.opened, opened.tried)))
    await opened.tells("opened volume:here@one")
    assert all(word.endswith(" volume:here@one") for word in opened.told)


async def test_a_place_counts_as_opening_until_it_is_open(
    opened: Opened, running: list[Any], tmp_path: Path
) -> None:
    places = Openings(drivers(FakeBackend(("a",)), FakeBackend(("b",)), FakeHypervisor(tmp_path, host="here")))
    running.append(asyncio.create_task(places.run(opened.opened, opened.tried)))
    await opened.tells(*(f"tried {place}" for place in places.places))
    for place in places.places:
        assert opened.told.index(f"opened {place}") < opened.told.index(f"tried {place}"), opened.told


async def test_a_driver_that_cannot_start_is_tried_again(
    opened: Opened, running: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openings, "FIRST_WAIT_SECONDS", 0.05)
    one = FakeBackend(("a",))
    one.fail_next["start"] = Misconfigured("The disk is not mounted.")
    places = Openings(drivers(one, FakeBackend(("b",)), FakeHypervisor(tmp_path, host="here")))
    running.append(asyncio.create_task(places.run(opened.opened, opened.tried)))
    await opened.tells("opened volume:here@one", "opened volume:here@two", "opened compute:here")
    told = [word for word in opened.told if word.endswith("@one")]
    assert told[:2] == ["tried volume:here@one", "opened volume:here@one"]
    await soon(places.all_tried())


async def test_a_driver_that_needs_long_goes_on_is_told_and_opens_its_place_after_all(
    opened: Opened, running: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openings, "START_SECONDS", 0.5)
    begun, comes = 0, asyncio.Event()

    class Slow(FakeBackend):
        async def start(self) -> None:
            nonlocal begun
            begun += 1
            await comes.wait()

    one = drivers(Slow(("a",)), FakeBackend(("b",)), FakeHypervisor(tmp_path, host="here"))
    running.append(asyncio.create_task(Openings(one).run(opened.opened, opened.tried)))
    await opened.tells("tried volume:here@one", "opened volume:here@two")
    assert [(left.place, left.call) for left in one.bulkheads.left] == [("volume:here@one", "start")]
    comes.set()
    await opened.tells("opened volume:here@one")
    assert begun == 1 and not list(one.bulkheads.left)


async def test_one_that_hangs_in_its_start_keeps_no_process_from_ending(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openings, "START_SECONDS", 0.5)
    comes_back = threading.Event()

    class Hung(FakeBackend):
        async def start(self) -> None:
            await in_thread(comes_back.wait, 2 * PATIENCE)

    one = drivers(Hung(("a",)), FakeBackend(("b",)), FakeHypervisor(tmp_path, host="here"))
    running = asyncio.create_task(Openings(one).run(opened.opened, opened.tried))
    try:
        await opened.tells("tried volume:here@one", "opened volume:here@two")
        running.cancel()
        async with patience():
            await asyncio.wait({running})
        assert [left.call for left in one.bulkheads.left] == ["start"]
    finally:
        comes_back.set()
