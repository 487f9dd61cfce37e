"""Every version reads the parameters that earlier ones wrote: their shapes are in ``released_params.json``.

A shape is a verb's parameters by name, each with a value that it may have. To add a field, give it a default,
raise the verb's ``version``, and add the new shape under that number. Shapes that are there never change.
"""

import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from pumice.app.verbs import VERBS
from pumice.operations.operation import Verb, from_row

SHAPES: dict[str, dict[str, dict[str, Any]]] = json.loads(
    Path(__file__).with_name("released_params.json").read_text()
)
COMMON = {"id": "o", "subject": "s", "notes": {}, "steps": [], "state": "running", "position": 0, "place": "p"}
COMMON |= dict.fromkeys(["resume_at", "error", "project_id", "request_id", "parent_id", "owner", "progress"])
COMMON |= {"settled": False, "settled_at": None, "cancelled": False, "tries": 0, "attempt": 0, "deadline": 0.0}


def read(verb: Verb[Any], version: int, params: dict[str, Any]) -> Any:
    row: Any = COMMON | {"kind": verb.kind, "version": version, "params": params}
    return from_row(verb, row)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.kind)
def test_the_parameters_of_every_released_version_are_read(verb: Verb[Any]) -> None:
    shapes = SHAPES.get(verb.kind, {})
    how = f"add its shape to {Path(__file__).with_name('released_params.json').name} under the version's number"
    assert str(verb.version) in shapes, f"'{verb.kind}' {verb.version} is not kept: {how}."
    known = {each.name: each for each in fields(verb.params)}
    for version, params in shapes.items():
        new = [
            name
            for name, each in known.items()
            if name not in params and each.default is MISSING and each.default_factory is MISSING
        ]
        assert not new, f"'{verb.kind}' has {new} without a default: version {version} wrote none."
        gone = sorted(params.keys() - known)
        assert not gone, f"'{verb.kind}' lost {gone}: version {version} wrote them, and may be under way."
        op = read(verb, int(version), params)
        assert op.unread is None
        assert {name: getattr(op.params, name) for name in params} == params
    added = sorted(known.keys() - shapes[str(verb.version)].keys())
    assert not added, f"'{verb.kind}' {verb.version} was kept without {added}: raise its version, and {how}."


def test_no_kept_verb_is_gone() -> None:
    gone = SHAPES.keys() - {verb.kind for verb in VERBS}
    assert not gone, f"operations of these kinds may be under way: {sorted(gone)}"
