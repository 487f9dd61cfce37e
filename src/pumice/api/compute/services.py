"""Compute's own services and its hypervisors (api-ref, "Compute services", "Hypervisors")."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from pumice.api import paging
from pumice.api.booleans import flag
from pumice.api.call import Call, Reply, Version
from pumice.api.compute.fields import only_query
from pumice.api.compute.links import VERSION
from pumice.api.fields import Body, Boolean, Text
from pumice.api.policy import ADMIN, Rule
from pumice.api.routing import Handler, Route
from pumice.model.errors import Invalid, NotFound
from pumice.store import hosts, servers, services
from pumice.store.database import Transaction

Service = services.Row


class ServiceBody(Body):
    """``PUT /os-services/{id}``."""

    status: Literal["enabled", "disabled"] | None = None
    disabled_reason: Annotated[Text, Field(min_length=1)] | None = None
    forced_down: Boolean | None = None


class ForceDownBody(Body):
    """``PUT /os-services/force-down``."""

    host: Annotated[Text, Field(min_length=1)]
    binary: Annotated[Text, Field(min_length=1)]
    forced_down: Boolean


class WhichBody(Body):
    """``PUT /os-services/enable`` and ``…/disable``."""

    host: Annotated[Text, Field(min_length=1)]
    binary: Annotated[Text, Field(min_length=1)]


class WhichAndWhyBody(WhichBody):
    """``PUT /os-services/disable-log-reason``."""

    disabled_reason: Annotated[Text, Field(min_length=1)]


def _id(call: Call, service: Service) -> str | int:
    """The id of a service; before 2.53 a number, made of the id that it has since."""
    return str(service["uuid"]) if call.version >= (2, 53) else int(service["uuid"][:7], 16)


def _view(call: Call, service: Service) -> dict[str, Any]:
    view = {
        "id": _id(call, service),
        "binary": service["binary"],
        "host": service["host"],
        "zone": service["zone"],
        "status": "disabled" if service["disabled"] else "enabled",
        "state": _state(call, service),
        "updated_at": service["updated_at"].isoformat(timespec="microseconds"),
        "disabled_reason": service["disabled_reason"],
    }
    return view | {"forced_down": bool(service["forced_down"])} if call.version >= (2, 11) else view


def _state(call: Call, service: Service) -> str:
    return "up" if services.is_up(service, call.ctx.tunables.service_down_seconds) else "down"


async def index(call: Call) -> Reply:
    """``GET /os-services``."""
    only_query(call, "host", "binary")
    found = await call.ctx.db.read(
        services.every, binary=call.query.get("binary") or None, host=call.query.get("host") or None
    )
    shown = [_view(call, service) for service in found if service["binary"].startswith("nova-")]
    return Reply({"services": shown})


async def update(call: Call) -> Reply:
    """``PUT /os-services/{id}``: take a host out of scheduling, or say that it is fenced; or the opposite."""
    body = await call.parse(ServiceBody)
    if body.status is None and body.forced_down is None:
        raise Invalid("No updates were requested. Fields 'status' or 'forced_down' should be specified.")
    if body.status != "disabled" and body.disabled_reason:
        raise Invalid("Specifying 'disabled_reason' when status is not 'disabled' is invalid.")
    service = await call.ctx.db.write(_update, call, body)
    return Reply({"service": _view(call, service)})


def _update(tx: Transaction, call: Call, body: ServiceBody) -> Service:
    service = _find(tx, call)
    if body.forced_down is not None:
        hosts.force_down(tx, service["binary"], service["host"], body.forced_down)
    if body.status is not None:
        disabled = body.status == "disabled"
        by = call.who.called
        services.set_disabled(tx, service["binary"], service["host"], disabled, body.disabled_reason, by)
    return _find(tx, call)


async def force_down(call: Call) -> Reply:
    """``PUT /os-services/force-down``, from 2.11 to 2.52: say that a host is fenced, or is not any more."""
    body = await call.parse(ForceDownBody)
    if not await call.ctx.db.write(hosts.force_down, body.binary, body.host, body.forced_down):
        raise NotFound("Service", f"{body.binary} on host {body.host}")
    return Reply({"service": body.model_dump()})


async def enable(call: Call) -> Reply:
    """``PUT /os-services/enable``, up to 2.52."""
    return await _set_disabled(call, await call.parse(WhichBody), disabled=False)


async def disable(call: Call) -> Reply:
    """``PUT /os-services/disable``, up to 2.52."""
    return await _set_disabled(call, await call.parse(WhichBody), disabled=True)


async def disable_with_reason(call: Call) -> Reply:
    """``PUT /os-services/disable-log-reason``, up to 2.52."""
    return await _set_disabled(call, await call.parse(WhichAndWhyBody), disabled=True)


async def _set_disabled(call: Call, body: WhichBody, *, disabled: bool) -> Reply:
    reason = body.disabled_reason if isinstance(body, WhichAndWhyBody) else None
    known = body.binary.startswith("nova-")
    if not known or not await call.ctx.db.write(
        services.set_disabled, body.binary, body.host, disabled, reason, call.who.called
    ):
        raise NotFound("Service", f"{body.binary} on host {body.host}")
    status = "disabled" if disabled else "enabled"
    return Reply({"service": {**body.model_dump(), "status": status}})


def _find(tx: Transaction, call: Call) -> Service:
    """The compute service whose id is in the path. Raises ``NotFound``."""
    for service in services.every(tx, binary=servers.COMPUTE_BINARY):
        if str(_id(call, service)) == call.args["id"]:
            return service
    raise NotFound("Service", call.args["id"])


# --- hypervisors: one for each compute service ---------------------------------------------------------------

HYPERVISORS = paging.ShortList[dict[str, Any]]("Hypervisor", lambda row: str(row["id"]), paging.Unknown.INVALID)


def _hypervisor(call: Call, service: Service) -> dict[str, Any]:
    return {
        "id": _id(call, service),
        "hypervisor_hostname": service["host"],
        "state": _state(call, service),
        "status": "disabled" if service["disabled"] else "enabled",
    }


def _hypervisor_detail(call: Call, service: Service) -> dict[str, Any]:
    facts = service["facts"]
    view = _hypervisor(call, service) | {
        "hypervisor_type": "QEMU" if facts.get("driver") == "libvirt" else facts.get("driver", ""),
        "hypervisor_version": 0,
        "host_ip": facts.get("connector", {}).get("ip", ""),
        "service": {
            "id": _id(call, service),
            "host": service["host"],
            "disabled_reason": service["disabled_reason"],
        },
    }
    if call.version >= (2, 88):
        return view | {"uptime": None}
    numbers = (
        "vcpus", "vcpus_used", "memory_mb", "memory_mb_used", "free_ram_mb", "local_gb", "local_gb_used",
        "free_disk_gb", "disk_available_least", "current_workload", "running_vms",
    )  # fmt: skip
    view |= {name: facts.get(name, 0) for name in numbers}
    return view | {"cpu_info": {} if call.version >= (2, 28) else ""}


async def hypervisors(call: Call) -> Reply:
    """``GET /os-hypervisors``."""
    return await _list_hypervisors(call, _hypervisor)


async def hypervisors_detail(call: Call) -> Reply:
    """``GET /os-hypervisors/detail``."""
    return await _list_hypervisors(call, _hypervisor_detail)


async def _list_hypervisors(call: Call, view: Callable[[Call, Service], dict[str, Any]]) -> Reply:
    """A list of hypervisors; since 2.33 by page, since 2.53 by a part of the name and with their servers."""
    only_query(call, "limit", "marker", "hypervisor_hostname_pattern", "with_servers", since=(2, 53))
    found = await call.ctx.db.read(services.every, binary=servers.COMPUTE_BINARY)
    pattern = call.query.get("hypervisor_hostname_pattern") if call.version >= (2, 53) else None
    if pattern is not None:
        if "limit" in call.query or "marker" in call.query:
            raise Invalid("Paging over hypervisors with the hypervisor_hostname_pattern is not supported.")
        found = [service for service in found if pattern in service["host"]]
        if not found:
            raise NotFound("Hypervisor matching", pattern)
    shown = [view(call, service) for service in found]
    await _add_servers(call, shown)
    if call.version < (2, 33):
        return Reply({"hypervisors": shown})
    page = paging.parse_query(call, keys=(), most=call.ctx.tunables.api_max_limit)
    shown = HYPERVISORS.after(page, shown)
    body: dict[str, Any] = {"hypervisors": shown[: page.limit] if page.limit else shown}
    if len(shown) > len(body["hypervisors"]):
        body["hypervisors_links"] = paging.next_link(call, body["hypervisors"], page)
    return Reply(body)


async def hypervisor(call: Call) -> Reply:
    """``GET /os-hypervisors/{id}``."""
    only_query(call, "with_servers", since=(2, 53))
    shown = _hypervisor_detail(call, await call.ctx.db.read(_find, call))
    await _add_servers(call, [shown])
    return Reply({"hypervisor": shown})


async def _add_servers(call: Call, shown: Sequence[dict[str, Any]]) -> None:
    """Add the hypervisors' servers, if they are asked for; up to 2.74 no key where there are none."""
    if call.version < (2, 53) or not flag(call, "with_servers"):
        return
    on_hosts = await call.ctx.db.read(servers.on_hosts, [row["hypervisor_hostname"] for row in shown])
    for row in shown:
        here = on_hosts.get(row["hypervisor_hostname"], ())
        if here or call.version >= (2, 75):
            row["servers"] = [{"uuid": server_id, "name": f"pumice-{server_id}"} for server_id in here]


