"""kill -9 of real processes on real parts, at every point of every verb; they are started again, and go on.

Here one operation of each verb is killed at one of five points, before one step and after another, and one of
every second verb on its way back: every second verb in one process on SQLite, the others in a process for each
role on PostgreSQL, with backups by S3. ``make kill`` does so at all points there and back, with every verb on
both.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
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


def ways(number: int, verb: Verb[Any]) -> Iterator[tuple[str, list[Point], Point | None]]:
    """The way there, and the way back if there is one: every fifth point of each, from another on by verb."""
    yield verb.kind, _in_turn(number, doing(verb)), None
    if undoing(verb):
        yield f"undo of {verb.kind}", _in_turn(number, undoing(verb)), failure(verb)


def _in_turn(number: int, points: list[Point]) -> list[Point]:
    return points[number % min(5, len(points)) :: 5]


def test_each_way_is_killed_and_all_together_as_often_before_a_step_as_after_one() -> None:
    chosen = [points for number, verb in enumerate(VERBS) for _, points, _ in ways(number, verb)]
    assert all(chosen)
    when = Counter(point.when for points in chosen for point in points)
    assert 0.7 < when["before"] / when["after"] < 1.4, when


def marks(number: int, fails: Point | None) -> list[pytest.MarkDecorator]:
    """Of the ways back each second is long, of those of either victim; so is what writes a whole volume."""
    return [pytest.mark.long] if fails and (number // 2 % 2 or VERBS[number].kind in WRITES_ALL) else []


def test_every_verb_has_a_story() -> None:
    assert {verb.kind for verb in VERBS} == set(STORIES)


@pytest.mark.parametrize(
    ("victim", "points", "fails"),
    [
        pytest.param(
            ("one_process", "processes")[number % 2], points, fails, id=name, marks=marks(number, fails)
        )
        for number, verb in enumerate(VERBS)
        for name, points, fails in ways(number, verb)
    ]
    + [
        pytest.param("without_exports", points, fails, id=f"{name} without exports", marks=marks(2, fails))
        for number, verb in enumerate(VERBS)
        if verb.kind in OPEN_VOLUMES
        for name, points, fails in ways(number + 1, verb)
    ],
)
def test_killed_at_every_point_it_ends_and_leaves_nothing(
    victim: str, points: list[Point], fails: Point | None, request: pytest.FixtureRequest
) -> None:
    trial = perform(request.getfixturevalue(victim), points, fails)
    assert trial.is_good, trial
