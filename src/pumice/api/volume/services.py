"""Services, their hosts and zones (api-ref, "Services", "Hosts extension", "Availability zones")."""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import Field, model_validator

from pumice.api.call import Call, Reply, check
from pumice.api.collection import Collection, Pages, nothing
from pumice.api.faults import HttpError
from pumice.api.fields import Body, Text
from pumice.api.policy import ADMIN, ANYBODY, Rule
from pumice.api.routing import Route
from pumice.api.short_lists import read_whole
from pumice.api.volume.volume_view import wire_time
from pumice.model.errors import Invalid, NotFound
from pumice.model.scope import Scope
from pumice.store import services, snapshots, volumes
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


def _is_up(call: Call, service: services.Row) -> bool:
    return services.is_up(service, call.ctx.tunables.service_down_seconds)


def _ours(
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
    read_whole("Service", _ours),
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
        "state": "up" if _is_up(call, service) else "down",
        "updated_at": wire_time(service["updated_at"]),
        "disabled_reason": service["disabled_reason"],
    }
    if call.version >= (3, 7):
        shown["cluster"] = service["cluster"]
    if is_volume:
        shown |= {"replication_status": "disabled", "active_backend_id": None}
        shown["frozen"] = services.frozen(service)
    if is_volume and call.version >= (3, 49):
        shown["backend_state"] = "up" if _is_up(call, service) else "down"
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


def _in_zone(call: Call) -> list[Callable[[services.Row], bool]]:
    zone = call.query.get("zone")
    return [lambda service: not service["disabled"] and zone in (None, "", service["zone"])]


HOSTS = Collection[services.Row]({}, _in_zone, read_whole("Host", _ours), pages=Pages.NONE)
"""Enabled services as hosts."""


def _host_view(call: Call, service: services.Row) -> dict[str, Any]:
    return {
        "host_name": service["host"],
        "service": service["binary"],
        "zone": service["zone"],
        "service-status": "available" if _is_up(call, service) else "unavailable",
        "service-state": "enabled",
        "last-update": wire_time(service["updated_at"]),
    }


async def host(call: Call) -> Reply:
    """How much of which project is on a backend's host."""
    name = call.args["id"]
    if not await call.ctx.db.read(services.every, binary=VOLUME_BINARY, host=name):
        raise NotFound("Host", name)
    return Reply({"host": await call.ctx.db.read(_resources, name)})


def _resources(tx: Transaction, name: str) -> Sequence[dict[str, Any]]:
    of_volumes, of_snapshots = volumes.by_project(tx, name), snapshots.by_project(tx, name)
    rows = [("(total)", _sum(of_volumes), _sum(of_snapshots))]
    rows += [
        (project, of_volumes.get(project, (0, 0)), of_snapshots.get(project, (0, 0)))
        for project in sorted(of_volumes.keys() | of_snapshots.keys())
    ]
    return [
        {
            "resource": {
                "host": name,
                "project": project,
                "volume_count": str(volume[0]),
                "total_volume_gb": str(volume[1]),
                "snapshot_count": str(snapshot[0]),
                "total_snapshot_gb": str(snapshot[1]),
            }
        }
        for project, volume, snapshot in rows
    ]


def _sum(counted: dict[str, tuple[int, int]]) -> tuple[int, int]:
    return sum(number for number, _ in counted.values()), sum(size for _, size in counted.values())


async def set_host(call: Call) -> Reply:
    """Take every service of a host out of scheduling, or put it back."""
    name, body = call.args["id"], await call.json()
    if not isinstance(body, dict):
        raise Invalid("Malformed request body: it must be an object.")
    found = await call.ctx.db.read(services.every, host=name)
    binaries = [service["binary"] for service in found if service["binary"].startswith("cinder-")]
    if not binaries:
        raise NotFound("Host", name)
    said: dict[str, Any] = {}
    for key, value in body.items():
        if key.lower().strip() != "status":
            raise Invalid(f"Invalid update setting: '{key[:100]}'")
        word = value.lower().strip() if isinstance(value, str) else value
        if word not in ("enable", "disable"):
            raise Invalid(f"Invalid status: '{str(value)[:100]}'")
        said = {"host": name, "status": f"{word}d"}
    if said:
        disabled, by = said["status"] == "disabled", call.who.called
        await call.ctx.db.write(_set_all_disabled, name, binaries, disabled, by)
    return Reply(said)


async def set_no_host(_: Call) -> Reply:
    """Refuse to set a host that is not named, in Cinder's words."""
    raise HttpError(
        400,
        "The server could not comply with the request since it is either malformed or otherwise incorrect.",
    )


def _set_all_disabled(tx: Transaction, name: str, binaries: Sequence[str], disabled: bool, by: str) -> None:
    for binary in binaries:
        services.set_disabled(tx, binary, name, disabled, None, by)


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
    Route("GET", "/os-hosts", HOSTS.answers("hosts", _host_view), Rule("volume_extension:hosts", ADMIN)),
    Route("GET", "/os-hosts/{id}", host, Rule("volume_extension:hosts", ADMIN)),
    Route("PUT", "/os-hosts/{id}", set_host, Rule("volume_extension:hosts", ADMIN)),
    Route("PUT", "/os-hosts", set_no_host, Rule("volume_extension:hosts", ADMIN)),
    Route("GET", "/os-availability-zone", zones, Rule("volume_extension:availability_zone_list", ANYBODY)),
)
