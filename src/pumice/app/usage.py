"""``pumice usage``: GiB-hours by day, project and type, beside a Pumice that serves or one that does not."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date

from pumice.api.own import shapes, usage
from pumice.app.database import existing
from pumice.app.settings import Settings
from pumice.app.terminal import console, plain, print_json, table
from pumice.model.errors import Invalid, NotFound
from pumice.store import names
from pumice.store.database import Transaction


def run(
    settings: Settings, first: str | None, last: str | None, project: str | None, *, as_json: bool, as_csv: bool
) -> None:
    """Print what was used from one day to another, as ``GET /pumice/v1/usage`` tells it.

    Raises ``Invalid`` for days that are none, ``NotFound`` for a project that has neither a name nor usage.
    """
    found, called = asyncio.run(_read(settings, project, *usage.span(first, last)))
    if as_json:
        print_json([one.model_dump() | {"project_name": called.get(one.project_id)} for one in found])
    elif as_csv:
        print(usage.as_csv(found), end="")
    else:
        _print(found, called)


def _print(found: Sequence[shapes.Used], called: Mapping[str, str]) -> None:
    shown = table("day", "project", "kind", "type", "GiB-hours", whole=("day", "kind", "GiB-hours"))
    for one in found:
        project = plain(called.get(one.project_id) or one.project_id)
        shown.add_row(one.day, project, one.kind, plain(one.volume_type or ""), f"{one.gib_hours:.3f}")
    console().print(shown if found else "None.")


async def _read(
    settings: Settings, project: str | None, first: date, last: date
) -> tuple[Sequence[shapes.Used], Mapping[str, str]]:
    async with existing(settings) as db:
        return await db.read(_found, project, first, last)


def _found(
    tx: Transaction, project: str | None, first: date, last: date
) -> tuple[Sequence[shapes.Used], Mapping[str, str]]:
    meant = names.projects_called(tx, project) if project else []
    if len(meant) > 1:
        raise Invalid(f"Several projects are called or begin with '{project}': say more of its id.")
    found = usage.of_days(tx, meant[0] if meant else project, first, last)
    if project and not meant and not found:  # one that was deleted may have used something
        raise NotFound("Project", project)
    return found, names.of_projects(tx, {one.project_id for one in found})
