"""Usage is what quota was, times how long: for any changes at any times, over midnights and set clocks."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from pumice.store import adding_up, clock, quotas, tables
from pumice.store.database import Database
from pumice.store.open import open_database

DAY = 86_400
NOON = 20_000 * DAY + DAY / 2
LATE = 120.0
"""Seconds by which a sum may be off here: the clock goes on while the statements run."""


@pytest.fixture(autouse=True)
def the_time() -> Iterator[None]:
    yield
    clock.CLOCK.__init__()  # type: ignore[misc]


def it_is(at: float) -> None:
    clock.CLOCK.set(at, time.monotonic())


async def change(db: Database, project: str, amounts: dict[str, int]) -> None:
    await db.write(quotas.take, project, {}, amounts)


async def used(db: Database, project: str | None, first: float, last: float) -> dict[Any, float]:
    return await db.read(adding_up.of_days, project, int(first // DAY), int(last // DAY))


async def test_any_changes_at_any_times_are_added_up_by_days(database_url: str) -> None:
    db = open_database(database_url)
    try:
        for seed in range(3):
            chance, project = random.Random(seed), f"project-{seed}"
            model: Counter[tuple[str, int, str]] = Counter()
            in_use, at = Counter[str](), NOON
            for _ in range(40):
                it_is(at)
                name = chance.choice(["gigabytes_fast", "gigabytes_slow"])
                amount = chance.choice([1, 5, 20, -in_use[name]])
                if amount:
                    await change(db, project, {name: amount, "gigabytes": amount})
                    in_use.update({name: amount, "gigabytes": amount})
                following = at + chance.choice([60, 3600, DAY / 2, DAY, 3.3 * DAY])
                while at < following:
                    until = min(following, (at // DAY + 1) * DAY)
                    model.update({(project, int(at // DAY), it): n * (until - at) for it, n in in_use.items()})
                    at = until
            it_is(at)
            found = await used(db, project, NOON, at)
            assert {key for key, amount in model.items() if amount} <= found.keys()
            for key, amount in found.items():
                assert abs(amount - model[key]) <= LATE * max(in_use.total(), 100), key
    finally:
        await db.close()


async def test_a_clock_that_is_put_back_adds_nothing_twice(database_url: str) -> None:
    db = open_database(database_url)
    try:
        it_is(NOON)
        await change(db, "p", {"gigabytes": 10})
        it_is(NOON + 7200)
        await change(db, "p", {"gigabytes": 0})
        it_is(NOON + 3600)
        await change(db, "p", {"gigabytes": 0})
        it_is(NOON + 7200)
        await change(db, "p", {"gigabytes": 0})
        [amount] = (await used(db, "p", NOON, NOON)).values()
        assert amount == pytest.approx(10 * 7200, abs=10 * 30)
    finally:
        await db.close()


async def test_what_was_used_of_a_type_that_is_gone_is_remembered(database_url: str) -> None:
    db = open_database(database_url)
    try:
        it_is(NOON)
        await change(db, "p", {"gigabytes_old": 3})
        it_is(NOON + DAY)
        await change(db, "p", {"gigabytes_old": -3})
        await db.write(quotas.forget_type, "old")
        it_is(NOON + DAY + 60)
        await change(db, "p", {"gigabytes_old": 1})
        it_is(NOON + 3 * DAY)
        await change(db, "p", {"gigabytes_old": 1})
        found = await used(db, "p", NOON, NOON + 3 * DAY)
        by_day = [found["p", int(NOON // DAY) + day, "gigabytes_old"] / 3600 for day in range(3)]
        assert by_day == pytest.approx([36, 36 + 12, 24], abs=1)
    finally:
        await db.close()


async def test_what_an_older_version_added_counts_from_the_next_change(database_url: str) -> None:
    db = open_database(database_url)
    try:
        row = {"project_id": "p", "resource": "gigabytes", "in_use": 5}
        await db.write(lambda tx: tx.execute(sa.insert(tables.quota_usage), row) and None)
        it_is(NOON)
        assert await used(db, None, 0, NOON) == {}
        await change(db, "p", {"gigabytes": 1})
        it_is(NOON + 3600)
        assert (await used(db, None, 0, NOON))["p", int(NOON // DAY), "gigabytes"] == pytest.approx(
            6 * 3600, abs=200
        )
        it_is(NOON + (adding_up.KEEP_DAYS + 2) * DAY)
        await change(db, "p", {"gigabytes": -6})
        await db.write(adding_up.expire)
        assert len(await used(db, None, 0, NOON + 10_000 * DAY)) <= adding_up.KEEP_DAYS + 1
    finally:
        await db.close()
