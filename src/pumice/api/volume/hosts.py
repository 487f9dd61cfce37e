"""The hosts of services, and what is on each (api-ref, "Hosts extension")."""

from collections.abc import Callable, Sequence
from typing import Any

from pumice.api.call import Call, Reply
from pumice.api.collection import Collection, Pages
from pumice.api.faults import HttpError
from pumice.api.policy import ADMIN, Rule
from pumice.api.routing import Route
from pumice.api.short_lists import read_whole
from pumice.api.volume.services import is_up, ours
from pumice.api.volume.volume_view import wire_time
from pumice.model.errors import Invalid, NotFound
from pumice.store import services, snapshots, volumes
from pumice.store.database import Transaction
from pumice.store.services import VOLUME_BINARY


def _in_zone(call: Call) -> list[Callable[[services.Row], bool]]:
    zone = call.query.get("zone")
    return [lambda service: not service["disabled"] and zone in (None, "", service["zone"])]


HOSTS = Collection[services.Row]({}, _in_zone, read_whole("Host", ours), pages=Pages.NONE)
"""Enabled services as hosts."""


def _host_view(call: Call, service: services.Row) -> dict[str, Any]:
    return {
        "host_name": service["host"],
        "service": service["binary"],
        "zone": service["zone"],
        "service-status": "available" if is_up(call, service) else "unavailable",
        "service-state": "enabled",
        "last-update": wire_time(services.heard_at(service)),
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


_RULE = Rule("volume_extension:hosts", ADMIN)
ROUTES = (
    Route("GET", "/os-hosts", HOSTS.answers("hosts", _host_view), _RULE),
    Route("GET", "/os-hosts/{id}", host, _RULE),
    Route("PUT", "/os-hosts/{id}", set_host, _RULE),
    Route("PUT", "/os-hosts", set_no_host, _RULE),
)
