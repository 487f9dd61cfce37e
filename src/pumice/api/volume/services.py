"""Services, and the zones they are in (api-ref, "Services", "Availability zones")."""

from typing import Any

from pydantic import Field, model_validator

from pumice.api.call import Call, Reply, check
from pumice.api.collection import Collection, Pages, nothing
from pumice.api.fields import Body, Text
from pumice.api.policy import ADMIN, ANYBODY, Rule
from pumice.api.routing import Route
from pumice.api.short_lists import read_whole
from pumice.api.volume.volume_view import wire_time
from pumice.model.errors import NotFound
from pumice.model.scope import Scope
from pumice.store import services
from pumice.store.database import Transaction
from pumice.store.services import VOLUME_BINARY

RULE = "volume_extension:services:"


class Which(Body):
    """The body that names one service."""

    host: Text = Field(min_length=1)
    binary: Text = ""
    service: Text = ""

    @model_validator(mode="after")
    def _has_binary(self) -> "Which":
        if not (self.binary or self.service):
            raise ValueError("'binary' is a required property")
        return self


class WhichAndWhy(Which):
    """The body that names one service, and says why it is disabled."""

    disabled_reason: Text = Field(min_length=1)


def is_up(call: Call, service: services.Row) -> bool:
    """Whether the service's last heartbeat is fresh."""
    return services.is_up(service, call.ctx.tunables.service_down_seconds)


def ours(
    tx: Transaction, _who: Scope, binary: str | None = None, host: str | None = None
) -> list[services.Row]:
    """Block storage's services; the table holds others' too. ``host`` may be a host or one of its backends."""
    return [
        service
        for service in services.every(tx, binary=binary)
        if service["binary"].startswith("cinder-")
        and host in (None, service["host"], service["host"].partition("@")[0])
    ]


LIST = Collection[services.Row](
    {},
    nothing,
    read_whole("Service", ours),
    told=lambda call: {name: call.query.get(name) for name in ("host", "binary")},
    pages=Pages.NONE,
)


def _view(call: Call, service: services.Row) -> dict[str, Any]:
    is_volume = service["binary"] == VOLUME_BINARY
    shown = {
        "binary": service["binary"],
        "host": service["host"],
        "zone": service["zone"],
        "status": "disabled" if service["disabled"] else "enabled",
        "state": "up" if is_up(call, service) else "down",
        "updated_at": wire_time(services.heard_at(service)),
        "disabled_reason": service["disabled_reason"],
    }
    if call.version >= (3, 7):
        shown["cluster"] = service["cluster"]
    if is_volume:
        shown |= {"replication_status": "disabled", "active_backend_id": None}
        shown["frozen"] = services.frozen(service)
    if is_volume and call.version >= (3, 49):
        shown["backend_state"] = "up" if is_up(call, service) else "down"
    return shown


async def enable(call: Call) -> Reply:
    """Put a service back into scheduling."""
    reply = await _set_disabled(call, check(Which, await call.json()), False, None)
    reply.body["disabled_reason"] = None
    return reply


async def disable(call: Call) -> Reply:
    """Take a service out of scheduling."""
    return await _set_disabled(call, check(Which, await call.json()), True, None)


async def disable_with_reason(call: Call) -> Reply:
    """Take a service out of scheduling, and say why."""
    asked = check(WhichAndWhy, await call.json())
    reply = await _set_disabled(call, asked, True, asked.disabled_reason)
    reply.body["disabled_reason"] = asked.disabled_reason
    return reply


async def _set_disabled(call: Call, asked: Which, disabled: bool, reason: str | None) -> Reply:
    binary = asked.binary or asked.service
    by = call.who.called
    if not await call.ctx.db.write(services.set_disabled, binary, asked.host, disabled, reason, by):
        raise NotFound("Service", f"{binary} on host {asked.host}")
    return Reply(
        {
            "host": asked.host,
            "service": asked.service,
            "binary": asked.binary,
            "disabled": disabled,
            "status": "disabled" if disabled else "enabled",
        }
    )


async def zones(call: Call) -> Reply:
    """The zones of enabled volume services; each is available while one of them is up."""
    available: dict[str, bool] = {}
    for service in await call.ctx.db.read(services.every, binary=VOLUME_BINARY):
        if not service["disabled"]:
            available[service["zone"]] = available.get(service["zone"], False) or services.is_up(
                service, call.ctx.tunables.service_down_seconds
            )
    rows = [{"zoneName": zone, "zoneState": {"available": up}} for zone, up in sorted(available.items())]
    return Reply({"availabilityZoneInfo": rows})


ROUTES = (
    Route("GET", "/os-services", LIST.answers("services", _view), Rule(f"{RULE}index", ADMIN)),
    Route("PUT", "/os-services/enable", enable, Rule(f"{RULE}update", ADMIN)),
    Route("PUT", "/os-services/disable", disable, Rule(f"{RULE}update", ADMIN)),
    Route("PUT", "/os-services/disable-log-reason", disable_with_reason, Rule(f"{RULE}update", ADMIN)),
    Route("GET", "/os-availability-zone", zones, Rule("volume_extension:availability_zone_list", ANYBODY)),
)
