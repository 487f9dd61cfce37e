"""Which servers a list shows: the filters in a query, as conditions on rows (api-ref, "List Servers").

Unknown filters are ignored up to 2.74 and refused since. What only administrators may filter by is ignored for
everybody else.
"""

from collections.abc import Callable, Mapping

from pumice.api import paging
from pumice.api.call import Call
from pumice.api.compute.fields import moment, only_query, until
from pumice.api.truth import truth
from pumice.model.errors import Forbidden, Invalid
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
_BEYOND_US = (
    "launch_index", "kernel_id", "ramdisk_id", "hostname", "power_state", "node", "reservation_id",
    "terminated_at", "locked_by", "root_device_name", "config_drive", "access_ip_v4", "access_ip_v6",
    "auto_disk_config", "progress", "soft_deleted", "ip", "ip6", "created_at", "launched_at",
)  # fmt: skip
"""Filters that the incumbent knows and that tell none of our servers from another."""


def _truth(value: str) -> bool:
    try:
        return truth(value)
    except ValueError as error:
        raise Invalid(f"Invalid filter value: {error}.") from None


def _tags(value: str) -> list[str]:
    return value.split(",")


_READERS: Mapping[str, Callable[[str], Condition]] = {
    "name": servers.named,
    "display_name": servers.named,
    "uuid": lambda value: servers.with_value("id", value),
    "image": lambda value: servers.with_value("image_id", value),
    "image_ref": lambda value: servers.with_value("image_id", value),
    "flavor": servers.of_flavor,
    "user_id": lambda value: servers.with_value("user_id", value),
    "key_name": lambda value: servers.with_value("key_name", value),
    "availability_zone": lambda value: servers.with_value("availability_zone", value),
    "description": lambda value: servers.with_value("description", value),
    "display_description": lambda value: servers.with_value("description", value),
    "changes-since": lambda value: servers.changed_since(moment(value)),
    "changes-before": lambda value: servers.changed_before(until(value)),
    "locked": lambda value: servers.with_value("locked", _truth(value)),
    "tags": lambda value: servers.tagged(_tags(value), every=True),
    "tags-any": lambda value: servers.tagged(_tags(value), every=False),
    "not-tags": lambda value: ~servers.tagged(_tags(value), every=True),
    "not-tags-any": lambda value: ~servers.tagged(_tags(value), every=False),
}
_ADMIN_READERS: Mapping[str, Callable[[str], Condition]] = {
    "host": lambda value: servers.with_value("host", value),
    "project_id": lambda value: servers.with_value("project_id", value),
    "tenant_id": lambda value: servers.with_value("project_id", value),
    "vm_state": lambda value: servers.with_value("status", value.upper()),
    "task_state": lambda value: servers.with_value("task", value),
    "deleted": lambda value: servers.none_if(_truth(value)),
}
_SINCE = {
    "tags": (2, 26),
    "tags-any": (2, 26),
    "not-tags": (2, 26),
    "not-tags-any": (2, 26),
    "changes-before": (2, 66),
    "locked": (2, 73),
}


def page(call: Call) -> tuple[paging.Page, list[tuple[str, bool]]]:
    """The page asked for, and its order by columns. Raises ``Invalid``."""
    most = call.house.rules.api_max_limit
    found = paging.asked(call, keys=SORT_KEYS, most=most)
    found = paging.Page(found.limit or most, found.marker, found.sort)
    return found, [(SORT_KEYS[key], ascending) for key, ascending in found.sort]


def all_projects(call: Call, rule: str) -> bool:
    """Whether the list is of every project's servers. Raises ``Forbidden`` for who may not see them."""
    text = call.query.get("all_tenants")
    if text is None:
        return False
    wanted = text == "" or _truth(text)
    if wanted and not call.policy.allows(rule, call.who):
        raise Forbidden(f"Policy doesn't allow {rule} to be performed.")
    return wanted


def conditions(call: Call) -> list[Condition] | None:
    """The conditions that a query asks for; None when nothing can meet them. Raises ``Invalid``."""
    only_query(call, *_NOT_FILTERS, *_BEYOND_US, *_READERS, *_ADMIN_READERS)
    readers = _READERS
    if call.policy.allows("os_compute_api:servers:allow_all_filters", call.who):
        readers = {**_READERS, **_ADMIN_READERS}
    found = [
        readers[name](value)
        for name, value in call.query.items()
        if name in readers and call.version >= _SINCE.get(name, (0, 0))
    ]
    asked = [value.upper() for name, value in call.query_pairs if name == "status"]
    if asked:
        known = [word for word in asked if word in ServerStatus.__members__]
        if not known and call.version >= (2, 38) and "DELETED" not in asked:
            raise Invalid("Invalid status value")
        if not known:
            return None
        found.append(servers.in_state(known))
    return found
