"""``pumice operations``: the log, told to a person at a terminal. Works beside a Pumice that is running."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any, Concatenate, ParamSpec, TypeVar

from rich.table import Table
from rich.text import Text

from pumice.app.database import existing
from pumice.app.settings import Settings
from pumice.app.terminal import console, plain, print_json, short, table, when
from pumice.model.errors import Conflict, Invalid, NotFound
from pumice.model.tunables import Tunables
from pumice.operations import retry as again
from pumice.operations.operation import Verb
from pumice.operations.retry import Retried
from pumice.store import clock, hanging, names
from pumice.store import operations as log
from pumice.store.columns import now
from pumice.store.database import Transaction

P = ParamSpec("P")
T = TypeVar("T")

LOOKED_AFTER_SECONDS = 60.0
"""An operation that could go on, and that nobody took up for so long, counts as stuck."""

_COLOURS = {
    "done": "green",
    "failed": "red",
    "retry": "yellow",
    "undoing": "yellow",
    "cleaning": "yellow",
    "waiting": "cyan",
}


@dataclass(frozen=True, slots=True)
class Which:
    """The operations to list."""

    stuck: bool = False
    running: bool = False
    failed: bool = False
    kind: str | None = None
    subject: str | None = None
    """A name, an id, or the first characters of one; so too for the project."""
    project: str | None = None
    since: str | None = None
    """Since when: ``30m``, ``2h``, ``7d`` ago, or a time in this machine's zone."""
    limit: int = 50

    def states(self) -> tuple[str, ...] | None:
        """The states to look at; None for all."""
        if self.stuck or (self.running and not self.failed):
            return log.UNDER_WAY
        if self.failed:
            return (*log.UNDER_WAY, "failed") if self.running else ("failed",)
        return None


def why_stuck(row: log.Row, at: float) -> str | None:
    """Why nobody seems to bring this operation to its end; None when somebody does. ``at``: epoch seconds."""
    if row["state"] not in log.UNDER_WAY:
        return None
    if row["unread"]:
        return f"this version cannot go on with it: {row['unread']}"
    if row["deadline"] < at and not row["settled"]:
        return "past its deadline, and not told so"
    held = row["lease_until"] is not None and row["lease_until"] >= at
    since = max(row["run_at"], row["lease_until"] or 0.0, _seconds(row["created_at"]))
    if row["state"] != "waiting" and not held and since + LOOKED_AFTER_SECONDS < at:
        return f"nobody serves {row['place']}"
    return None


@dataclass(frozen=True, slots=True)
class Found:
    """The operations that are listed, with the names of what they are about."""

    rows: Sequence[log.Row]
    things: Mapping[str, str]
    projects: Mapping[str, str]


def found(tx: Transaction, which: Which) -> Found:
    """The operations asked for, the newest first. Raises ``Invalid`` or ``NotFound`` for what says nothing."""
    rows = log.page(
        tx,
        states=which.states(),
        kind=which.kind,
        subject=_meant(names.things(tx, which.subject), which.subject) if which.subject else None,
        projects=_known(names.projects_called(tx, which.project), which.project) if which.project else None,
        since=moment(which.since) if which.since else None,
        limit=100_000 if which.stuck else which.limit,
    )
    if which.stuck:
        at = clock.time()
        rows = [row for row in rows if why_stuck(row, at)]
    rows = rows[: which.limit]
    if which.kind and not rows:
        _must_be_kind(which.kind)
    subjects, owners = {row["subject"] for row in rows}, {row["project_id"] for row in rows}
    return Found(rows, names.of_things(tx, subjects), names.of_projects(tx, owners - {None}))


def _meant(ids: list[str], word: str) -> list[str]:
    """The ids that a word stands for; the word itself for what has no row, or none any more."""
    return ids or [word]


def _known(ids: list[str], word: str) -> list[str]:
    if not ids:
        raise NotFound("Project", word)
    return ids


