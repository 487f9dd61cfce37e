"""A list of words in one parameter means what ``IN`` means, whatever is in a word."""

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from pumice.store.any_of import any_of, none_of
from pumice.store.database import Database, Transaction
from pumice.store.open import open_database
from pumice.store.tables import roles

NAMES = (
    "plain",
    "",
    'a "quoted" one',
    "it's",
    "{a,b}",
    "back\\slash",
    "NULL",
    "two\nlines",
    "é",
    "a, b",
    "100 %",
)
_ID = roles.c.id
_NAME = roles.c.name
_some = sa.select(_NAME).where(any_of(_NAME, "names"))
_others = sa.select(_NAME).where(none_of(_NAME, "names"), any_of(_NAME, NAMES))
_rename = sa.update(roles).where(any_of(_NAME, "names")).values(name=_NAME + "!")


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    db = open_database(database_url)
    rows = [{"id": str(number), "name": name, "extra": {}} for number, name in enumerate(NAMES)]
    await db.write(lambda tx: tx.send(sa.insert(roles), rows))
    yield db
    await db.close()


async def test_a_row_is_found_by_its_word_and_by_no_other(db: Database) -> None:
    for names in ([], *([name] for name in NAMES), list(NAMES[2:5]), list(NAMES), ["another"]):
        here = {name for name in NAMES if name in names}

        def look(tx: Transaction, names: list[str] = names) -> tuple[set[str], set[str]]:
            return set(tx.execute(_some, {"names": names}).scalars()), set(
                tx.execute(_others, {"names": names}).scalars()
            )

        assert await db.read(look) == (here, {*NAMES} - here)


async def test_what_is_sent_means_the_same(db: Database) -> None:
    for name in NAMES:
        await db.write(lambda tx, name=name: tx.send(_rename, {"names": [name]}))
    found = await db.read(lambda tx: set(tx.execute(sa.select(_NAME)).scalars()))
    assert found >= {f"{name}!" for name in NAMES}
