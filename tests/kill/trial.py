"""One trial of a verb: its processes are killed at points, and then it is seen what became of the operation."""

import time
from dataclasses import dataclass

from tests.kill.points import Point
from tests.kill.verb_stories import STORIES
from tests.kill.victim import Victim


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of it."""

    points: list[Point]
    stuck: list[str]
    leaked: list[str]
    wrong: str
    """What was not as the tenant had asked, in words."""
    seconds: float

    @property
    def is_good(self) -> bool:
        """Whether it ended as asked, and nothing is left of it."""
        return not (self.stuck or self.leaked or self.wrong)

    def __str__(self) -> str:
        points = ", ".join(map(str, self.points))
        return f"killed at {points}: {self.wrong} stuck {self.stuck} leaked {self.leaked}"


def perform(pumice: Victim, points: list[Point], fails: Point | None = None) -> Trial:
    """Kill at all of these points in turn, in one operation; with ``fails`` on its way back."""
    began = time.monotonic()
    story = STORIES[points[0].kind]
    stage = story.prepare(pumice)
    wrong = ""
    try:
        pumice.die_at(points, lambda: story.request(pumice, stage), fails)
        story.check(pumice, stage, fails is None)
        pumice.settle()
    except AssertionError as error:
        wrong = str(error) or repr(error)
    trial = Trial(points, pumice.under_way(), pumice.violations(), wrong, time.monotonic() - began)
    if trial.is_good:
        pumice.end_guests()
    return trial
