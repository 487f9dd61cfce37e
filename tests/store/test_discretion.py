"""No error of a database holds a value of a row: it would be logged, and rows hold secrets."""

import traceback
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from pumice.model.errors import PumiceError
from pumice.store.database import Database, Transaction
from pumice.store.open import open_database
from pumice.store.tables import metadata

SECRET = "Tr0ub4dor-and-3"


@pytest.fixture
async def database(database_url: str) -> Any:
    db = open_database(database_url)
    await db.write(lambda tx: metadata.create_all(tx.connection))
    yield db
    await db.close()


def marked(table: sa.Table) -> dict[str, Any]:
    """A row with the secret in every text."""
    values: dict[type, Any] = {str: SECRET, int: 1, bool: True, datetime: datetime(2026, 1, 1), float: 1.0}
    found: dict[str, Any] = {}
    for column in table.columns:
        try:
            found[column.name] = values.get(column.type.python_type, {"secret": SECRET})
        except NotImplementedError:
            found[column.name] = {"secret": SECRET}
    return found


def wrong(table: sa.Table) -> Iterator[list[tuple[Any, dict[str, Any]]]]:
    """Transactions with the secret that a database refuses: nothing where something must be, the same twice, a
    value of another type, a statement that makes no sense.
    """
    row = marked(table)
    for column in table.columns:
        if not column.nullable:
            yield [(sa.insert(table), {**row, column.name: None})]
        if row[column.name] == SECRET:
            number = sa.cast(sa.bindparam("b_value", type_=sa.String), sa.Integer)
            yield [(sa.update(table).where(number == 1).values({column.name: number}), {"b_value": SECRET})]
            nowhere = sa.column("nowhere")
            yield [(sa.select(table).where(nowhere == sa.bindparam("b_value")), {"b_value": SECRET})]
    yield [(sa.insert(table), row), (sa.insert(table), row)]


async def test_no_error_of_any_statement_repeats_a_value(database: Database) -> None:
    refused = 0
    for table in metadata.tables.values():
        for statements in wrong(table):

            def work(tx: Transaction, statements: Any = statements) -> None:
                for statement, row in statements:
                    tx.execute(statement, row)

            try:
                await database.write(work)
            except (sa.exc.SQLAlchemyError, PumiceError, TypeError) as error:
                refused += 1
                shown = "".join(traceback.format_exception(error))
                assert SECRET not in shown, shown[-3000:]
                assert table.name in shown
    assert refused > 100


async def test_an_error_still_says_what_is_wrong(database: Database) -> None:
    table = metadata.tables["volume_keys"]

    def twice(tx: Transaction) -> None:
        for _ in range(2):
            tx.execute(sa.insert(table), {"id": "one", "passphrase": SECRET})

    with pytest.raises(sa.exc.IntegrityError) as raised:
        await database.write(twice)
    assert "INSERT INTO volume_keys" in str(raised.value)
    assert "volume_keys" in str(raised.value).partition("[SQL")[0], "which constraint it was"
