"""Every point at which a process can die while it carries an operation: before and after each step and undo.

``after`` a step outside is before anything of it was written down; ``before`` the next is after that.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.conformance.backend_rigs import has_xfs

from pumice.operations.operation import Step, Verb


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a verb, and the role whose process dies there."""

    kind: str
    direction: str
    step: str
    when: str
    role: str

    @property
    def fault(self) -> str:
        """As the setting ``fault`` names it."""
        return f"{self.kind}/{self.direction}/{self.step}/{self.when}"

    def __str__(self) -> str:
        undo = "the undo of " if self.direction == "undo" else ""
        return f"{self.kind}: {self.when} {undo}{self.step}"


NOT_HERE = (
    set()
    if has_xfs()
    else {
        ("group_snapshot.create", step)
        for step in ("pause_guests", "keep_bytes", "prove_stillness", "let_guests_go_on")
    }
)
"""Steps that a victim takes only where a pool can share what it keeps: guests stand still for that."""


def steps_of(verb: Verb[Any]) -> list[Step[Any]]:
    """What can be done or undone; waiting is neither."""
    return [step for step in verb.steps if isinstance(step, Step) and (verb.kind, step.name) not in NOT_HERE]


def doing(verb: Verb[Any]) -> list[Point]:
    """The points of the way there, in their order."""
    return list(_points(verb, "do", [step for step in steps_of(verb) if step.do]))


def undoing(verb: Verb[Any]) -> list[Point]:
    """The points of the way back, in their order."""
    return list(_points(verb, "undo", [step for step in reversed(steps_of(verb)) if step.undo]))


def failure(verb: Verb[Any]) -> Point:
    """Where an operation fails if it is to go the whole way back."""
    return next(_points(verb, "do", steps_of(verb)[-1:]))


def _points(verb: Verb[Any], direction: str, steps: list[Step[Any]]) -> Iterator[Point]:
    for step in steps:
        for when in ("before", "after"):
            yield Point(verb.kind, direction, step.name, when, step.at.role)
