"""``make kill``: kill -9 at every point of every verb, on both databases. Exits 0 or 1.

One operation of each verb is killed at all its points in turn, and one at all points of its way back; with
``--apart`` there is an operation for each point, which takes about three times as long. With ``--ceph`` the
volumes are in a Ceph of its own, on SQLite alone.
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

from rich.console import Console
from rich.table import Table
from tests.kill.on_ceph import KINDS, a_ceph, a_victim_on, taken
from tests.kill.points import Point, doing, failure, undoing
from tests.kill.trial import Trial, perform
from tests.kill.victim import Victim, a_victim
from tests.postgres_server import PostgresServer

from pumice.app.verbs import VERBS

CONSOLE = Console(width=110)
Passed = Callable[[Iterable[Point]], list[Point]]
"""Of a way's points those that are passed."""


def main(kinds: list[str], apart: bool) -> int:
    """Kill in the verbs of these kinds, or in all of them."""
    postgres = PostgresServer()
    try:
        victims = {"SQLite": a_victim(None), "PostgreSQL": a_victim(postgres.url(postgres.take()))}
        return _told(victims, kinds, apart)
    finally:
        postgres.close()


def on_ceph(kinds: list[str], apart: bool) -> int:
    """The same, with all volumes in Ceph."""
    with a_ceph() as settings:
        return _told({"Ceph": a_victim_on(settings)}, kinds or sorted(KINDS), apart, taken)


def _told(
    victims: dict[str, AbstractContextManager[Victim]], kinds: list[str], apart: bool, passed: Passed = list
) -> int:
    began = time.monotonic()
    trials: dict[str, dict[str, list[Trial]]] = defaultdict(dict)
    for name, victim in victims.items():
        for kind, done in _tried(victim, kinds, apart, passed):
            trials[kind][name] = done
            bad = [trial for trial in done if not trial.is_good]
            kills = sum(len(trial.points) for trial in done)
            CONSOLE.print(f"{name}: {kind}: {kills} kills, {len(bad)} bad", highlight=False)
            for trial in bad:
                CONSOLE.print(f"  {trial}", style="red", markup=False)
    _show(trials, time.monotonic() - began)
    return 0 if all(one.is_good for by in trials.values() for done in by.values() for one in done) else 1


def _tried(
    victim: AbstractContextManager[Victim], kinds: list[str], apart: bool, passed: Passed = list
) -> Iterator[tuple[str, list[Trial]]]:
    with victim as pumice:
        for verb in VERBS:
            if not kinds or verb.kind in kinds:
                ways = [(passed(doing(verb)), None), (passed(undoing(verb)), failure(verb))]
                yield (
                    verb.kind,
                    [
                        perform(pumice, points, fails)
                        for way, fails in ways
                        for points in ([[point] for point in way] if apart else [way] if way else [])
                    ],
                )


def _show(trials: dict[str, dict[str, list[Trial]]], seconds: float) -> None:
    table = Table("verb", "points", "on", "kills", "stuck", "leaked", "not as asked", "s")
    for kind, by in trials.items():
        every = [trial for done in by.values() for trial in done]
        kills = sum(len(trial.points) for trial in every)
        table.add_row(
            kind,
            str(kills // len(by)),
            ", ".join(by),
            str(kills),
            str(sum(len(trial.stuck) for trial in every)),
            str(sum(len(trial.leaked) for trial in every)),
            str(sum(bool(trial.wrong) for trial in every)),
            f"{sum(trial.seconds for trial in every):.0f}",
        )
    CONSOLE.print(table)
    CONSOLE.print(f"{seconds / 60:.0f} minutes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*")
    parser.add_argument("--apart", action="store_true")
    parser.add_argument("--ceph", action="store_true")
    asked = parser.parse_args()
    sys.exit((on_ceph if asked.ceph else main)(asked.kinds, asked.apart))
