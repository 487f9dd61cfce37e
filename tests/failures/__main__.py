"""``make failures``: Cinder's failures, repeated with their full numbers. Exits 0 or 1."""

import sys
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from tests.failures.cloud import SYNCING, a_cloud
from tests.failures.row import Result, repeat
from tests.failures.table import ROWS
from tests.postgres_server import PostgresServer

CONSOLE = Console(width=150)


def main(names: list[str]) -> int:
    """Repeat the rows of these names, or all of them."""
    postgres = PostgresServer(SYNCING)
    try:
        results = list(_results(postgres, names))
    finally:
        postgres.close()
    table = Table(
        "fault", "Cinder 29 ended with", "Pumice must end with", "Pumice ended with", "s", show_lines=True
    )
    for result in results:
        row, colour = result.row, "green" if result.kept else "red"
        ended = f"[{colour}]{result.words}[/]"
        table.add_row(row.fault, row.cinder, row.promise, ended, f"{result.seconds:.0f}")
    CONSOLE.print(table)
    return 0 if all(result.kept for result in results) else 1


def _results(postgres: PostgresServer, names: list[str]) -> Iterator[Result]:
    for row in ROWS:
        if names and row.name not in names:
            continue
        with a_cloud(postgres, row.hypervisor) as cloud:
            result = repeat(row, cloud, row.full)
        CONSOLE.print(
            f"{row.name}: {result.words} ({result.seconds:.0f} s)", style=None if result.kept else "red"
        )
        yield result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