def _must_be_kind(kind: str) -> None:
    """Raise ``Invalid`` for a word that is no kind of operation."""
    from pumice.app.verbs import VERBS  # which need every room: most lists do without
    from pumice.operations.at_once import AtOnce

    kinds = sorted({*AtOnce, *(verb.kind for verb in VERBS)})
    if kind not in kinds:
        close = get_close_matches(kind, kinds, 1)
        hint = f"Did you mean '{close[0]}'?" if close else f"Kinds are {', '.join(kinds)}."
        raise Invalid(f"There is no kind of operation '{kind}'. {hint}")


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(word: str) -> datetime:
    """The log's time of ``2h`` ago, or of a date and time in this machine's zone. Raises ``Invalid``."""
    if word[:-1].isdigit() and word[-1] in _UNITS:
        return now() - timedelta(**{_UNITS[word[-1]]: int(word[:-1])})
    try:
        return datetime.fromisoformat(word).astimezone(UTC).replace(tzinfo=None)
    except ValueError:
        raise Invalid(f"'{word}' is no time: write 30m, 2h or 7d, or 2026-11-25 or 2026-11-25T18:00.") from None


def print_list(settings: Settings, which: Which, *, as_json: bool, wide: bool) -> None:
    """Print the operations asked for."""
    listed = asyncio.run(_read(settings, found, which))
    if as_json:
        print_json(
            [
                {
                    **row,
                    "subject_name": listed.things.get(row["subject"]),
                    "project_name": listed.projects.get(row["project_id"]),
                }
                for row in listed.rows
            ]
        )
        return
    out, at = console(), clock.time()
    if not listed.rows:
        out.print("None.")
        return
    more = ("project", "place") if wide else ()
    whole = ("id", "kind", "state", "begun", "seconds")
    shown = table("id", "kind", "subject", "state", "step", *more, "begun", "seconds", whole=whole)
    told = []
    for row in listed.rows:
        project = listed.projects.get(row["project_id"]) or row["project_id"] or ""
        shown.add_row(
            short(row["id"], wide),
            row["kind"],
            plain(listed.things.get(row["subject"]) or short(row["subject"], wide)),
            _coloured(_state(row)),
            _step_in_hand(row) + _progress(row),
            *([plain(project), plain(row["place"])] if wide else ()),
            _moment(row["created_at"]) if wide else when(row["created_at"]),
            f"{_lasts(row, at):.1f}",
        )
        if why := why_stuck(row, at) or row["error"]:
            told.append(plain(f"{short(row['id'], wide)}  {why}", "red"))
    out.print(shown)
    for line in told:
        out.print(line)


def _progress(row: log.Row) -> str:
    under_way = row["state"] in log.UNDER_WAY and row["progress"] is not None
    return f" {row['progress']:.0%}" if under_way else ""


def _lasts(row: log.Row, at: float) -> float:
    """Seconds from the request to the end, or to now."""
    return (_seconds(row["finished_at"]) if row["finished_at"] else at) - _seconds(row["created_at"])


def print_one(settings: Settings, beginning: str, *, as_json: bool) -> None:
    """Print one operation with its history."""
    row, lines, calls = asyncio.run(_read(settings, _told, beginning))
    if as_json:
        print_json({**row, "lines": [dict(line) for line in lines], "hanging": [dict(call) for call in calls]})
        return
    out = console()
    out.print(
        Text.assemble((row["kind"], "bold"), f"  {row['id']}  ", _coloured(_state(row)), f"  {row['subject']}")
    )
    out.print(f"begun {_moment(row['created_at'])}, request {row['request_id'] or 'none'}", style="dim")
    if row["parent_id"]:
        out.print(f"part of {row['parent_id']}", style="dim")
    out.print(_history(lines))
    if (step := _step_in_hand(row)) and row["state"] in log.UNDER_WAY:
        out.print(f"In hand: {step} at {row['place']}, {row['owner'] or 'nobody'} has it.")
        for part in row["notes"].get(step.removeprefix("wait_for_"), ()) if row["state"] == "waiting" else ():
            out.print(f"Waits for {part}")
    for call in calls:
        told = f"'{call['call']}' hangs at {call['place']} since {_moment(call['since'])}"
        rest = f"until it is back, or its process is restarted, nothing more is done about {call['subject']}"
        out.print(plain(f"{told}: {rest}.", "red"))
    for told in (row["unread"], row["error"]):
        if told:
            out.print(plain(told, "red"))


