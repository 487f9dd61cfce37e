"""Pages of a long list: each row once, and the same work wherever a page begins."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from pumice.model.ids import ProjectId, UserId, VolumeId
from pumice.model.scope import Scope
from pumice.model.states import VolumeStatus
from pumice.model.volume import Volume
from pumice.store import volumes
from pumice.store.database import Transaction
from pumice.store.sqlite import SqliteDatabase
from pumice.store.tables import metadata

NUMBER = 2000
WHO = Scope(UserId("user"), ProjectId("project"), frozenset({"member"}))
ORDERS = [(name, ascending) for name in ("created_at", "name", "size") for ascending in (True, False)]


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteDatabase]:
    database = SqliteDatabase(Path(tmp_path_factory.mktemp("paging")) / "pumice.db")

    def fill(tx: Transaction) -> None:
        metadata.create_all(tx.connection)
        for number in range(NUMBER):
            volumes.insert(tx, volume(number))

    database.write_now(fill)
    yield database
    database.close_now()


def volume(number: int) -> Volume:
    return Volume(
        id=VolumeId(str(UUID(int=number * 7919 % NUMBER))),
        project_id=ProjectId("project"),
        user_id=UserId("user"),
        name=None if number % 3 else f"name {number % 50}",
        description=None,
        size=number % 5 + 1,
        status=VolumeStatus.AVAILABLE,
        type_id=None,
        availability_zone="nova",
        pool=None,
        snapshot_id=None,
        source_volid=None,
        bootable=False,
        multiattach=False,
        read_only=False,
        metadata={},
        image_metadata=None,
        encryption_key_id=None,
        operation_id=None,
        created_at=datetime(2026, 1, 1) + timedelta(seconds=number // 10),
        updated_at=None,
    )


def page(tx: Transaction, order: tuple[str, bool], marker: str | None, limit: int) -> list[str]:
    return [one.id for one in volumes.page(tx, WHO, limit=limit, marker=marker, sort=[order])]


@pytest.mark.parametrize("order", ORDERS)
def test_page_after_page_shows_each_row_once_in_the_order_of_one_long_page(
    db: SqliteDatabase, order: tuple[str, bool]
) -> None:
    found: list[str] = []
    while ids := db.read_now(page, order, found[-1] if found else None, 300):
        found += ids
    assert found == db.read_now(page, order, None, NUMBER)


@pytest.mark.parametrize("ascending", [True, False])
def test_a_page_costs_the_same_wherever_it_begins(db: SqliteDatabase, ascending: bool) -> None:
    ids = db.read_now(page, ("created_at", ascending), None, NUMBER)

    def steps(tx: Transaction, marker: str | None) -> int:
        """Instructions of SQLite's machine that a page takes."""
        counted = [0]

        def count() -> int:
            counted[0] += 1
            return 0

        connection = tx.connection.connection.dbapi_connection
        assert connection is not None
        connection.set_progress_handler(count, 1)
        try:
            page(tx, ("created_at", ascending), marker, 20)
        finally:
            connection.set_progress_handler(None, 1)
        return counted[0]

    first, last = (db.read_now(steps, marker) for marker in (ids[0], ids[-30]))
    assert last < first * 1.5
