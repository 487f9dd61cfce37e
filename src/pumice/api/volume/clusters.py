"""Clusters, from 3.7: backends that several hosts serve (api-ref, "Clusters").

A cluster is what its services say of themselves: it is up while one of them is, and disabled when all are.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from pydantic import Field

from pumice.api.call import Call, Reply, check
from pumice.api.fields import Body, Text
from pumice.api.policy import ADMIN, Rule
from pumice.api.routing import Route
from pumice.api.volume.volume_view import wire_time
from pumice.model.booleans import boolean
from pumice.model.errors import Invalid, NotFound
from pumice.store import services
from pumice.store.services import VOLUME_BINARY, Cluster

RULE = "clusters:"
_FILTERS: Mapping[str, Callable[[str], Any]] = MappingProxyType(
    {
        "name": str,
        "binary": str,
        "disabled": boolean,
        "is_up": boolean,
        "num_hosts": int,
        "num_down_hosts": int,
        "replication_status": str,
        "frozen": boolean,
        "active_backend_id": str,
    }
)
_SINCE_26 = ("replication_status", "frozen", "active_backend_id")


class Which(Body):
    """The body that names one cluster."""

    name: Text = Field(min_length=1)
    binary: Text = VOLUME_BINARY
    disabled_reason: Text | None = None


async def _all(call: Call) -> list[dict[str, Any]]:
    """Every cluster that the query asks for, with all there is to say of it."""
    down_seconds = call.ctx.tunables.service_down_seconds
    rows = [_facts(one, down_seconds) for one in await call.ctx.db.read(services.clusters)]
    for name, value in call.query.items():
        if name not in _FILTERS or (name in _SINCE_26 and call.version < (3, 26)):
            raise Invalid(f"Clusters cannot be filtered by '{name}'.")
        try:
            wanted = _FILTERS[name](value)
        except ValueError:
            raise Invalid(f"'{value}' is no value of '{name}'.") from None
        rows = [row for row in rows if row[name] == wanted]
    return rows


def _facts(cluster: Cluster, down_seconds: float) -> dict[str, Any]:
    down = sum(not services.is_up(member, down_seconds) for member in cluster.members)
    return {
        "name": cluster.name,
        "binary": VOLUME_BINARY,
        "is_up": down < len(cluster.members),
        "disabled": cluster.disabled,
        "disabled_reason": cluster.disabled_reason,
        "num_hosts": len(cluster.members),
        "num_down_hosts": down,
        "last_heartbeat": wire_time(max(member["updated_at"] for member in cluster.members)),
        "created_at": wire_time(min(member["created_at"] for member in cluster.members)),
        "updated_at": wire_time(max(member["updated_at"] for member in cluster.members)),
        "replication_status": "disabled",
        "frozen": all(services.frozen(member) for member in cluster.members),
        "active_backend_id": None,
    }


def _view(call: Call, facts: Mapping[str, Any], *, full: bool) -> dict[str, Any]:
    """A cluster as Cinder shows it: in short after an update and in lists, else in full."""
    shown = {
        "name": facts["name"],
        "binary": facts["binary"],
        "state": "up" if facts["is_up"] else "down",
        "status": "disabled" if facts["disabled"] else "enabled",
    }
    if call.version >= (3, 26):
        shown["replication_status"] = facts["replication_status"]
    if not full:
        return shown
    keys = ["num_hosts", "num_down_hosts", "last_heartbeat", "created_at", "updated_at", "disabled_reason"]
    if call.version >= (3, 26):
        keys += ["frozen", "active_backend_id"]
    return shown | {key: facts[key] for key in keys}


async def index(call: Call) -> Reply:
    """Clusters by name and state."""
    return Reply({"clusters": [_view(call, facts, full=False) for facts in await _all(call)]})


async def detail(call: Call) -> Reply:
    """Clusters with their numbers of hosts."""
    return Reply({"clusters": [_view(call, facts, full=True) for facts in await _all(call)]})


async def show(call: Call) -> Reply:
    """Show one cluster, by the name ``NAME@backend``."""
    name = call.args["id"]
    found = next((facts for facts in await _all(call) if facts["name"] == name), None)
    if found is None:
        raise NotFound("Cluster", name)
    return Reply({"cluster": _view(call, found, full=True)})


async def enable(call: Call) -> Reply:
    """Put every service of a cluster back into scheduling."""
    return await _set_disabled(call, check(Which, await call.json()), disabled=False)


async def disable(call: Call) -> Reply:
    """Take every service of a cluster, also those that join it later, out of scheduling."""
    return await _set_disabled(call, check(Which, await call.json()), disabled=True)


async def _set_disabled(call: Call, asked: Which, *, disabled: bool) -> Reply:
    reason = asked.disabled_reason if disabled else None
    write, by = call.ctx.db.write, call.who.called
    known = asked.binary == VOLUME_BINARY
    if not known or not await write(services.set_cluster_disabled, asked.name, disabled, reason, by):
        raise NotFound("Cluster", asked.name)
    facts = next(facts for facts in await _all(call) if facts["name"] == asked.name)
    return Reply({"cluster": {**_view(call, facts, full=False), "disabled_reason": reason}})


ROUTES = (
    Route("GET", "/clusters", index, Rule(f"{RULE}get_all", ADMIN), since=(3, 7)),
    Route("GET", "/clusters/detail", detail, Rule(f"{RULE}get_all", ADMIN), since=(3, 7)),
    Route("GET", "/clusters/{id}", show, Rule(f"{RULE}get", ADMIN), since=(3, 7)),
    Route("PUT", "/clusters/enable", enable, Rule(f"{RULE}update", ADMIN), since=(3, 7)),
    Route("PUT", "/clusters/disable", disable, Rule(f"{RULE}update", ADMIN), since=(3, 7)),
)
