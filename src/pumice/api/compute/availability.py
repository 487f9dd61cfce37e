"""Availability zones: those of the compute services (api-ref, "Availability zones")."""

from typing import Any

from pumice.api.call import Call, Reply
from pumice.api.compute.links import VERSION
from pumice.api.compute.queries import without_query
from pumice.api.policy import ADMIN, ANYBODY, Rule
from pumice.api.routing import Route
from pumice.store import servers, services


async def index(call: Call) -> Reply:
    """``GET /os-availability-zone``."""
    return Reply({"availabilityZoneInfo": await _zones(call, with_hosts=False)})


async def index_detail(call: Call) -> Reply:
    """``GET /os-availability-zone/detail``, with the hosts of each."""
    return Reply({"availabilityZoneInfo": await _zones(call, with_hosts=True)})


async def _zones(call: Call, *, with_hosts: bool) -> list[dict[str, Any]]:
    zones: dict[str, dict[str, Any]] = {}
    for service in await call.ctx.db.read(services.every, binary=servers.COMPUTE_BINARY):
        said = {
            "active": not service["disabled"],
            "available": services.is_up(service, call.ctx.tunables.service_down_seconds),
            "updated_at": services.heard_at(service).isoformat(timespec="microseconds"),
        }
        zones.setdefault(service["zone"], {})[service["host"]] = {service["binary"]: said}
    return [
        {"zoneName": zone, "zoneState": {"available": True}, "hosts": hosts if with_hosts else None}
        for zone, hosts in sorted(zones.items())
    ]


_PATH, _RULE = f"{VERSION}/os-availability-zone", "os_compute_api:os-availability-zone"
ROUTES = (
    Route("GET", _PATH, without_query(index), Rule(f"{_RULE}:list", ANYBODY)),
    Route("GET", f"{_PATH}/detail", without_query(index_detail), Rule(f"{_RULE}:detail", ADMIN)),
)
