"""What is claimed next, and what a look tells of what waits, on both databases."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from math import inf
from typing import Any

import pytest
import sqlalchemy as sa

from pumice.model.ids import new_id
from pumice.store.database import Database, Transaction
from pumice.store.open import open_database
from pumice.store.tables import operations
from pumice.store.work_queue import MOST_LANES, Asked, Outlook, claim, claim_shares, look, release

PLACE, OTHER = "volume:here@one", "volume:here@two"
NOW, LEASE = 1000.0, 30.0
BEGAN = datetime(2026, 1, 1)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    db = open_database(database_url)
    yield db
    await db.close()


def waiting(name: str, second: int, **changes: Any) -> dict[str, Any]:
    """An operation that was accepted in that second."""
    words = {"kind": "make", "subject": new_id(), "project_id": "tenant", "place": PLACE, "state": "running"}
    numbers = {"position": 0, "tries": 0, "attempt": 0, "run_at": 0.0, "deadline": 1e9}
    rest = {"params": {}, "notes": {}, "steps": [], "settled": False, "cancelled": False}
    row = {"id": name, "created_at": BEGAN + timedelta(seconds=second), **words, **numbers, **rest}
    return row | {"owner": None, "lease_until": None} | changes


async def add(db: Database, *rows: dict[str, Any]) -> None:
    def work(tx: Transaction) -> None:
        tx.execute(sa.insert(operations), list(rows))

    await db.write(work)


async def take(db: Database, most: int = 8, **asked: Any) -> tuple[list[str], Outlook]:
    who = Asked(**{"places": [PLACE], "owner": "here:1", **asked})
    rows, left = await db.write(claim, who, NOW, LEASE, most)
    return sorted(row["id"] for row in rows), left


def outlook(tx: Transaction, asked: Asked, at: float) -> Outlook:
    seen = look(tx, asked, at)
    return seen.outlook(asked.owner, seen.is_runnable)


async def test_the_oldest_comes_first_whoever_it_is_of_and_whether_it_was_tried_before(db: Database) -> None:
    await add(
        db,
        waiting("a", 5),
        waiting("b", 1, project_id="guest"),
        waiting("c", 3, run_at=NOW - 1, project_id="guest"),
        waiting("d", 4, project_id=None),
        waiting("e", 2, kind="grow"),
        waiting("f", 0, run_at=NOW + 1),
    )
    assert (await take(db, 3))[0] == ["b", "c", "e"]
    assert (await take(db, 3))[0] == ["a", "d"]


async def test_who_has_little_in_hand_comes_before_who_is_older(db: Database) -> None:
    await add(
        db,
        *(waiting(f"flood {number}", number) for number in range(20)),
        waiting("other kind", 30, kind="grow"),
        waiting("other project", 40, project_id="guest"),
    )
    assert (await take(db, 1, busy=["tenant"], busy_kinds=["make"]))[0] == ["other project"]
    assert (await take(db, 1, busy=["tenant"], busy_kinds=["make"]))[0] == ["other kind"]
    assert (await take(db, 1, busy=["tenant"], busy_kinds=["make"]))[0] == ["flood 0"]


async def test_what_is_not_wanted_stays_and_is_told_to_be_there(db: Database) -> None:
    await add(db, waiting("a", 1), waiting("b", 2, project_id="guest"), waiting("c", 3, kind="grow"))
    assert await take(db, kinds=["make"]) == (["c"], Outlook(0.0, []))
    assert await take(db, projects=["tenant"]) == (["b"], Outlook(0.0, []))
    assert await take(db, in_hand=["a"]) == ([], Outlook(NOW + LEASE, []))


async def test_a_look_tells_when_there_is_something_next_and_who_has_the_rest(db: Database) -> None:
    assert await db.read(outlook, Asked([PLACE, OTHER], "here:1"), NOW) == Outlook(inf, [])
    await add(
        db,
        waiting("a", 1, run_at=NOW + 7),
        waiting("b", 1, owner="there:1", lease_until=NOW + 9),
        waiting("c", 1, state="waiting"),
        waiting("d", 1, place="volume:there@one"),
    )
    assert await db.read(outlook, Asked([PLACE, OTHER], "here:1"), NOW) == Outlook(NOW + 7, ["there:1"])
    await add(db, waiting("e", 1, place=OTHER))
    assert (await db.read(outlook, Asked([PLACE, OTHER], "here:1"), NOW)).soonest <= NOW
    assert (await db.read(outlook, Asked([PLACE], "here:1"), NOW)).soonest == NOW + 7


async def test_what_was_seen_and_has_been_taken_since_is_not_taken_again(db: Database) -> None:
    await add(db, waiting("a", 1), waiting("b", 2))
    late, early = Asked([PLACE], "late:1"), Asked([PLACE], "early:1")
    seen = await db.read(look, late, NOW)
    assert (await take(db, 1, owner=early.owner))[0] == ["a"]
    rows, _ = await db.write(claim_shares, [(late, 8)], seen, late.owner, NOW, LEASE)
    assert [row["id"] for row in rows] == ["b"]


async def test_many_who_claim_at_once_never_have_one_twice(database_url: str) -> None:
    """Each looks first and claims then, row by row: what others take or give back meanwhile is judged anew."""
    dbs = [open_database(database_url) for _ in range(3 if "postgres" in database_url else 1)]
    await add(dbs[0], *(waiting(f"{number:03}", number) for number in range(60)))
    taken, given_back = list[tuple[str, int]](), set[str]()

    async def work(db: Database, who: str) -> None:
        asked = Asked([PLACE], who)
        while True:
            seen = await db.read(look, asked, NOW)
            if not seen.is_runnable:
                return
            rows, _ = await db.write(claim_shares, [(asked, 3)], seen, who, NOW, LEASE)
            for row in rows:
                taken.append((row["id"], row["attempt"]))
                if row["id"] not in given_back and int(row["id"]) % 3 == 0:
                    given_back.add(row["id"])
                    await db.write(release, row["id"], row["attempt"], 0.0)

    await asyncio.gather(*(work(db, f"{number}:{who}") for number, db in enumerate(dbs) for who in range(5)))
    for db in dbs:
        await db.close()
    wanted = [(f"{number:03}", 1) for number in range(60)]
    wanted += [(f"{number:03}", 3) for number in range(0, 60, 3)]  # to be given back counts as well
    assert sorted(taken) == sorted(wanted)


async def test_a_lease_that_is_over_is_taken_over(db: Database) -> None:
    await add(db, waiting("a", 1, owner="there:1", lease_until=NOW - 1, attempt=1))
    assert await take(db) == (["a"], Outlook(inf, []))


async def test_whoever_takes_less_than_it_asked_for_has_all(db: Database) -> None:
    await add(db, waiting("a", 1), waiting("b", 2), waiting("c", 3, project_id="guest"))
    assert await take(db, 2) == (["a", "b"], Outlook(0.0, []))
    assert await take(db, 2) == (["c"], Outlook(NOW + LEASE, []))


async def test_more_projects_than_a_look_sees_all_have_their_turn(db: Database) -> None:
    number = MOST_LANES + 10
    await add(db, *(waiting(f"{each}", each, project_id=new_id()) for each in range(number)))
    taken: list[str] = []
    while len(taken) < number:  # a look that begins behind the last of them sees none
        taken += (await take(db, in_hand=taken))[0]
    assert len({*taken}) == number


async def test_a_project_beyond_those_that_a_look_sees_first_does_not_wait_for_them(db: Database) -> None:
    first = (waiting(f"{each}", 0, project_id=f"0{each:03}", run_at=NOW + 1) for each in range(MOST_LANES))
    await add(db, *first, waiting("last", 0, project_id="f000"))
    while not (taken := (await take(db))[0]):
        pass
    assert taken == ["last"]
