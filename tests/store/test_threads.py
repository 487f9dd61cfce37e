"""The threads that do the database's work."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from pumice.store.threads import Connected, Threads


@pytest.fixture
def threads() -> Iterator[Threads]:
    engine = sa.create_engine("sqlite://", poolclass=sa.NullPool)
    one = Threads(engine.connect, 1, "test")
    yield one
    one.close()


def one(connected: Connected) -> int:
    with connected().begin():
        return int(connected().exec_driver_sql("SELECT 1").scalar_one())


def fail(connected: Connected) -> int:
    raise KeyError("broken")


async def test_a_job_is_answered_from_inside_and_outside_a_loop(threads: Threads) -> None:
    assert await threads.run(one) == 1
    assert await asyncio.to_thread(threads.run_now, one) == 1


async def test_what_a_job_raises_its_caller_gets_and_the_thread_goes_on(threads: Threads) -> None:
    with pytest.raises(KeyError):
        await threads.run(fail)
    with pytest.raises(KeyError):
        threads.run_now(fail)
    assert await threads.run(one) == 1


async def test_a_thread_keeps_its_connection(threads: Threads) -> None:
    first = await threads.run(lambda connected: connected())
    assert await threads.run(lambda connected: connected()) is first


async def test_a_connection_that_cannot_be_made_fails_the_job_and_is_tried_again() -> None:
    answers = [sa.exc.OperationalError("", None, Exception("no")), None]
    engine = sa.create_engine("sqlite://", poolclass=sa.NullPool)

    def connect() -> sa.Connection:
        if error := answers.pop(0):
            raise error
        return engine.connect()

    threads = Threads(connect, 1, "test")
    with pytest.raises(sa.exc.OperationalError):
        await threads.run(one)
    assert await threads.run(one) == 1
    threads.close()


async def test_a_job_that_is_cancelled_before_its_turn_is_not_done(threads: Threads) -> None:
    let_go, done = threading.Event(), []
    before = asyncio.create_task(threads.run(lambda _: let_go.wait(10)))
    cancelled = asyncio.create_task(threads.run(lambda _: done.append(1)))
    await asyncio.sleep(0)
    cancelled.cancel()
    let_go.set()
    assert await before
    assert await threads.run(one) == 1
    assert done == []


async def test_after_its_end_nothing_is_taken_on(threads: Threads) -> None:
    threads.close()
    with pytest.raises(RuntimeError, match="closed"):
        await threads.run(one)
