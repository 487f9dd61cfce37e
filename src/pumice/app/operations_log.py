"""``pumice operations``: the log, told to a person at a terminal. Works beside a Pumice that is running."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

from rich.table import Table
from rich.text import Text

from pumice.app.database import existing
from pumice.app.settings import Settings
from pumice.app.terminal import console, plain, print_json, table
from pumice.model.errors import Conflict, Invalid, NotFound
from pumice.model.rules import Rules
from pumice.operations import retry as again
from pumice.operations.operation import Verb
from pumice.operations.retry import Retried
from pumice.store import operations as log
from pumice.store.database import Transaction

P = ParamSpec("P")
T = TypeVar("T")

LOOKED_AFTER_SECONDS = 60.0
"""An operation that could go on, and that nobody took up for so long, counts as stuck."""
_COLOURS = {"done": "green", "failed": "red", "retry": "yellow", "undoing": "yellow", "waiting": "cyan"}


@dataclass(frozen=True, slots=True)
class Which:
    """What to list."""

    stuck: bool = False
    running: bool = False
    failed: bool = False
    kind: str | None = None
    subject: str | None = None
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
    if row["deadline"] < at and not row["settled"]:
        return "past its deadline, and not told so"
    held = row["lease_until"] is not None and row["lease_until"] >= at
    since = max(row["run_at"], row["lease_until"] or 0.0, _seconds(row["created_at"]))
    if row["state"] != "waiting" and not held and since + LOOKED_AFTER_SECONDS < at:
        return f"nobody serves {row['place']}"
    return None


def found(tx: Transaction, which: Which) -> list[log.Row]:
    """The operations asked for, the newest first."""
    limit = 100_000 if which.stuck else which.limit
    rows = log.page(tx, states=which.states(), kind=which.kind, subject=which.subject, limit=limit)
    if which.stuck:
        at = time.time()
        rows = [row for row in rows if why_stuck(row, at)]
    return list(rows[: which.limit])


def print_list(settings: Settings, which: Which, *, as_json: bool) -> None:
    """Print the operations asked for."""
    rows = asyncio.run(_read(settings, found, which))
    if as_json:
        print_json([dict(row) for row in rows])
        return
    shown = table("id", "kind", "subject", "state", "step", "place", "begun", "told")
    at = time.time()
    for row in rows:
        told = why_stuck(row, at) or row["error"] or ""
        shown.add_row(
            row["id"],
            row["kind"],
            row["subject"],
            _coloured(row["state"]),
            _step_in_hand(row),
            plain(row["place"]),
            _moment(row["created_at"]),
            plain(told, "red"),
        )
    console().print(shown if rows else "None.")


def print_one(settings: Settings, beginning: str, *, as_json: bool) -> None:
    """Print one operation with its history."""
    row, lines = asyncio.run(_read(settings, _told, beginning))
    if as_json:
        print_json({**row, "lines": [dict(line) for line in lines]})
        return
    out = console()
    out.print(
        Text.assemble((row["kind"], "bold"), f"  {row['id']}  ", _coloured(row["state"]), f"  {row['subject']}")
    )
    out.print(f"begun {_moment(row['created_at'])}, request {row['request_id'] or 'none'}", style="dim")
    if row["parent_id"]:
        out.print(f"part of {row['parent_id']}", style="dim")
    out.print(_history(lines))
    if (step := _step_in_hand(row)) and row["state"] in log.UNDER_WAY:
        out.print(f"In hand: {step} at {row['place']}, {row['owner'] or 'nobody'} has it.")
        for part in row["notes"].get(step.removeprefix("wait_for_"), ()) if row["state"] == "waiting" else ():
            out.print(f"Waits for {part}")
    if row["error"]:
        out.print(plain(row["error"], "red"))


def cancel(settings: Settings, beginning: str, *, as_json: bool) -> None:
    """Ask an operation to turn back."""
    operation_id = asyncio.run(_write(settings, _cancel, beginning))
    if as_json:
        print_json({"operation": operation_id})
    else:
        print(f"Operation {operation_id} turns back after the step in hand.")


def retry(settings: Settings, beginning: str, *, as_json: bool) -> None:
    """Try an operation again."""
    from pumice.app.verbs import VERBS, set_deadlines  # which need every room: listing does without

    set_deadlines(settings.operations.deadlines)
    verbs = {verb.kind: verb for verb in VERBS}
    operation_id, retried = asyncio.run(_write(settings, _retry, beginning, verbs, settings.rules()))
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
            _coloured(line["outcome"]),
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
    tx: Transaction, beginning: str, verbs: Mapping[str, Verb[Any]], rules: Rules
) -> tuple[str, Retried]:
    operation_id = _one(tx, beginning)["id"]
    return operation_id, again.retry(tx, operation_id, verbs, rules)


def _told(tx: Transaction, beginning: str) -> tuple[log.Row, Sequence[log.Row]]:
    """The operation whose id begins so, and its history."""
    row = _one(tx, beginning)
    return row, log.lines(tx, row["id"])


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
    """In this machine's time zone."""
    return f"{stored.replace(tzinfo=UTC).astimezone():%Y-%m-%d %H:%M:%S.%f}"[:-3]


def _coloured(word: str) -> Text:
    return Text(word, _COLOURS.get(word, ""))
