"""``pumice operations`` beside either database: what it tells, and what it sets going again."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from pumice.app.cli import app
from pumice.catalog import volume_types
from pumice.model.errors import PumiceError
from pumice.model.ids import ProjectId, UserId, new_id
from pumice.model.scope import INTERNAL, Scope
from pumice.model.states import VolumeStatus
from pumice.model.tunables import Tunables
from pumice.operations.operation import Operation, Params, Step, Verb, Wait, enqueue, scheduler
from pumice.store import operations as log
from pumice.store import schema, volumes
from pumice.store.columns import now
from pumice.store.database import Database, Transaction
from pumice.store.open import open_database
from pumice.store.tables import operations
from pumice.store.tables import volumes as volume_rows
from pumice.volumes import create, delete

TENANT = Scope(UserId("tenant"), ProjectId("project"), frozenset({"member"}), request_id="req-test")
RULES = Tunables()


@dataclass(frozen=True, slots=True)
class Nothing(Params):
    """A verb's parameters."""


def make_bytes(_tx: Transaction, _op: Operation[Nothing], _rules: Tunables) -> None:
    """A step."""


PRETEND = Verb(
    "pretend.create",
    Nothing,
    (Wait("parts", scheduler), Step(make_bytes, scheduler)),
    failed=lambda _tx, _op, _why: None,
)


@dataclass(slots=True)
class Installation:
    """A database, and the command beside it."""

    db: Database
    url: str
    directory: Path

    async def pumice(self, *words: str, code: int = 0) -> str:
        """What the command prints; with ``code`` 1 what it complains of."""
        environment = {"PUMICE_DATABASE_URL": self.url, "PUMICE_STATE_DIR": str(self.directory)}
        asked = ["operations", *words]
        done = await asyncio.to_thread(CliRunner().invoke, app, asked, env=environment)
        if code:
            assert isinstance(done.exception, PumiceError), done.output  # main() prints it and exits with 1
            return str(done.exception)
        assert done.exit_code == 0, done.output
        return done.output

    async def listed(self, *words: str) -> set[str]:
        return {one["id"] for one in json.loads(await self.pumice("list", "--json", *words))}

    async def begin(self, subject: str, **values: object) -> str:
        """A pretended operation at its second step, with two lines."""

        def work(tx: Transaction) -> str:
            op = enqueue(tx, PRETEND, Nothing(), subject=subject, who=INTERNAL)
            line = {
                "operation_id": op.id,
                "step": "make_bytes",
                "direction": "do",
                "place": "volume:here@files",
                "attempt": 1,
                "started_at": now(),
                "seconds": 0.25,
            }
            log.add_lines(tx, [line | {"outcome": "retry", "error": "tgtd [went] away"}])
            log.add_lines(tx, [line | {"outcome": "done", "error": None}])
            row = {"position": 1, "attempt": 0} | values
            tx.execute(sa.update(operations).where(operations.c.id == op.id).values(row))
            return op.id

        return await self.db.write(work)

    async def deleting(self, **values: object) -> str:
        """A volume's delete, with the volume; its row in the log changed to ``values``."""

        def work(tx: Transaction) -> str:
            volume_types.make_default(tx, RULES)
            volume = create.accept(tx, TENANT, create.Wanted(size=1), RULES)
            log.force(tx, volume.operation_id or "", 0, {"state": "done", "settled": True})
            values_of_volume = {"status": "available", "pool": "here@files#pool", "operation_id": None}
            tx.execute(sa.update(volume_rows).where(volume_rows.c.id == volume.id).values(values_of_volume))
            delete.accept(tx, TENANT, volume.id)
            op = log.page(tx, states=None, kind="volume.delete", subject=volume.id, limit=1)[0]["id"]
            tx.execute(sa.update(operations).where(operations.c.id == op).values(values))
            if values.get("state") == "failed":
                volumes.reset(tx, volume.id, VolumeStatus.ERROR_DELETING, op)
            return str(op)

        return await self.db.write(work)

    async def row(self, operation_id: str) -> Any:
        row = await self.db.read(log.get, operation_id)
        assert row is not None
        return row


