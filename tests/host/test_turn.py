"""Turns go round the projects, and to wait for one costs a step nothing of its limit."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.patience import patience

from pumice.host.turn import Serializer, taking_turns
from pumice.model.errors import Retryable
from pumice.operations.leases import Lease


class Quiet:
    def waits(self) -> None: ...

    def goes_on(self) -> None: ...


async def test_who_asks_last_but_had_nothing_comes_before_anothers_queue() -> None:
    turns, order = Serializer(1), list[str]()

    async def copy(project: str, name: str) -> None:
        with taking_turns(project, Quiet()):
            async with turns.take():
                order.append(name)
                await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as tasks:
        for n in range(5):
            tasks.create_task(copy("greedy", f"greedy {n}"))
        await asyncio.sleep(0)
        tasks.create_task(copy("modest", "modest"))
    assert order.index("modest") <= 2
    assert len(order) == 6


async def test_a_turn_that_is_given_up_goes_to_the_next() -> None:
    turns = Serializer(1, longest=0.05)
    async with turns.take():
        with pytest.raises(Retryable, match="No turn came"):
            async with turns.take():
                pass
        cancelled = asyncio.create_task(turns.take().__aenter__())
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled])
    async with patience(), turns.take():
        pass


async def test_to_wait_costs_nothing_of_the_limit_nor_of_the_deadline() -> None:
    turns, loop = Serializer(1), asyncio.get_running_loop()
    op: Any = SimpleNamespace(deadline=100.0)
    lease = Lease("volume.create", "volume:here@one", "project", loop.time() + 3600, datetime.now(UTC), op)
    first = turns.take()
    await first.__aenter__()
    loop.call_later(1.2, lambda: loop.create_task(cast(Any, first.__aexit__(None, None, None))))
    lease.limit = loop.time() + 1.0
    lease.acting = asyncio.timeout_at(lease.limit)
    async with lease.acting:
        with taking_turns("project", lease):
            async with turns.take():
                assert lease.waiting_since is None
                await asyncio.sleep(0.05)
    assert op.deadline == 100.0 + lease.waited and lease.waited > 1.0
