"""Things that do not exist here yet: their lists are empty, so that clients which look at them go on."""

from functools import partial

from pumice.api import paging
from pumice.api.call import Call, Reply, Version
from pumice.api.policy import READER, Rule
from pumice.api.routing import Route
from pumice.api.volume.filters import unmet

SORT_KEYS = frozenset(
    {"id", "name", "description", "status", "size", "volume_id", "group_id", "availability_zone", "host"}
    | {"created_at", "updated_at", "project_id", "user_id"}
)
KINDS = {"group_snapshots": "group_snapshot"}
"""The lists that tenants may filter by what is configured alone."""


async def empty(key: str, call: Call) -> Reply:
    """A list of nothing, of which a client may ask for a page or a part as of any other."""
    if key in KINDS:
        unmet(call, KINDS[key])
    paging.parse_query(call, keys=SORT_KEYS, most=call.ctx.tunables.api_max_limit)
    return Reply({key: []})


def _list(path: str, key: str, rule: Rule, since: Version = (3, 0)) -> list[Route]:
    return [Route("GET", each, partial(empty, key), rule, since=since) for each in (path, f"{path}/detail")]


ROUTES = (
    *_list("/consistencygroups", "consistencygroups", Rule("group:get_all", READER)),
    *_list("/cgsnapshots", "cgsnapshots", Rule("group:get_all_group_snapshots", READER)),
)
