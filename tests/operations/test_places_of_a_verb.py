"""``docs/adding-a-verb.md`` held to its word: a verb that misses a place is named, with the place."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_every_verb import SCENARIOS
from tests.kill.verb_stories import STORIES
from tests.pairs.stories import STORIES as PAIRS

import pumice
from pumice.app.verbs import VERBS
from pumice.operations import holds
from pumice.operations.operation import Verb

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/adding-a-verb.md").read_text()


def written() -> Iterator[Verb[Any]]:
    """Every verb that a module of Pumice has, each once."""
    found: dict[int, Verb[Any]] = {}
    for module in pkgutil.walk_packages(pumice.__path__, "pumice."):
        if not module.name.startswith(("pumice.app", "pumice.store.migrations", "pumice.__main__")):
            things = vars(importlib.import_module(module.name)).values()
            found |= {id(thing): thing for thing in things if isinstance(thing, Verb)}
    yield from found.values()


@pytest.mark.parametrize("verb", [*written()], ids=lambda verb: verb.kind)
def test_a_verb_is_known_in_each_place(verb: Verb[Any]) -> None:
    places = {
        "app/verbs.py": verb in VERBS,
        "operations/holds.py": verb.holds is not holds.nothing,
        "tests/operations/test_every_verb.py": verb.kind in {one.verb.kind for one in SCENARIOS.values()},
        "tests/kill/verb_stories.py": verb.kind in STORIES,
        "tests/pairs/stories.py": verb.kind in {story.kind for story in PAIRS},
    }
    missed = [place for place, is_there in places.items() if not is_there]
    assert not missed, f"{verb.kind} is written down, and {missed} know nothing of it: docs/adding-a-verb.md"
    assert all(f"`{place}`" in GUIDE for place in places)


def test_every_file_that_the_guide_names_is_there() -> None:
    named = set(
        re.findall(
            r"`((?:src|tests|docs|app|operations|model|store|loops|webhooks|volumes|servers)/[a-z0-9_/.-]+\.\w+)`",
            GUIDE,
        )
    )
    assert len(named) > 8
    assert not {it for it in named if not ((ROOT / it).exists() or (ROOT / "src/pumice" / it).exists())}
