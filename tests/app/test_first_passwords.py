"""The first users' passwords, also when many processes start at once on one state directory."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml
from tests.patience import patience

from pumice.app import node, passwords
from pumice.app.passwords import clouds_file, first_passwords
from pumice.app.settings import Settings
from pumice.identity import bootstrap
from pumice.identity.clouds import clouds_yaml, write_passwords
from pumice.identity.passwords import hash_now
from pumice.store import users
from pumice.store.database import Database

MANY = 8


def test_processes_that_start_at_once_agree_on_the_passwords(tmp_path: Path) -> None:
    for number in range(20):
        settings = Settings(state_dir=tmp_path / str(number))
        settings.state_dir.mkdir()
        together = threading.Barrier(MANY)

        def start(settings: Settings = settings, together: threading.Barrier = together) -> dict[str, str]:
            together.wait()
            return first_passwords(settings)

        with ThreadPoolExecutor(MANY) as threads:
            found = [one.result() for one in [threads.submit(start) for _ in range(MANY)]]
        assert found == [first_passwords(settings)] * MANY


def test_they_stay_and_a_setting_counts_more(tmp_path: Path) -> None:
    kept = first_passwords(Settings(state_dir=tmp_path))
    given = first_passwords(
        Settings.model_validate({"state_dir": tmp_path, "identity": {"demo_password": "d"}})
    )
    assert given == kept | {"demo": "d"}
    assert first_passwords(Settings(state_dir=tmp_path)) == given


def test_nobody_else_reads_them(tmp_path: Path) -> None:
    first_passwords(Settings(state_dir=tmp_path))
    assert (tmp_path / "passwords.yaml").stat().st_mode & 0o077 == 0


# --- told only while they are true --------------------------------------------------------------


@asynccontextmanager
async def furnished(settings: Settings) -> AsyncIterator[tuple[Database, dict[str, str]]]:
    built = await node.build(settings)
    try:
        yield built.db, built.passwords
    finally:
        await built.db.close()


def in_place(tmp_path: Path, **more: object) -> Settings:
    return Settings.model_validate(
        {"state_dir": tmp_path, "backends": {}, "compute": {"driver": "none"}, "host": "here", **more}
    )


def set_password(settings: Settings, user: str, password: str) -> None:
    command = [sys.executable, "-m", "pumice", "--state-dir", str(settings.state_dir), "passwd", user]
    subprocess.run(command, input=f"{password}\n", text=True, check=True, capture_output=True)


async def test_a_password_that_changes_is_not_told_any_more_by_who_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "NOTED_SECONDS", 0.0)
    settings = in_place(tmp_path)
    told = asyncio.Queue[Mapping[str, str]]()
    async with furnished(settings) as (db, first), asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(passwords.keep_true(db, settings, told.put_nowait))
        row = await db.read(lambda tx: users.named(tx, "admin", domain_id="default"))
        assert row is not None
        async with patience():
            while told.empty():  # it may not look yet
                await db.write(users.update, row["id"], {"password_hash": hash_now("changed elsewhere")})
                await asyncio.sleep(0.1)
        assert await told.get() == {user: first[user] for user in ("demo", "pumice")}
        keeping.cancel()


async def test_a_password_that_was_changed_is_not_told_any_more(tmp_path: Path) -> None:
    settings = in_place(tmp_path)
    async with furnished(settings) as (db, first):
        row = await db.read(lambda tx: users.named(tx, "admin", domain_id="default"))
        assert row is not None
        await db.write(users.update, row["id"], {"password_hash": hash_now("changed by its owner")})
    async with furnished(settings) as (_, then):
        assert then == {user: first[user] for user in ("demo", "pumice")}
        clouds = yaml.safe_load(text := clouds_yaml("http://here", then))["clouds"]
        assert "password" not in clouds["pumice"]["auth"] and first["admin"] not in text
        assert "pumice passwd admin" in text
        assert clouds["pumice-demo"]["auth"]["password"] == first["demo"]


async def test_what_was_right_is_not_checked_again_until_it_or_its_hash_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = list[str]()

    async def matches(password: str, hashed: str | None) -> bool:
        checked.append(password)
        return await right(password, hashed)

    right = passwords.matches
    monkeypatch.setattr(passwords, "matches", matches)
    settings = in_place(tmp_path)
    async with furnished(settings) as (_, first):
        pass
    async with furnished(settings) as (db, then):
        assert then == first and checked == []
        row = await db.read(lambda tx: users.named(tx, "demo", domain_id="default"))
        assert row is not None
        await db.write(users.update, row["id"], {"password_hash": hash_now("another")})
    async with furnished(settings) as (_, then):
        assert then == {user: first[user] for user in ("admin", "pumice")} and checked == [first["demo"]]
    set_password(settings, "demo", "another")
    async with furnished(settings) as (_, then):
        assert then == first | {"demo": "another"}
    assert (tmp_path / "passwords.right").stat().st_mode & 0o777 == 0o600


async def test_a_password_of_the_settings_leaves_nothing_in_the_state_directory(tmp_path: Path) -> None:
    settings = in_place(tmp_path)
    async with furnished(settings) as (_, first):
        pass
    (tmp_path / "passwords.yaml").unlink()
    (tmp_path / "passwords.right").unlink()
    given = in_place(tmp_path, identity={"admin_password": first["admin"]})
    async with furnished(given) as (_, then):
        assert then == {"admin": first["admin"]}
    assert not (tmp_path / "passwords.right").exists()


async def test_a_second_host_invents_none(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    async with furnished(in_place(tmp_path / "one", database_url=url)) as (_, first):
        assert set(first) == {"admin", "demo", "pumice"}
    async with furnished(in_place(tmp_path / "two", database_url=url)) as (_, second):
        assert second == {}
    assert not (tmp_path / "two" / "passwords.yaml").exists()


async def test_of_two_hosts_that_start_at_once_one_keeps_what_is_true_and_the_other_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    async with furnished(in_place(tmp_path / "one", database_url=url)) as (_, first):
        pass
    monkeypatch.setattr(bootstrap, "is_needed", lambda _: True)  # the other looked a moment before
    async with furnished(in_place(tmp_path / "two", database_url=url)) as (_, second):
        assert second == {}
    assert yaml.safe_load((tmp_path / "one" / "passwords.yaml").read_text()) == first
    assert yaml.safe_load((tmp_path / "two" / "passwords.yaml").read_text()) == {}


async def test_a_lost_password_is_set_anew_and_told(tmp_path: Path) -> None:
    settings = in_place(tmp_path)
    async with furnished(settings) as (_, first):
        write_passwords(clouds_file(settings), clouds_yaml("http://here", first))
    set_password(settings, "admin", "a new one")
    async with furnished(settings) as (_, then):
        assert then == first | {"admin": "a new one"}
    clouds = yaml.safe_load(clouds_file(settings).read_text())["clouds"]
    assert clouds["pumice"]["auth"]["password"] == clouds["pumice-system"]["auth"]["password"] == "a new one"
    assert clouds["pumice-demo"]["auth"]["password"] == first["demo"]
