"""``GET /usage``: GiB-hours by project, type and day, for who sends a bill."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from pumice.api.call import Call, Reply
from pumice.api.own import shapes
from pumice.api.own.rules import all_projects
from pumice.api.policy import READER, Rule
from pumice.api.routing import Route
from pumice.api.times import as_day
from pumice.model.errors import Forbidden, Invalid
from pumice.store import adding_up, clock
from pumice.store.database import Transaction

_PARAMETERS = ("from", "to", "project_id", "all_projects", "format")
_FIRST = date(1970, 1, 1)
MOST_DAYS = 400


async def usage(call: Call) -> Reply:
    """Tell what was used from one day to another: the last 30 days where nothing is said."""
    if unknown := call.query.keys() - {*_PARAMETERS}:
        raise Invalid(f"There is no parameter '{min(unknown)}'. There are {', '.join(_PARAMETERS)}.")
    days = span(call.query.get("from"), call.query.get("to"))
    is_csv = _is_csv(call)
    found = await call.ctx.db.read(of_days, _whose(call), *days)
    if is_csv:
        headers = {"Content-Disposition": f'attachment; filename="usage-{days[0]}-{days[1]}.csv"'}
        return Reply(as_csv(found).encode(), headers=headers, content_type="text/csv; charset=utf-8")
    return Reply(shapes.Usage(usage=list(found)).model_dump(mode="json"))


def span(first: str | None, last: str | None) -> tuple[date, date]:
    """The days that are asked for: up to today, and 30 of them, where nothing is said. Raises ``Invalid``."""
    end = _day("to", last) or _FIRST + timedelta(days=clock.time() // adding_up.DAY)
    begin = _day("from", first) or end - timedelta(days=29)
    if not 0 <= (end - begin).days < MOST_DAYS:
        raise Invalid(f"'from' is a day before 'to', by less than {MOST_DAYS} days.")
    return begin, end


def of_days(tx: Transaction, project_id: str | None, first: date, last: date) -> Sequence[shapes.Used]:
    """What a project used from one day to another, or all of them."""
    found = adding_up.of_days(tx, project_id, (first - _FIRST).days, (last - _FIRST).days)
    return list(_told(found))


def _day(name: str, text: str | None) -> date | None:
    try:
        return as_day(text) if text else None
    except ValueError:
        said = text[:40] if text else text
        raise Invalid(f"'{name}' is a day from 1970 on, like 2026-11-27, and not '{said}'.") from None


def _is_csv(call: Call) -> bool:
    said = call.query.get("format")
    if said not in (None, "csv", "json"):
        raise Invalid(f"The format is json or csv, and not '{said[:40]}'.")
    return said == "csv" or (said is None and "text/csv" in call.headers.get("accept", ""))


def _whose(call: Call) -> str | None:
    """The project whose usage is asked for; None for all. Raises ``Forbidden``."""
    if all_projects(call):
        return None
    wanted = call.query.get("project_id", call.who.project_id)
    if wanted is None:
        raise Invalid("Name a project_id, or ask for all_projects=1: this token is of no project.")
    if wanted != call.who.project_id and not call.who.is_admin:
        raise Forbidden("Only an administrator may ask for another project's usage.")
    return wanted


def _told(found: Mapping[tuple[str, int, str], float]) -> Iterator[shapes.Used]:
    """By day, project and type; what volumes of no type use is what is left of the whole."""
    amounts: dict[tuple[int, str, str, str], float] = {}
    for (project_id, day, resource), seconds in found.items():
        kind, _, name = resource.partition("_")
        if resource == "backup_gigabytes":
            amounts[day, project_id, "backup", ""] = seconds
        elif kind == "gigabytes":
            untyped = day, project_id, "volume", ""
            amounts[untyped] = amounts.get(untyped, 0.0) + (-seconds if name else seconds)
            if name:
                amounts[day, project_id, "volume", name] = seconds
    for (day, project_id, what, name), seconds in sorted(amounts.items()):
        if (hours := round(seconds / 3600, 6)) > 0:
            yield shapes.Used(
                project_id=project_id,
                day=str(_FIRST + timedelta(days=day)),
                kind="backup" if what == "backup" else "volume",
                volume_type=name or None,
                gib_hours=hours,
            )


def as_csv(told: Sequence[shapes.Used]) -> str:
    """A line for each, below one with the names of the columns."""
    text = io.StringIO()
    rows: Any = csv.writer(text)
    names = list(shapes.Used.model_fields)
    rows.writerow(names)
    rows.writerows([_cell(getattr(one, name)) for name in names] for one in told)
    return text.getvalue()


def _cell(value: object) -> object:
    """A value as a spreadsheet may open it: no name of a type is a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


ROUTES = (Route("GET", "/usage", usage, Rule("pumice:usage", READER)),)
