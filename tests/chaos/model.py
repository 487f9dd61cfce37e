"""What must be true: of each thing, everything that may be so after what was asked and answered.

A thing begins as ``GONE``. A request says what it leads to when it succeeds, and what else it may lead to when
it fails with an explanation::

    refused (4xx)              nothing has happened
    accepted, and done         exactly what was asked
    accepted, and failed       explained, and as it was before or in a state that says so
    unanswered, 503            any of these, at any later time

So a thing is a set of what it may be. An observation must be one of these, and then it is known again. Nobody
but its client does anything to a thing. Its bytes are told in the same way: at an offset there may be any of a
few marks, and when one is found there it is that one from then on.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

RESTING = {
    "volume": {
        "available",
        "in-use",
        "reserved",
        "error",
        "error_deleting",
        "error_extending",
        "error_restoring",
    },
    "snapshot": {"available", "error", "error_deleting"},
    "backup": {"available", "error", "error_deleting"},
    "group": {"available", "error"},
    "group_snapshot": {"available", "error"},
    "server": {"ACTIVE", "SHUTOFF", "ERROR"},
    "image": {"queued", "active"},
}
"""The states in which nothing is under way. Any other must pass."""


class Facts(NamedTuple):
    """What a thing is: its status, its size in GiB, the ids of the servers and hosts that have it."""

    status: str
    size: int = 0
    users: frozenset[str] = frozenset()


GONE = Facts("gone")
Contents = dict[int, frozenset[bytes]]
"""What may be found at an offset; one that is not there may hold anything."""
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_POWER = {"ACTIVE", "SHUTOFF"}


def exactly(marks: Mapping[int, bytes]) -> Contents:
    """What is known for sure."""
    return {offset: frozenset({mark}) for offset, mark in marks.items()}


def either(one: Contents, other: Contents) -> Contents:
    """What is known of what has the one or the other at each offset."""
    return {offset: one[offset] | other[offset] for offset in one.keys() & other.keys()}


@dataclass(eq=False)
class Thing:
    """Whatever a client makes. Its name is its own, so that it is found without its id too."""

    kind: str
    name: str
    id: str = ""
    may: frozenset[Facts] = frozenset({GONE})
    contents: Contents = field(default_factory=dict)
    """What is known of its bytes, by their offset."""
    filled: bool = False
    """Whether it was seen to have bytes: from then on it has some until it is deleted."""
    of: str = ""
    """The id of a snapshot's or backup's volume."""
    base: "Thing | None" = None
    """The backup that an incremental one adds to."""
    group: "Thing | None" = None
    """The group that a volume is in, or the group snapshot that a snapshot is a part of."""
    lost: bool = False
    """Its client gave it up: nothing more is asked of it."""
    shaken: bool = False
    """Its guest was killed: from now on it may turn out to be off at any moment."""
    requests: "list[Request]" = field(default_factory=list)

    @property
    def known(self) -> Facts | None:
        """What it is, where that is certain."""
        return next(iter(self.may)) if len(self.may) == 1 and not self.lost else None

    def is_now(self, *statuses: str) -> bool:
        """Whether it is known to be in one of these."""
        return self.known is not None and self.known.status in statuses

    def __str__(self) -> str:
        return f"{self.kind} {self.name} ({self.id or 'no id'})"


class Effect(NamedTuple):
    """What a request leads to, for one thing."""

    thing: Thing
    done: Facts
    failed: frozenset[Facts] = frozenset()
    """What it may be after an explained failure, besides what it was before."""
    bytes: Contents | None = None
    """What it has then; None where its bytes stay."""
    torn: bool = False
    """Whether it may have some of these bytes after an explained failure as well."""


def unchanged(thing: Thing) -> Effect:
    """A request that a thing has a part in, and that leaves it as it is known to be."""
    assert thing.known is not None
    return Effect(thing, thing.known)


class Breach(Exception):
    """Something that must be true is not."""


@dataclass(eq=False)
class Request:
    """One thing that a client asked for, and what became of it."""

    number: int
    client: str
    what: str
    kind: str
    """The operation's kind, empty for what has none."""
    effects: tuple[Effect, ...]
    answer: int = 0
    """The HTTP status; 0: none came."""
    said: str = ""
    """The body of a refusal."""
    request_id: str = ""
    outcome: str = "under way"
    """``done``, ``explained``, ``refused``, ``unanswered``; or ``stuck``, ``unexplained``."""

    def settle(self, outcome: str) -> None:
        """Say how it ended: each of its things may be so now."""
        self.outcome = outcome
        for thing, done, failed, contents, torn in self.effects:
            if outcome == "done":
                thing.may = frozenset({done})
            elif outcome == "explained":
                thing.may |= failed
            elif outcome == "unanswered":
                thing.may |= failed | {done}
            if contents is not None and outcome == "done":
                thing.contents = dict(contents)
            elif contents is not None and (outcome == "unanswered" or (outcome == "explained" and torn)):
                thing.contents = either(thing.contents, contents)

    def __str__(self) -> str:
        answer = self.answer or "no answer"
        return (
            f"#{self.number} {self.client}: {self.what}: {answer} {self.request_id}, {self.outcome} {self.said}"
        )


