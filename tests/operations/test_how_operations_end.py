"""How operations end: cancelled, cleaned up behind, handed over, and told to whoever waits."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from test_engine import KITCHEN, STACK, Engine, Kitchen, Plate, engine, failed, kitchen, until
from tests.patience import patience

from pumice.model.errors import PumiceError, Retryable, TryAnotherBackend
from pumice.model.scope import INTERNAL
from pumice.model.tunables import RetryPolicy
from pumice.operations.operation import Operation, enqueue
from pumice.store import operations as log
from pumice.store.database import Transaction
from pumice.store.tables import operation_lines, operations

__all__ = ["engine", "kitchen"]


async def states(engine: Engine) -> list[tuple[str, bool, list[str]]]:
    """State, whether it was told, and steps of every operation, the oldest first."""
    rows = await engine.db.read(log.page, states=None, kind=None, subject=None, limit=99)
    return [(row["state"], row["settled"], row["steps"]) for row in reversed(rows)]


async def quiet(engine: Engine) -> None:
    async with patience():
        while await engine.db.read(log.page, states=log.UNDER_WAY, kind=None, subject=None, limit=1):
            await asyncio.sleep(0.01)


# --- cancelled ----------------------------------------------------------------------------------


async def test_a_cancel_turns_back_at_the_next_boundary_whoever_carries_it(
    engine: Engine, kitchen: Kitchen
) -> None:
    kitchen.gate = asyncio.Event()
    engine.start()
    op = await engine.enqueue("a")
    await until(lambda: kitchen.drivers == ["a"])
    assert await engine.db.write(log.ask_to_cancel, op)
    kitchen.gate.set()
    assert await engine.ended(op) == (False, "The operation was cancelled.")
    history = await engine.history(op)
    assert history[-3:] == ["do put done", "undo put done", "undo choose done"]
    assert not [line for line in history if "tell" in line]
    assert (kitchen.shelf, kitchen.told) == ([], ["a: The operation was cancelled."])


async def test_a_cancel_cuts_a_long_step_short(engine: Engine, kitchen: Kitchen) -> None:
    kitchen.gate = asyncio.Event()
    put: Any = STACK.steps[2]
    runner = engine.start()
    steps: Any = (*STACK.steps[:2], replace(put, long=True), STACK.steps[3])
    runner.state_machine.verbs = {STACK.kind: replace(STACK, steps=steps)}
    op = await engine.enqueue("a")
    await until(lambda: kitchen.drivers == ["a"])
    await engine.db.write(log.ask_to_cancel, op)
    assert await engine.ended(op) == (False, "The operation was cancelled.")
    assert (kitchen.cut, kitchen.shelf) == (1, [])
    assert "do put failed" in await engine.history(op)


async def test_a_cancel_that_no_word_told_of_is_noticed_by_the_next_renewal(
    engine: Engine, kitchen: Kitchen
) -> None:
    kitchen.gate = asyncio.Event()
    put: Any = STACK.steps[2]
    runner = engine.start(lease=0.6)
    steps: Any = (*STACK.steps[:2], replace(put, long=True), STACK.steps[3])
    runner.state_machine.verbs = {STACK.kind: replace(STACK, steps=steps)}
    op = await engine.enqueue("a")
    await until(lambda: kitchen.drivers == ["a"])
    cancelled = sa.update(operations).values(cancelled=True)
    await engine.db.write(lambda tx: tx.execute(cancelled) and None)
    assert await engine.ended(op) == (False, "The operation was cancelled.")
    assert kitchen.cut == 1


async def test_a_cancelled_step_that_meets_trouble_is_not_tried_again(engine: Engine, kitchen: Kitchen) -> None:
    kitchen.gate = asyncio.Event()
    kitchen.fail["put"] = [Retryable("slippery")]
    engine.start()
    op = await engine.enqueue("a")
    await until(lambda: kitchen.drivers == ["a"])
    await engine.db.write(log.ask_to_cancel, op)
    kitchen.gate.set()
    assert await engine.ended(op) == (False, "The operation was cancelled.")
    assert "do put failed" in await engine.history(op)


# --- cleaning -----------------------------------------------------------------------------------


async def test_a_cleaning_that_fails_again_and_again_has_one_line_and_longer_and_longer_pauses(
    engine: Engine, kitchen: Kitchen
) -> None:
    kitchen.fail["take_off"] = [Retryable(f"no {n}") for n in range(1, 7)]
    op = await engine.enqueue("a")
    told: dict[str, Any] = {"state": "undoing", "settled": True, "position": 2, "place": "cook"}
    told["notes"] = {"shelf": "shelf-0"}
    await engine.db.write(lambda tx: tx.execute(sa.update(operations).values(told)) and None)
    engine.start()
    await quiet(engine)
    lines = await engine.db.read(log.lines, op)
    assert [(line["outcome"], line["times"], line["error"]) for line in lines] == [
        ("retry", 6, "no 6"),
        ("done", 1, None),
        ("done", 1, None),
    ]


def test_the_pause_of_a_cleaning_grows_to_minutes() -> None:
    retry_policy = RetryPolicy()
    assert retry_policy.before(30) <= 30
    assert 225 <= retry_policy.before(30, cleaning=True) <= 300


# --- handed over --------------------------------------------------------------------------------


async def test_the_next_choice_does_not_wait_until_the_last_one_is_undone(
    engine: Engine, kitchen: Kitchen
) -> None:
    kitchen.fail["put"] = [TryAnotherBackend("read-only")]
    kitchen.fail["take_off"] = [TryAnotherBackend("read-only")]
    op = await engine.enqueue("a")
    engine.start()
    assert await engine.ended(op) == (True, None)
    await quiet(engine)
    assert await states(engine) == [
        ("done", True, [step.name for step in STACK.steps]),
        ("failed", True, ["put"]),
    ]
    assert kitchen.told == []


async def test_a_failure_is_told_although_what_was_chosen_last_cannot_be_undone_yet(
    engine: Engine, kitchen: Kitchen
) -> None:
    kitchen.fail["put"] = [PumiceError("it broke")]
    kitchen.fail["take_off"] = [PumiceError("still broken")] * 3
    op = await engine.enqueue("a")
    engine.start()
    assert await engine.ended(op) == (False, "it broke")
    assert (await engine.row(op))["state"] == "failed"
    await quiet(engine)
    assert (kitchen.shelf, set(kitchen.told)) == ([], {"a: it broke"})  # a transaction may run again


async def test_an_undo_that_hangs_is_handed_over(
    engine: Engine, kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pumice.operations.runner.HASTE_SECONDS", 0.05)
    hung = asyncio.Event()

    async def take_off(op: Operation[Plate], drivers: Any) -> None:
        await hung.wait()

    put: Any = STACK.steps[2]
    slow: Any = replace(STACK, steps=(*STACK.steps[:2], replace(put, undo=take_off), STACK.steps[3]))
    kitchen.fail["put"] = [TryAnotherBackend("it hangs")]
    runner = engine.start()
    runner.state_machine.verbs = {STACK.kind: slow}
    op = await engine.enqueue("a")
    assert await engine.ended(op) == (True, None)
    assert ("undoing", True, ["put"]) in await states(engine)
    hung.set()
    await quiet(engine)


async def test_what_was_told_as_failed_does_not_choose_again(engine: Engine, kitchen: Kitchen) -> None:
    kitchen.fail["take_off"] = [Retryable("slippery")]
    op = await engine.enqueue("a")
    late: dict[str, Any] = {"state": "undoing", "position": 2, "place": "cook", "resume_at": 0, "deadline": 1.0}
    late |= {"notes": {"shelf": "shelf-0"}, "error": "it is full"}
    await engine.db.write(lambda tx: tx.execute(sa.update(operations).values(late)) and None)
    engine.start()
    await quiet(engine)
    assert (await engine.row(op))["state"] == "failed"
    assert kitchen.told == ["a: it is full"]


# --- told ---------------------------------------------------------------------------------------


async def test_a_parent_is_woken_by_a_child_that_turns_back_past_its_deadline(
    engine: Engine, kitchen: Kitchen
) -> None:
    kitchen.fail["take_off"] = [Retryable("slippery")] * 99
    runner = engine.start(places=("scheduler",))
    runner.db.poll_seconds = 3600.0

    def late_child(tx: Transaction) -> tuple[str, str]:
        parent = enqueue(tx, house_parent(), Plate("p"), subject="p", who=INTERNAL, notes={"plates": ["c"]})
        child = enqueue(tx, STACK, Plate("c"), subject="c", who=INTERNAL, parent=parent, id="c")
        return parent.id, child.id

    parent, child = await engine.db.write(late_child)
    await engine.reaches("cook", child)
    async with patience():
        while (await engine.row(parent))["state"] != "waiting":
            await asyncio.sleep(0.01)
    past = sa.update(operations).where(operations.c.id == child).values(deadline=time.time() - 1)
    await engine.db.write(lambda tx: tx.execute(past) and None)
    engine.start(host="cook", places=("cook",))
    well, error = await engine.ended(parent)
    assert not well
    assert "did not end in time" in (error or "")
    assert len(KITCHEN.told) == 2


def house_parent() -> Any:
    from test_engine import SET_TABLE

    return replace(SET_TABLE, steps=SET_TABLE.steps[1:], failed=failed)


async def test_the_lines_of_the_history_never_run_out_of_numbers(engine: Engine, database_url: str) -> None:
    many = 2**31 + 5
    op = await engine.enqueue("a")
    line = {"operation_id": op, "step": "x", "direction": "do", "outcome": "done", "place": "p", "attempt": 1}
    line |= {"started_at": (await engine.row(op))["created_at"], "seconds": 0.0, "number": many}
    await engine.db.write(lambda tx: tx.execute(sa.insert(operation_lines), line) and None)
    assert [row["number"] for row in await engine.db.read(log.lines, op)] == [many]
