"""What a person asks to be tried again is asked for as it was the first time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from fake_world import TENANT, FakeWorld, fake_world

from pumice.app.verbs import VERBS
from pumice.model.errors import PumiceError
from pumice.operations.completions import Completions
from pumice.operations.retry import retry
from pumice.store import operations, volumes
from pumice.volumes import extend


@pytest.fixture
async def world() -> AsyncIterator[FakeWorld]:
    async with fake_world() as world:
        worker = asyncio.create_task(world.runner("boot").run())
        yield world
        worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker


async def test_a_failed_growth_of_a_volume_in_use_is_asked_for_again_in_use(world: FakeWorld) -> None:
    volume_id = await world.a_volume()
    await world.a_server(volume_id)
    for backend in world.backends.values():
        backend.fail_next["extend"] = PumiceError("The disk is broken.")
    await world.db.write(lambda tx: extend.accept(tx, TENANT, volume_id, 3, world.tunables, in_use=True))
    [failing] = await world.db.read(
        operations.page, states=None, kind="volume.extend", subject=volume_id, limit=9
    )
    well, error = await Completions(world.db).wait(failing["id"], 10)
    assert (well, error, await world.volume_status(volume_id)) == (False, "The disk is broken.", "in-use")

    verbs = {verb.kind: verb for verb in VERBS}
    again = await world.db.write(retry, failing["id"], verbs, world.tunables)
    assert again.anew and again.operation_id
    await world.ended(again.operation_id)
    volume = await world.db.read(volumes.find, volume_id)
    assert volume is not None and (volume.status, volume.size) == ("in-use", 3)
    assert await world.violations() == []