def cancel(settings: Settings, beginning: str, *, as_json: bool) -> None:
    """Ask an operation to turn back."""
    operation_id = asyncio.run(_write(settings, _cancel, beginning))
    if as_json:
        print_json({"operation": operation_id})
    else:
        print(
            f"Operation {operation_id} turns back: after the step in hand, or at once if that is a long copy."
        )


def retry(settings: Settings, beginning: str, *, as_json: bool) -> None:
    """Try an operation again."""
    from pumice.app.verbs import VERBS, set_deadlines  # which need every room: listing does without

    set_deadlines(settings.operations.deadlines)
    verbs = {verb.kind: verb for verb in VERBS}
    operation_id, retried = asyncio.run(_write(settings, _retry, beginning, verbs, settings.tunables()))
    if as_json:
        print_json({"operation": operation_id, "now": retried.operation_id, "anew": retried.anew})
    elif not retried.anew:
        print(f"Operation {operation_id} is due now.")
    elif retried.operation_id is None:
        print(f"What operation {operation_id} was to do is done: nothing was left to do.")
    else:
        print(f"Operation {retried.operation_id} does again what {operation_id} was to do.")


def _history(lines: Sequence[log.Row]) -> Table:
    shown = table("step", "at", "seconds", "place", "outcome", "error")
    for line in lines:
        step = f"undo {line['step']}" if line["direction"] == "undo" else line["step"]
        shown.add_row(
            step,
            _moment(line["started_at"]),
            f"{line['seconds']:.3f}",
            plain(line["place"]),
            _coloured(line["outcome"], line["times"]),
            plain(line["error"] or "", "red"),
        )
    return shown


async def _read(
    settings: Settings, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs
) -> T:
    async with existing(settings) as db:
        return await db.read(work, *args, **kw)


async def _write(
    settings: Settings, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs
) -> T:
    async with existing(settings) as db:
        return await db.write(work, *args, **kw)


def _cancel(tx: Transaction, beginning: str) -> str:
    row = _one(tx, beginning)
    if not log.ask_to_cancel(tx, row["id"]):
        raise Conflict(f"Operation {row['id']} is {row['state']}: there is nothing to cancel.")
    return str(row["id"])


def _retry(
    tx: Transaction, beginning: str, verbs: Mapping[str, Verb[Any]], tunables: Tunables
) -> tuple[str, Retried]:
    operation_id = _one(tx, beginning)["id"]
    return operation_id, again.retry(tx, operation_id, verbs, tunables)


def _told(tx: Transaction, beginning: str) -> tuple[log.Row, Sequence[log.Row], Sequence[log.Row]]:
    """The operation whose id begins so, its history, and its calls that hang."""
    row = _one(tx, beginning)
    return row, log.lines(tx, row["id"]), hanging.of_operation(tx, row["id"])


def _one(tx: Transaction, beginning: str) -> log.Row:
    """The operation whose id begins so. Raises ``NotFound``, ``Invalid`` if there are several."""
    if row := log.get(tx, beginning):
        return row
    rows = log.beginning_with(tx, beginning)
    if not rows:
        raise NotFound("Operation", beginning)
    if len(rows) > 1:
        raise Invalid(f"Several operations begin with {beginning}; give more of the id.")
    return rows[0]


def _step_in_hand(row: log.Row) -> str:
    if row["state"] not in log.UNDER_WAY or not 0 <= row["position"] < len(row["steps"]):
        return ""
    step: str = row["steps"][row["position"]]
    return f"undo {step}" if row["state"] == "undoing" else step


def _seconds(stored: datetime) -> float:
    return stored.replace(tzinfo=UTC).timestamp()


def _moment(stored: datetime) -> str:
    """A stored time in this machine's time zone."""
    return f"{stored.replace(tzinfo=UTC).astimezone():%Y-%m-%d %H:%M:%S.%f}"[:-3]


def _state(row: log.Row) -> str:
    return log.CLEANING if row["state"] == "undoing" and row["settled"] else str(row["state"])


def _coloured(word: str, times: int = 1) -> Text:
    return Text(word if times == 1 else f"{word}, {times} times", _COLOURS.get(word, ""))
