"""No statement that a request or a loop runs reads a whole table that grows with the cloud.

The statements are not listed anywhere: everything is asked of a cloud that is full, and each statement that was
seen is explained by the database. So one that is new and has no index fails here by itself.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import compute_cloud
import httpx
import pytest
import sqlalchemy as sa
import test_compute_answers
from benchmarks.filling import LARGE, Size, backlog, identity, statements
from fake_world import FakeWorld, fake_world
from plans import Recorder, faults, rows_read
from test_every_verb import SCENARIOS, two_hosts
from test_volume_answers import Story, paths, write_everything
from volume_cloud import POOL, SCOPES, Cloud, cloud, scope

from databases import new_sqlite
from postgres_server import PostgresServer
from pumice.api.context import ApiContext
from pumice.api.identity.service import identity_service
from pumice.api.image.service import image_service
from pumice.api.own.service import own_service
from pumice.app import monitoring, node
from pumice.app.metrics import Metrics
from pumice.app.settings import Settings
from pumice.identity.bootstrap import bootstrap, hashes
from pumice.identity.tokens import LocalTokens
from pumice.images.files import ImageFiles
from pumice.loops import recycling, rows
from pumice.loops.schedules import Schedules
from pumice.model.tunables import Tunables
from pumice.operations.completions import Completions
from pumice.operations.harness import Scenario, no_faults, quiet, working
from pumice.store import audit, clock, recycle_bin, tables, work_queue
from pumice.store.columns import now
from pumice.store.database import Database, Transaction
from pumice.store.open import open_database
from pumice.store.tables import metadata
from pumice.volumes.recycle_bin import keep, purge, restore

__all__ = ["cloud"]

pytestmark = pytest.mark.timeout(600)  # whoever comes first fills the database
SIZE = Size(volumes=20_000, operations=80_000, pools=1_000, hosts=30)
PLACES = ("scheduler", "volume:box@fake", "volume:here@one", "compute:here")
WAITING = 500
"""Operations that wait at each of these when the statements are explained."""
RULES = Tunables(quotas=dict.fromkeys(Tunables().quotas, -1), service_down_seconds=3600)

_AUDIT = "every five minutes all rows are compared, on a snapshot that is in nobody's way"
_POOLS = "whoever chooses among pools, or lists them, looks at all of them"
_LISTED = "an administrator has asked for, or about, all that there is"
_UNDER_WAY = "it looks at all that is under way, of which there were thousands here"
MAY = {
    "store.audit": _AUDIT,
    "store.torn": _AUDIT,
    "store.quotas.usage_by_rows": _AUDIT,
    "store.pools.claimed_by_rows": _AUDIT,
    "store.pools.alive": _POOLS,
    "store.pools.with_backups": _POOLS,
    "store.pools.every": _POOLS,
    "store.hosts._names": _POOLS,
    "store.hosts._read": "of a host that is silent, or that an operator asks about, what it has",
    "store.inventory": "a monitor asks how many there are of each status",
    "store.queue_stats": f"a monitor asks: {_UNDER_WAY}",
    "store.operations.page": f"an operator asks: {_UNDER_WAY}",
    "store.operations.untouched": _UNDER_WAY,
    "store.overdue": _UNDER_WAY,
    "store.backups.whole": "once in an hour the store of backups is compared with all rows",
    "api.collection.Collection.read": f"{_LISTED}: how many",
    "store.messages.visible": f"{_LISTED}; messages end after a month",
    "store.projects.matching": _LISTED,
    "store.users.matching": _LISTED,
    "store.roles.assignments": _LISTED,
    "store.users.forget_default_project": "a project is deleted, whose members may have it as their own",
    "store.users.named": "on SQLite, which one machine's users share",
    "store.projects.named": "the same",
    "store.quotas.forget_type": "a type of volumes is deleted, whoever had a quota of it",
    "store.adding_up.close": "the same: what was used of it is remembered",
    "store.adding_up._of_all": f"{_LISTED}: what all projects have used",
}
"""Whose statements may read a whole table, and why: functions, or all of a module."""


@pytest.fixture(scope="module")
def filled(request: pytest.FixtureRequest) -> Iterator[tuple[PostgresServer, str]]:
    server: PostgresServer = request.getfixturevalue("postgres")
    server.sql("CREATE DATABASE filled TEMPLATE postgres", "template1")
    for statement in statements(SIZE):
        server.sql(statement, "filled")
    yield server, "filled"
    server.sql("DROP DATABASE filled WITH (FORCE)", "template1")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The full PostgreSQL; or an SQLite, whose way about a statement does not depend on the rows."""
    if request.param == "sqlite":
        yield new_sqlite(tmp_path / "pumice.db")
        return
    server, name = request.getfixturevalue("filled")
    yield server.url(name)
    for gone in ("services", "pools"):  # this test's own hosts, and what it made of types and limits
        server.sql(f"DELETE FROM {gone} WHERE host NOT LIKE 'full%'", name)  # noqa: S608
    server.sql("DELETE FROM default_types", name)
    server.sql("DELETE FROM quota_limits", name)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    db = open_database(database_url)
    yield db
    await db.close()


