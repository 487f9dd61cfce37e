"""``pumice explain volume``: the pool that would be chosen, or what to ask for instead."""

import json
from pathlib import Path

import pytest
from tests.databases import new_sqlite

from pumice.app.explain import Asked, run
from pumice.app.settings import Settings
from pumice.catalog import volume_types
from pumice.model.errors import NotFound
from pumice.model.tunables import Tunables
from pumice.store import pools, services
from pumice.store.database import Transaction
from pumice.store.services import Heartbeat
from pumice.store.sqlite import SqliteDatabase

FACTS = {
    "availability_zone": "nova",
    "thin": False,
    "max_over_subscription_ratio": 1.0,
    "reserved_percentage": 0,
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    new_sqlite(tmp_path / "pumice.db")
    db = SqliteDatabase(tmp_path / "pumice.db")

    def furnish(tx: Transaction) -> None:
        volume_types.make_default(tx, Tunables())
        services.heartbeat(tx, [Heartbeat("cinder-volume", "box@one", "nova")])
        told = {"total_gb": 100.0, "free_gb": 40.0, "capabilities": {}, **FACTS}
        pools.report(tx, {"box@one": [{"name": "box@one#a", **told}]})

    db.write_now(furnish)
    db.close_now()
    return Settings(state_dir=tmp_path)


def test_the_winner_is_printed(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    run(settings, Asked(10, None, None, None, None), as_json=False)
    assert "It would be made in box@one#a." in capsys.readouterr().out


def test_what_does_not_fit_is_told_with_what_would(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    run(settings, Asked(50, None, None, None, None), as_json=False)
    out = capsys.readouterr().out
    assert "40 of 100 GiB are free" in out
    assert "Ask for at most 40 GiB." in out
    run(settings, Asked(50, None, None, None, None), as_json=True)
    assert json.loads(capsys.readouterr().out)["fits"] is False


def test_what_there_is_not_is_told(settings: Settings) -> None:
    for asked in (Asked(1, "none", None, None, None), Asked(1, None, None, "none", None)):
        with pytest.raises(NotFound):
            run(settings, asked, as_json=False)
