"""Which servers a list shows, and in which order (api-ref, "List Servers").

Unknown filters are ignored up to 2.74 and refused since. What only administrators may filter by is ignored for
everybody else.
"""

from functools import partial

from pumice.api.call import Call
from pumice.api.collection import Collection
from pumice.api.compute.queries import EVER, only_query
from pumice.api.compute.server_filters import LATER, READERS, TENANTS_SINCE, a_truth
from pumice.api.policy import ADMIN, Rule
from pumice.model.errors import Invalid
from pumice.model.server import Server
from pumice.model.states import ServerStatus
from pumice.store import servers
from pumice.store.servers import Condition

SORT_KEYS = {
    "created_at": "created_at",
    "updated_at": "updated_at",
    "launched_at": "launched_at",
    "display_name": "name",
    "name": "name",
    "display_description": "description",
    "uuid": "id",
    "id": "id",
    "host": "host",
    "vm_state": "status",
    "task_state": "task",
    "project_id": "project_id",
    "user_id": "user_id",
    "image_ref": "image_id",
    "key_name": "key_name",
    "availability_zone": "availability_zone",
    "locked": "locked",
}
"""Sort keys on the wire, and the columns they stand for."""

_NOT_FILTERS = ("limit", "marker", "sort_key", "sort_dir", "all_tenants", "status")

ALL_FILTERS = Rule("os_compute_api:servers:allow_all_filters", ADMIN)


def _all_projects(rule: Rule, call: Call) -> bool:
    """Whether the list is of every project's servers. Raises ``Forbidden`` for who may not see them."""
    text = call.query.get("all_tenants")
    if text is None:
        return False
    wanted = text == "" or a_truth(text)
    if wanted:
        call.policy.require(rule, call.who)
    return wanted


def _conditions(call: Call) -> list[Condition]:
    """The conditions that a query asks for. Raises ``Invalid``."""
    only_query(call, *_NOT_FILTERS, *READERS)
    sees_all = call.policy.allows(ALL_FILTERS, call.who)
    found = []
    for name, value in call.query.items():
        since = (0, 0) if sees_all and name not in LATER else TENANTS_SINCE.get(name, EVER)
        if name in READERS and call.version >= since:
            found.append(READERS[name](value))
    asked = [value.upper() for name, value in call.query_pairs if name == "status"]
    if asked:
        known = [word for word in asked if word in ServerStatus.__members__]
        if not known and call.version >= (2, 38) and "DELETED" not in asked:
            raise Invalid("Invalid status value")
        found.append(servers.in_state(known) if known else servers.none_if(True))
    return found


def of_servers(rule: Rule) -> Collection[Server]:
    """A list of servers: of every project's for who meets ``rule``."""
    return Collection(
        SORT_KEYS, _conditions, servers.page, everywhere=partial(_all_projects, rule), is_novas=True
    )
