"""Compute's own services and its hypervisors (api-ref, "Compute services", "Hypervisors")."""

from typing import Annotated, Any, Literal

from pydantic import Field

from pumice.api.call import Call, Reply
from pumice.api.compute.fields import Body, Boolean, Text, only_query
from pumice.api.compute.links import VERSION
from pumice.api.routing import Route
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


def _id(call: Call, service: Service) -> str | int:
    """Before 2.53 a number, which we make of the id that the service has since."""
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
    return "up" if services.is_up(service, call.house.rules.service_down_seconds) else "down"


async def index(call: Call) -> Reply:
    """``GET /os-services``."""
    only_query(call, "host", "binary")
    found = await call.house.db.read(
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
    service = await call.house.db.write(_update, call, body)
    return Reply({"service": _view(call, service)})


def _update(tx: Transaction, call: Call, body: ServiceBody) -> Service:
    service = _find(tx, call)
    if body.forced_down is not None:
        hosts.force_down(tx, service["binary"], service["host"], body.forced_down)
    if body.status is not None:
        disabled = body.status == "disabled"
        services.set_disabled(tx, service["binary"], service["host"], disabled, body.disabled_reason)
    return _find(tx, call)


async def force_down(call: Call) -> Reply:
    """``PUT /os-services/force-down``, from 2.11 to 2.52: say that a host is fenced, or is not any more."""
    body = await call.parse(ForceDownBody)
    if not await call.house.db.write(hosts.force_down, body.binary, body.host, body.forced_down):
        raise NotFound("Service", f"{body.binary} on host {body.host}")
    return Reply({"service": body.model_dump()})


def _find(tx: Transaction, call: Call) -> Service:
    """The compute service whose id is in the path. Raises ``NotFound``."""
    for service in services.every(tx, binary=servers.COMPUTE_BINARY):
        if str(_id(call, service)) == call.args["id"]:
            return service
    raise NotFound("Service", call.args["id"])


# --- hypervisors: one for each compute service ---------------------------------------------------------------


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
    found = await call.house.db.read(services.every, binary=servers.COMPUTE_BINARY)
    return Reply({"hypervisors": [_hypervisor(call, service) for service in found]})


async def hypervisors_detail(call: Call) -> Reply:
    """``GET /os-hypervisors/detail``."""
    found = await call.house.db.read(services.every, binary=servers.COMPUTE_BINARY)
    return Reply({"hypervisors": [_hypervisor_detail(call, service) for service in found]})


async def hypervisor(call: Call) -> Reply:
    """``GET /os-hypervisors/{id}``."""
    return Reply({"hypervisor": _hypervisor_detail(call, await call.house.db.read(_find, call))})


_SERVICES, _HYPERVISORS = "os_compute_api:os-services", "os_compute_api:os-hypervisors"
ROUTES = (
    Route("GET", f"{VERSION}/os-services", index, f"{_SERVICES}:list"),
    Route("PUT", f"{VERSION}/os-services/{{id}}", update, f"{_SERVICES}:update", since=(2, 53)),
    Route(
        "PUT",
        f"{VERSION}/os-services/force-down",
        force_down,
        f"{_SERVICES}:update",
        since=(2, 11),
        until=(2, 52),
    ),
    Route("GET", f"{VERSION}/os-hypervisors", hypervisors, f"{_HYPERVISORS}:list"),
    Route("GET", f"{VERSION}/os-hypervisors/detail", hypervisors_detail, f"{_HYPERVISORS}:list-detail"),
    Route("GET", f"{VERSION}/os-hypervisors/{{id}}", hypervisor, f"{_HYPERVISORS}:show"),
)
