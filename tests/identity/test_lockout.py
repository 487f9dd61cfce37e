"""Lock-out: too many wrong passwords in a row refuse the right one too, for a while, for that user alone."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pumice.identity import lockout
from pumice.identity import users as verbs
from pumice.identity.bootstrap import bootstrap, hashes
from pumice.identity.scopes import Asked, Kind, Reference
from pumice.identity.tokens import LocalTokens
from pumice.model.errors import Unauthenticated
from pumice.store import schema, users
from pumice.store.database import Transaction
from pumice.store.open import open_database

ANY = Asked(Kind.UNSCOPED)
HASHES = hashes({"admin": "right", "demo": "right", "pumice": "right"})


def named(name: str) -> Reference:
    return Reference(name=name, domain_id="default")


def user_id(tx: Transaction, name: str) -> str:
    row = users.named(tx, name, domain_id="default")
    assert row
    return str(row["id"])


@pytest.fixture
async def tokens(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[LocalTokens]:
    monkeypatch.setattr(lockout, "attempts", 3)
    db = open_database(database_url)
    await schema.migrate(db)
    await db.write(bootstrap, HASHES)
    yield LocalTokens(db)
    await db.close()


async def tried(tokens: LocalTokens, *passwords: str, user: str = "demo") -> list[bool]:
    """Which of them let the user in."""
    found = []
    for password in passwords:
        try:
            await tokens.by_password(named(user), password, ANY)
            found.append(True)
        except Unauthenticated:
            found.append(False)
    return found


async def test_after_so_many_wrong_ones_the_right_one_is_refused_as_well(tokens: LocalTokens) -> None:
    assert await tried(tokens, "wrong", "wrong", "right", "wrong", "wrong", "right") == [
        *(False, False, True, False, False, True)  # a right one begins the count anew
    ]
    assert await tried(tokens, "wrong", "wrong", "wrong", "right", "right") == [False] * 5
    assert await tried(tokens, "right", user="admin") == [True], "nobody else is locked out"
    assert await tried(tokens, *["wrong"] * 4, user="nobody") == [False] * 4


async def test_it_ends_after_a_while_and_with_a_new_password(
    tokens: LocalTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tried(tokens, *["wrong"] * 3)
    with monkeypatch.context() as later:
        later.setattr(lockout, "seconds", 0.05)
        await asyncio.sleep(0.1)
        assert await tried(tokens, "wrong", "right") == [False, True], "the count begins anew, too"
    await tried(tokens, *["wrong"] * 3)
    demo = await tokens._db.read(user_id, "demo")
    await tokens._db.write(verbs.change, demo, {"password_hash": HASHES["demo"]}, {})
    assert await tried(tokens, "right") == [True]


async def test_a_user_may_be_exempt_and_nobody_is_unless_it_is_set(
    tokens: LocalTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo = await tokens._db.read(user_id, "demo")
    exempt = {"options": {"ignore_lockout_failure_attempts": True}}
    await tokens._db.write(verbs.change, demo, {}, exempt)
    assert await tried(tokens, *["wrong"] * 4, "right") == [False] * 4 + [True]
    monkeypatch.setattr(lockout, "attempts", None)
    assert await tried(tokens, *["wrong"] * 4, "right", user="admin") == [False] * 4 + [True]


async def test_attempts_at_once_count_as_much(tokens: LocalTokens) -> None:
    await asyncio.gather(*(tried(tokens, "wrong") for _ in range(6)))
    assert await tried(tokens, "right") == [False]