_SERVICES, _HYPERVISORS = "os_compute_api:os-services", "os_compute_api:os-hypervisors"


def _of_old(action: str, handler: Handler, since: Version = (2, 1)) -> Route:
    path = f"{VERSION}/os-services/{action}"
    return Route("PUT", path, handler, Rule(f"{_SERVICES}:update", ADMIN), since=since, until=(2, 52))


ROUTES = (
    Route("GET", f"{VERSION}/os-services", index, Rule(f"{_SERVICES}:list", ADMIN)),
    Route("PUT", f"{VERSION}/os-services/{{id}}", update, Rule(f"{_SERVICES}:update", ADMIN), since=(2, 53)),
    _of_old("enable", enable),
    _of_old("disable", disable),
    _of_old("disable-log-reason", disable_with_reason),
    _of_old("force-down", force_down, since=(2, 11)),
    Route("GET", f"{VERSION}/os-hypervisors", hypervisors, Rule(f"{_HYPERVISORS}:list", ADMIN)),
    Route(
        "GET",
        f"{VERSION}/os-hypervisors/detail",
        hypervisors_detail,
        Rule(f"{_HYPERVISORS}:list-detail", ADMIN),
    ),
    Route("GET", f"{VERSION}/os-hypervisors/{{id}}", hypervisor, Rule(f"{_HYPERVISORS}:show", ADMIN)),
)
