"""The filters of a list of servers by their names, as conditions on rows (api-ref, "List Servers").

What no server here can be (have an address, be deleted and still there) finds nothing; what every server is
(first of its request, without a config drive) finds all where that is asked for.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pumice.api import booleans
from pumice.api.call import Version
from pumice.api.compute.queries import moment, until
from pumice.api.compute.server_view import NO_POWER_STATE, POWER_STATES
from pumice.model.states import ServerStatus, vm_state
from pumice.store import servers
from pumice.store.servers import Condition

Reader = Callable[[str], Condition]


def a_truth(value: str) -> bool:
    """A word for yes or no in a query. Raises ``Invalid``."""
    return booleans.word(value, f"Invalid filter value: {value!r} is not a boolean.")


def _column(name: str) -> Reader:
    return lambda value: servers.with_value(name, value)


def _kept(name: str) -> Reader:
    return lambda value: servers.with_kept(name, value)


def _second(column: str) -> Reader:
    return lambda value: servers.in_second(column, moment(value))


def _always(word: str) -> Reader:
    """Every server has this value."""
    return lambda value: servers.none_if(value != word)


def _tagged(*, every: bool) -> Reader:
    return lambda value: servers.tagged(value.split(","), every=every)


def _untagged(*, every: bool) -> Reader:
    return lambda value: ~servers.tagged(value.split(","), every=every)


def _vm_state(value: str) -> Condition:
    return servers.in_state([status for status in ServerStatus if vm_state(status) == value.lower()])


def _power_state(value: str) -> Condition:
    return servers.in_state([s for s in ServerStatus if str(POWER_STATES.get(s, NO_POWER_STATE)) == value])


def _disk_config(value: str) -> Condition:
    words = {"auto": "AUTO", "manual": "MANUAL"}
    word = words.get(value.lower()) or ("AUTO" if a_truth(value) else "MANUAL")
    manual = servers.with_kept("OS-DCF:diskConfig", "MANUAL")
    return manual if word == "MANUAL" else ~manual


def _none(_value: str) -> Condition:
    return servers.none_if(True)


def _none_if_true(value: str) -> Condition:
    return servers.none_if(a_truth(value))


READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "name": servers.named,
        "display_name": servers.named,
        "uuid": _column("id"),
        "image": _column("image_id"),
        "image_ref": _column("image_id"),
        "flavor": servers.of_flavor,
        "user_id": _column("user_id"),
        "project_id": _column("project_id"),
        "tenant_id": _column("project_id"),
        "host": _column("host"),
        "node": _column("host"),
        "hostname": servers.with_hostname,
        "key_name": _column("key_name"),
        "availability_zone": _column("availability_zone"),
        "description": _column("description"),
        "display_description": _column("description"),
        "locked": lambda value: servers.with_value("locked", a_truth(value)),
        "locked_by": _column("locked_by"),
        "reservation_id": lambda value: servers.with_id_from(value.removeprefix("r-")),
        "vm_state": _vm_state,
        "task_state": _column("task"),
        "power_state": _power_state,
        "created_at": _second("created_at"),
        "launched_at": _second("launched_at"),
        "changes-since": lambda value: servers.changed_since(moment(value)),
        "changes-before": lambda value: servers.changed_before(until(value)),
        "tags": _tagged(every=True),
        "tags-any": _tagged(every=False),
        "not-tags": _untagged(every=True),
        "not-tags-any": _untagged(every=False),
        "access_ip_v4": _kept("accessIPv4"),
        "access_ip_v6": _kept("accessIPv6"),
        "auto_disk_config": _disk_config,
        "root_device_name": lambda value: servers.with_root(value.removeprefix("/dev/")),
        "launch_index": _always("0"),
        "progress": _always("0"),
        "kernel_id": _always(""),
        "ramdisk_id": _always(""),
        "config_drive": _none_if_true,
        "deleted": _none_if_true,
        "soft_deleted": _none_if_true,
        "terminated_at": _none,
        "ip": _none,
        "ip6": _none,
    }
)

LATER: Mapping[str, Version] = MappingProxyType(
    dict.fromkeys(("tags", "tags-any", "not-tags", "not-tags-any"), (2, 26))
    | {"changes-before": (2, 66), "locked": (2, 73)}
)
"""What nobody may filter by before its version."""
TENANTS_SINCE: Mapping[str, Version] = MappingProxyType(
    {
        **dict.fromkeys(("reservation_id", "name", "image", "flavor", "ip", "changes-since"), (0, 0)),
        **dict.fromkeys(("config_drive", "created_at", "launched_at", "terminated_at", "progress"), (2, 83)),
        **dict.fromkeys(("power_state", "task_state", "vm_state"), (2, 83)),
        "ip6": (2, 5),
        "hostname": (2, 90),
        **LATER,
        # heeded earlier than by Nova:
        **dict.fromkeys(("display_name", "uuid", "image_ref", "user_id", "key_name"), (0, 0)),
        **dict.fromkeys(("availability_zone", "description", "display_description"), (0, 0)),
    }
)
"""What tenants may filter by, and since when."""
