"""What many processes on PostgreSQL meet: races, lost connections, words of others, names that are taken."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal

import asyncpg
import pytest
import sqlalchemy as sa
from postgres_wire import Wire
from tests.patience import soon

from postgres_server import PostgresServer
from pumice.model.errors import Invalid, Misconfigured, Retryable
from pumice.store import listening, quotas, schema
from pumice.store import postgres as postgres_store
from pumice.store.database import MISSED, Transaction
from pumice.store.pipeline import LastWords
from pumice.store.postgres import PostgresDatabase
from pumice.store.serialize import serialized
from pumice.store.tables import commits, operations, quota_usage

pytestmark = pytest.mark.real


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    name = postgres.take()
    yield postgres.url(name)
    postgres.give_back(name)


@pytest.fixture
async def db(url: str) -> AsyncIterator[PostgresDatabase]:
    database = PostgresDatabase(url)
    yield database
    await database.close()


@pytest.fixture
async def other(url: str) -> AsyncIterator[PostgresDatabase]:
    """The database as another process has it."""
    database = PostgresDatabase(url)
    yield database
    await database.close()


def use(tx: Transaction, amount: int = 1) -> None:
    quotas.take(tx, "project", {}, {"volumes": amount})


def used(tx: Transaction) -> int:
    return quotas.usage(tx, "project").get("volumes", 0)


async def test_writes_that_race_for_one_row_all_count(db: PostgresDatabase, other: PostgresDatabase) -> None:
    await asyncio.gather(*(each.write(use) for each in (db, other) for _ in range(40)))
    assert await db.read(used) == 80


async def test_of_two_that_would_be_wrong_together_one_is_run_again(
    db: PostgresDatabase, other: PostgresDatabase
) -> None:
    """Each sets its own row to what it finds in the other's: done one after the other both end up equal."""
    runs = []
    await db.write(lambda tx: quotas.set_limits(tx, "a", {"x": 1}))
    await db.write(lambda tx: quotas.set_limits(tx, "b", {"x": 2}))

    def copy(tx: Transaction, start: str, end: str) -> None:
        runs.append(start)
        quotas.set_limits(tx, end, quotas.limits(tx, start, {}))

    for _ in range(20):
        await asyncio.gather(db.write(copy, "a", "b"), other.write(copy, "b", "a"))
        limits = [await db.read(quotas.limits, project, {}) for project in ("a", "b")]
        assert limits[0] == limits[1]
        await db.write(lambda tx: quotas.set_limits(tx, "a", {"x": 1}))
        await db.write(lambda tx: quotas.set_limits(tx, "b", {"x": 2}))


async def test_in_turn_none_is_run_again(db: PostgresDatabase, other: PostgresDatabase) -> None:
    """Nor if its queue is also that of another process."""
    runs = 0

    @serialized(lambda project: project)
    def use_in_turn(tx: Transaction, project: str) -> None:
        nonlocal runs
        runs += 1
        quotas.take(tx, project, {}, {"volumes": 1})

    await db.write(use)
    each = [database.write(use_in_turn, "project") for database in (db, other) for _ in range(40)]
    await asyncio.gather(*each)
    assert (await db.read(used), runs) == (81, 80)


async def test_who_waits_too_long_for_a_turn_is_told_to_come_again(url: str) -> None:
    db = PostgresDatabase(url, timeout=0.3)
    for _ in range(postgres_store.WRITERS):
        await db._writers.acquire()
    with pytest.raises(Retryable, match="too much to do"):
        await db.write(use)
    for _ in range(postgres_store.WRITERS):
        db._writers.release()
    await db.write(use)
    assert await db.read(used) == 1
    await db.close()


async def test_a_read_sees_one_snapshot_and_writes_nothing(db: PostgresDatabase) -> None:
    with pytest.raises(sa.exc.DBAPIError, match="read-only"):
        await db.read(use)


