"""``make kill``: kill -9 at every point of every verb, one at a time, on both databases. Exits 0 or 1."""

import sys
import time
from collections import defaultdict
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from tests.kill.points import doing, failure, undoing
from tests.kill.trial import Trial, perform
from tests.kill.victim import a_victim
from tests.postgres_server import PostgresServer

from pumice.app.verbs import VERBS

CONSOLE = Console(width=110)


def main(kinds: list[str]) -> int:
    """Kill in the verbs of these kinds, or in all of them."""
    began = time.monotonic()
    trials: dict[str, dict[str, list[Trial]]] = defaultdict(dict)
    postgres = PostgresServer()
    try:
        for database, url in (("SQLite", None), ("PostgreSQL", postgres.url(postgres.take()))):
            for kind, done in _tried(url, kinds):
                trials[kind][database] = done
                bad = [trial for trial in done if not trial.is_good]
                CONSOLE.print(f"{database}: {kind}: {len(done)} kills, {len(bad)} bad", highlight=False)
                for trial in bad:
                    CONSOLE.print(f"  {trial}", style="red", markup=False)
    finally:
        postgres.close()
    _show(trials, time.monotonic() - began)
    return 0 if all(one.is_good for by in trials.values() for done in by.values() for one in done) else 1


def _tried(database_url: str | None, kinds: list[str]) -> Iterator[tuple[str, list[Trial]]]:
    with a_victim(database_url) as pumice:
        for verb in VERBS:
            if not kinds or verb.kind in kinds:
                there = [perform(pumice, [point]) for point in doing(verb)]
                back = [perform(pumice, [point], failure(verb)) for point in undoing(verb)]
                yield verb.kind, there + back


def _show(trials: dict[str, dict[str, list[Trial]]], seconds: float) -> None:
    table = Table("verb", "points", "databases", "kills", "stuck", "leaked", "not as asked", "s")
    for kind, by in trials.items():
        every = [trial for done in by.values() for trial in done]
        table.add_row(
            kind,
            str(len(every) // len(by)),
            ", ".join(by),
            str(len(every)),
            str(sum(len(trial.stuck) for trial in every)),
            str(sum(len(trial.leaked) for trial in every)),
            str(sum(bool(trial.wrong) for trial in every)),
            f"{sum(trial.seconds for trial in every):.0f}",
        )
    CONSOLE.print(table)
    CONSOLE.print(f"{seconds / 60:.0f} minutes")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
