"""kill -9 of real processes on real parts, at every point of every verb; they are started again, and go on.

Here one operation of a verb is killed at one of ten points, which are drawn anew each time, as is which verbs
and ways back have their turn (``drawn.py``): every second verb in one process on SQLite, the others in a
process for each role on PostgreSQL, with backups by S3. ``make kill`` does so at all points there and back,
with every verb on both.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from tests import drawn
from tests.kill.points import Point, doing, failure, undoing
from tests.kill.trial import perform
from tests.kill.verb_stories import STORIES
from tests.kill.victim import Victim, a_victim
from tests.postgres_server import PostgresServer

from pumice.app.verbs import VERBS
from pumice.operations.operation import Verb

OPEN_VOLUMES = {"server.boot", "server.attach_volume", "server.detach_volume"}
"""Verbs that are killed once more where servers open the files of their volumes themselves."""
WRITES_ALL = {"volume.recrypt"}
"""Verbs that fill a volume, zeroes and all."""
pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def one_process() -> Iterator[Victim]:
    with a_victim(None) as victim:
        yield victim


@pytest.fixture(scope="module")
def processes(postgres: PostgresServer) -> Iterator[Victim]:
    with a_victim(postgres.url(postgres.take())) as victim:
        yield victim


@pytest.fixture(scope="module")
def without_exports() -> Iterator[Victim]:
    with a_victim(None, PUMICE_BACKENDS='{"files": {"driver": "files", "target": "local"}}') as victim:
        yield victim


def ways(verb: Verb[Any]) -> Iterator[tuple[str, list[Point], Point | None]]:
    """The way there, and the way back if there is one, each with every tenth point, from a drawn one on.

    Where nothing is left out it is every fifth.
    """
    yield verb.kind, _in_turn(doing(verb)), None
    if undoing(verb):
        yield f"undo of {verb.kind}", _in_turn(undoing(verb)), failure(verb)


def _in_turn(points: list[Point]) -> list[Point]:
    one_in = 5 if drawn.seed() == drawn.ALL else 10
    first = drawn.rank(f"{points[0].kind}/{points[0].direction}") % min(one_in, len(points))
    return points[first::one_in]


def test_in_some_runs_each_point_has_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    missed = {point for verb in VERBS for point in (*doing(verb), *undoing(verb))}
    for seed in range(100):
        monkeypatch.setenv(drawn.SEED, str(seed))
        chosen = [points for verb in VERBS for _, points, _ in ways(verb)]
        assert all(chosen)
        missed.difference_update(*chosen)
    assert not missed


def marks(verb: Verb[Any], fails: Point | None) -> list[pytest.MarkDecorator]:
    """The way back of what writes a whole volume is long."""
    return [pytest.mark.long] if fails and verb.kind in WRITES_ALL else []


def test_every_verb_has_a_story() -> None:
    assert {verb.kind for verb in VERBS} == set(STORIES)


@pytest.mark.parametrize(
    ("victim", "points", "fails"),
    [
        pytest.param(("one_process", "processes")[number % 2], points, fails, id=name, marks=marks(verb, fails))
        for number, verb in enumerate(VERBS)
        for name, points, fails in ways(verb)
    ]
    + [
        pytest.param("without_exports", points, fails, id=f"{name} without exports")
        for verb in VERBS
        if verb.kind in OPEN_VOLUMES
        for name, points, fails in ways(verb)
    ],
)
def test_killed_at_every_point_it_ends_and_leaves_nothing(
    victim: str, points: list[Point], fails: Point | None, request: pytest.FixtureRequest
) -> None:
    trial = perform(request.getfixturevalue(victim), points, fails)
    assert trial.is_good, trial