@pytest.fixture
def tunables() -> Tunables:
    return RULES


def is_in(may: Mapping[str, str], by: str) -> bool:
    return any(f"{by}.".startswith(f"{name}.") for name in may)


class Explained(Exception):
    """What was found, on a database that shall stay as it is."""

    def __init__(self, found: list[str]) -> None:
        self.found = found


async def refuse_scans(db: Database, recorder: Recorder, may: Mapping[str, str] = MAY) -> None:
    """Raises ``AssertionError`` with each statement that reads too much."""

    def look(tx: Transaction) -> None:
        if tx.connection.dialect.name == "postgresql":
            tx.connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # but where there is no other way
            for place in PLACES:
                for statement in backlog(SIZE, WAITING, place):
                    tx.connection.exec_driver_sql(statement)
        raise Explained(
            [
                f"{asked.by} {', '.join(wrong)}: {' '.join(asked.text.split())}"
                for asked in recorder.found.values()
                if not is_in(may, asked.by) and (wrong := faults(tx, asked))
            ]
        )

    assert len(recorder.found) > 20
    with pytest.raises(Explained) as explained:
        await db.write(look)
    assert not explained.value.found, "\n".join(explained.value.found)


async def test_requests_for_volumes(cloud: Cloud) -> None:
    recorder = Recorder()
    SCOPES["filled"] = scope("member", identity("project", 7))
    story = Story(cloud, "3.71")
    with recorder.at_work():
        await write_everything(story)
        things = await story.furnish()
        for _, path in paths(cloud, things):
            await story.ask("GET", path)
        for who, query in (("filled", ""), ("filled", "&status=error"), ("admin", "&all_tenants=1")):
            for kind in ("volumes", "snapshots", "attachments"):
                await story.ask("GET", f"/{kind}/detail?limit=10&with_count=true{query}", who=who)
    await refuse_scans(cloud.db, recorder)


async def test_requests_for_what_is_in_the_recycle_bin(cloud: Cloud) -> None:
    recorder, keeps = Recorder(), replace(RULES, recycle_days=1)
    who, every, page = SCOPES["member"], SCOPES["admin"], {"limit": 10, "sort": [("recycled_at", False)]}
    with recorder.at_work():
        volume = (await cloud.make())["id"]
        reply = await cloud.call("POST", "/snapshots", {"snapshot": {"volume_id": volume}})
        snapshot = reply.json()["snapshot"]["id"]
        await cloud.until(snapshot, "available", kind="snapshot")
        await cloud.db.write(keep.delete_snapshot, who, snapshot, keeps)
        await cloud.db.write(keep.delete_volume, who, volume, keeps)
        for conditions in ([], [recycle_bin.is_("kind", "volume")], [recycle_bin.is_("volume_id", volume)]):
            for marker in (None, volume):
                of = partial(recycle_bin.page, marker=marker, filters=conditions, **page)
                await cloud.db.read(of, who)
                await cloud.db.read(of, every, all_projects=True)
        await cloud.db.write(restore.accept, who, volume, RULES)
        await cloud.db.write(restore.accept, who, snapshot, RULES)
        await cloud.db.write(
            lambda tx: keep.delete_volume(tx, who, volume, keeps, with_snapshots=True) and None
        )
        at = await cloud.db.write(recycle_bin.look)
        await cloud.db.read(recycle_bin.due, at, 10)
        await cloud.db.read(recycle_bin.in_pools)
        await cloud.db.read(recycle_bin.uncounted, who.project)
        for entry in await cloud.db.read(recycle_bin.oldest, POOL, 10):
            await cloud.db.write(recycling.tell, entry.id, at, 1.0)
        await cloud.db.write(purge.accept, who, volume)
        await cloud.quiet()
    await refuse_scans(cloud.db, recorder)