@pytest.fixture
async def installation(database_url: str, tmp_path: Path) -> AsyncIterator[Installation]:
    await asyncio.to_thread(schema.upgrade, database_url)
    db = open_database(database_url)
    yield Installation(db, database_url, tmp_path)
    await db.close()


async def test_an_operation_is_told_step_by_step(installation: Installation) -> None:
    id_ = await installation.begin("a-volume", state="failed", error="The disk [is] full.")
    told = await installation.pumice("show", id_[:8])
    assert "pretend.create" in told and "The disk [is] full." in told
    assert told.index("tgtd [went] away") < told.rindex("done")
    assert "0.250" in told and "volume:here@files" in told


async def test_an_operation_is_there_for_programs_too(installation: Installation) -> None:
    id_ = await installation.begin("a-volume")
    told = json.loads(await installation.pumice("show", id_, "--json"))
    assert told["id"] == id_
    assert [line["outcome"] for line in told["lines"]] == ["retry", "done"]


async def test_one_that_waits_names_what_it_waits_for(installation: Installation) -> None:
    part = await installation.begin("part")
    whole = await installation.begin("whole", state="waiting", position=0, notes={"parts": [part]})
    assert f"Waits for {part}" in await installation.pumice("show", whole)


async def test_the_list_is_narrowed_by_state_kind_and_subject(installation: Installation) -> None:
    running = await installation.begin("one")
    failed = await installation.begin("two", state="failed", settled=True, error="no")
    assert await installation.listed() == {running, failed}
    assert await installation.listed("--running") == {running}
    assert await installation.listed("--failed") == {failed}
    assert await installation.listed("--running", "--failed") == {running, failed}
    assert await installation.listed("--subject", "two") == {failed}
    assert await installation.listed("--kind", "volume.create") == set()
    assert running[:8] in await installation.pumice("list")


async def test_the_list_is_narrowed_by_names_and_by_time(installation: Installation) -> None:
    await installation.db.write(volume_types.make_default, RULES)
    volume = await installation.db.write(create.accept, TENANT, create.Wanted(size=1, name="mine"), RULES)
    await installation.begin(new_id())
    for word in ("mine", volume.id, volume.id[:8]):
        [one] = json.loads(await installation.pumice("list", "--format", "json", "--subject", word))
        assert (one["subject"], one["subject_name"]) == (volume.id, "mine")
    assert "mine" in await installation.pumice("list", "--since", "1h")
    assert await installation.listed("--since", "2999-01-01") == set()
    assert "no time" in await installation.pumice("list", "--since", "yesterday", code=1)
    assert "Project nobody" in await installation.pumice("list", "--project", "nobody", code=1)
    told = await installation.pumice("list", "--kind", "volume.creat", code=1)
    assert "Did you mean 'volume.create'?" in told


async def test_ids_are_short_until_they_are_asked_for(installation: Installation) -> None:
    operation = await installation.begin(new_id())
    short, wide = await installation.pumice("list"), await installation.pumice("list", "--wide")
    assert operation[:8] in short and operation not in short and operation in wide
    assert operation in await installation.pumice("show", operation[:8])


async def test_stuck_means_that_nobody_brings_it_to_an_end(installation: Installation) -> None:
    long_ago = now() - timedelta(hours=1)
    await installation.begin("fresh")
    await installation.begin("held", created_at=long_ago, lease_until=time.time() + 300)
    lonely = await installation.begin("lonely", created_at=long_ago, place="volume:gone@files")
    late = await installation.begin("late", deadline=1.0)
    assert await installation.listed("--stuck") == {lonely, late}
    told = await installation.pumice("list", "--stuck")
    assert "nobody serves volume:gone@files" in told and "past its deadline" in told


async def test_only_what_has_not_ended_can_be_cancelled(installation: Installation) -> None:
    running = await installation.begin("one")
    done = await installation.begin("two", state="done", settled=True)
    assert "turns back" in await installation.pumice("cancel", running)
    assert (await installation.row(running))["cancelled"]
    assert "nothing to cancel" in await installation.pumice("cancel", done, code=1)
    assert "could not be found" in await installation.pumice("cancel", "nonesuch", code=1)


