"""``POST /explain``: where a volume would be made that is asked for so, and why there, or why nowhere."""

from typing import Any

from pydantic import Field

from pumice.api.call import Call, Reply, check
from pumice.api.fields import Uuid
from pumice.api.own import shapes
from pumice.api.own.rules import INSIDE
from pumice.api.policy import READER, Rule
from pumice.api.routing import Route
from pumice.api.volume.volumes import StrictCreateBody, wish
from pumice.scheduler.explain import Explanation, Looked
from pumice.store.database import Transaction
from pumice.volumes import explain as verbs


class ExplainBody(StrictCreateBody):
    """The body of a volume create, as Block Storage takes it since 3.53."""

    like: Uuid | None = Field(None, description="A volume: what is left open is as that one has it.")


async def explain(call: Call) -> Reply:
    """Say what a volume create would come to: each pool, filter and weigher, the winner, and what to change."""
    body = check(ExplainBody, await call.json())
    call.require_project("A volume")
    found = await call.ctx.db.read(_explained, call, body)
    return Reply(shown(found, inside=call.policy.allows(INSIDE, call.who)).model_dump(mode="json"))


def _explained(tx: Transaction, call: Call, body: ExplainBody) -> Explanation:
    wanted = wish(tx, call.who, body)
    if body.like:
        wanted = verbs.like(tx, call.who, body.like, wanted)
    return verbs.explain(tx, call.who, wanted, call.ctx.tunables)


def shown(found: Explanation, *, inside: bool) -> shapes.Explanation:
    """An explanation as it is told: pools by their names ``inside``, else only how many."""
    request, winner = found.request, found.winner
    return shapes.Explanation(
        explanation=shapes.Choice(
            fits=winner is not None,
            size=request.size,
            availability_zones=sorted(request.zones) or [request.availability_zone],
            advice=list(found.advice),
            looked_at=len(found.looked),
            left=[shapes.Left(filter=name, pools=number) for name, number in found.left()],
            winner=winner.name if inside and winner else None,
            drawn=found.drawn,
            pools=[_pool(one) for one in found.looked] if inside else [],
        )
    )


def _pool(one: Looked) -> shapes.Pool:
    verdicts: list[Any] = [
        shapes.Verdict(filter=it.filter, passes=it.passes, figures=it.figures) for it in one.verdicts
    ]
    weight = one.weight if one.fits else None
    return shapes.Pool(
        name=one.pool.name, fits=one.fits, verdicts=verdicts, weight=weight, shares=dict(one.shares)
    )


ROUTES = (Route("POST", "/explain", explain, Rule("pumice:explain", READER), also=(INSIDE,), looks=True),)
