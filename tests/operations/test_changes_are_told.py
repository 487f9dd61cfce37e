"""What an operation writes of a thing is told to who waits for it: looked at before and after each commit."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from test_every_verb import SCENARIOS
from tests.databases import new_sqlite

from pumice.operations.harness import perform, trials
from pumice.operations.holds import Thing
from pumice.store import tables
from pumice.store.changes import TOLD, changed
from pumice.store.database import MISSED, Transaction
from pumice.store.sqlite import SqliteDatabase

SHOWN = {**TOLD, tables.server_disks: ("server_id",), tables.operations: ("id",)}
HIDDEN = {"moved_at", "hold", "owner", "lease_until", "attempt", "run_at", "deadline"}
"""Columns that nobody is shown, and when an operation is tried again."""


class Watched(SqliteDatabase):
    """Notes what was written of a thing and not told."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.untold: list[str] = []

    async def write(self, work: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        def watched(tx: Transaction) -> Any:
            before = rows(tx)
            result = work(tx, *args, **kw)
            after, told = rows(tx), set(tx.topics)
            for key in before.keys() | after.keys():
                was, now = before.get(key), after.get(key)
                if (
                    was != now
                    and MISSED not in told
                    and not {*map(changed, shown_in(key[0], was, now))} <= told
                ):
                    columns = [name for name in was or now if not was or not now or was[name] != now[name]]
                    self.untold.append(f"{key[0].name} {key[1]}: {columns} changed, and only {told} was told")
            return result

        return await super().write(watched)


def rows(tx: Transaction) -> dict[tuple[sa.Table, Any], dict[str, Any]]:
    return {
        (table, row[0]): {name: value for name, value in row._mapping.items() if name not in HIDDEN}
        for table in SHOWN
        for row in tx.connection.execute(sa.select(table))
    }


def shown_in(table: sa.Table, was: Any, now: Any) -> set[str]:
    """The ids of what is shown otherwise: of a new row all, of another its own, by which it was shown."""
    names = SHOWN[table] if was is None else SHOWN[table][:1]
    return {value for name in names if (value := (now or was)[name])}


@pytest.mark.parametrize("name", SCENARIOS)
async def test_what_an_operation_changes_is_told(name: str, tmp_path: Path) -> None:
    new_sqlite(tmp_path / "pumice.db")
    db = Watched(tmp_path / "pumice.db")
    trial = next(trials(SCENARIOS[name].verb))
    try:
        await perform(replace(SCENARIOS[name], world=partial(SCENARIOS[name].world, db=db)), trial)
    finally:
        await db.close()
    assert not db.untold, "\n".join(db.untold[:5])


def test_every_thing_is_told() -> None:
    assert {kind.replace(" ", "_") + "s" for kind in Thing} <= {table.name for table in TOLD}
