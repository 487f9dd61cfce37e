"""What this version accepts the version before carries on, and the other way round: both work in an upgrade.

The version before is its own code, in a process of its own. `make upgrade` has both at work at once.
"""

import json
from dataclasses import MISSING, fields
from typing import Any

import pytest
from tests import version_before

from pumice.app.verbs import VERBS
from pumice.operations.operation import OTHERS, Operation, Verb, stored
from pumice.store.columns import now

pytestmark = pytest.mark.skipif(bool(version_before.why_not()), reason=version_before.why_not())

TELL = """
import json
from dataclasses import MISSING, fields
from pumice.app.verbs import VERBS
def must(field): return field.default is field.default_factory is MISSING
print(json.dumps({verb.kind: {
    "steps": [step.name for step in verb.steps],
    "known": [field.name for field in fields(verb.params)],
    "must": [field.name for field in fields(verb.params) if must(field)],
} for verb in VERBS}))
"""


@pytest.fixture(scope="module")
def before() -> Any:
    """Each verb of the version before: its steps, the parameters that it knows, those that it must have."""
    return json.loads(version_before.run(TELL))


def test_what_the_version_before_has_begun_can_be_carried_on(before: Any) -> None:
    now_ = {verb.kind: verb for verb in VERBS}
    assert not before.keys() - now_.keys()
    lost = [
        (kind, step)
        for kind, verb in before.items()
        for step in verb["steps"]
        if not now_[kind].named(step) and step not in now_[kind].retired
    ]
    assert not lost, "name them in the verb's `retired`, or keep them"
    more = {
        kind: [
            field.name
            for field in fields(now_[kind].params)
            if field.default is field.default_factory is MISSING and field.name not in verb["known"]
        ]
        for kind, verb in before.items()
    }
    assert not any(more.values()), f"these need a default: {more}"


def test_what_asks_for_nothing_new_is_told_in_the_words_of_the_version_before(before: Any) -> None:
    for verb in VERBS:
        if verb.kind not in before:
            continue
        row = stored(verb, plain(verb), now())
        assert not row["params"].keys() - before[verb.kind]["known"], (
            f"{verb.kind}: say `since` of these fields"
        )
        assert not before[verb.kind]["must"] - row["params"].keys(), f"{verb.kind}: it must be told of these"
        assert row["version"] == 1


def plain(verb: Verb[Any]) -> Operation[Any]:
    """An operation with nothing but what it must be told, and nobody in its way."""
    must = [field.name for field in fields(verb.params) if field.default is field.default_factory is MISSING]
    given = dict.fromkeys(("resume_at", "error", "project_id", "request_id", "parent_id"))
    params = verb.params(**dict.fromkeys(must, "x"))
    steps = [step.name for step in verb.steps if step.name != f"wait_for_{OTHERS}"]
    numbers = dict.fromkeys(("position", "tries", "attempt"), 0)
    return Operation(
        id="o", kind=verb.kind, subject="s", params=params, notes={}, steps=steps, state="running", place="p",
        settled=False, cancelled=False, deadline=0.0, **given, **numbers,
    )  # fmt: skip
