"""What is put into the recycle bin, had back or deleted for good while any verb is at work on it."""

from dataclasses import replace

import pytest
from fake_world import TENANT, FakeWorld
from tests.pairs.stage import Scene, Stage, set_stage
from tests.pairs.stories import STORIES, Story, forgets
from tests.pairs.trial import tried

from pumice.store.database import Transaction
from pumice.volumes.recycle_bin import keep, purge, restore


async def recycles(world: FakeWorld, stage: Stage, thing: str) -> None:
    tunables = replace(world.tunables, recycle_days=7)

    def work(tx: Transaction) -> None:
        if thing == stage["snapshot"]:
            keep.delete_snapshot(tx, TENANT, thing, tunables)
        else:
            keep.delete_volume(tx, TENANT, thing, tunables, with_snapshots=True)

    await world.db.write(work)


async def recycles_and_restores(world: FakeWorld, stage: Stage, thing: str) -> None:
    await recycles(world, stage, thing)
    await world.db.write(restore.accept, TENANT, thing, world.tunables)


async def recycles_and_purges(world: FakeWorld, stage: Stage, thing: str) -> None:
    await recycles(world, stage, thing)
    await world.db.write(purge.accept, TENANT, thing)


@pytest.fixture(scope="module")
def scenes() -> dict[str, Scene]:
    return {}


@pytest.mark.parametrize("on", ["volume", "snapshot"])
@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=pytest.mark.long)])
async def test_whatever_is_under_way_on_it_finds_what_it_needs(
    on: str, stride: int, scenes: dict[str, Scene], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "bin"
    if not scenes:
        folder.mkdir(exist_ok=True)
        scenes[""] = await set_stage(folder)
    seconds = (
        Story("recycled", on, recycles),
        Story("recycled and restored", on, recycles_and_restores),
        Story(
            "volume.delete_with_snapshots" if on == "volume" else "snapshot.delete",
            on,
            recycles_and_purges,
            forgets,
        ),
    )
    accepted = refused = 0
    trials = [
        (story, second, how)
        for story in STORIES
        if story.on == on
        for second in seconds
        for how in ("overtaken", "given up")
    ]
    for first, second, how in trials[::stride]:
        at = 0
        while outcome := await tried(scenes[""], folder, first, second, at, how):
            assert not outcome.wrong, (first.name, second.kind, at, how, outcome.wrong)
            accepted, refused, at = accepted + outcome.accepted, refused + (not outcome.accepted), at + 1
    assert accepted and refused, "some copy it meanwhile, and some change it"
