"""``pumice hosts``: it tells first, and forgets only what is down and when it is told to."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from pumice.app.cli import app
from pumice.app.node import build
from pumice.app.settings import Settings
from pumice.catalog import volume_types
from pumice.model.errors import Conflict, Invalid, Misconfigured, NotFound
from pumice.model.ids import ProjectId, UserId
from pumice.model.scope import Scope
from pumice.model.tunables import Tunables
from pumice.store import hosts, schema, services
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.open import open_database
from pumice.store.services import Heartbeat
from pumice.store.tables import operations, volumes
from pumice.store.tables import services as service_rows
from pumice.volumes import create
from pumice_installation import VOLUMES, Installation, state_directory

ADMIN = Scope(UserId("u"), ProjectId("p"), frozenset({"admin"}))


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database in which host ``old`` has been silent for an hour, and ``new`` is up."""
    url = f"sqlite:///{tmp_path / 'pumice.db'}"
    schema.upgrade(url)

    def work(tx: Transaction) -> None:
        heartbeats = [Heartbeat("nova-compute", host, "nova") for host in ("old", "new")]
        services.heartbeat(tx, [*heartbeats, Heartbeat("cinder-volume", "old@files", "nova")])
        silent = sa.update(service_rows).where(service_rows.c.host.startswith("old"))
        tx.execute(silent.values(updated_at=now() - timedelta(hours=1)))

    written(url, work)
    return url


def written(url: str, work: Callable[[Transaction], Any]) -> Any:
    async def write() -> Any:
        db = open_database(url)
        try:
            return await db.write(work)
        finally:
            await db.close()

    return asyncio.run(write())


def said(url: str, *words: str, code: int = 0) -> str:
    environment = {"PUMICE_DATABASE_URL": url, "SUDO_USER": "ann"}
    result = CliRunner().invoke(app, ["hosts", *words], env=environment)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def test_every_host_is_listed(url: str) -> None:
    assert [line.split()[:2] for line in said(url).splitlines()[1:]] == [["new", "up"], ["old", "down"]]
    new, old = json.loads(said(url, "--json"))
    assert (new["name"], old["name"], old["state"]) == ("new", "old", "down")
    assert [row["host"] for row in old["services"]] == ["old@files", "old"]
    written(url, lambda tx: hosts.force_down(tx, "nova-compute", "old", True))
    assert "forced down" in said(url)


def lives(tx: Transaction, pool: str) -> str:
    """A volume in a pool, with an operation under way that holds it; the operation's id."""
    tunables = Tunables()
    volume_types.make_default(tx, tunables)
    made = create.accept(tx, ADMIN, create.Wanted(size=1, name="left"), tunables)
    place = {"pool": pool, "status": "available"}
    tx.execute(sa.update(volumes).where(volumes.c.id == made.id).values(place))
    assert made.operation_id is not None
    return made.operation_id


def test_what_is_drained_is_given_nothing_new_and_tells_what_remains(url: str) -> None:
    operation = written(url, lambda tx: lives(tx, "old@files#pool"))
    told = said(url, "drain", "old@files", "--reason", "new disks", "--wait", "0", code=1)
    assert "1 volume.create" in told and "left" in told and "available" in told
    assert "given nothing new" in told
    row = written(url, lambda tx: services.every(tx, host="old@files"))[0]
    assert (row["disabled"], row["disabled_reason"]) == (True, "new disks")
    assert row["disabled_by"] == "ann (pumice hosts drain)"
    assert "disabled by ann" in said(url)
    assert not written(url, lambda tx: services.every(tx, host="old"))[0]["disabled"], "the backend alone"
    ended = sa.update(operations).where(operations.c.id == operation).values(state="done", settled=True)
    written(url, lambda tx: tx.execute(ended))
    found = json.loads(said(url, "drain", "old", "--reason", "away", "--json"))
    assert (found["under_way"], [thing["kind"] for thing in found["left"]]) == ({}, ["volume"])
    assert all(row["disabled"] for row in written(url, services.every) if row["host"].startswith("old"))
    assert "new is empty" in said(url, "drain", "new", "--reason", "away")
    assert "nova-compute old" in said(url, "resume", "old")
    assert not any(row["disabled"] for row in written(url, services.every) if row["host"].startswith("old"))
    with pytest.raises(NotFound):
        said(url, "drain", "none", "--reason", "away")
    with pytest.raises(Invalid, match="255"):
        said(url, "drain", "new", "--reason", "a" * 256)