async def test_one_that_waits_for_its_parts_can_be_cancelled(installation: Installation) -> None:
    whole = await installation.begin("whole", state="waiting", position=0, notes={"parts": ["x"]})
    assert json.loads(await installation.pumice("cancel", whole, "--json")) == {"operation": whole}
    row = await installation.row(whole)
    assert (row["state"], row["cancelled"]) == ("running", True)


async def test_a_beginning_that_fits_several_is_refused(installation: Installation) -> None:
    for id_ in ("aaaa-1", "aaaa-2"):
        await installation.db.write(
            lambda tx, id_: enqueue(tx, PRETEND, Nothing(), subject="one", who=INTERNAL, id=id_), id_
        )
    for verb in ("show", "cancel", "retry"):
        assert "Several operations begin with aaaa" in await installation.pumice(verb, "aaaa", code=1)
        assert "could not be found" in await installation.pumice(verb, "%", code=1)
    assert "aaaa-2" in await installation.pumice("show", "aaaa-2")


@pytest.mark.parametrize("state", ["running", "undoing"])
async def test_one_that_waits_for_its_next_try_is_due_at_once_with_fresh_tries(
    installation: Installation, state: str
) -> None:
    late = time.time() + 3600
    op = await installation.deleting(state=state, run_at=late, tries=7, owner=None, deadline=late)
    assert "is due now" in await installation.pumice("retry", op)
    row = await installation.row(op)
    assert (row["run_at"], row["tries"], row["deadline"]) == (0.0, 0, late)


async def test_one_past_its_deadline_gets_a_new_one(installation: Installation) -> None:
    op = await installation.deleting(run_at=time.time() + 3600, deadline=1.0)
    told = json.loads(await installation.pumice("retry", op, "--json"))
    assert told == {"operation": op, "now": op, "anew": False}
    assert (await installation.row(op))["deadline"] > time.time() + 3000


async def test_a_cleaning_job_keeps_its_ending(installation: Installation) -> None:
    """Its owner was told that it failed: trying the rest of its undo again must not promise anything else."""
    op = await installation.deleting(state="undoing", settled=True, run_at=time.time() + 3600, deadline=1.0)
    await installation.pumice("retry", op)
    row = await installation.row(op)
    assert (row["run_at"], row["deadline"], row["settled"]) == (0.0, 1.0, True)


async def test_what_failed_is_asked_for_again(installation: Installation) -> None:
    op = await installation.deleting(state="failed", settled=True)
    told = json.loads(await installation.pumice("retry", op, "--json"))
    assert told["operation"] == op and told["anew"]
    again = await installation.row(told["now"])
    assert (again["kind"], again["state"], again["project_id"]) == ("volume.delete", "running", "project")
    assert again["request_id"] == "req-test"
    assert (await installation.row(op))["state"] == "failed"
    assert "must be available or error" in await installation.pumice("retry", op, code=1), (
        "it was asked for twice"
    )


async def test_what_cannot_be_tried_again_says_what_to_do(installation: Installation) -> None:
    unknown = await installation.begin("one")
    assert "knows no 'pretend.create'" in await installation.pumice("retry", unknown, code=1)
    cases = {
        "is done": {"state": "done", "settled": True},
        "is being tried right now.": {"lease_until": time.time() + 300, "owner": "here:boot"},
    }
    for said, values in cases.items():
        op = await installation.deleting(**values)
        assert said in await installation.pumice("retry", op, code=1)
    params = {"volume_id": "v", "size": 1, "availability_zone": "nova", "type_id": "t", "origin": "nothing"}
    params |= {"origin_id": None, "origin_pool": None}
    created = await installation.deleting(kind="volume.create", state="failed", settled=True, params=params)
    assert "can only be asked for again by the owner" in await installation.pumice("retry", created, code=1)
    waiting = await installation.deleting(
        kind="volume.delete_with_snapshots",
        state="waiting",
        steps=["wait_for_snapshots"],
        notes={"snapshots": ["one-of-them"]},
    )
    told = await installation.pumice("retry", waiting, code=1)
    assert "try those again" in told and "one-of-them" in told
