"""Clusters, from 3.7: backends that several hosts serve (api-ref, "Clusters").

A cluster is what its services say of themselves: it is up while one of them is, and disabled when all are.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from pydantic import Field

from pumice.api.call import Call, Reply, check
from pumice.api.collection import Collection, Pages
from pumice.api.fields import Body, Text
from pumice.api.policy import ADMIN, Rule
from pumice.api.routing import Route
from pumice.api.short_lists import read_whole
from pumice.api.volume.volume_view import wire_time
from pumice.model.booleans import boolean
from pumice.model.errors import Invalid, NotFound
from pumice.model.scope import Scope
from pumice.store import services
from pumice.store.database import Transaction
from pumice.store.services import VOLUME_BINARY, Cluster

RULE = "clusters:"
Facts = Mapping[str, Any]
FILTERED_BY: Mapping[str, Callable[[str], Any]] = MappingProxyType(
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
SINCE_26 = ("replication_status", "frozen", "active_backend_id")


class Which(Body):
    """The body that names one cluster."""

    name: Text = Field(min_length=1)
    binary: Text = VOLUME_BINARY
    disabled_reason: Text | None = None


def _conditions(call: Call) -> list[Callable[[Facts], bool]]:
    return [partial(_is, name, _value(call, name, text)) for name, text in call.query.items()]


def _value(call: Call, name: str, text: str) -> Any:
    if name not in FILTERED_BY or (name in SINCE_26 and call.version < (3, 26)):
        raise Invalid(f"Clusters cannot be filtered by '{name}'.")
    try:
        return FILTERED_BY[name](text)
    except ValueError:
        raise Invalid(f"'{text}' is no value of '{name}'.") from None


def _is(name: str, wanted: Any, facts: Facts) -> bool:
    return bool(facts[name] == wanted)


def _every(tx: Transaction, _who: Scope, down_seconds: float) -> list[Facts]:
    """Every cluster, with all there is to say of it."""
    return [_facts(one, down_seconds) for one in services.clusters(tx)]


LIST = Collection[Facts](
    {},
    _conditions,
    read_whole("Cluster", _every),
    told=lambda call: {"down_seconds": call.ctx.tunables.service_down_seconds},
    pages=Pages.NONE,
)


def _facts(cluster: Cluster, down_seconds: float) -> Facts:
    down = sum(not services.is_up(member, down_seconds) for member in cluster.members)
    return {
        "name": cluster.name,
        "binary": VOLUME_BINARY,
        "is_up": down < len(cluster.members),
        "disabled": cluster.disabled,
        "disabled_reason": cluster.disabled_reason,
        "num_hosts": len(cluster.members),
        "num_down_hosts": down,
        "last_heartbeat": wire_time(max(map(services.heard_at, cluster.members))),
        "created_at": wire_time(min(member["created_at"] for member in cluster.members)),
        "updated_at": wire_time(max(map(services.heard_at, cluster.members))),
        "replication_status": "disabled",
        "frozen": all(services.frozen(member) for member in cluster.members),
        "active_backend_id": None,
    }


def _summary(call: Call, facts: Facts) -> dict[str, Any]:
    """A cluster in the plain list and after an update."""
    shown = {
        "name": facts["name"],
        "binary": facts["binary"],
        "state": "up" if facts["is_up"] else "down",
        "status": "disabled" if facts["disabled"] else "enabled",
    }
    if call.version >= (3, 26):
        shown["replication_status"] = facts["replication_status"]
    return shown


def _detail(call: Call, facts: Facts) -> dict[str, Any]:
    """A cluster in full."""
    keys = ["num_hosts", "num_down_hosts", "last_heartbeat", "created_at", "updated_at", "disabled_reason"]
    if call.version >= (3, 26):
        keys += ["frozen", "active_backend_id"]
    return _summary(call, facts) | {key: facts[key] for key in keys}


async def show(call: Call) -> Reply:
    """Show one cluster, by the name ``NAME@backend``."""
    return Reply({"cluster": _detail(call, await call.ctx.db.read(_named, call, call.args["id"]))})


def _named(tx: Transaction, call: Call, name: str) -> Facts:
    for facts in _every(tx, call.who, call.ctx.tunables.service_down_seconds):
        if facts["name"] == name:
            return facts
    raise NotFound("Cluster", name)


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
    facts = await call.ctx.db.read(_named, call, asked.name)
    return Reply({"cluster": {**_summary(call, facts), "disabled_reason": reason}})


_GET_ALL = Rule(f"{RULE}get_all", ADMIN)
ROUTES = (
    Route("GET", "/clusters", LIST.answers("clusters", _summary), _GET_ALL, since=(3, 7)),
    Route("GET", "/clusters/detail", LIST.answers("clusters", _detail), _GET_ALL, since=(3, 7)),
    Route("GET", "/clusters/{id}", show, Rule(f"{RULE}get", ADMIN), since=(3, 7)),
    Route("PUT", "/clusters/enable", enable, Rule(f"{RULE}update", ADMIN), since=(3, 7)),
    Route("PUT", "/clusters/disable", disable, Rule(f"{RULE}update", ADMIN), since=(3, 7)),
)
