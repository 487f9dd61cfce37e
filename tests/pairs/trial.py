"""One trial of a pair: where the first stands when the second is asked for, and who goes on.

    overtaken   the first stands still at a boundary of its steps; the second runs as far as it can; both end
    between     the same, but the second stands still too after some steps, and the first ends before it
    given up    at that boundary the first's deadline passes, because its host is away; the second runs as far
                as it can; the host comes back, and all that is left is cleaned

A boundary is a transaction: whatever only changes rows is done with the step before it. Then the model:
whatever was accepted and ended well has done to the bytes what it does alone, in the order in which it was
accepted; whatever failed has done nothing; and all invariants hold (``loops/audit.py``): states, quota, claims,
holds, exports, machines, nothing left that is nobody's.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from fake_world import FakeWorld
from tests.pairs.stage import IMAGES, Scene, Stage, contents, copied
from tests.pairs.stories import Story, Words

from pumice.loops.deadlines import Deadlines
from pumice.model.errors import PumiceError
from pumice.operations.operation import from_row
from pumice.operations.runner import Runner
from pumice.store import clock, tables, work_queue
from pumice.store import operations as log

MOST_STEPS = 300
FOLLOWS = "and its machine is"
"""A server whose host was away when its deadline passed is not known: it follows its machine, by a loop."""
ANY_TIME = 3600.0
"""Retries are due at once."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a trial."""

    accepted: bool
    wrong: tuple[str, ...]
    why: str = ""
    """Why the second was refused."""


class Hand:
    """Runs one step of one operation when it is told to."""

    def __init__(self, world: FakeWorld) -> None:
        self.world = world
        self.runner: Runner = world.runner("pairs")

    async def step(self, frozen: Collection[str] = ()) -> bool:
        """One step of an operation that is not frozen. False when there is none that can go on."""
        runner, db = self.runner, self.world.db
        asked = work_queue.Asked(runner.state_machine.places, runner.owner, in_hand=tuple(frozen))
        rows, _ = await db.write(work_queue.claim, asked, clock.time() + ANY_TIME, runner.leases.seconds, 1)
        for row in rows:
            runner.leases.take(row, time.monotonic())
            op = runner.leases.held[row["id"]].op = from_row(runner.state_machine.verbs[row["kind"]], row)
            try:
                op = await runner._next(op)
            finally:
                del runner.leases.held[row["id"]]
            if op.owner == runner.owner:
                await db.write(work_queue.release, op.id, op.attempt, 0.0)
        return bool(rows)

    async def run(self, frozen: Collection[str] = (), most: int = MOST_STEPS) -> int:
        """Steps until none can go on; how many."""
        done = 0
        while done < most and await self.step(frozen):
            done += 1
        return done

    async def living(self) -> list[str]:
        """The operations that have not ended."""
        rows = await self.world.db.read(log.page, states=log.UNDER_WAY, kind=None, subject=None, limit=99)
        return [row["id"] for row in rows]

    async def newest(self, kind: str) -> str:
        """The operation of this kind that was begun last."""
        rows = await self.world.db.read(log.page, states=None, kind=kind, subject=None, limit=1)
        return str(rows[0]["id"]) if rows else ""


