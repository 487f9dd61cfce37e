"""``pumice audit --repair`` beside a Pumice that serves, on both databases: says, repairs, finds nothing."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.pumice_installation import VOLUMES, Installation, state_directory

from pumice.model.ids import new_id
from pumice.store.database import Transaction
from pumice.store.open import open_database
from pumice.store.tables import quota_usage, volumes

pytestmark = pytest.mark.timeout(600)
BACKENDS = json.dumps({"files": {"driver": "files", "target": "fake"}})


@pytest.fixture
def pumice(database_url: str) -> Iterator[Installation]:
    url = None if database_url.startswith("sqlite") else database_url
    with state_directory() as state_dir:
        settings = {"PUMICE_BACKENDS": BACKENDS, "PUMICE_COMPUTE__DRIVER": "none"}
        pumice = Installation(state_dir, url, **settings)
        pumice.launch("serve")
        try:
            pumice.log_in()
            pumice.wait(lambda: "cinder-volume" in pumice.services_up(), "its services do not come up")
            yield pumice
        finally:
            pumice.close()


def in_the_database(pumice: Installation, work: Callable[[Transaction], Any]) -> None:
    async def write() -> None:
        db = open_database(pumice.database_url or f"sqlite:///{pumice.state_dir / 'pumice.db'}")
        try:
            await db.write(lambda tx: work(tx) and None)
        finally:
            await db.close()

    asyncio.run(write())


def a_volume(pumice: Installation) -> str:
    volume = str(pumice.call("POST", VOLUMES, {"volume": {"size": 1}})["volume"]["id"])
    pumice.settle()
    return volume


def test_what_was_broken_by_hand_is_said_repaired_and_gone(pumice: Installation) -> None:
    made, doomed = a_volume(pumice), a_volume(pumice)
    assert pumice.command("audit").returncode == 0
    shelf = pumice.state_dir / "volumes" / "files" / "volumes"
    stray: Path = shelf / new_id()
    stray.touch()
    os.truncate(stray, 2**30)
    in_the_database(pumice, lambda tx: tx.execute(sa.update(quota_usage).values(in_use=99)))
    stuck = sa.update(volumes).values(status="deleting", operation_id=new_id()).where(volumes.c.id == doomed)
    in_the_database(pumice, lambda tx: tx.execute(stuck))

    found = pumice.command("audit")
    assert found.returncode == 1
    sentences = [
        "uses 99 gigabytes by count, 2 by its rows",
        f"volume {stray.name} on here@files#pool is unknown: nothing here says whose it is or was",
        f"volume {doomed} is deleting and no operation is at work on it",
    ]
    for sentence in sentences:
        assert sentence in found.stdout
    told = pumice.command("audit", "--json")
    assert (told.returncode, json.loads(told.stdout)) == (
        1,
        {
            "repaired": [],
            "violations": found.stdout.splitlines()[:-1],
            "put_aside": [],
            "not_looked_at": [],
        },
    )
    assert stray.exists(), "an audit only looks"

    repaired = pumice.command("audit", "--repair")
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    for sentence, done in zip(
        sentences, ["counted again", "put aside as orphan-", "it is being deleted again"], strict=True
    ):
        assert f"{sentence}: {done}" in repaired.stdout
    assert not stray.exists()

    pumice.settle()
    told = pumice.command("audit").stdout.splitlines()
    assert f"volume {stray.name} on here@files#pool, as orphan-" in told[0]
    assert told[1:] == ["Everything is as it should be."]
    assert {path.name for path in shelf.iterdir()} == {made}

    listed = pumice.command("orphans", "list").stdout
    assert stray.name[:8] in listed and stray.name not in listed
    assert stray.name in pumice.command("orphans", "list", "--wide").stdout
    [told] = json.loads(pumice.command("orphans", "list", "--json").stdout)
    assert (told["id"], told["kind"], told["bytes"]) == (stray.name, "volume", 2**30)
    adopt = ("orphans", "adopt", stray.name[:8], "--project", "admin")
    assert "'--yes' begins it" in pumice.command(*adopt).stdout
    adopted = pumice.command(*adopt, "--yes").stdout.split()[5]
    pumice.becomes(f"{VOLUMES}/{adopted}", "volume", "available")
    assert pumice.command("audit").stdout == "Everything is as it should be.\n"
    assert pumice.command("orphans", "remove", stray.name, "--yes").returncode == 1


def test_objects_of_a_backup_that_nobody_knows_are_listed_and_go_when_a_person_says_so(
    pumice: Installation, tmp_path: Path
) -> None:
    pumice.environment |= {"PUMICE_BACKUP__DRIVER": "posix", "PUMICE_BACKUP__PATH": str(tmp_path)}
    stray = tmp_path / "x" / f"volume_{new_id()}_20260101000000_backup_{(backup := new_id())}_metadata"
    stray.parent.mkdir()
    stray.write_text("{}")
    [told] = json.loads(pumice.command("orphans", "list", "--json").stdout)
    assert (told["id"], told["kind"]) == (backup, "objects of backup")
    adopt = pumice.command("orphans", "adopt", backup[:8], "--project", "admin")
    assert adopt.returncode == 1 and "backup record import" in adopt.stderr
    assert "'--yes' frees them" in pumice.command("orphans", "remove", backup[:8]).stdout
    assert stray.exists()
    assert pumice.command("orphans", "remove", backup[:8], "--yes").returncode == 0
    assert not stray.exists()
    pumice.environment["PUMICE_BACKUP__PATH"] = str(tmp_path / "absent")
    listed = pumice.command("orphans", "list")
    assert (listed.returncode, listed.stdout) == (0, "None.\n") and "not looked at" in listed.stderr


def test_what_only_a_person_can_mend_is_left_and_said_so(pumice: Installation) -> None:
    lost = a_volume(pumice)
    (pumice.state_dir / "volumes" / "files" / "volumes" / lost).unlink()
    repaired = json.loads(pumice.command("audit", "--repair", "--format", "json").stdout)
    assert repaired["violations"] == [f"volume {lost} has no bytes on here@files"]
    assert repaired["repaired"] == [f"volume {lost} has no bytes on here@files: only a person can repair it"]
    repaired = pumice.command("audit", "--repair")
    assert repaired.returncode == 1
    sentence = f"volume {lost} has no bytes on here@files"
    assert f"{sentence}: only a person can repair it\nleft: {sentence}\n1 violations\n" in repaired.stdout
