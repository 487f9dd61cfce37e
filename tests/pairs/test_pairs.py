"""The short form of ``make pairs``: where pairs went wrong once, and a few trials of every verb.

The whole of it, every pair at every boundary, takes some minutes.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.pairs.__main__ import every
from tests.pairs.stage import Scene, set_stage
from tests.pairs.stories import STORIES, Story, pairs
from tests.pairs.trial import cancelled, tried

from pumice.app.verbs import VERBS

PAIRS = pairs()
WENT_WRONG = (
    ("volume.create (volume)", "volume.revert (volume)"),
    ("volume.create (nothing)", "volume.delete (made)"),
    ("volume.unmanage (plain)", "volume.delete (plain)"),
    ("volume.vacate (plain)", "attachment.connect (plain)"),
)


@pytest.fixture(scope="module")
def scenes() -> dict[str, Scene]:
    return {}


async def the_scene(scenes: dict[str, Scene], folder: Path) -> Scene:
    if not scenes:
        folder.mkdir(exist_ok=True)
        scenes[""] = await set_stage(folder)
    return scenes[""]


def a_few() -> Iterator[tuple[Story, Story]]:
    """For every verb as the first its first pair and its last."""
    for kind in dict.fromkeys(story.kind for story in STORIES):
        mine = [pair for pair in PAIRS if pair[0].kind == kind]
        yield from mine[:: max(len(mine) - 1, 1)]


def test_every_verb_has_a_story() -> None:
    told = {story.kind for story in STORIES}
    lacking = [verb.kind for verb in VERBS if verb.kind not in told]
    assert not lacking, f"tell in tests/pairs/stories.py how {lacking} begin, and what becomes of the bytes"


@pytest.mark.parametrize(("first", "second"), WENT_WRONG)
async def test_a_pair_that_went_wrong_once_goes_well_at_every_boundary(
    first: str, second: str, scenes: dict[str, Scene], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "pairs"
    scene = await the_scene(scenes, folder)
    [pair] = [(one, other) for one, other in PAIRS if (one.name, other.name) == (first, second)]
    outcomes = await every(scene, folder, *pair)
    assert outcomes
    assert [(what, outcome.wrong) for what, outcome in outcomes if outcome.wrong] == []


@pytest.mark.parametrize("kind", sorted({story.kind for story in STORIES}))
async def test_whatever_meets_a_verb_finds_it_well(
    kind: str, scenes: dict[str, Scene], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "pairs"
    scene = await the_scene(scenes, folder)
    begun = False
    for first, second in (pair for pair in a_few() if pair[0].kind == kind):
        for how, at in (("overtaken", 0), ("given up", 1)):
            outcome = await tried(scene, folder, first, second, at, how)
            begun |= outcome is not None
            assert outcome is None or not outcome.wrong, (first.name, second.name, how, outcome.wrong)
    assert begun


@pytest.mark.parametrize("kind", sorted({story.kind for story in STORIES}))
async def test_whatever_is_cancelled_turns_back_and_leaves_all_as_it_was(
    kind: str, scenes: dict[str, Scene], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "pairs"
    scene, at = await the_scene(scenes, folder), 0
    for story in (story for story in STORIES if story.kind == kind and not at):
        while (outcome := await cancelled(scene, folder, story, at)) is not None:
            assert not outcome.wrong, (story.name, at, outcome.wrong)
            at += 1
    assert at, "no story of this verb begins on the stage"
