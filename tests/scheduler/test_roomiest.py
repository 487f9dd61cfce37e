"""The roomiest pools, found by the database: the same choice as among all, without reading all."""

import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import sqlalchemy as sa
from pools import a_pool, a_request

from pumice.model.errors import NoValidBackend
from pumice.model.tunables import Tunables
from pumice.model.volume import Pool
from pumice.scheduler.choose import choose
from pumice.scheduler.weighers import order
from pumice.store import pools, schema, services
from pumice.store.database import Database, Transaction
from pumice.store.open import open_database
from pumice.volumes.create import choose_pool

RULES = Tunables()
BACKENDS = 40


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    db = open_database(database_url)
    await schema.migrate(db)
    yield db
    await db.close()


def facts(pool: Pool) -> dict[str, Any]:
    kept = ("name", "availability_zone", "total_gb", "free_gb", "thin", "max_over_subscription_ratio")
    return {name: getattr(pool, name) for name in (*kept, "reserved_percentage", "capabilities")}


def tell(tx: Transaction, told: list[Pool]) -> None:
    """Every backend is alive, and says this of its pools; what is claimed of them is claimed."""
    hosts = sorted({pool.host for pool in told})
    for host in hosts:
        services.heartbeat(tx, [services.Heartbeat(pools.VOLUME_BINARY, host, "nova", {})])
        pools.report(tx, {host: [facts(pool) for pool in told if pool.host == host]})
    for pool in told:
        for number in range(pool.volumes):
            size = pool.claimed_gb if number == 0 else 0
            pools.claim(tx, pool.name, f"{pool.name}-{number}", size)


def any_pool(chance: random.Random, number: int) -> Pool:
    """One of few kinds, so that many are equal."""
    return a_pool(
        f"here@{number % BACKENDS}#{number}",
        total_gb=chance.choice([0.0, 10.0, 100.0, 1e9]),
        free_gb=chance.choice([0.0, 7.5, 100.0]),
        claimed_gb=chance.choice([0, 3, 50]),
        volumes=chance.choice([1, 2]),
        thin=chance.choice([True, False]),
        max_over_subscription_ratio=chance.choice([0.5, 1.0, 20.0]),
        reserved_percentage=chance.choice([0, 10, 100]),
        availability_zone=chance.choice(["nova", "east"]),
        capabilities={"media": chance.choice(["ssd", "hdd"])},
    )


def outcome(choice: Callable[[], Pool]) -> str:
    """The name of the pool, or why there is none."""
    try:
        return choice().name
    except NoValidBackend as none:
        return none.detail


async def test_the_choice_among_the_roomiest_is_the_choice_among_all(db: Database) -> None:
    chance = random.Random(7)
    told = [any_pool(chance, number) for number in range(300)]
    await db.write(tell, told)

    def same(tx: Transaction) -> None:
        alive = pools.alive(tx, 60)
        assert {(it.name, it.claimed_gb, it.volumes) for it in alive} == {
            (it.name, it.claimed_gb, it.volumes) for it in told
        }
        for zone in ("nova", "east"):
            here = [pool for pool in alive if pool.availability_zone == zone]
            first = pools.roomiest(tx, 60, zone=zone)
            assert [it.name for it in first] == [it.name for it in order(here, a_request(), RULES)][
                : pools.ROOMIEST
            ]
            for size in (1, 80):
                for specs in ({}, {"media": "ssd"}):
                    request = a_request(size, availability_zone=zone, extra_specs=specs)
                    assert choose_pool(tx, request, RULES) == choose(alive, request, RULES)
        for host in ("here@0", "here@7"):
            asked = a_request(availability_zone="nova", only_host=host)
            among_few = outcome(lambda asked=asked: choose_pool(tx, asked, RULES))
            assert among_few == outcome(lambda asked=asked: choose(alive, asked, RULES))

    await db.write(same)


async def test_the_roomiest_of_many_pools_are_read_by_an_index(db: Database) -> None:
    told = [a_pool(f"here@{number % BACKENDS}#{number}", total_gb=float(number)) for number in range(2000)]
    await db.write(tell, told)

    def plan(tx: Transaction) -> str:
        tx.execute(sa.text("ANALYZE"))
        seen: list[tuple[str, Any]] = []

        def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
            seen.append((statement, parameters))

        sa.event.listen(tx.connection, "before_cursor_execute", note)
        assert len(pools.roomiest(tx, 60, zone="nova")) == pools.ROOMIEST
        sa.event.remove(tx.connection, "before_cursor_execute", note)
        explain = "EXPLAIN" if tx.connection.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
        [(statement, parameters)] = seen
        return str(tx.connection.exec_driver_sql(f"{explain} {statement}", parameters).all())

    assert "ix_pools_roomiest" in await db.write(plan)