async def tried(
    scene: Scene, folder: Path, first: Story, second: Story, at: int, how: str, stops: int = MOST_STEPS
) -> Outcome | None:
    """One trial; None when the first has ended before it comes to that boundary."""
    async with copied(scene, folder) as (world, stage):
        IMAGES.clear()
        hand, words = Hand(world), contents(world)
        try:
            made = await first.begin(world, stage, stage.get(first.on, ""))
        except PumiceError:  # not on this thing as it is on the stage
            return None
        stage["made"] = made or ""
        mine = await hand.newest(first.kind)
        if await hand.run(most=at) < at or (at and not await hand.living()):
            return None
        frozen = await hand.living()
        if how == "given up":
            await _give_up(hand, mine)
        try:
            also_made = await second.begin(world, stage, stage.get(second.on, ""))
        except PumiceError as refused:
            also_made, accepted, why = None, False, str(refused)
        else:
            accepted, why = True, ""
        its = await hand.newest(second.kind) if accepted else ""
        done = await hand.run(frozen, stops)
        if done == stops < MOST_STEPS or how != "between":
            if how == "between":
                await hand.run(set(await hand.living()) - set(frozen))
            await hand.run()
        else:
            return None
        wrong = [words for words in await _wrong(hand) if FOLLOWS not in words or how != "given up"]
        ended = [(first, mine, stage.get(first.on, ""), made or "")]
        if accepted and its != mine:
            ended.append((second, its, _thing(stage, second, made), also_made or ""))
        wrong += await _unlike(hand, words, ended)
        return Outcome(accepted, tuple(wrong), why)


def _thing(stage: Stage, story: Story, made: str | None) -> str:
    return (made or "") if story.on == "made" else stage.get(story.on, "")


async def cancelled(scene: Scene, folder: Path, story: Story, at: int) -> Outcome | None:
    """One that is cancelled at a boundary of its steps; None when it has ended before it comes to that."""
    async with copied(scene, folder) as (world, stage):
        IMAGES.clear()
        hand, words, thing = Hand(world), contents(world), stage.get(story.on, "")
        try:
            made = await story.begin(world, stage, thing)
        except PumiceError:  # not on this thing as it is on the stage
            return None
        mine = await hand.newest(story.kind)
        if await hand.run(most=at) < at or not await world.db.write(log.ask_to_cancel, mine):
            return None
        await hand.run()
        wrong = await _wrong(hand) + await _unlike(hand, words, [(story, mine, thing, made or "")])
        row = await world.db.read(log.get, mine)
        assert row is not None
        if row["state"] != "failed":
            wrong.append(f"it was cancelled, and is {row['state']}")
        return Outcome(True, tuple(wrong))


async def _give_up(hand: Hand, operation_id: str) -> None:
    o = tables.operations
    late = sa.update(o).where(o.c.id == operation_id).values(deadline=1.0)
    await hand.world.db.write(lambda tx: tx.execute(late) and None)
    await Deadlines(hand.world.db, hand.runner.state_machine).check()


async def _wrong(hand: Hand) -> list[str]:
    """What is under way still, and every invariant that does not hold."""
    rows = await hand.world.db.read(log.page, states=log.UNDER_WAY, kind=None, subject=None, limit=9)
    stuck = [f"{row['kind']} is {row['state']} for ever: {row['error']}" for row in rows]
    return stuck + await hand.world.violations()


async def _unlike(hand: Hand, words: Words, ended: list[tuple[Story, str, str, str]]) -> list[str]:
    """Where bytes are not what the model says."""
    for story, operation_id, thing, made in ended:
        row = await hand.world.db.read(log.get, operation_id)
        if row is not None and row["state"] == "done":
            try:
                story.bytes_become(words, thing, made)
            except KeyError:
                return [f"{story.name} ended well, of bytes that were gone"]
    there = contents(hand.world) | IMAGES
    return [
        f"{name} holds {there[name]!r}, and should hold {word!r}"
        for name, word in words.items()
        if name in there and there[name] != word
    ] + [
        f"{name} is gone, and should hold {word!r}"
        for name, word in words.items()
        if await _lost(hand, name, there)
    ]


async def _lost(hand: Hand, name: str, there: Words) -> bool:
    """Whether the bytes of a volume or snapshot that has a row are not there."""
    if name in there:
        return False
    v, s = tables.volumes.c, tables.snapshots.c
    found = sa.union_all(
        sa.select(v.id).where(v.id == name, v.status != "error"),
        sa.select(s.id).where(s.id == name, s.status != "error"),
    )
    return bool(await hand.world.db.read(lambda tx: tx.execute(found).first()))
