"""What is measured, beside what Cinder reaches and what we want to reach; and the table of it.

The anchors were measured on a quiet machine of two cores: Cinder 29 with its fake driver, PostgreSQL, RabbitMQ
and two API workers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    name: str
    unit: str
    anchor: float | None = None
    goal: float | None = None
    more_is_better: bool = False

    def times(self, reached: float) -> float | None:
        """How many times better than the anchor."""
        if self.anchor is None:
            return None
        return reached / self.anchor if self.more_is_better else self.anchor / reached

    def met(self, reached: float) -> bool | None:
        """Whether the goal is reached."""
        if self.goal is None:
            return None
        return reached >= self.goal if self.more_is_better else reached <= self.goal


FIGURES: Mapping[str, Figure] = {
    "bare_commit": Figure("INSERT and COMMIT through the driver, p50", "ms"),
    "bare_http": Figure("HTTP echo through the server, p50", "ms"),
    "first_start": Figure("first answer, first start", "s", 3.0, 1.5),
    "later_start": Figure("first answer, later start", "s", 3.0, 1.5),
    "create": Figure("create, p50", "ms", 57, 6),
    "create_8": Figure("create, 8 clients", "/s", 18, 180, True),
    "create_32": Figure("create, 32 clients", "/s", 17, 180, True),
    "create_cpu": Figure("create to available, CPU of all processes", "ms", 105),
    "create_database_cpu": Figure("create to available, CPU of PostgreSQL", "ms"),
    "create_statements": Figure("create to available, statements", ""),
    "available": Figure("available after the request, p50", "ms", 116, 12),
    "available_16": Figure("available after the request, 16 clients, p50", "ms", 882),
    "available_16_p99": Figure("available after the request, 16 clients, p99", "ms"),
    "attach": Figure("attachments API, cycle of 4 calls, p50", "ms", 78, 8),
    "attach_8": Figure("attachments API, 8 clients", "cycles/s", 19, 190, True),
    "attach_cpu": Figure("attachments API, CPU of a cycle", "ms"),
    "actions": Figure("older actions, cycle of 6 calls, p50", "ms", 85),
    "show": Figure("show, p50", "ms", 6.8),
    "show_8": Figure("show, 8 clients", "/s", 268, 2000, True),
    "show_cpu": Figure("show, CPU", "ms"),
    "snapshot": Figure("snapshot available after the request, p50", "ms", 46),
    "gone": Figure("volume gone after delete, p50", "ms", 43),
    "detail_100": Figure("detail?limit=100, p50", "ms", 30),
    "detail_1000": Figure("detail?limit=1000, p50", "ms", 329, 33),
    "page_start": Figure("detail?limit=100 at the start of a long list", "ms"),
    "page_middle": Figure("detail?limit=100 in its middle", "ms"),
    "page_end": Figure("detail?limit=100 at its end", "ms"),
    "sustained": Figure("create, 32 clients, while the long list is made", "/s", 17, 180, True),
    "idle": Figure("idle, of the database", "statements/s"),
    "pss_start": Figure("memory (PSS) after start", "MiB", 598, 100),
    "pss_load": Figure("memory (PSS) after all of this", "MiB", 598, 100),
    **{f"pss_{role}": Figure(f"  of it {role}", "MiB") for role in ("api", "scheduler", "volume", "compute")},
}
"""In the order they are told. The anchor's memory is that of its services, without the broker and database."""


def table(columns: Mapping[str, Mapping[str, float]], title: str) -> Table:
    """What was reached by each of the ``columns``, beside anchor and goal."""
    drawn = Table(title=title, title_justify="left")
    for name in ("", "", "cinder", "goal", *columns):
        drawn.add_column(name, justify="right" if name else "left", no_wrap=bool(name))
    for key, figure in FIGURES.items():
        cells = [_cell(figure, reached.get(key)) for reached in columns.values()]
        if any(cells):
            drawn.add_row(figure.name, figure.unit, _number(figure.anchor), _number(figure.goal), *cells)
    return drawn


def _cell(figure: Figure, reached: float | None) -> str:
    """A figure, green or red where it has a goal, and how many times better than the anchor it is."""
    if reached is None:
        return ""
    times = figure.times(reached)
    colour = {True: "[green]", False: "[red]", None: "[default]"}[figure.met(reached)]
    return f"{colour}{_number(reached)}[/]" + (f" [dim]({_number(times)}x)[/]" if times else "")


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
