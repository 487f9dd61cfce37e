"""``GET /usage``: GiB-hours by project, type and day, for who sends a bill."""

import csv
import io
from collections.abc import Iterator, Mapping
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

_PARAMETERS = ("from", "to", "project_id", "all_projects", "format")
_FIRST = date(1970, 1, 1)
MOST_DAYS = 400


async def usage(call: Call) -> Reply:
    """Tell what was used from one day to another: the last 30 days where nothing is said."""
    if unknown := call.query.keys() - {*_PARAMETERS}:
        raise Invalid(f"There is no parameter '{min(unknown)}'. There are {', '.join(_PARAMETERS)}.")
    last = _day(call, "to") or _FIRST + timedelta(days=clock.time() // adding_up.DAY)
    first = _day(call, "from") or last - timedelta(days=29)
    if not 0 <= (last - first).days < MOST_DAYS:
        raise Invalid(f"'from' is a day before 'to', by less than {MOST_DAYS} days.")
    as_csv = _is_csv(call)
    days = (first - _FIRST).days, (last - _FIRST).days
    found = await call.ctx.db.read(adding_up.of_days, _whose(call), *days)
    told = list(_told(found))
    if as_csv:
        headers = {"Content-Disposition": f'attachment; filename="usage-{first}-{last}.csv"'}
        return Reply(_csv(told), headers=headers, content_type="text/csv; charset=utf-8")
    return Reply(shapes.Usage(usage=told).model_dump(mode="json"))


def _day(call: Call, name: str) -> date | None:
    text = call.query.get(name)
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


def _csv(told: list[shapes.Used]) -> bytes:
    text = io.StringIO()
    rows: Any = csv.writer(text)
    names = list(shapes.Used.model_fields)
    rows.writerow(names)
    rows.writerows([_cell(getattr(one, name)) for name in names] for one in told)
    return text.getvalue().encode()


def _cell(value: object) -> object:
    """A value as a spreadsheet may open it: no name of a type is a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


ROUTES = (Route("GET", "/usage", usage, Rule("pumice:usage", READER)),)
