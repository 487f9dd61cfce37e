"""Who waits for an operation looks when told to, and seldom else."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, cast

import pytest
from tests.patience import PATIENCE, patience

from pumice.operations.completions import Completions
from pumice.store import operations as log
from pumice.store.database import MISSED, Database


class Counting:
    """A log in which operations end when the test says so, and that counts the looks."""

    def __init__(self) -> None:
        self.looks = 0
        self.ended: set[str] = set()
        self.tell: Callable[[str], None] = lambda _: None

    def subscribe(self, listener: Callable[[str], None]) -> None:
        self.tell = listener

    async def read(self, _work: object, ids: list[str]) -> dict[str, Any]:
        self.looks += 1
        await asyncio.sleep(0)
        return {one: (True, None) for one in ids if one in self.ended}


@pytest.fixture
def counting() -> Counting:
    return Counting()


@pytest.fixture
def completions(counting: Counting) -> Completions:
    return Completions(cast(Database, counting))


@pytest.mark.parametrize("topic", [MISSED, log.ended_topic("one")])
async def test_a_word_that_changes_nothing_costs_one_look(
    counting: Counting, completions: Completions, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pumice.operations.completions.FIRST_LOOK_SECONDS", 0.001)
    waiting = asyncio.create_task(completions.wait("one", PATIENCE))
    async with patience():
        while counting.looks < 9:  # they are half a second apart by now
            await asyncio.sleep(0.01)
    before = counting.looks
    counting.tell(topic)
    await asyncio.sleep(0.1)
    assert counting.looks <= before + 2
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting


async def test_everybody_who_waits_for_one_operation_is_told(
    counting: Counting, completions: Completions, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FIRST_LOOK_SECONDS", "LONGEST_LOOK_SECONDS"):  # nobody looks without a word
        monkeypatch.setattr(f"pumice.operations.completions.{name}", 3600.0)
    impatient, first, second = (
        asyncio.create_task(completions.wait("one", s)) for s in (0.05, PATIENCE, PATIENCE)
    )
    with pytest.raises(TimeoutError):
        await impatient
    counting.ended.add("one")
    counting.tell(log.ended_topic("one"))
    assert await first == await second == (True, None)
