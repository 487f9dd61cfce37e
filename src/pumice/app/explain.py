"""``pumice explain volume``: where a volume would be made and why, by what the scheduler itself asks."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.table import Table

from pumice.api.own.explain import shown
from pumice.app.database import existing
from pumice.app.settings import Settings
from pumice.app.terminal import console, plain, print_json, table
from pumice.model.errors import Invalid, NotFound
from pumice.model.ids import ProjectId
from pumice.model.scope import INTERNAL
from pumice.scheduler.explain import Explanation, Looked
from pumice.store import names, volumes
from pumice.store.database import Transaction
from pumice.volumes.create import Wanted
from pumice.volumes.explain import explain, like


@dataclass(frozen=True, slots=True)
class Asked:
    """The volume that is asked about."""

    size: int | None
    kind: str | None
    zone: str | None
    like: str | None
    """A volume, by its id, its id's beginning or its name; so too for the project."""
    project: str | None


def run(settings: Settings, asked: Asked, *, as_json: bool) -> None:
    """Print each pool, the winner or what to change. Raises what a create would be refused with."""
    found = asyncio.run(_found(settings, asked))
    if as_json:
        print_json(shown(found, inside=True).model_dump(mode="json")["explanation"])
        return
    out, winner = console(), found.winner
    out.print(_pools(found.looked))
    if winner is None:
        out.print(f"No pool has it: {found.request.size} GiB.", style="red")
        for sentence in found.advice:
            out.print(plain(sentence))
    elif found.drawn:
        out.print(plain(f"One of those that fit is drawn; the likeliest is {winner.name}.", "green"))
    else:
        out.print(plain(f"It would be made in {winner.name}.", "green"))


async def _found(settings: Settings, asked: Asked) -> Explanation:
    async with existing(settings) as db:
        return await db.read(_explained, asked, settings)


def _explained(tx: Transaction, asked: Asked, settings: Settings) -> Explanation:
    wanted = Wanted(size=asked.size, volume_type=asked.kind, availability_zone=asked.zone)
    project = (
        _only("Project", asked.project, names.projects_called(tx, asked.project)) if asked.project else None
    )
    who = replace(INTERNAL, project_id=ProjectId(project) if project else None)
    if asked.like:
        volume = volumes.get(tx, who, _only("Volume", asked.like, names.volumes_called(tx, asked.like)))
        wanted = like(tx, who, volume.id, wanted)
        who = replace(who, project_id=who.project_id or ProjectId(volume.project_id))
    return explain(tx, who, wanted, settings.tunables())


def _only(kind: str, word: str, ids: Sequence[str]) -> str:
    """The one that a word means. Raises ``NotFound`` or ``Invalid``."""
    if not ids:
        raise NotFound(kind, word)
    if len(ids) > 1:
        raise Invalid(f"Several are called or begin with {word}: {', '.join(ids)}.")
    return ids[0]


def _pools(looked: Sequence[Looked]) -> Table:
    made = table("pool", "fits", "weight", "why")
    for one in looked:
        refused = [verdict for verdict in one.verdicts if not verdict.passes]
        told = refused or [verdict for verdict in one.verdicts if verdict.figures]
        why = "; ".join(f"{verdict.filter}: {verdict.figures}" for verdict in told)
        shares = ", ".join(f"{name} {share:.2f}" for name, share in one.shares.items())
        weight = f"{one.weight:.2f} ({shares})" if one.fits else ""
        made.add_row(plain(one.pool.name), "yes" if one.fits else "no", weight, plain(why))
    return made