def test_it_is_told_first_and_done_with_yes(url: str) -> None:
    told = said(url, "forget", "old")
    assert "fenced" in told
    assert "2 services" in told
    assert "forgotten" not in said(url)
    said(url, "forget", "old", "--yes")
    assert "forgotten" in said(url)
    said(url, "readmit", "old")
    assert "old" not in said(url)
    with pytest.raises(NotFound):
        said(url, "readmit", "old")


def test_a_host_that_is_up_is_not_forgotten_nor_one_that_nobody_knows(url: str) -> None:
    for words in (["forget", "new"], ["forget", "new", "--yes"]):
        with pytest.raises(Conflict, match="stop it, or wait"):
            said(url, *words)
    with pytest.raises(NotFound, match="Host other"):
        said(url, "forget", "other", "--yes")


async def test_a_forgotten_host_does_not_start(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'pumice.db'}"
    db = open_database(url)
    await schema.migrate(db)
    await db.write(hosts.forget, "old")
    await db.close()
    fakes = {"files": {"driver": "fake", "target": "fake"}}
    settings = Settings(host="old", state_dir=tmp_path, backends=fakes, compute={"driver": "fake"})  # type: ignore[arg-type]
    with pytest.raises(Misconfigured, match=r"Host 'old' was forgotten on .* another name"):
        await build(settings)


@pytest.mark.real
@pytest.mark.timeout(600)
def test_a_backend_alone_is_taken_away_as_the_page_says(tmp_path: Path) -> None:
    backends = {it: {"pools": {"pool": str(tmp_path / it)}, "target": "fake"} for it in ("keeps", "goes")}
    with state_directory() as state:
        settings = {"PUMICE_COMPUTE__DRIVER": "none", "PUMICE_BACKENDS": json.dumps(backends)}
        pumice = Installation(state, **settings)
        try:
            start(pumice, "here@keeps", "here@goes")
            kept = created(pumice, 4)
            drained = pumice.command("hosts", "drain", "here@goes", "--reason", "new disks").stdout
            there = [volume for volume, backend in kept.items() if backend == "here@goes"]
            assert there and all(volume[:8] in drained for volume in there)
            assert set(created(pumice, 4).values()) == {"here@keeps"}
            for volume in there:
                pumice.call("DELETE", f"{VOLUMES}/{volume}")
            assert "here@goes is empty" in pumice.command("hosts", "drain", "here@goes", "--reason", "-").stdout

            assert pumice.stop("serve") == 0
            del backends["goes"]
            pumice.environment["PUMICE_BACKENDS"] = json.dumps(backends)
            start(pumice, "here@keeps")
            assert hosts_that_are(pumice, "down") == ["here@goes"]
            assert set(created(pumice, 2).values()) == {"here@keeps"}
            assert pumice.violations() == []
        finally:
            pumice.close()


def start(pumice: Installation, *backends: str) -> None:
    pumice.launch("serve")
    pumice.log_in()
    pumice.wait(lambda: {*backends} <= {*hosts_that_are(pumice, "up")}, "its backends do not come up")


def hosts_that_are(pumice: Installation, state: str) -> list[str]:
    services = pumice.call("GET", "/volume/v3/os-services?binary=cinder-volume")["services"]
    return [it["host"] for it in services if it["state"] == state]


def created(pumice: Installation, number: int) -> dict[str, str]:
    """New volumes, and the backend of each."""
    made = [pumice.call("POST", VOLUMES, {"volume": {"size": 1}})["volume"]["id"] for _ in range(number)]
    for volume in made:
        pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    hosts = {it: pumice.call("GET", f"{VOLUMES}/{it}")["volume"]["os-vol-host-attr:host"] for it in made}
    return {volume: pool.partition("#")[0] for volume, pool in hosts.items()}
