"""Compute's own services (api-ref, "Compute services")."""

from typing import Annotated, Any, Literal

from pydantic import Field

from pumice.api.call import Call, Reply, Version
from pumice.api.collection import Collection, Pages, nothing
from pumice.api.compute.links import VERSION
from pumice.api.compute.queries import only_query
from pumice.api.fields import Body, Boolean, Text
from pumice.api.policy import ADMIN, Rule
from pumice.api.routing import Handler, Route
from pumice.api.short_lists import read_whole
from pumice.model.errors import Invalid, NotFound
from pumice.model.scope import Scope
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


def id_of(call: Call, service: Service) -> str | int:
    """The id of a service, and of its hypervisor; before 2.53 a number."""
    return str(service["uuid"]) if call.version >= (2, 53) else number(service)


def number(service: Service) -> int:
    """The id of a service before 2.53, made of the one that it has since."""
    return int(service["uuid"][:7], 16)


def _view(call: Call, service: Service) -> dict[str, Any]:
    view = {
        "id": id_of(call, service),
        "binary": service["binary"],
        "host": service["host"],
        "zone": service["zone"],
        "status": "disabled" if service["disabled"] else "enabled",
        "state": state(call, service),
        "updated_at": services.heard_at(service).isoformat(timespec="microseconds"),
        "disabled_reason": service["disabled_reason"],
    }
    return view | {"forced_down": bool(service["forced_down"])} if call.version >= (2, 11) else view


def state(call: Call, service: Service) -> str:
    """Whether it is ``up`` or ``down``."""
    return "up" if services.is_up(service, call.ctx.tunables.service_down_seconds) else "down"


def _parse_query(call: Call) -> dict[str, str | None]:
    """The binary and the host that services are asked for by. Raises ``Invalid``."""
    only_query(call, "host", "binary")
    return {name: call.query.get(name) or None for name in ("host", "binary")}


def _ours(tx: Transaction, _who: Scope, **which: str | None) -> list[Service]:
    """Compute's services; the table holds others' too."""
    return [service for service in services.every(tx, **which) if service["binary"].startswith("nova-")]


LIST = Collection({}, nothing, read_whole("Service", _ours), told=_parse_query, pages=Pages.NONE)


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
    service = find(tx, call)
    if body.forced_down is not None:
        hosts.force_down(tx, service["binary"], service["host"], body.forced_down)
    if body.status is not None:
        disabled = body.status == "disabled"
        by = call.who.called
        services.set_disabled(tx, service["binary"], service["host"], disabled, body.disabled_reason, by)
    return find(tx, call)


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


def find(tx: Transaction, call: Call) -> Service:
    """The compute service whose id is in the path. Raises ``NotFound``."""
    for service in services.every(tx, binary=servers.COMPUTE_BINARY):
        if str(id_of(call, service)) == call.args["id"]:
            return service
    raise NotFound("Service", call.args["id"])


_SERVICES = "os_compute_api:os-services"


def _of_old(action: str, handler: Handler, since: Version = (2, 1)) -> Route:
    path = f"{VERSION}/os-services/{action}"
    return Route("PUT", path, handler, Rule(f"{_SERVICES}:update", ADMIN), since=since, until=(2, 52))


ROUTES = (
    Route("GET", f"{VERSION}/os-services", LIST.answers("services", _view), Rule(f"{_SERVICES}:list", ADMIN)),
    Route("PUT", f"{VERSION}/os-services/{{id}}", update, Rule(f"{_SERVICES}:update", ADMIN), since=(2, 53)),
    _of_old("enable", enable),
    _of_old("disable", disable),
    _of_old("disable-log-reason", disable_with_reason),
    _of_old("force-down", force_down, since=(2, 11)),
)
