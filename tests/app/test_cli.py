"""The command ``pumice``: run as a program, on a database of its own."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from pumice.model.scope import HOUSE
from pumice.operations.operation import Operation, Params, Step, Verb, enqueue, scheduler
from pumice.store import operations as log
from pumice.store import schema
from pumice.store.columns import now
from pumice.store.database import SqliteDatabase, Transaction, open_database
from pumice.store.tables import operations


def pumice(state: Path, *words: str, code: int = 0, **environment: str) -> str:
    """What the command prints, on either stream."""
    done = subprocess.run(
        [sys.executable, "-m", "pumice", "--state-dir", str(state), *words],
        capture_output=True,
        text=True,
        cwd=state,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@dataclass(frozen=True, slots=True)
class Nothing(Params):
    """A verb's parameters."""


def make_bytes(_tx: Transaction, _op: Operation[Nothing]) -> None:
    """A step."""


PRETEND = Verb("pretend.create", Nothing, (Step(make_bytes, scheduler),), failed=lambda _tx, _op, _why: None)  # type: ignore[arg-type]


@pytest.fixture
def db(tmp_path: Path) -> SqliteDatabase:
    url = f"sqlite:///{tmp_path / 'pumice.db'}"
    schema.upgrade(url)
    return open_database(url)


def begin(db: SqliteDatabase, subject: str, **values: object) -> str:
    """An operation in the log, with two lines."""

    def work(tx: Transaction) -> str:
        op = enqueue(tx, PRETEND, Nothing(), subject=subject, who=HOUSE)
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
        tx.execute(sa.update(operations).where(operations.c.id == op.id).values({"attempt": 0} | values))
        return op.id

    return db.write_now(work)


def test_the_version_needs_next_to_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['pumice', 'version']\n"
        "import atexit; atexit.register(lambda: print(*sorted(m for m in sys.modules if '.' not in m)))\n"
        "from pumice.app.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, modules = done.stdout.splitlines()
    assert first.startswith("pumice ")
    assert not {"sqlalchemy", "pydantic_settings", "uvicorn", "alembic", "oslo_policy", "structlog"} & set(
        modules.split()
    )


def test_an_operation_is_told_step_by_step(db: SqliteDatabase, tmp_path: Path) -> None:
    id_ = begin(db, "a-volume", state="failed", error="The disk [is] full.")
    told = pumice(tmp_path, "operations", "show", id_[:8])
    assert "pretend.create" in told and "The disk [is] full." in told
    assert told.index("tgtd [went] away") < told.rindex("done")
    assert "0.250" in told and "volume:here@files" in told


def test_an_operation_is_there_for_programs_too(db: SqliteDatabase, tmp_path: Path) -> None:
    id_ = begin(db, "a-volume")
    told = json.loads(pumice(tmp_path, "operations", "show", id_, "--json"))
    assert told["id"] == id_
    assert [line["outcome"] for line in told["lines"]] == ["retry", "done"]


def test_the_list_is_narrowed_by_state_kind_and_subject(db: SqliteDatabase, tmp_path: Path) -> None:
    running, failed = begin(db, "one"), begin(db, "two", state="failed", settled=True, error="no")

    def listed(*words: str) -> set[str]:
        return {one["id"] for one in json.loads(pumice(tmp_path, "operations", "list", "--json", *words))}

    assert listed() == {running, failed}
    assert listed("--running") == {running}
    assert listed("--failed") == {failed}
    assert listed("--subject", "two") == {failed}
    assert listed("--kind", "volume.create") == set()
    assert running in pumice(tmp_path, "operations", "list")


def test_stuck_means_that_nobody_brings_it_to_an_end(db: SqliteDatabase, tmp_path: Path) -> None:
    begin(db, "fresh")
    begin(db, "held", created_at=now() - timedelta(hours=1), lease_until=time.time() + 30)
    lonely = begin(db, "lonely", created_at=now() - timedelta(hours=1), place="volume:gone@files")
    late = begin(db, "late", deadline=1.0)
    listed = json.loads(pumice(tmp_path, "operations", "list", "--stuck", "--json"))
    assert {one["id"] for one in listed} == {lonely, late}
    told = pumice(tmp_path, "operations", "list", "--stuck")
    assert "nobody serves volume:gone@files" in told and "past its deadline" in told


def test_only_what_has_not_ended_can_be_cancelled(db: SqliteDatabase, tmp_path: Path) -> None:
    running, done = begin(db, "one"), begin(db, "two", state="done", settled=True)
    assert "turns back" in pumice(tmp_path, "operations", "cancel", running)
    row = db.read_now(log.get, running)
    assert row is not None and row["cancelled"]
    assert "nothing to cancel" in pumice(tmp_path, "operations", "cancel", done, code=1)
    assert "could not be found" in pumice(tmp_path, "operations", "cancel", "nonesuch", code=1)


def test_looking_makes_no_database(tmp_path: Path) -> None:
    assert "pumice db upgrade" in pumice(tmp_path, "operations", "list", code=1)
    assert list(tmp_path.iterdir()) == []
    assert "came from an empty database" in pumice(tmp_path, "db", "upgrade")
    assert "was there already" in pumice(tmp_path, "db", "upgrade")
    assert "None." in pumice(tmp_path, "operations", "list")


def test_each_setting_says_where_it_came_from_and_no_secret_is_shown(tmp_path: Path) -> None:
    (tmp_path / "pumice.toml").write_text(
        '[api]\nhost = "127.0.0.2"\nport = 1\n[identity]\nadmin_password = "hush"\n[quotas]\nvolumes = 3\n'
    )
    told = pumice(tmp_path, "settings", "--json", PUMICE_API__PORT="2")
    found = {one["name"]: (one["value"], one["source"]) for one in json.loads(told)}
    assert found["state_dir"] == (str(tmp_path), "flag")
    assert found["api.port"] == ("2", "environment")
    assert found["api.host"] == ("127.0.0.2", "pumice.toml")
    assert found["quotas.volumes"] == ("3", "pumice.toml")
    assert found["api.max_limit"] == ("1000", "default")
    assert "hush" not in told
    assert all(one["meaning"] for one in json.loads(told)), "a setting without a description"


def test_settings_that_make_no_sense_are_told_in_one_sentence(tmp_path: Path) -> None:
    told = pumice(tmp_path, "settings", code=1, PUMICE_API__PORT="many")
    assert told.startswith("pumice: The settings do not make sense: api.port:")
    assert told.count("\n") == 1
