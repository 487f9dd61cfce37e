"""How far a caller's token reaches in Identity: everywhere, or into one domain.

The projects of the default domain are the operator's own, and the system is everything: whoever is somebody
there reaches everywhere. Any other token reaches what is in its own domain.
"""

from collections.abc import Mapping

from pumice.api.call import Call
from pumice.identity.bootstrap import DOMAIN
from pumice.model.scope import Scope
from pumice.store import projects, users
from pumice.store.database import Transaction
from pumice.store.resources import GROUPS


def home(who: Scope) -> str | None:
    """The domain that a token is for, or that its project is in."""
    return who.domain_id or who.project_domain_id


def confined_to(who: Scope) -> str | None:
    """The domain beyond which a caller sees nothing; None for one who reaches everywhere."""
    everywhere = who.system or (who.domain_id is None and who.project_domain_id == DOMAIN)
    return None if everywhere else home(who) or ""


def within_reach(call: Call, filters: dict[str, object], column: str = "domain_id") -> dict[str, object] | None:
    """The filters of a list, narrowed to what the caller reaches; None if that is nothing at all."""
    mine = confined_to(call.who)
    if mine is None:
        return filters
    return {**filters, column: mine} if filters.get(column, mine) == mine else None


async def domain_of(call: Call) -> str | None:
    """The domain of all that a path names, or the caller's own if it names nothing; None for several."""
    if not call.args.keys() & {"user_id", "group_id", "project_id", "domain_id"}:
        return home(call.who)
    found = await call.ctx.db.read(_domains, call.args)
    return found.pop() if len(found) == 1 else None


def _domains(tx: Transaction, args: Mapping[str, str]) -> set[str | None]:
    found: set[str | None] = {args["domain_id"]} if "domain_id" in args else set()
    for name, get in (("user_id", users.get), ("project_id", projects.get)):
        if name in args:
            row = get(tx, args[name])
            found.add(row["domain_id"] if row else None)
    if "group_id" in args:
        groups = GROUPS.matching(tx, {"id": args["group_id"]})
        found.add(groups[0]["domain_id"] if groups else None)
    return found
