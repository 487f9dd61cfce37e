"""The threads that do the database's work."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from pumice.store.database import Transaction
from pumice.store.sqlite import SqliteDatabase
from pumice.store.threads import Connected, Threads


@pytest.fixture
def threads() -> Iterator[Threads]:
    engine = sa.create_engine("sqlite://", poolclass=sa.NullPool)
    one = Threads(engine.connect, 1, "test", "test")
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

    threads = Threads(connect, 1, "test", "test")
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


async def test_who_waits_for_what_hangs_is_told_and_what_had_no_turn_is_not_done(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pumice.store.threads.HUNG_SECONDS", 0.3)
    back, done = threading.Event(), list[str]()

    def job(name: str) -> Callable[[Connected], None]:
        def work(_: Connected) -> None:
            back.wait()
            done.append(name)

        return work

    waiting = [asyncio.create_task(threads.run(job(name))) for name in ("in hand", "behind it")]
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(error) for error in found] == ["The database does not answer."] * 2
    assert [error.detail for error in found] == [threads.hangs()] * 2
    assert threads.hangs()
    back.set()
    assert await threads.run(one) == 1
    assert threads.hangs() is None
    assert done == ["in hand"]


async def test_who_waits_long_for_a_turn_that_comes_is_not_told_that_it_hangs(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pumice.store.threads.HUNG_SECONDS", 0.3)
    done = await asyncio.gather(*(threads.run(lambda _: time.sleep(0.05)) for _ in range(12)))
    assert len(done) == 12


@pytest.mark.parametrize(("rows", "statements"), [(3_000_000, 1), (100, 8_000)])
async def test_who_goes_on_does_not_hang_with_one_long_statement_or_many_short_ones(
    rows: int, statements: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pumice.store.threads.HUNG_SECONDS", 0.25)
    counted = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT max(i) FROM n"
    db = SqliteDatabase(tmp_path / "db")

    def count(tx: Transaction) -> list[int]:
        ask = tx.connection.exec_driver_sql
        return [ask(counted, (rows,)).scalar_one() for _ in range(statements)]

    try:
        assert await db.read(count) == [rows] * statements
        assert await db.write(count) == [rows] * statements
    finally:
        await db.close()


def test_to_close_waits_for_nothing_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pumice.store.threads.HUNG_SECONDS", 0.3)
    engine, back = sa.create_engine("sqlite://", poolclass=sa.NullPool), threading.Event()
    threads = Threads(engine.connect, 1, "test", "test")
    asking = threading.Thread(target=threads.run_now, args=(lambda _: back.wait(),))
    asking.start()
    threads.close()
    assert asking.is_alive()
    back.set()
    asking.join()
