"""Block storage, whole: database, fake backend and target, a worker, and the API in front of them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from answers import Answers
from fake_world import MemoryBackups
from held_bodies import HeldBodies
from tests.hook_receiver import LOOPBACK
from volume_answers import LATER, SAMPLES, SCHEMAS, STATUSES
from witness import OF_THE_WITNESS, refuse_untold, witnessed

from pumice.api.context import ApiContext
from pumice.api.service import Service
from pumice.api.volume.service import volume_service
from pumice.app.answering import Answering
from pumice.app.roles import Role
from pumice.app.settings import Settings, load
from pumice.app.verbs import VERBS
from pumice.backends.fake import FakeBackend
from pumice.backends.targets.fake import FakeTarget
from pumice.catalog import volume_types
from pumice.host.daemon import Daemon
from pumice.model.errors import Unauthenticated
from pumice.model.ids import ProjectId, UserId
from pumice.model.scope import Scope
from pumice.model.tunables import Tunables
from pumice.operations.completions import Completions
from pumice.operations.drivers import Drivers
from pumice.operations.harness import eventually
from pumice.operations.places import SCHEDULER, WEBHOOKS, volume_host
from pumice.operations.runner import Runner
from pumice.store import operations as log
from pumice.store import pools, services, tables
from pumice.store.database import Database, Transaction
from pumice.store.services import Heartbeat
from pumice.store.sqlite import SqliteDatabase

HOST = "box@fake"
POOL = f"{HOST}#fake"
PROJECT = "11111111-1111-4111-8111-111111111111"
OTHER_PROJECT = "22222222-2222-4222-8222-222222222222"
THIRD_PROJECT = "44444444-4444-4444-8444-444444444444"
USER = "33333333-3333-4333-8333-333333333333"
SECRET = "nobody is shown this"
CONNECTOR = {"initiator": "iqn.1993-08.org.debian:01:one", "host": "node1", "ip": "192.0.2.1"}


def scope(role: str, project: str | None = PROJECT) -> Scope:
    return Scope(UserId(USER), ProjectId(project) if project else None, frozenset({role}))


SCOPES = {
    "admin": scope("admin"),
    "member": scope("member"),
    "reader": scope("reader"),
    "manager": scope("manager"),
    "other": scope("member", OTHER_PROJECT),
    "third": scope("member", THIRD_PROJECT),
    "service": scope("service"),
    "both": replace(scope("member"), roles=frozenset({"member", "service"})),
    "nobody": scope("nothing"),
    "unscoped": scope("admin", None),
    "domain admin": replace(scope("admin", None), domain_id="default"),
    "system reader": replace(scope("reader", None), system=True),
    "domain manager": replace(scope("manager", None), domain_id="default"),
    "system admin": replace(scope("admin", None), system=True),
}


class StubTokens:
    """A token is the name of its scope."""

    async def scope_of(self, token: str) -> Scope:
        try:
            return SCOPES[token]
        except KeyError:
            raise Unauthenticated("The request you have made requires authentication.") from None


@dataclass
class Cloud:
    """What tests work with: requests, and a look behind them."""

    service: Service
    client: httpx.AsyncClient
    answers: Answers
    """Every answer is held to what Cinder answers."""
    db: Database
    backend: FakeBackend
    target: FakeTarget
    tunables: Tunables
    runner: Runner
    running: "asyncio.Task[None]"
    statements: list[str] = field(default_factory=list)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        who: str | None = "member",
        version: str | None = "3.71",
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        sent = dict(headers or {})
        if who:
            sent["X-Auth-Token"] = who
        if version:
            sent["OpenStack-API-Version"] = f"volume {version}"
        return await self.client.request(method, f"/volume/v3{path}", json=body, headers=sent)

    async def make(self, size: int = 1, *, who: str = "member", **wanted: Any) -> dict[str, Any]:
        """A volume, once it is available."""
        reply = await self.call("POST", "/volumes", {"volume": {"size": size, **wanted}}, who=who)
        assert reply.status_code == 202, reply.text
        return await self.until(reply.json()["volume"]["id"], "available", who=who)

    async def until(
        self, volume_id: str, status: str | None, *, who: str = "member", kind: str = "volume"
    ) -> dict[str, Any]:
        """The volume (or snapshot) in a state, or ``{}`` once it is gone."""

        async def look() -> dict[str, Any] | None:
            reply = await self.call("GET", f"/{kind}s/{volume_id}", who=who)
            if reply.status_code == 404 and status is None:
                return {}
            found: dict[str, Any] = reply.json().get(kind, {})
            return found if found.get("status") == status else None

        return await eventually(self.db, look)

    def note(self, *args: Any) -> None:
        """Count a statement, unless it is the witness's."""
        if not args[4].execution_options.get(OF_THE_WITNESS):
            self.statements.append(args[2])

    async def stop(self) -> None:
        """From here on nothing is carried out."""
        self.runner.stop()
        await self.running

    async def quiet(self) -> None:
        """Until no operation is under way."""

        async def look() -> bool | None:
            moving = await self.db.read(
                log.page, states=("running", "waiting", "undoing"), kind=None, subject=None, limit=1
            )
            return None if moving else True

        await eventually(self.db, look)

    async def act(
        self,
        volume_id: str,
        action: str,
        value: Any = None,
        *,
        who: str = "member",
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        body = {action: {} if value is None else value}
        return await self.call("POST", f"/volumes/{volume_id}/action", body, who=who, headers=headers)

    async def attachments_of(self, volume_id: str) -> list[sa.RowMapping]:
        def read(tx: Transaction) -> list[sa.RowMapping]:
            table = tables.attachments
            return list(tx.execute(sa.select(table).where(table.c.volume_id == volume_id)).mappings())

        return await self.db.read(read)


@dataclass
class OneNode:
    """What the answering process tells of."""

    settings: Settings
    drivers: Drivers
    daemons: list[Daemon] = field(default_factory=list)
    roles: frozenset[Role] = frozenset({Role.API})


@cache
def settings() -> Settings:
    """Of a process whose state is nowhere yet; it has a secret."""
    secret = {"admin_password": SECRET}
    return load(state_dir=Path("/nowhere/pumice"), identity=secret, compute={"driver": "none"})


@pytest.fixture
def tunables() -> Tunables:
    quotas = {**Tunables().quotas, "volumes": 2000, "gigabytes": 100_000, "snapshots": 1000}
    return Tunables(quotas=quotas, service_down_seconds=3600)  # its services say only once that they are up


@pytest.fixture
async def cloud(tmp_path: Path, database: Database, tunables: Tunables) -> AsyncIterator[Cloud]:
    db, seen = database, witnessed(database)
    backend, target = FakeBackend(("fake", "spare")), FakeTarget()

    def furnish(tx: Transaction) -> None:
        volume_types.make_default(tx, tunables)
        services.heartbeat(
            tx,
            [
                Heartbeat("cinder-volume", HOST, "nova"),
                Heartbeat("cinder-scheduler", "box", "nova"),
                Heartbeat("cinder-backup", "box", "nova"),
            ],
        )
        pools.report(tx, {HOST: [POOL_FACTS]})

    await db.write(furnish)
    drivers = Drivers(
        db,
        open_image=lambda image: nullcontext(tmp_path / image),
        backends={HOST: backend},
        targets={HOST: target},
        backups=MemoryBackups(),
        post=LOOPBACK.post,
    )
    runner = Runner(
        db,
        VERBS,
        drivers,
        host="box",
        boot="1",
        places=[SCHEDULER, WEBHOOKS, volume_host(HOST)],
        tunables=tunables,
    )
    ctx = ApiContext(seen, Completions(db), StubTokens(), tunables, outbound=LOOPBACK)
    ctx.process = Answering(OneNode(settings(), drivers))
    service = volume_service(ctx)
    transport = httpx.ASGITransport(service)  # type: ignore[arg-type]
    answers = Answers(service, SCHEMAS, SAMPLES, LATER, STATUSES)
    hooks = {"response": [answers.hold, HeldBodies(answers).hold]}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://cloud:8776", event_hooks=hooks
    ) as client:
        running = asyncio.create_task(runner.run())
        cloud = Cloud(service, client, answers, db, backend, target, tunables, runner, running)
        for engine in engines(db):
            sa.event.listen(engine, "before_cursor_execute", cloud.note)
        yield cloud
        runner.stop()
        await running
    refuse_untold(seen)


def engines(db: Any) -> list[sa.Engine]:
    """What sends its statements."""
    return (
        [db._writer, db._reader]
        if isinstance(db, SqliteDatabase)
        else [db._writing.sync_engine, db._reading.sync_engine]
    )


POOL_FACTS: dict[str, Any] = {
    "name": POOL,
    "availability_zone": "nova",
    "total_gb": 1_000_000.0,
    "free_gb": 1_000_000.0,
    "thin": True,
    "max_over_subscription_ratio": 20.0,
    "reserved_percentage": 0,
    "capabilities": {"volume_backend_name": "fake", "storage_protocol": "iSCSI", "multiattach": True},
}
