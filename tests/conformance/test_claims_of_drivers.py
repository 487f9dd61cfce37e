"""What drivers say of themselves in ``conformance.yaml`` is about every rule of their suite, and no other."""

import ast
from pathlib import Path
from typing import Any, NamedTuple

import backend_rigs
import connector_rigs
import pytest
import target_rigs


class Suite(NamedTuple):
    """The tests of a contract, and the drivers that they try."""

    file: str
    drivers: list[Any]
    claims: dict[str, dict[str, str]]

    def kinds(self) -> list[str]:
        return [driver if isinstance(driver, str) else driver.values[0] for driver in self.drivers]

    def rules(self) -> dict[str, list[str]]:
        """The tests of each rule, as the suite marks them."""
        found: dict[str, list[str]] = {}
        for test in ast.parse(Path(__file__).with_name(self.file).read_text()).body:
            if isinstance(test, ast.AsyncFunctionDef | ast.FunctionDef) and test.name.startswith("test_"):
                marks = [ast.unparse(mark) for mark in test.decorator_list]
                [rule] = [mark.split("'")[1] for mark in marks if mark.startswith("pytest.mark.rule(")]
                found.setdefault(rule, []).append(test.name)
        return found


SUITES = [
    Suite("test_backends.py", backend_rigs.KINDS, backend_rigs.CLAIMS),
    Suite("test_targets.py", target_rigs.KINDS, target_rigs.CLAIMS),
    Suite("test_connectors.py", connector_rigs.KINDS, connector_rigs.CLAIMS),
]


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.file)
def test_every_driver_under_test_makes_claims_and_no_other(suite: Suite) -> None:
    assert set(suite.claims) == set(suite.kinds())


@pytest.mark.parametrize(("suite", "kind"), [(suite, kind) for suite in SUITES for kind in suite.kinds()])
def test_a_driver_speaks_of_every_rule_that_its_suite_tries(suite: Suite, kind: str) -> None:
    assert set(suite.claims[kind]) == set(suite.rules())
    for claim in suite.claims[kind].values():
        assert claim == "holds" or (claim.endswith(".") and len(claim) > 20), f"{claim!r} explains nothing"
