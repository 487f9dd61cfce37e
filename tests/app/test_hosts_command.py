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
from pumice.app.house import build
from pumice.app.settings import Settings
from pumice.model.errors import Conflict, Misconfigured, NotFound
from pumice.store import hosts, schema, services
from pumice.store.columns import now
from pumice.store.database import Transaction, open_database
from pumice.store.services import Beat
from pumice.store.tables import services as service_rows


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database in which host ``old`` has been silent for an hour, and ``new`` is up."""
    url = f"sqlite:///{tmp_path / 'pumice.db'}"
    schema.upgrade(url)

    def work(tx: Transaction) -> None:
        beats = [Beat("nova-compute", host, "nova") for host in ("old", "new")]
        services.heartbeat(tx, [*beats, Beat("cinder-volume", "old@files", "nova")])
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


def said(url: str, *words: str) -> str:
    result = CliRunner().invoke(app, ["hosts", *words], env={"PUMICE_DATABASE_URL": url})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_every_host_is_listed(url: str) -> None:
    assert [line.split()[:2] for line in said(url).splitlines()[1:]] == [["new", "up"], ["old", "down"]]
    new, old = json.loads(said(url, "--json"))
    assert (new["name"], old["name"], old["state"]) == ("new", "old", "down")
    assert [row["host"] for row in old["services"]] == ["old@files", "old"]
    written(url, lambda tx: hosts.force_down(tx, "nova-compute", "old", True))
    assert "forced down" in said(url)


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