async def test_a_value_that_cannot_be_stored_is_the_callers_mistake(db: PostgresDatabase) -> None:
    with pytest.raises(Invalid):
        await db.write(use, 2**40)
    with pytest.raises(Invalid):
        await db.read(quotas.usage, "nul \0")


async def test_a_statement_that_was_prepared_before_an_upgrade_is_prepared_anew(
    db: PostgresDatabase, postgres: PostgresServer, url: str
) -> None:
    table = sa.table("upgraded", sa.column("number"))
    name = sa.make_url(url).database or ""
    postgres.sql("CREATE TABLE upgraded (number integer)", name)
    write = sa.insert(table).returning(table.c.number)
    try:
        for type_ in ("bigint", "integer", "bigint"):
            assert await db.write(lambda tx: tx.execute(write, {"number": 1}).scalar()) == 1
            postgres.sql(f"ALTER TABLE upgraded ALTER number TYPE {type_}", name)
    finally:
        postgres.sql("DROP TABLE upgraded", name)


async def test_a_restart_of_the_server_loses_no_write_and_repeats_none(
    db: PostgresDatabase, postgres: PostgresServer
) -> None:
    done = 0

    async def keep_using() -> None:
        nonlocal done
        while not restarted.is_set():
            await db.write(use)
            done += 1

    restarted = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(keep_using())
        for _ in range(3):
            await asyncio.sleep(0.3)
            await asyncio.to_thread(postgres.stop, signal.SIGINT)
            await asyncio.to_thread(postgres.start)
        await asyncio.sleep(0.3)
        restarted.set()
    assert await db.read(used) == done > 0


