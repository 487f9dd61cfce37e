"""A run that fails is told, and keeps no later one from it."""

import asyncio

import pytest
import structlog

from pumice.loops.every import every
from pumice.model.errors import Retryable

FULL = Retryable("The database does not answer: database or disk is full")


@pytest.mark.parametrize(
    ("error", "told", "is_bug"),
    [
        (FULL, str(FULL), False),
        (ExceptionGroup("of a TaskGroup", [ExceptionGroup("inner", [FULL]), FULL]), str(FULL), False),
        (KeyError("k"), "'k'", True),
        (ExceptionGroup("of a TaskGroup", [FULL, KeyError("k")]), f"{FULL} 'k'", True),
    ],
)
async def test_what_is_explained_is_told_in_a_sentence_and_a_bug_with_its_place(
    error: Exception, told: str, is_bug: bool
) -> None:
    again, failures = asyncio.Event(), iter([error])

    async def work() -> None:
        for failure in failures:
            raise failure
        again.set()

    with structlog.testing.capture_logs() as logged:
        running = asyncio.create_task(every(0.0, work, "beats"))
        await again.wait()
        running.cancel()
    (line,) = logged
    assert (line["event"], line["loop"], line["error"]) == ("loop.failed", "beats", told)
    assert bool(line["exc_info"]) is is_bug
