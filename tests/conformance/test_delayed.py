"""A driver made slow is the same driver, later."""

import asyncio

from pumice.backends.delayed import slow
from pumice.backends.fake import FakeBackend
from pumice.model.ids import VolumeId, new_id


async def test_every_call_does_its_work_in_the_middle_of_the_delay() -> None:
    backend = FakeBackend(("pool",))
    slowed = slow(backend, 1.0)
    assert (slowed.driver, [pool.name for pool in await backend.pools()]) == ("fake", ["pool"])
    volume = VolumeId(new_id())
    call = asyncio.create_task(slowed.create(volume, "pool", 1))
    await asyncio.sleep(0.1)
    assert not (await backend.inventory()).volumes
    while not (await backend.inventory()).volumes:
        await asyncio.sleep(0.01)
    assert not call.done()
    await call


def test_without_a_delay_nothing_is_in_between() -> None:
    backend = FakeBackend()
    assert slow(backend, 0.0) is backend