class Model:
    """Everything that was ever asked for, and every violation."""

    def __init__(self) -> None:
        self.things: list[Thing] = []
        self.requests: list[Request] = []
        self.violations: list[str] = []
        self.compared = 0
        """How often a volume's or snapshot's bytes were looked at."""
        self._numbers = itertools.count(1)

    def thing(self, kind: str, name: str) -> Thing:
        """A new thing, which nobody has asked for yet."""
        thing = Thing(kind, name)
        self.things.append(thing)
        return thing

    def request(self, client: str, what: str, kind: str, *effects: Effect) -> Request:
        """A request that is about to be made."""
        request = Request(next(self._numbers), client, what, kind, effects)
        self.requests.append(request)
        for effect in effects:
            effect.thing.requests.append(request)
        return request

    def observe(self, thing: Thing, seen: Facts) -> None:
        """Compare, and know it again."""
        running = {facts.status for facts in thing.may} & _POWER
        if seen in thing.may or (thing.shaken and running and seen.status in _POWER):
            thing.may = frozenset({seen})
            return
        may = " or ".join(sorted(f"{facts.status} {facts.size} {sorted(facts.users)}" for facts in thing.may))
        self.violation(f"{thing} is {seen.status} {seen.size} {sorted(seen.users)}, and must be {may}", thing)
        thing.may, thing.lost = frozenset({seen}), True

    def shake(self, identity: str) -> None:
        """The guest of this server was killed."""
        for thing in self.things:
            thing.shaken |= thing.id == identity

    def compare(self, thing: Thing, offset: int, found: bytes) -> None:
        """Compare some of its bytes with what they must be."""
        self.compared += 1
        if found in thing.contents[offset]:
            thing.contents[offset] = frozenset({found})
            return
        may = " or ".join(sorted(map(repr, thing.contents[offset])))
        self.violation(f"{thing} has {found!r} at {offset}, and must have {may}", thing)
        del thing.contents[offset]

    def violation(self, what: str, thing: Thing | None = None) -> None:
        """Note a violation, with all that was asked of the thing."""
        history = [f"    {request}" for request in (thing.requests if thing else ())]
        self.violations.append("\n".join([what, *history]))

    def count(self) -> dict[str, int]:
        """How many requests ended how."""
        outcomes = [request.outcome for request in self.requests]
        return {outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))}

    def refusals(self) -> Iterator[str]:
        """Each kind of refusal, with how often it was said."""
        refused = [it for it in self.requests if it.outcome == "refused"]
        texts = [f"{it.answer} {it.what.split()[0]}: {_ID.sub('ID', it.said)}" for it in refused]
        yield from (f"{texts.count(text)} x {text}" for text in sorted(set(texts)))
