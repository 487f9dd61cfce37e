"""Tokens: whom they stand for, and when they stop doing so."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.patience import patience

from pumice.identity.bootstrap import bootstrap, hashes
from pumice.identity.scopes import Asked, Kind, Reference
from pumice.identity.tokens import LocalTokens
from pumice.model.errors import Unauthenticated
from pumice.store import projects, roles, tables, users
from pumice.store.database import Transaction
from pumice.store.sqlite import SqliteDatabase

DEMO = Reference(name="demo", domain_id="default")
IN_DEMO = Asked(Kind.PROJECT, Reference(name="demo", domain_name="Default"))
UNSCOPED = Asked(Kind.UNSCOPED)


@pytest.fixture(scope="module")
def password_hashes() -> dict[str, str]:
    return hashes({"admin": "secret-a", "demo": "secret-d", "pumice": "secret-p"})


@pytest.fixture
async def db(tmp_path: Path, password_hashes: dict[str, str]) -> AsyncIterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "pumice.db")
    await database.write(lambda tx: tables.metadata.create_all(tx.connection))
    await database.write(bootstrap, password_hashes)
    yield database
    await database.close()


@pytest.fixture
def tokens(db: SqliteDatabase) -> LocalTokens:
    return LocalTokens(db)


def user_id(tx: Transaction, name: str) -> str:
    row = users.named(tx, name, domain_id="default")
    assert row
    return str(row["id"])


async def test_bootstrap_can_be_run_again_and_keeps_passwords(db: SqliteDatabase, tokens: LocalTokens) -> None:
    await db.write(bootstrap, hashes({"demo": "another"}))
    assert len(await db.read(users.matching, {})) == 3
    assert len(await db.read(roles.assignments, "user", {})) == 6
    await tokens.by_password(DEMO, "secret-d", IN_DEMO)


async def test_a_project_token_carries_roles_with_those_they_imply(tokens: LocalTokens) -> None:
    token, said = await tokens.by_password(DEMO, "secret-d", IN_DEMO)
    who = await tokens.scope_of(token)
    assert who == said.scope
    assert (who.user_name, who.project_name, who.roles) == ("demo", "demo", {"member", "reader"})
    admin = Reference(name="admin", domain_name="Default")
    _, of_system = await tokens.by_password(admin, "secret-a", Asked(Kind.SYSTEM))
    assert of_system.scope.system
    assert of_system.scope.roles == {"admin", "manager", "member", "reader"}


@pytest.mark.parametrize(
    ("user", "password", "asked"),
    [
        (DEMO, "wrong", UNSCOPED),
        (DEMO, "", UNSCOPED),
        (Reference(name="nobody", domain_id="default"), "secret-d", UNSCOPED),
        (Reference(name="demo", domain_id="elsewhere"), "secret-d", UNSCOPED),
        (DEMO, "secret-d", Asked(Kind.PROJECT, Reference(name="admin", domain_id="default"))),
        (DEMO, "secret-d", Asked(Kind.PROJECT, Reference(id="none"))),
        (DEMO, "secret-d", Asked(Kind.DOMAIN, Reference(id="default"))),
        (DEMO, "secret-d", Asked(Kind.SYSTEM)),
    ],
)
async def test_every_refusal_says_the_same(
    tokens: LocalTokens, user: Reference, password: str, asked: Asked
) -> None:
    with pytest.raises(Unauthenticated, match=r"^The request you have made requires authentication\.$"):
        await tokens.by_password(user, password, asked)


async def test_an_unknown_user_costs_as_much_work_as_a_wrong_password(tokens: LocalTokens) -> None:
    async def work(user: Reference) -> float:
        """CPU seconds of this process: a busy machine does not change them much."""
        start = time.process_time()
        with pytest.raises(Unauthenticated):
            await tokens.by_password(user, "wrong", UNSCOPED)
        return time.process_time() - start

    known = min([await work(DEMO) for _ in range(5)])
    unknown = min([await work(Reference(name="nobody", domain_id="default")) for _ in range(5)])
    assert known / 3 < unknown < known * 3


async def test_a_remembered_token_asks_the_database_nothing(db: SqliteDatabase) -> None:
    tokens = LocalTokens(db)
    token, _ = await tokens.by_password(DEMO, "secret-d", IN_DEMO)
    first = await tokens.scope_of(token)
    await db.close()
    assert await tokens.scope_of(token) is first


async def test_a_revoked_token_is_refused_at_once_with_those_got_by_it(tokens: LocalTokens) -> None:
    token, _ = await tokens.by_password(DEMO, "secret-d", UNSCOPED)
    derived, _ = await tokens.by_token(token, IN_DEMO)
    other, _ = await tokens.by_password(DEMO, "secret-d", IN_DEMO)
    for shown in (token, derived, other):
        await tokens.scope_of(shown)
    await tokens.revoke(token)
    for shown in (token, derived):
        with pytest.raises(Unauthenticated):
            await tokens.scope_of(shown)
    await tokens.scope_of(other)


async def test_an_expired_token_is_refused_even_while_it_is_remembered(db: SqliteDatabase) -> None:
    tokens = LocalTokens(db, lifetime=2.0, remember=3600)
    token, said = await tokens.by_password(DEMO, "secret-d", IN_DEMO)
    await tokens.scope_of(token)
    left = said.expires_at - said.issued_at
    assert left.total_seconds() == pytest.approx(2.0)
    async with patience():
        with contextlib.suppress(Unauthenticated):
            while await tokens.scope_of(token):
                await asyncio.sleep(0.05)


async def test_another_scope_never_makes_a_token_last_longer(tokens: LocalTokens) -> None:
    token, first = await tokens.by_password(DEMO, "secret-d", UNSCOPED)
    second_token, second = await tokens.by_token(token, IN_DEMO)
    _, third = await tokens.by_token(second_token, UNSCOPED)
    assert second.expires_at == third.expires_at == first.expires_at
    assert second.methods == third.methods == ("password", "token")
    assert second.audit_ids[1] == third.audit_ids[1] == first.audit_ids[0]
    assert not third.scoped


async def test_what_is_taken_from_a_user_is_gone_from_the_token_at_once(
    db: SqliteDatabase, tokens: LocalTokens
) -> None:
    token, said = await tokens.by_password(DEMO, "secret-d", IN_DEMO)
    assert said.project
    demo, target = said.user.id, ("project", said.project.id)
    role_ids = {role.name: role.id for role in said.roles}
    await db.write(roles.take, ("user", demo), role_ids["member"], target)
    assert (await tokens.scope_of(token)).roles == {"reader"}
    await db.write(roles.take, ("user", demo), role_ids["reader"], target)
    with pytest.raises(Unauthenticated):
        await tokens.scope_of(token)


@pytest.mark.parametrize("table", [users, projects])
async def test_the_token_of_what_was_disabled_is_refused(
    db: SqliteDatabase, tokens: LocalTokens, table: object
) -> None:
    token, said = await tokens.by_password(DEMO, "secret-d", IN_DEMO)
    assert said.project
    which = said.user.id if table is users else said.project.id
    await db.write(table.update, which, {"enabled": False})  # type: ignore[attr-defined]
    with pytest.raises(Unauthenticated):
        await tokens.scope_of(token)
    with pytest.raises(Unauthenticated):
        await tokens.by_password(DEMO, "secret-d", IN_DEMO)


async def test_without_a_scope_a_login_goes_to_the_default_project_if_it_may(
    db: SqliteDatabase, tokens: LocalTokens
) -> None:
    _, said = await tokens.by_password(DEMO, "secret-d", IN_DEMO)
    assert said.project
    for project_id, lands_in in ((said.project.id, said.project.id), ("gone", None)):
        await db.write(users.update, said.user.id, {"default_project_id": project_id})
        _, by_default = await tokens.by_password(DEMO, "secret-d", Asked())
        assert by_default.scope.project_id == lands_in
        _, unscoped = await tokens.by_password(DEMO, "secret-d", UNSCOPED)
        assert not unscoped.scoped


async def test_neither_passwords_nor_tokens_are_in_the_database(
    db: SqliteDatabase, tokens: LocalTokens
) -> None:
    token, _ = await tokens.by_password(DEMO, "secret-d", IN_DEMO)
    with sqlite3.connect(db.path) as connection:
        dump = "\n".join(connection.iterdump())
    connection.close()
    assert "argon2id" in dump
    assert "secret-" not in dump
    assert token not in dump
