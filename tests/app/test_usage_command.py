"""``pumice usage``: GiB-hours by day, project and type, as a table, JSON and CSV."""

import csv
import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.databases import new_sqlite

from pumice.api.own.usage import MOST_DAYS
from pumice.app.settings import Settings
from pumice.app.usage import run
from pumice.identity.bootstrap import bootstrap, hashes
from pumice.model.errors import Invalid, NotFound
from pumice.store import names, tables
from pumice.store.database import Transaction
from pumice.store.sqlite import SqliteDatabase

FIRST, LAST = "2026-11-01", "2026-11-30"
NUMBER = 20_758
"""2026-11-01, in days since the epoch."""
GONE = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    new_sqlite(tmp_path / "pumice.db")
    db = SqliteDatabase(tmp_path / "pumice.db")
    words = hashes({"admin": "secret", "demo": "secret", "pumice": "secret"})

    def furnish(tx: Transaction) -> None:
        bootstrap(tx, words)
        [demo] = names.projects_called(tx, "demo")
        for project, day, resource, hours in (
            (demo, 0, "gigabytes", 100),
            (demo, 0, "gigabytes_fast", 60),
            (demo, 1, "backup_gigabytes", 24),
            (GONE, 1, "gigabytes", 5),
            (demo, 40, "gigabytes", 1),
        ):
            row = {"project_id": project, "resource": resource, "day": NUMBER + day}
            tx.execute(sa.insert(tables.usage_days), {**row, "amount_seconds": hours * 3600.0})

    db.write_now(furnish)
    db.close_now()
    return Settings(state_dir=tmp_path)


def test_what_was_used_is_told_by_day_project_and_type(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    run(settings, FIRST, LAST, None, as_json=True, as_csv=False)
    told = json.loads(capsys.readouterr().out)
    assert [
        (one["day"], one["project_name"], one["kind"], one["volume_type"], one["gib_hours"]) for one in told
    ] == [
        ("2026-11-01", "demo", "volume", None, 40.0),
        ("2026-11-01", "demo", "volume", "fast", 60.0),
        *sorted(
            [("2026-11-02", "demo", "backup", None, 24.0), ("2026-11-02", None, "volume", None, 5.0)],
            key=lambda one: next(it["project_id"] for it in told if it["gib_hours"] == one[-1]),
        ),
    ]
    run(settings, FIRST, LAST, None, as_json=False, as_csv=True)
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [float(row["gib_hours"]) for row in rows] == [one["gib_hours"] for one in told]
    run(settings, FIRST, LAST, None, as_json=False, as_csv=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["day", "project", "kind", "type", "GiB-hours"]
    assert lines[2].split() == ["2026-11-01", "demo", "volume", "fast", "60.000"]
    assert len(lines) == 5


def test_of_one_project_by_its_name_or_by_the_id_of_one_that_is_gone(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    for word, number in (("demo", 3), (GONE, 1), ("admin", 0)):
        run(settings, FIRST, LAST, word, as_json=True, as_csv=False)
        assert len(json.loads(capsys.readouterr().out)) == number
    run(settings, FIRST, LAST, "admin", as_json=False, as_csv=False)
    assert capsys.readouterr().out == "None.\n"
    with pytest.raises(NotFound):
        run(settings, FIRST, LAST, "nobody", as_json=False, as_csv=False)


def test_days_that_are_none_are_refused(settings: Settings) -> None:
    for first, last in (("yesterday", None), (LAST, FIRST), ("1970-01-01", LAST)):
        with pytest.raises(Invalid, match=f"day|{MOST_DAYS}"):
            run(settings, first, last, None, as_json=False, as_csv=False)