async def test_turns_of_schedules_and_requests_for_them_and_for_usage(cloud: Cloud) -> None:
    recorder, ctx = Recorder(), cloud.service.ctx
    ctx.verbs = cloud.runner.state_machine.verbs
    transport = httpx.ASGITransport(own_service(ctx))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://cloud/pumice/v1") as client:

        async def ask(method: str, path: str, body: Any = None, who: str = "member") -> Any:
            reply = await client.request(method, path, json=body, headers={"X-Auth-Token": who})
            assert reply.status_code < 300, (path, reply.text)
            return reply.json() if reply.content else None

        async def run(path: str) -> None:
            """One run, to its end."""
            one = (await ask("POST", f"{path}/actions/run"))["run"]["id"]
            for _ in range(3):
                await cloud.quiet()
                due = sa.update(tables.schedule_runs).where(tables.schedule_runs.c.id == one)
                await cloud.db.write(lambda tx, due=due: tx.execute(due.values(look_at=now())) and None)
                await Schedules(cloud.db, RULES).check()
            assert (await ask("GET", f"{path}/runs/{one}"))["run"]["state"] == "done"

        with recorder.at_work():
            tagged = (await cloud.make(metadata={"a": "b"}))["id"]
            for wanted in (
                {"kind": "snapshot", "volume_id": tagged},
                {"kind": "backup", "metadata": {"a": "b"}, "full_every": 2},
            ):
                asked = {"name": wanted["kind"], "cron": "0 3 * * *", "keep": {"last": 1}, **wanted}
                path = f"/schedules/{(await ask('POST', '/schedules', {'schedule': asked}))['schedule']['id']}"
                for _ in range(3):
                    await run(path)
                await ask("PUT", path, {"schedule": {"cron": "30 * * * *"}})
                await ask("GET", path)
                await ask("GET", f"{path}/runs?limit=2")
                for query in ("", "?name=snapshot", f"?volume_id={tagged}"):
                    await ask("GET", f"/schedules{query}")
                await ask("POST", f"{path}/actions/delete_with_made")
                going = sa.update(tables.schedules).values(clear_at=now())
                await cloud.quiet()
                await cloud.db.write(lambda tx, going=going: tx.execute(going) and None)
                await Schedules(cloud.db, RULES).check()
                assert (await client.get(path, headers={"X-Auth-Token": "member"})).status_code == 404
            await ask("GET", "/schedules?all_projects=1&limit=10", who="admin")
            for query, who in (("", "member"), ("?all_projects=1", "admin"), ("?format=csv", "reader")):
                reply = await client.get(f"/usage{query}", headers={"X-Auth-Token": who})
                assert reply.status_code == 200
    by = {asked.by.rpartition(".")[2] for asked in recorder.found.values()}
    assert {"due", "_made", "take_clearing", "tagged", "_of_one", "_of_all"} <= by
    await refuse_scans(cloud.db, recorder)


async def test_requests_for_servers(database: Database, tmp_path: Path) -> None:
    recorder = Recorder()
    cloud = compute_cloud.Cloud(tmp_path, database)
    await cloud.open()
    try:
        with recorder.at_work():
            things = await test_compute_answers.furnish(cloud)
            for version in ((2, 53), (2, 90)):
                await test_compute_answers.read_everything(cloud, things, version)
                image, volume = await cloud.image(), await cloud.volume()
                await test_compute_answers.write_everything(cloud, image, volume, version)
            await cloud.until_quiet()
    finally:
        await cloud.close()
    await refuse_scans(database, recorder)


async def log_in(client: httpx.AsyncClient) -> dict[str, str]:
    user = {"name": "admin", "domain": {"id": "default"}, "password": "secret"}
    scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
    auth = {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}
    reply = await client.post("/identity/v3/auth/tokens", json={"auth": auth})
    return {"X-Auth-Token": reply.headers["X-Subject-Token"]}


