"""Hypervisors: one for each compute service (api-ref, "Hypervisors")."""

from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter
from typing import Any

from pumice.api.booleans import flag
from pumice.api.call import Call, Reply
from pumice.api.collection import Collection, nothing
from pumice.api.compute.links import VERSION
from pumice.api.compute.queries import only_query
from pumice.api.compute.services import Service, find, id_of, number, state
from pumice.api.policy import ADMIN, Rule
from pumice.api.routing import Route
from pumice.api.short_lists import read_whole
from pumice.model.errors import Invalid, NotFound
from pumice.model.scope import Scope
from pumice.store import servers, services
from pumice.store.database import Transaction

NUMBERS = (
    "vcpus", "vcpus_used", "memory_mb", "memory_mb_used", "free_ram_mb", "local_gb", "local_gb_used",
    "free_disk_gb", "disk_available_least", "current_workload", "running_vms",
)  # fmt: skip
"""What was told of each hypervisor until 2.87."""

Shown = dict[str, Any]
View = Callable[[Call, Service], Shown]


def _hypervisor(call: Call, service: Service) -> dict[str, Any]:
    return {
        "id": id_of(call, service),
        "hypervisor_hostname": service["host"],
        "state": state(call, service),
        "status": "disabled" if service["disabled"] else "enabled",
    }


def _hypervisor_detail(call: Call, service: Service) -> dict[str, Any]:
    facts = service["facts"]
    view = _hypervisor(call, service) | {
        "hypervisor_type": "QEMU" if facts.get("driver") == "libvirt" else facts.get("driver", ""),
        "hypervisor_version": 0,
        "host_ip": facts.get("connector", {}).get("ip", ""),
        "service": {
            "id": id_of(call, service),
            "host": service["host"],
            "disabled_reason": service["disabled_reason"],
        },
    }
    if call.version >= (2, 88):
        return view | {"uptime": None}
    view |= {name: facts.get(name, 0) for name in NUMBERS}
    return view | {"cpu_info": {} if call.version >= (2, 28) else ""}


def _pattern(call: Call) -> dict[str, str]:
    """The part of a name that hypervisors are asked for by. Raises ``Invalid``."""
    only_query(call, "limit", "marker", "hypervisor_hostname_pattern", "with_servers", since=(2, 53))
    pattern = call.query.get("hypervisor_hostname_pattern")
    if pattern is not None and ("limit" in call.query or "marker" in call.query):
        raise Invalid("Paging over hypervisors with the hypervisor_hostname_pattern is not supported.")
    return {} if pattern is None else {"pattern": pattern}


def _matching(tx: Transaction, _who: Scope, pattern: str = "") -> list[Service]:
    """The compute services whose host has ``pattern`` in its name. Raises ``NotFound`` where none has."""
    found = services.every(tx, binary=servers.COMPUTE_BINARY)
    matching = [service for service in found if pattern in service["host"]]
    if pattern and not matching:
        raise NotFound("Hypervisor matching", pattern)
    return matching


NUMBERED = Collection({}, nothing, read_whole("Hypervisor", _matching, number), since=(2, 33), is_novas=True)
"""Hypervisors up to 2.52, when their ids were numbers; since 2.33 by page."""
HYPERVISORS = Collection(
    {}, nothing, read_whole("Hypervisor", _matching, itemgetter("uuid")), told=_pattern, is_novas=True
)
"""Hypervisors since 2.53, also by a part of the name and with their servers."""


def _with_servers(view: View) -> Callable[[Transaction, Call, Sequence[Service]], Callable[[Service], Shown]]:
    """Show hypervisors with their servers, if they are asked for; up to 2.74 no key where there are none."""

    def viewer(tx: Transaction, call: Call, found: Sequence[Service]) -> Callable[[Service], Shown]:
        if not flag(call, "with_servers"):
            return partial(view, call)
        on_hosts = servers.on_hosts(tx, [service["host"] for service in found])

        def show(service: Service) -> Shown:
            here = on_hosts.get(service["host"], ())
            rows = [{"uuid": server_id, "name": f"pumice-{server_id}"} for server_id in here]
            return view(call, service) | ({"servers": rows} if here or call.version >= (2, 75) else {})

        return show

    return viewer


async def hypervisor(call: Call) -> Reply:
    """``GET /os-hypervisors/{id}``."""
    only_query(call, "with_servers", since=(2, 53))

    def read(tx: Transaction) -> Shown:
        service = find(tx, call)
        if call.version < (2, 53):
            return _hypervisor_detail(call, service)
        return _with_servers(_hypervisor_detail)(tx, call, [service])(service)

    return Reply({"hypervisor": await call.ctx.db.read(read)})


async def statistics(call: Call) -> Reply:
    """``GET /os-hypervisors/statistics``: the sums over all of them."""
    found = await call.ctx.db.read(_matching, call.who)
    sums = {name: sum(service["facts"].get(name, 0) for service in found) for name in NUMBERS}
    return Reply({"hypervisor_statistics": {"count": len(found), **sums}})


def _hypervisors(below: str, view: View, rule: Rule) -> tuple[Route, Route]:
    path = f"{VERSION}/os-hypervisors{below}"
    earlier = NUMBERED.answers("hypervisors", view)
    later = HYPERVISORS.answers_with("hypervisors", _with_servers(view))
    return Route("GET", path, earlier, rule, until=(2, 52)), Route("GET", path, later, rule, since=(2, 53))


_HYPERVISORS = "os_compute_api:os-hypervisors"
ROUTES = (
    *_hypervisors("", _hypervisor, Rule(f"{_HYPERVISORS}:list", ADMIN)),
    *_hypervisors("/detail", _hypervisor_detail, Rule(f"{_HYPERVISORS}:list-detail", ADMIN)),
    Route(
        "GET",
        f"{VERSION}/os-hypervisors/statistics",
        statistics,
        Rule(f"{_HYPERVISORS}:statistics", ADMIN),
        until=(2, 87),
    ),
    Route("GET", f"{VERSION}/os-hypervisors/{{id}}", hypervisor, Rule(f"{_HYPERVISORS}:show", ADMIN)),
)
