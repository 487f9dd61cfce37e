"""What a constraint refuses: a name that is taken is told as taken, and nothing else is."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from pumice.model.errors import Conflict
from pumice.store import domains, users
from pumice.store.database import Database
from pumice.store.open import open_database

DOMAIN = {"id": "d", "name": "d", "description": "", "enabled": True, "extra": {}}
USER = {"id": "u", "domain_id": "d", "name": "eve", "enabled": True, "extra": {}}


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    db = open_database(database_url)
    await db.write(domains.insert, DOMAIN)
    await db.write(users.insert, USER)
    yield db
    await db.close()


@pytest.mark.parametrize("taken", [{"id": "v"}, {"name": "other"}])
async def test_a_name_or_an_id_that_another_has_is_told_as_taken(db: Database, taken: dict[str, Any]) -> None:
    with pytest.raises(Conflict, match="exists already in this domain"):
        await db.write(users.insert, USER | taken)


@pytest.mark.parametrize("wrong", [{"domain_id": "just deleted"}, {"extra": sa.null()}])
async def test_what_else_a_constraint_refuses_is_not(db: Database, wrong: dict[str, Any]) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        await db.write(users.insert, USER | {"id": "v", "name": "other"} | wrong)
