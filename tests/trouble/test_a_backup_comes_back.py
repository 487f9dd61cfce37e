"""A database is restored from a backup, and what came since is kept: the real bytes of real processes."""

import contextlib
import json
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE

from pumice_installation import SNAPSHOTS, VOLUMES, Installation, state_directory

NEWER = b"written after the backup"
POINTS = {
    "create": "volume.create/do/make_bytes/after=stop",
    "revert": "volume.revert/do/restore_bytes/before=stop",
    "delete": "volume.delete/do/delete_bytes/before=stop",
}


@pytest.fixture
def pumice() -> Iterator[Installation]:
    with state_directory() as state:
        backend = {"driver": "files", "target": "fake"}
        settings = {"PUMICE_COMPUTE__DRIVER": "fake", "PUMICE_BACKENDS": json.dumps({"files": backend})}
        pumice = Installation(state, **settings)
        try:
            pumice.launch("serve")
            pumice.log_in()
            pumice.wait(lambda: pumice.is_up("serve"), "its services are not up")
            yield pumice
        finally:
            pumice.close()


def make(pumice: Installation, path: str, kind: str, **asked: Any) -> str:
    made = pumice.call("POST", path, {kind: asked})[kind]["id"]
    pumice.becomes(f"{path}/{made}", kind, "available")
    return str(made)


def bytes_of(pumice: Installation, volume: str) -> Path:
    return next(pumice.state_dir.rglob(f"*{volume}*"))


def write(pumice: Installation, volume: str) -> None:
    with bytes_of(pumice, volume).open("r+b") as file:
        file.write(NEWER)


def read(pumice: Installation, volume: str) -> bytes:
    with bytes_of(pumice, volume).open("rb") as file:
        return file.read(len(NEWER))


def backed_up_at(pumice: Installation, point: str) -> None:
    """Start again with a process that stops at a point; from then on ``resume`` can be called."""
    pumice.stop("serve")
    pumice.launch("serve", PUMICE_FAULT=point)
    pumice.log_in()
    pumice.wait(lambda: pumice.is_up("serve"), "its services are not up")


def back_up_and_go_on(pumice: Installation) -> None:
    """Once it has stopped there: copy the database, and let it go on until its worker has heard of its end."""
    process = pumice.processes["serve"].pid
    stat = Path(f"/proc/{process}/stat")
    pumice.wait(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "it does not come to the step")
    with (
        contextlib.closing(sqlite3.connect(pumice.state_dir / "pumice.db")) as source,
        contextlib.closing(sqlite3.connect(pumice.state_dir / "backup.db")) as copy,
    ):
        source.backup(copy)
    ended = pumice.log("serve").count("operation.ended")
    pumice.processes["serve"].send_signal(signal.SIGCONT)
    pumice.wait(lambda: pumice.log("serve").count("operation.ended") > ended, "it does not go on")


def restore(pumice: Installation) -> None:
    """Kill it, have the backup for its database, and wait until what was under way then has ended."""
    pumice.kill("serve")
    for suffix in ("-wal", "-shm"):
        (pumice.state_dir / f"pumice.db{suffix}").unlink(missing_ok=True)
    (pumice.state_dir / "backup.db").rename(pumice.state_dir / "pumice.db")
    assert pumice.under_way()
    pumice.launch("serve")
    pumice.settle()


def test_a_revert_does_not_write_over_what_came_since(pumice: Installation) -> None:
    volume = make(pumice, VOLUMES, "volume", size=1)
    snapshot = make(pumice, SNAPSHOTS, "snapshot", volume_id=volume)
    backed_up_at(pumice, POINTS["revert"])
    pumice.call("POST", f"{VOLUMES}/{volume}/action", {"revert": {"snapshot_id": snapshot}})
    back_up_and_go_on(pumice)
    pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    write(pumice, volume)

    restore(pumice)

    pumice.log_in()
    pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    assert read(pumice, volume) == NEWER
    told = pumice.call("GET", "/volume/v3/messages")["messages"]
    assert any("restored from a backup" in message["user_message"] for message in told), told


def test_a_volume_that_was_being_made_keeps_what_was_written_to_it(pumice: Installation) -> None:
    backed_up_at(pumice, POINTS["create"])
    volume = pumice.call("POST", VOLUMES, {"volume": {"size": 1}})["volume"]["id"]
    back_up_and_go_on(pumice)
    pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    write(pumice, volume)

    restore(pumice)

    pumice.log_in()
    assert pumice.status(f"{VOLUMES}/{volume}", "volume") == "error"
    assert read(pumice, volume) == NEWER
    reset = {"os-reset_status": {"status": "available"}}
    pumice.call("POST", f"{VOLUMES}/{volume}/action", reset)
    give_up = time.monotonic() + PATIENCE
    while (found := pumice.violations()) and time.monotonic() < give_up:
        time.sleep(0.5)
    assert not found
    pumice.call("DELETE", f"{VOLUMES}/{volume}")
    pumice.becomes(f"{VOLUMES}/{volume}", "volume", "gone")


def test_what_was_deleted_since_is_in_error_and_told(pumice: Installation) -> None:
    volume = make(pumice, VOLUMES, "volume", size=1)
    backed_up_at(pumice, POINTS["delete"])
    pumice.call("DELETE", f"{VOLUMES}/{volume}")
    back_up_and_go_on(pumice)
    pumice.becomes(f"{VOLUMES}/{volume}", "volume", "gone")

    restore(pumice)

    pumice.log_in()
    assert pumice.status(f"{VOLUMES}/{volume}", "volume") == "error_deleting"
    pumice.call("DELETE", f"{VOLUMES}/{volume}")
    pumice.becomes(f"{VOLUMES}/{volume}", "volume", "gone")
