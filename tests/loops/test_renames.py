"""After a rename no row has the old name, and what was under way goes on under the new one."""

from typing import Any

import pytest
import sqlalchemy as sa
from fake_world import HOST, TENANT, FakeWorld, fake_world

from pumice.model.errors import Conflict
from pumice.model.ids import new_id
from pumice.operations.harness import quiet, working
from pumice.operations.state_machine import no_faults
from pumice.servers import attach_volume
from pumice.store import hanging, renames, tables
from pumice.store.database import Transaction
from pumice.volumes import create, delete
from pumice.volumes.snapshots import create as create_snapshot

HISTORY = {"operation_lines", "messages"}
"""Tables that tell of what was."""
SAID_ANEW = {"owner", "facts", "error"}
"""Columns that the next process of the host writes."""


async def names(world: FakeWorld) -> set[tuple[str, str, str]]:
    """Where a row names a host or what lies in it: table, column and text."""

    def read(tx: Transaction) -> set[tuple[str, str, str]]:
        found = set()
        for table in tables.metadata.sorted_tables:
            if table.name not in HISTORY:
                for row in tx.execute(sa.select(table)).mappings():
                    found |= {
                        (table.name, name, text)
                        for name, value in row.items()
                        if name not in SAID_ANEW
                        for text in _texts(value)
                        if text in ("here", "new") or "here@" in text or "new@" in text or ":here" in text
                    }
        return found

    return await world.db.read(read)


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in _texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    return [value] if isinstance(value, str) else []


async def busy(world: FakeWorld) -> None:
    """A server with a disk, a snapshot, something deleted, and operations under way."""
    async with working(world, "at-work", no_faults):
        server, second = await world.a_server(await world.a_volume()), await world.a_volume()
        await world.db.write(attach_volume.accept, TENANT, server, second)
        gone, free = await world.a_volume(), await world.a_volume()
        await world.db.write(delete.accept, TENANT, gone)
        wanted = {
            "name": None,
            "description": None,
            "metadata": {},
            "in_use": False,
            "tunables": world.tunables,
        }
        await world.db.write(lambda tx: create_snapshot.accept(tx, TENANT, free, **wanted) and None)
        await quiet(world)
    await world.db.write(create.accept, TENANT, create.Wanted(size=1, source_volid=free), world.tunables)
    await world.db.write(delete.accept, TENANT, await _lonely(world))


async def _lonely(world: FakeWorld) -> str:
    async with working(world, "at-work", no_faults):
        return await world.a_volume()


@pytest.mark.parametrize(
    ("old", "new"), [(HOST, "new"), (f"{HOST}@one", f"{HOST}@new"), (f"{HOST}@two", "new@two")]
)
async def test_no_row_has_the_old_name_any_more_and_twice_is_once(old: str, new: str) -> None:
    async with fake_world() as world:
        await busy(world)
        before = await names(world)
        assert [text for _, _, text in before if text.startswith(old) or f":{old}" in text]
        changed = await world.db.write(renames.rename, old, new)
        assert changed["operations"]
        after = await names(world)
        assert not [it for it in after if it[2] == old or f"{old}@" in it[2] or f"{old}#" in it[2]]
        assert await world.db.write(renames.rename, old, new) == {}
        assert await names(world) == after
        await world.db.write(renames.rename, new, old)
        assert await names(world) == before


async def test_what_a_process_of_the_old_name_held_and_what_hung_in_it_has_ended() -> None:
    async with fake_world() as world:
        await busy(world)

        def hang(tx: Transaction) -> None:
            o = tables.operations
            held = sa.update(o).where(o.c.state == "running").values(owner=f"{HOST}:1", lease_until=1e12)
            assert tx.execute(held).rowcount
            call = {"subject": None, "operation_id": None, "pool": None, "seconds": 9.0}
            hanging.add(tx, new_id(), f"{HOST}:1", f"volume:{HOST}@one", "delete", **call)

        def left(tx: Transaction) -> list[object]:
            o = tables.operations.c
            held = tx.execute(sa.select(o.id).where(o.owner.is_not(None))).scalars().all()
            return [*held, *hanging.every(tx)]

        await world.db.write(hang)
        await world.db.write(renames.rename, HOST, "new")
        assert await world.db.read(left) == []


async def test_two_hosts_with_things_of_their_own_are_not_made_one() -> None:
    async with fake_world() as world:
        await busy(world)
        with pytest.raises(Conflict):
            await world.db.write(renames.rename, f"{HOST}@one", f"{HOST}@two")


async def test_a_name_that_only_begins_alike_is_another() -> None:
    async with fake_world() as world:
        await busy(world)
        before = await names(world)
        assert await world.db.write(renames.rename, HOST[:-1], "new") == {}
        assert await names(world) == before


async def test_what_is_torn_is_left_as_it_is_while_its_place_is_renamed() -> None:
    torn = f'{{"pool": "{HOST}@one#one", "volu'

    def tear(tx: Transaction) -> None:
        words = sa.text("UPDATE operations SET params = :text, notes = :text WHERE state = 'running'")
        assert tx.execute(words, {"text": torn}).rowcount

    def read(tx: Transaction) -> list[tuple[str, str, str]]:
        words = "SELECT place, params, notes FROM operations WHERE state = 'running'"
        return [tuple(row) for row in tx.execute(sa.text(words))]

    async with fake_world() as world:
        await busy(world)
        await world.db.write(tear)
        places = {place for place, *_ in await world.db.read(read)}
        assert any(f"{HOST}@" in place for place in places)
        await world.db.write(renames.rename, HOST, "new")
        for place, *said in await world.db.read(read):
            assert HOST not in place
            assert said == [torn, torn]