async def test_requests_for_identity_and_images(database: Database, tmp_path: Path) -> None:
    recorder = Recorder()
    await database.write(bootstrap, hashes({"admin": "secret", "demo": "secret", "pumice": "secret"}))
    its_ctx = ApiContext(database, Completions(database), LocalTokens(database), RULES)
    services = [
        identity_service(its_ctx),
        image_service(its_ctx, ImageFiles(tmp_path / "images")),
    ]
    with recorder.at_work():
        token: dict[str, str] = {}
        for number, service in enumerate(services):
            transport = httpx.ASGITransport(service)  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://cloud") as client:
                token = token or await log_in(client)
                for route in service.table.routes:
                    kinds = [part.rstrip("s") for part in route.path.split("/")]
                    parts = [
                        identity(kinds[at - 1], number) if part.startswith("{") else part
                        for at, part in enumerate(route.path.split("/"))
                    ]
                    path = f"{service.prefix}{'/'.join(parts)}"
                    body = None if route.method in ("GET", "HEAD", "DELETE") else {}
                    reply = await client.request(route.method, path, json=body, headers=token)
                    assert reply.status_code < 500, (path, reply.text)
    await refuse_scans(database, recorder)


async def test_every_step_of_every_operation(database_url: str) -> None:
    async with fake_world(tunables=RULES, database_url=database_url) as world:
        await perform(world, [it for it in SCENARIOS.values() if it.world is not two_hosts])


async def test_every_step_between_two_hosts() -> None:
    async with two_hosts(tunables=RULES) as world:
        await perform(world, [it for it in SCENARIOS.values() if it.world is two_hosts])


async def perform(world: FakeWorld, scenarios: Iterable[Scenario]) -> None:
    recorder = Recorder()
    with recorder.at_work():
        for scenario in scenarios:
            async with working(world, "stage", no_faults):
                stage = await scenario.prepare(world)
                await quiet(world)
                await scenario.begin(world, stage)
                await quiet(world)
    await refuse_scans(world.db, recorder)


async def test_every_loop(database_url: str, tmp_path: Path) -> None:
    recorder = Recorder()
    settings = Settings(
        state_dir=tmp_path / "state",
        database_url=database_url,
        host="here",
        backends={"fake": {"driver": "fake", "target": "fake"}},
        compute={"driver": "fake"},
    )
    whole = await node.build(settings, metrics=Metrics())
    try:
        with recorder.at_work():
            for opening in whole.drivers.backends.values():
                await opening.pools()
            await whole.hearts().send()
            for repair in whole.repairs().values():
                await repair.run()
                await repair.run()  # which asks about a part
            for _, look in whole.loops().values():
                await look()
            await monitoring.gauges(whole)
        await refuse_scans(whole.db, recorder)
    finally:
        await whole.db.close()


@pytest.mark.parametrize("database_url", [pytest.param("postgresql", marks=pytest.mark.real)], indirect=True)
async def test_the_queue_is_read_by_its_heads_whatever_waits(database: Database) -> None:
    recorder, place = Recorder(), PLACES[1]
    busy = [identity("project", number) for number in range(100)]
    asked = work_queue.Asked([place], "here:1", projects=busy[:50], busy=busy[50:])

    def look(tx: Transaction) -> None:
        for statement in backlog(SIZE, 40 * WAITING, place):
            tx.connection.exec_driver_sql(statement)
        with recorder.at_work():
            rows, outlook = work_queue.claim(tx, asked, clock.time(), 30.0, 8)
        assert len(rows) == 8
        assert outlook.soonest <= clock.time()
        raise Explained(
            [f"{it.by} reads {read}" for it in recorder.found.values() if (read := rows_read(tx, it)) > 3_000]
        )

    with pytest.raises(Explained) as explained:
        await database.write(look)
    assert not explained.value.found
    assert len(recorder.found) == 2


async def test_what_was_wrong_is_looked_at_again_alone(database: Database) -> None:
    """A loop that repairs asks once more, in a transaction that writes: it must not read what others write."""
    recorder = Recorder()
    repaired = [kind for kind in audit.Kind if kind in rows.REPAIRS]
    with recorder.at_work():
        for kind in repaired:
            for one in ("x", f"{POOL} {identity('volume', 7)}", identity("volume", 7), identity("project", 7)):
                await database.read(audit.CHECKS[kind], one)
    await refuse_scans(database, recorder, {})


def test_every_foreign_key_has_an_index() -> None:
    """Where it has none, each delete of what it refers to reads all that might."""
    without = []
    for table in metadata.sorted_tables:
        indexes = [list(it.columns) for it in (*table.indexes, table.primary_key)]
        indexes += [list(it.columns) for it in table.constraints if isinstance(it, sa.UniqueConstraint)]
        without += [
            f"{table.name}.{key.parent.name}"
            for key in table.foreign_keys
            if table.name in LARGE and not any(it[0] is key.parent for it in indexes)
        ]
    assert not without
