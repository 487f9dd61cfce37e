"""Usage as it is counted, and as the rows say."""

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from fake_world import TENANT, FakeWorld, fake_world

from pumice.catalog import volume_types
from pumice.operations.harness import working
from pumice.operations.state_machine import no_faults
from pumice.store import quotas, tables
from pumice.store.database import Transaction


@pytest.fixture
async def world() -> AsyncIterator[FakeWorld]:
    async with fake_world() as world, working(world, "boot", no_faults):
        yield world


async def test_a_volume_that_changes_its_type_is_counted_once_under_each_and_in_the_totals(
    world: FakeWorld,
) -> None:
    kinds = {}
    for name in ("slow", "fast"):
        kinds[name] = await world.db.write(
            lambda tx, name=name: volume_types.create(tx, name, None, is_public=True, extra_specs={})
        )
    volume_id = await world.a_volume(size=4, volume_type="slow")

    def change_type(tx: Transaction) -> dict[str, int]:
        quotas.give_back(tx, TENANT.project, quotas.amounts_of_type("volumes", 1, 4, "slow"))
        quotas.take(tx, TENANT.project, {}, quotas.amounts_of_type("volumes", 1, 4, "fast"))
        v = tables.volumes
        tx.execute(sa.update(v).where(v.c.id == volume_id).values(type_id=kinds["fast"].id))
        return quotas.usage(tx, TENANT.project)

    used = await world.db.write(change_type)
    assert {name: used[name] for name in ("volumes", "gigabytes", "volumes_fast", "gigabytes_fast")} == {
        "volumes": 1, "gigabytes": 4, "volumes_fast": 1, "gigabytes_fast": 4
    }  # fmt: skip
    assert await world.violations() == []
