"""What drivers say of themselves in ``quality.yaml`` is about every rule that the suite tries, and no other."""

import ast
from pathlib import Path

import pytest
from backend_rigs import CLAIMS, KINDS

_SUITE = Path(__file__).with_name("test_backends.py")


def kinds() -> list[str]:
    return [str(kind) if isinstance(kind, str) else str(kind.values[0]) for kind in KINDS]


def rules() -> dict[str, list[str]]:
    """The tests of each rule, as the suite marks them."""
    found: dict[str, list[str]] = {}
    for test in ast.parse(_SUITE.read_text()).body:
        if isinstance(test, ast.AsyncFunctionDef | ast.FunctionDef) and test.name.startswith("test_"):
            marks = [ast.unparse(mark) for mark in test.decorator_list]
            [rule] = [mark.split("'")[1] for mark in marks if mark.startswith("pytest.mark.rule(")]
            found.setdefault(rule, []).append(test.name)
    return found


def test_every_backend_under_test_makes_claims_and_no_other() -> None:
    assert set(CLAIMS) == set(kinds())


@pytest.mark.parametrize("kind", kinds())
def test_a_driver_speaks_of_every_rule_that_the_suite_tries(kind: str) -> None:
    assert set(CLAIMS[kind]) == set(rules())
    for claim in CLAIMS[kind].values():
        assert claim == "holds" or (claim.endswith(".") and len(claim) > 20), f"{claim!r} explains nothing"
