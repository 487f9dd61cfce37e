"""Run the clients' own functional suites against Pumice, and compare with what is known: ``make clients``.

Every failure has an explanation in ``expected.toml``. The exit code is 1 when a test fails that has none, or
when one that has passes, so that the explanations stay true; and when ``pumice audit`` finds something in the
end. The table goes to ``docs/clients.md`` as well.

``make clients T=cinderclient`` runs only the suites that have a word of it in their names, and writes nothing.
"""

import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tests.clients.outcome import Outcome
from tests.clients.suites import GOPHERCLOUD, SUITES, Suite, a_cloud, run

EXPECTED = Path(__file__).with_name("expected.toml")
DOCUMENT = Path(__file__).parents[2] / "docs" / "clients.md"
GOOD_TO_KNOW = (
    "- Servers have no network, and `cloud.create_server(wait=True)` of openstacksdk deletes a server that",
    '  becomes active without an address. What goes well is `compute.create_server(networks="none")` with',
    "  `compute.wait_for_server`, or `openstack server create --no-network --wait`.",
)
Results = Mapping[Suite, Sequence[Outcome]]


def main(words: Sequence[str]) -> int:
    """Run the suites, tell how it went, and write it down. 0 when nothing is unexplained."""
    console = Console(width=max(Console().width, 110))
    suites = [suite for suite in SUITES if not words or any(word in suite.package for word in words)]
    known = explanations()
    if words:
        names = tuple(f"{suite.package}." for suite in suites)
        known = {test: why for test, why in known.items() if test.startswith(names)}
    results: dict[Suite, list[Outcome]] = {}
    with a_cloud() as (pumice, folder):
        for suite in suites:
            with console.status(f"{suite.package}"):
                results[suite] = run(suite, pumice, folder)
        violations, problems = pumice.violations(), pumice.log()
    show(console, results, known)
    outcomes = [outcome for found in results.values() for outcome in found]
    wrong = [*surprises(outcomes, known), *violations.splitlines()]
    for line in wrong:
        console.print(line, markup=False, soft_wrap=True)
    if problems:
        console.print("Pumice's log:", problems, markup=False, soft_wrap=True)
    if not wrong and not words:
        DOCUMENT.write_text(document(results, known))
    return 1 if wrong else 0


def explanations() -> dict[str, str]:
    """Why a test fails, by the test."""
    groups = tomllib.loads(EXPECTED.read_text())
    return {test: group["why"] for group in groups.values() for test in group["tests"]}


def surprises(outcomes: Sequence[Outcome], known: Mapping[str, str]) -> list[str]:
    """What is not as the explanations have it."""
    failed = {outcome.test: outcome for outcome in outcomes if outcome.ended == "failed"}
    unexplained = [
        f"\nnot explained: {test}\n{failed[test].said}" for test in sorted(failed.keys() - known.keys())
    ]
    stale = [f"explained, but does not fail: {test}" for test in sorted(known.keys() - failed.keys())]
    return unexplained + stale


def count(outcomes: Sequence[Outcome], ended: str) -> int:
    return sum(outcome.ended == ended for outcome in outcomes)


def show(console: Console, results: Results, known: Mapping[str, str]) -> None:
    """The table, then each test that did not pass, and why."""
    table = Table("suite", "passed", "failed", "of them explained", "skipped")
    for suite, outcomes in results.items():
        explained = sum(outcome.ended == "failed" and outcome.test in known for outcome in outcomes)
        numbers = (count(outcomes, "passed"), count(outcomes, "failed"), explained, count(outcomes, "skipped"))
        table.add_row(suite.package, *map(str, numbers))
    console.print(table)
    for outcome in (outcome for outcomes in results.values() for outcome in outcomes):
        if outcome.ended != "passed":
            why = known.get(outcome.test, "?") if outcome.ended == "failed" else reason(outcome)
            console.print(f"{outcome.ended}: {outcome.test}: {why}", markup=False, soft_wrap=True)


def reason(outcome: Outcome) -> str:
    """Why the suite itself skipped a test."""
    return outcome.said.splitlines()[0].rstrip(".") + "."


def _named(suite: Suite) -> str:
    """The client that brings a suite, with its version."""
    if suite.client != GOPHERCLOUD:
        return f"{suite.client} {version(suite.client)}"
    asked = ["dpkg-query", "-W", "-f", "${Version}", GOPHERCLOUD]
    return f"gophercloud {subprocess.run(asked, capture_output=True, text=True, check=True).stdout}"


def document(results: Results, known: Mapping[str, str]) -> str:
    """The page ``docs/clients.md``."""
    lines = [
        "# The clients' own functional suites",
        "",
        "`make clients` runs the suites that ship with the clients, unmodified, against a `pumice serve`, and",
        "writes this page. Volumes are files on two backends, and a Ceph of the tests' own keeps backups: its",
        "gateway (radosgw) speaks S3 to Pumice, and is the catalog's `object-store`, whose users are Pumice's.",
        "Fakes are the targets, the guests, and a network that goes nowhere. Each failure is explained in",
        "`tests/clients/expected.toml`. A failure that is not, an explained test that passes, or anything that",
        "`pumice audit` finds in the end, fails the run.",
        "",
        "| suite | of | passed | failed | skipped |",
        "|---|---|---|---|---|",
    ]
    for suite, outcomes in results.items():
        numbers = (count(outcomes, ended) for ended in ("passed", "failed", "skipped"))
        cells = (f"`{suite.package}`", _named(suite), *map(str, numbers))
        lines.append(f"| {' | '.join(cells)} |")
    every = [outcome for outcomes in results.values() for outcome in outcomes]
    failed = [(outcome.test, known[outcome.test]) for outcome in every if outcome.ended == "failed"]
    skipped = [(outcome.test, reason(outcome)) for outcome in every if outcome.ended == "skipped"]
    for title, rows in (("Failed, and why", failed), ("Skipped by the suite, and why", skipped)):
        if rows:
            lines += ["", f"## {title}", ""]
            lines += [f"- `{test}`: {why}" for test, why in rows]
    lines += ["", "## Good to know", "", *GOOD_TO_KNOW]
    return "\n".join(lines) + "\n"


sys.exit(main(sys.argv[1:]))