@pytest.fixture
async def wire(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[Wire]:
    async with Wire(postgres, tmp_path) as wire:
        yield wire


@pytest.fixture
async def far(wire: Wire, url: str) -> AsyncIterator[PostgresDatabase]:
    """The database at the end of the wire."""
    database = PostgresDatabase(wire.url(url))
    yield database
    await database.close()


async def test_a_farewell_that_comes_before_the_end_of_its_connection_fails_nothing(
    db: PostgresDatabase, wire: Wire, far: PostgresDatabase
) -> None:
    """A server that stops says so on idle connections. What is asked between that and the end is lost too."""
    farewell = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0"
    await far.write(use)
    await wire.say(b"E" + (len(farewell) + 4).to_bytes(4, "big") + farewell)
    await asyncio.sleep(0.2)  # until it has arrived, which nothing tells
    await far.write(use)
    assert len(wire.clients) > 1
    assert await db.read(used) == 2


@pytest.mark.parametrize("cut_at", ["question", "answer"])
@pytest.mark.parametrize("noticed_after", [0.0, 1.0])
async def test_a_commit_that_nobody_answered_is_looked_up(
    db: PostgresDatabase,
    wire: Wire,
    far: PostgresDatabase,
    cut_at: Literal["question", "answer"],
    noticed_after: float,
) -> None:
    """The wire is cut when COMMIT was done, or before it came; the server may notice that only later."""
    await far.write(use)
    wire.cut_at, wire.server_notices_after = cut_at, noticed_after
    await far.write(use)
    assert wire.cut_at is None
    assert await db.read(used) == 2


@pytest.fixture
def frail() -> Iterator[PostgresServer]:
    """A server that writes nothing to its log before it must, so that a crash takes what was not committed."""
    server = PostgresServer(
        {"listen_addresses": "", "fsync": "off", "autovacuum": "off", "wal_writer_delay": "10s"}
    )
    yield server
    server.close()


async def test_what_a_crash_took_was_not_committed(frail: PostgresServer) -> None:
    db = PostgresDatabase(frail.url(frail.take()))
    await db.write(use)
    async with db._writing.connect() as connection:
        await connection.run_sync(lambda sync: use(Transaction(sync)))
        await connection.exec_driver_sql("INSERT INTO commits VALUES (8)")
        await asyncio.to_thread(frail.stop, signal.SIGKILL)
        await connection.invalidate()
    await asyncio.to_thread(frail.start)
    assert not await db._has_committed(8)
    assert not await db._has_committed(8), "the answer was lost, and it is asked again"
    await db.close()


async def test_what_is_asked_about_before_its_end_is_never_committed(
    db: PostgresDatabase, other: PostgresDatabase
) -> None:
    """Its COMMIT was on the way when the connection broke, and comes after who asks for it."""
    async with db._writing.connect() as connection:
        await connection.run_sync(lambda sync: use(Transaction(sync)))
        assert not await other._has_committed(8)
        await connection.run_sync(lambda sync: postgres_store._leave(sync, LastWords(8, [])))
        with pytest.raises(sa.exc.DBAPIError):
            await connection.commit()
    assert await db.read(used) == 0


async def test_who_asks_waits_for_what_is_just_being_committed(
    db: PostgresDatabase, other: PostgresDatabase
) -> None:
    async with db._writing.connect() as connection:
        await connection.run_sync(lambda sync: use(Transaction(sync)))
        await connection.exec_driver_sql("INSERT INTO commits VALUES (8)")
        asking = asyncio.create_task(other._has_committed(8))
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        while not await other.read(lambda tx: tx.connection.exec_driver_sql(waits).scalar()):
            await asyncio.sleep(0.01)
        await connection.commit()
    assert await soon(asking)


async def test_a_read_is_one_snapshot_whether_it_asks_once_or_more(
    db: PostgresDatabase, other: PostgresDatabase
) -> None:
    """One statement needs no transaction; a function that asks a second one is begun again in one."""
    runs = list[int]()

    async def look_twice() -> list[int]:
        def look(tx: Transaction) -> list[int]:
            runs.append(0)
            first = used(tx)
            done.set()
            return [first, used(tx)]

        return await db.read(look)

    done = asyncio.Event()
    await db.write(use)
    for _ in range(20):
        looking, writing = asyncio.create_task(look_twice()), asyncio.create_task(other.write(use))
        first, second = await looking
        assert first == second
        await writing
    assert len(runs) == 20 + 5, "it is known, and tried again after 1, 2, 4 and 8 more"


async def test_a_read_that_asks_more_once_in_a_while_needs_no_transaction_after_it(
    db: PostgresDatabase,
) -> None:
    runs = list[int]()

    def look(tx: Transaction, times: int) -> None:
        runs.append(times)
        for _ in range(times):
            used(tx)

    await db.write(use)
    for times in (1, 2, 1, 1, 1, 2, 1, 1, 2):
        await db.read(look, times)
    assert runs == [1, 2, 2, 1, 1, 1, 2, 2, 1, 1, 2, 2], "only who asked for more was begun again"


async def test_whoever_hides_that_a_read_asks_more_gets_a_snapshot_all_the_same(db: PostgresDatabase) -> None:
    def look(tx: Transaction) -> str:
        used(tx)
        try:
            used(tx)
        except Exception:
            return "hidden"
        return "seen"

    assert await db.read(look) == "seen"


async def test_what_is_sent_is_written_as_what_is_waited_for(db: PostgresDatabase) -> None:
    """Their values go different ways to the database: as text, and as asyncpg writes them."""
    at = datetime(2026, 11, 27, 12, 30, 0, 123456)
    words = dict.fromkeys(("kind", "subject", "place", "state"), "'\\é \n")
    numbers = {"position": -3, "tries": 2**31 - 1, "attempt": 0, "run_at": 1e-9, "deadline": 1e300}
    notes = {"notes": {"a": [1, None, "\u2028"]}, "params": {}, "steps": []}
    row = {**words, **numbers, **notes, "settled": True, "cancelled": False, "created_at": at}
    await db.write(lambda tx: tx.send(sa.insert(operations), {**row, "id": "sent"}))
    await db.write(lambda tx: tx.execute(sa.insert(operations), {**row, "id": "waited for"}))
    first, second = await db.read(lambda tx: tx.execute(sa.select(operations)).mappings().all())
    own = {"id": "", "began_number": 0}
    assert {**first, **own} == {**second, **own}


@pytest.mark.parametrize("then", ["commits", "asks", "asks anew", "fails"])
async def test_what_is_sent_and_fails_takes_its_transaction_along_and_no_other(
    db: PostgresDatabase, then: str
) -> None:
    await db.write(lambda tx: tx.execute(sa.insert(commits), {"seal": 8}))

    def work(tx: Transaction) -> None:
        use(tx)
        tx.send(sa.insert(commits), {"seal": 8})
        if then == "asks":
            use(tx)
        if then == "asks anew":
            tx.execute(sa.select(commits.c.seal + 17))
        if then == "fails":
            raise Invalid("no")

    for _ in range(3):
        with pytest.raises(Invalid if then == "fails" else sa.exc.IntegrityError):
            await db.write(work)
    assert await db.read(used) == 0
    await db.write(use)
    assert await db.read(used) == 1


async def test_a_transaction_waits_once_for_each_statement_and_once_for_its_commit(
    wire: Wire, far: PostgresDatabase
) -> None:
    def work(tx: Transaction, statements: int, topics: int) -> None:
        for _ in range(statements):
            use(tx)
        for number in range(topics):
            tx.notify(f"word {number}")

    for _ in range(2):  # prepared statements, and the rows that ``use`` changes
        await far.write(work, 3, 1)
        await far.read(used)
        await far.renew(work, 1, 0)
    for statements, topics in ((1, 0), (3, 2)):
        before = wire.trips
        await far.write(work, statements, topics)
        assert wire.trips - before == statements + 1
    before = wire.trips
    await far.read(used)
    assert wire.trips - before == 1
    before = wire.trips
    await far.renew(work, 1, 0)
    assert wire.trips - before == 2


async def test_seals_are_forgotten_after_a_while(db: PostgresDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    def seals(tx: Transaction) -> int:
        return int(tx.execute(sa.select(sa.func.count()).select_from(commits)).scalar_one())

    await db.write(used)
    assert await db.read(seals) == 0
    for _ in range(3):
        await db.write(use)
    assert await db.read(seals) == 3
    monkeypatch.setattr(postgres_store, "_KEPT_SECONDS", -1.0)
    db._sweep_at = 0.0
    await db.write(used)
    assert await db.read(seals) == 0


async def test_a_name_is_kept_when_the_server_has_not_noticed_that_its_connection_is_gone(
    wire: Wire, far: PostgresDatabase, other: PostgresDatabase
) -> None:
    """Our own earlier session still holds the lock: it is ended, not waited for."""
    lost, heard = asyncio.Event(), asyncio.Queue[str]()
    wire.server_notices_after = 300.0
    far.subscribe(heard.put_nowait)
    await far.hold("name", lost.set)
    wire.cut()
    assert await soon(heard.get()) == MISSED
    assert not lost.is_set()
    with pytest.raises(Misconfigured):
        await other.hold("name", lambda: None, timeout=0)
    assert await other.unheld(["name", "another"]) == {"another"}


async def test_a_committed_topic_is_heard_by_other_processes(
    db: PostgresDatabase, other: PostgresDatabase
) -> None:
    here, there = list[str](), asyncio.Queue[str]()
    db.subscribe(here.append)
    other.subscribe(there.put_nowait)
    await other.hold("listening by now", lambda: None)

    def work(tx: Transaction, fail: bool) -> None:
        tx.notify("lost" if fail else "word")
        tx.notify("lost" if fail else "word")
        if fail:
            raise Invalid("no")

    with pytest.raises(Invalid):
        await db.write(work, True)
    await db.write(work, False)
    assert here == ["word", "word"]
    assert await soon(there.get()) == "word"
    assert there.empty()


async def test_after_a_restart_of_the_server_listeners_are_told_that_they_missed_something(
    db: PostgresDatabase, postgres: PostgresServer
) -> None:
    heard = asyncio.Queue[str]()
    db.subscribe(heard.put_nowait)
    await db.hold("name", lambda: pytest.fail("nobody else wants it"))
    await asyncio.to_thread(postgres.stop, signal.SIGINT)
    await asyncio.to_thread(postgres.start)
    assert await soon(heard.get()) == MISSED
    await db.write(lambda tx: tx.notify("again"))
    assert await soon(heard.get()) == "again"


async def test_a_process_stopped_inside_a_statement_holds_no_row_for_long(
    db: PostgresDatabase, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has had the statement prepared, and not run: PostgreSQL takes the transaction for a busy one."""
    monkeypatch.setattr(listening, "CHECK_SECONDS", 1.0)
    await db.write(use)
    await db.hold("listening by now", lambda: None)
    stopped = await asyncpg.connect(
        url.replace("+asyncpg", ""),
        server_settings={
            "application_name": "pumice volume process 1",
            "idle_in_transaction_session_timeout": "1s",
        },
    )
    ended = asyncio.Event()
    stopped.add_termination_listener(lambda _: ended.set())
    await stopped.execute("BEGIN; UPDATE quota_usage SET in_use = 5")
    await stopped.prepare("SELECT count(*) FROM quota_usage")
    await soon(db.write(use))
    await soon(ended.wait())
    assert await db.read(used) == 2


async def test_a_name_is_held_by_one_process(db: PostgresDatabase, other: PostgresDatabase) -> None:
    await db.hold("volume here", lambda: None)
    await other.hold("volume there", lambda: None)
    with pytest.raises(Misconfigured, match=r"'volume here'.*pumice.*process"):
        await other.hold("volume here", lambda: None, timeout=0)
    await db.close()
    await other.hold("volume here", lambda: None)


async def test_who_loses_a_name_is_told(
    db: PostgresDatabase, url: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection breaks, and another process that waits for the name is faster than it is back."""
    monkeypatch.setattr(listening, "RETAKE_SECONDS", 0.1)
    lost = asyncio.Event()
    await db.hold("name", lost.set)
    other = PostgresDatabase(url)
    taking = asyncio.create_task(take_when_free(other, "name"))
    kill = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    await asyncio.to_thread(postgres.sql, kill, "template1")
    await soon(taking)
    await soon(lost.wait())
    await other.close()


async def take_when_free(db: PostgresDatabase, name: str) -> None:
    while True:
        with contextlib.suppress(Misconfigured):
            return await db.hold(name, lambda: None, timeout=0)


async def test_two_processes_that_start_at_once_make_one_schema(postgres: PostgresServer) -> None:
    postgres.sql("CREATE DATABASE unmade TEMPLATE template0", "template1")
    databases = [PostgresDatabase(postgres.url("unmade")) for _ in range(4)]
    try:
        found = await asyncio.gather(*(schema.migrate(each) for each in databases))
        assert sorted(found, key=str) == [schema.HEAD] * 3 + [None]
        assert await databases[0].read(lambda tx: tx.execute(sa.select(quota_usage)).all()) == []
    finally:
        for each in databases:
            await each.close()
        postgres.sql("DROP DATABASE unmade WITH (FORCE)", "template1")


async def test_nothing_is_taken_away_while_another_versions_processes_use_it(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.sql("CREATE DATABASE unmade TEMPLATE template0", "template1")
    monkeypatch.setattr(postgres_store, "HEAD", "before")
    before = PostgresDatabase(postgres.url("unmade"), "volume")
    monkeypatch.undo()
    monkeypatch.setattr(schema, "pending", lambda _: [schema.Migration(schema.HEAD, "Less.", takes_away=True)])
    this = PostgresDatabase(postgres.url("unmade"))
    try:
        assert await before.read(schema.version) is None
        with pytest.raises(Misconfigured, match=r"takes away .* stop pumice volume process .* schema before"):
            await schema.migrate(this)
        assert await this.read(schema.version) is None
        await before.close()
        assert await schema.migrate(this) is None
        assert await this.read(schema.version) == schema.HEAD
    finally:
        await before.close()
        await this.close()
        postgres.sql("DROP DATABASE unmade WITH (FORCE)", "template1")
