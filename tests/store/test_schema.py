"""The schema's versions: equal to the tables, made once, and free where nothing is to be done."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine

from postgres_server import PostgresServer
from pumice.model.errors import Misconfigured
from pumice.store import schema, tables
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.open import open_database
from pumice.store.tables import metadata


def _definitions(path: Path) -> dict[str, str]:
    """Each table's and index's CREATE statement."""
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").all()
    engine.dispose()
    return dict(rows)


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
async def test_the_migrated_schema_is_the_one_in_the_tables(database_url: str) -> None:
    def comparable(_: object, name: str | None, *_more: object) -> bool:
        # An index of an expression comes back in the database's own words; a test asks whether it is used.
        return name not in ("ix_pools_roomiest", "ix_operations_lanes")

    def differences(tx: Transaction) -> list[object]:
        opts = {"compare_server_default": True, "include_object": comparable}
        context = MigrationContext.configure(tx.connection, opts=opts)
        return list(compare_metadata(context, metadata))

    db = open_database(database_url)
    try:
        await schema.migrate(db)
        assert await db.read(differences) == [], "write a migration: see ARCHITECTURE.md, Where to add"
    finally:
        await db.close()


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == schema.HEAD


def test_a_second_upgrade_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'pumice.db'}"
    assert schema.upgrade(url) is None
    before = _definitions(tmp_path / "pumice.db")
    assert schema.upgrade(url) == schema.HEAD
    assert _definitions(tmp_path / "pumice.db") == before


def test_two_upgrades_at_once_make_one_schema(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'pumice.db'}"
    found: list[str | None] = []
    threads = [threading.Thread(target=lambda: found.append(schema.upgrade(url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found, key=str) == [schema.HEAD] * 3 + [None]


def test_the_database_of_a_newer_pumice_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'pumice.db'}"
    schema.upgrade(url)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    with pytest.raises(Misconfigured, match="9999"):
        schema.upgrade(url)


def test_a_current_database_is_opened_without_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'pumice.db'}"
    schema.upgrade(url)
    code = (
        "import sys; from pumice.store import schema; found = schema.upgrade(sys.argv[1]); "
        "print(found, 'alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [schema.HEAD, "False"]


def test_what_was_claimed_before_there_were_claims_has_its_rows_and_a_pool_is_counted_by_them(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path / 'pumice.db'}"
    engine = sa.create_engine(url)
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0008")
        pool = {"name": "h@b#p", "host": "h@b", "availability_zone": "nova", "claimed_gb": 99, "volumes": 7}
        pool |= {"total_gb": 1, "free_gb": 1, "thin": True, "max_over_subscription_ratio": 1}
        pool |= {"reserved_percentage": 0, "capabilities": {}, "updated_at": now()}
        connection.execute(tables.pools.insert(), pool)
        volume = {"project_id": "p", "user_id": "u", "status": "available", "availability_zone": "nova"}
        volume |= {"bootable": False, "multiattach": False, "read_only": False, "metadata": {}}
        volume |= {"created_at": now()}
        for name, size, place in (("one", 2, "h@b#p"), ("two", 3, "h@b#p"), ("none", 5, None)):
            connection.execute(tables.volumes.insert(), volume | {"id": name, "size": size, "pool": place})
    schema.upgrade(url)
    with engine.connect() as connection:
        claims = connection.execute(sa.select(tables.claims).order_by(tables.claims.c.holder)).all()
        assert claims == [("h@b#p", "one", 2, 1), ("h@b#p", "two", 3, 1)]
        counted = sa.select(tables.pools.c.claimed_gb, tables.pools.c.volumes)
        assert connection.execute(counted).one() == (5, 2)
    engine.dispose()


def _shape(url: str) -> dict[str, dict[str, bool]]:
    """Each table's columns: whether one may be left out by who knows nothing of it."""
    engine = sa.create_engine(url)
    look = sa.inspect(engine)
    shape = {
        name: {it["name"]: it["nullable"] or it["default"] is not None for it in look.get_columns(name)}
        for name in look.get_table_names()
    }
    engine.dispose()
    return shape


def test_the_version_before_can_live_with_what_a_migration_adds(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'pumice.db'}"
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    engine = sa.create_engine(url)
    before: dict[str, dict[str, bool]] = {}
    for step in schema.pending(None):
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, step.version)
        now_ = _shape(url)
        if not step.takes_away:
            for name, columns in before.items():
                assert columns.items() <= now_[name].items(), f"{step.version} changes {name}"
                added = now_[name].keys() - columns
                assert all(now_[name][it] for it in added), f"{step.version}: {added} need a default"
        before = now_
    engine.dispose()


@pytest.mark.real
async def test_an_upgrade_builds_its_indexes_beside_who_writes(postgres: PostgresServer) -> None:
    """Also where another upgrade was killed while it built one."""
    postgres.sql("CREATE DATABASE older TEMPLATE template1", "template1")
    url = postgres.url("older")
    engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"))
    db = open_database(url)
    write = "SET lock_timeout = '10s'; UPDATE volumes SET size = 1; UPDATE operations SET tries = 1"
    unfinished = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade_to, "0014")
            await connection.commit()
            for statement in (
                "CREATE INDEX ix_volumes_status ON volumes (status)",
                "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_volumes_status'::regclass",
            ):
                postgres.sql(statement, "older")
            assert postgres.sql(invalid, "older") == "1"
            for table in ("operations", "volumes"):
                await connection.exec_driver_sql(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE")
            upgrading = asyncio.create_task(schema.migrate(db))
            while postgres.sql(unfinished, "older") == "0":
                await asyncio.sleep(0.01)
            postgres.sql(write, "older")
            await connection.commit()
        assert await upgrading == "0014"
        assert postgres.sql(invalid, "older") == "0"
    finally:
        await db.close()
        await engine.dispose()
        postgres.sql("DROP DATABASE older WITH (FORCE)", "template1")


def _upgrade_to(connection: sa.Connection, version: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, version)
