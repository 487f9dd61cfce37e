"""What a person sees: every table on a terminal of eighty columns, no id and no kind folded."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from rich.padding import Padding

from pumice.app.terminal import console, table
from pumice.catalog import volume_types
from pumice.model.ids import ProjectId, UserId
from pumice.model.scope import Scope
from pumice.model.tunables import Tunables
from pumice.store import schema, services
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.services import Heartbeat
from pumice.store.sqlite import SqliteDatabase
from pumice.store.tables import operations, volumes
from pumice.volumes import create

WHO = Scope(UserId("u"), ProjectId("p"), frozenset({"member"}))
WIDTH = 80
LONG = "No backend can take this volume: of the pools that there are, none has so much room."
TABLES = [
    ["operations", "list"],
    ["hosts"],
    ["hosts", "drain", "storage-host-12.rack-3", "--reason", "new disks", "--wait", "0"],
    ["doctor", "--role", "api", "--role", "scheduler"],
    ["settings"],
]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with a long-named host, a volume of it, and an operation that failed at length."""
    schema.upgrade(f"sqlite:///{tmp_path}/pumice.db")
    db = SqliteDatabase(tmp_path / "pumice.db")
    host = "storage-host-12.rack-3"

    def work(tx: Transaction) -> None:
        volume_types.make_default(tx, Tunables())
        heartbeats = [
            Heartbeat("cinder-volume", f"{host}@fast-disks", "nova"),
            Heartbeat("nova-compute", host, "nova"),
        ]
        services.heartbeat(tx, [*heartbeats, Heartbeat("cinder-scheduler", host, "nova")])
        for name in ("a", "a rather long name of a volume of a tenant"):
            made = create.accept(tx, WHO, create.Wanted(size=1, name=name), Tunables())
            where = sa.update(volumes).where(volumes.c.id == made.id)
            tx.execute(where.values(pool=f"{host}@fast-disks#pool", status="available"))
        failed = sa.update(operations).values(state="failed", error=LONG, settled=True, kind="volume.attach")
        tx.execute(failed.values(created_at=now() - timedelta(days=3)))

    db.write_now(work)
    db.close_now()
    return tmp_path


def on_a_terminal(state: Path, *words: str, **environment_too: str) -> list[str]:
    """The lines that the command shows, without colours."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, WIDTH, 0, 0))
    backends = {"PUMICE_BACKENDS": json.dumps({"fake": {"driver": "fake", "target": "fake"}})}
    environment = {**os.environ, **backends, "PUMICE_COMPUTE__DRIVER": "none", "PUMICE_STATE_DIR": str(state)}
    environment |= environment_too
    environment["TERM"] = "xterm"
    for name in ("COLUMNS", "LINES", "NO_COLOR", "PUMICE_DATABASE_URL"):
        environment.pop(name, None)
    argv = [sys.executable, "-m", "pumice", *words]
    with subprocess.Popen(argv, env=environment, stdin=its, stdout=its, stderr=its):
        os.close(its)
        shown = b""
        with suppress(OSError):  # the terminal's end, when nobody has it any more
            while piece := os.read(ours, 65536):
                shown += piece
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).replace("\r", "").splitlines()


@pytest.mark.parametrize("words", TABLES, ids=" ".join)
def test_a_table_fits_and_can_be_read(state: Path, words: list[str]) -> None:
    lines = on_a_terminal(state, *words)
    assert lines and not any("Traceback" in line for line in lines)
    assert max(map(len, lines)) <= WIDTH, lines
    folded = [line for line in lines if re.fullmatch(r"\s*\S{1,6}\s*", line)]
    assert len(folded) <= 4, f"words alone on their lines: {lines}"


def test_bytes_that_nobody_knows_are_told_a_line_each(state: Path) -> None:
    pool = state / "pool"
    pool.mkdir()
    ids = [f"{number}1112222-3333-4444-8555-666677778888" for number in range(3)]
    for known in ids:
        (pool / f"orphan-20260101-volume-{known}").touch()
        os.truncate(pool / f"orphan-20260101-volume-{known}", 2**30)
    backends = json.dumps({"fast-disks": {"driver": "files", "target": "fake", "pools": {"pool": str(pool)}}})
    here = ("--host", "storage-host-12.rack-3")
    take = ("backends", "take", "storage-host-12.rack-3@fast-disks#pool", "--yes")
    on_a_terminal(state, *here, *take, PUMICE_BACKENDS=backends)
    lines = on_a_terminal(state, *here, "orphans", "list", PUMICE_BACKENDS=backends)
    assert max(map(len, lines)) <= WIDTH, lines
    assert [line[:8] for line in lines[1:]] == [known[:8] for known in ids]


def test_what_names_a_thing_is_whole(state: Path) -> None:
    lines = on_a_terminal(state, "operations", "list")
    told = [line for line in lines if line[8:10] == "  " and "volume.attach" in line]
    assert len(told) == 2, lines
    assert LONG in " ".join(" ".join(lines).split()), "why stands below, in one piece"
    hosts = on_a_terminal(state, "hosts")
    assert any(line.startswith("storage-host-12.rack-3 ") for line in hosts), hosts


def test_a_thing_is_asked_for_by_its_name_too(state: Path) -> None:
    said = " ".join(on_a_terminal(state, "why", "a rather long name of a volume of a tenant"))
    assert said.startswith("Volume ") and " is available " in said
    assert "could not be found" in " ".join(on_a_terminal(state, "why", "a rather long name"))


def test_what_is_piped_is_not_filled_up_with_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    out = console()
    shown = table("id", "words")
    shown.add_row("1", "a much longer word")
    shown.add_row("two", "b")
    out.print(shown)
    out.print(Padding("told", (0, 0, 0, 4)))
    lines = capsys.readouterr().out.splitlines()
    assert [line.rstrip() for line in lines] == lines
    assert lines[-1] == "    told"
