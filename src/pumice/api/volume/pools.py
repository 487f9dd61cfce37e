"""What backends can do and hold (api-ref, "Back-end storage pools", "Capabilities for storage back ends")."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pumice.api.booleans import flag
from pumice.api.call import Call, Reply
from pumice.api.collection import Collection, Pages, nothing
from pumice.api.policy import ADMIN, Rule
from pumice.api.routing import Route
from pumice.api.short_lists import read_whole
from pumice.api.volume.filters import unmet
from pumice.api.volume.volume_view import wire_time
from pumice.model.errors import NotFound
from pumice.model.scope import Scope
from pumice.model.volume import Pool
from pumice.scheduler.filters import capabilities
from pumice.scheduler.request import Request
from pumice.store import pools, types
from pumice.store.database import Transaction


def _parse_query(call: Call) -> dict[str, str | None]:
    """The pools that are asked for: of a ``name`` (3.28), for a ``volume_type`` (3.35). Raises ``Invalid``."""
    unmet(call, "pool", "detail", admins_too=True)
    since = {"name": (3, 28), "volume_type": (3, 35)}
    return {word: call.query.get(word) if call.version >= since[word] else None for word in since}


def _every(tx: Transaction, who: Scope, name: str | None, volume_type: str | None) -> Sequence[Pool]:
    found = pools.every(tx)
    if name:
        found = [pool for pool in found if pool.name == name]
    if volume_type:
        specs = types.find(tx, who, volume_type).extra_specs
        found = [pool for pool in found if capabilities(pool, Request(0, pool.availability_zone, specs))]
    return found


LIST = Collection[Pool]({}, nothing, read_whole("Pool", _every), told=_parse_query, pages=Pages.NONE)


def _view(call: Call, pool: Pool) -> dict[str, Any]:
    return _in_full(pool) if flag(call, "detail") else {"name": pool.name}


def _in_full(pool: Pool) -> dict[str, Any]:
    backend = pool.host.partition("@")[2]
    reported: Mapping[str, Any] = {
        "volume_backend_name": backend,
        "storage_protocol": "iSCSI",
        "vendor_name": "Pumice",
        "driver_version": "1",
        "QoS_support": False,
        "multiattach": True,
        **pool.capabilities,
    }
    capacities = {
        "pool_name": pool.name.partition("#")[2],
        "total_capacity_gb": _gb(pool.total_gb),
        "free_capacity_gb": _gb(pool.free_gb),
        "allocated_capacity_gb": pool.claimed_gb,
        "provisioned_capacity_gb": pool.claimed_gb,
        "total_volumes": pool.volumes,
        "reserved_percentage": pool.reserved_percentage,
        "max_over_subscription_ratio": str(pool.max_over_subscription_ratio),
        "thin_provisioning_support": pool.thin,
        "thick_provisioning_support": not pool.thin,
        "backend_state": "up",
        "timestamp": wire_time(pool.updated_at),
        "updated": wire_time(pool.updated_at),
    }
    return {"name": pool.name, "capabilities": {**reported, **capacities}}


def _gb(amount: float) -> float | str:
    """GiB; JSON knows no infinity, and Cinder has a word for it."""
    return amount if math.isfinite(amount) else "infinite"


async def show_capabilities(call: Call) -> Reply:
    """What the backend ``host@backend`` can do."""
    host = call.args["id"]
    found = [pool for pool in await call.ctx.db.read(pools.every) if pool.host == host]
    if not found:
        raise NotFound("Service", host)
    told = _in_full(found[0])["capabilities"]
    return Reply(
        {
            "namespace": f"OS::Storage::Capabilities::{host}",
            "vendor_name": told["vendor_name"],
            "volume_backend_name": told["volume_backend_name"],
            "pool_name": told["pool_name"],
            "driver_version": told["driver_version"],
            "storage_protocol": told["storage_protocol"],
            "display_name": None,
            "description": None,
            "visibility": None,
            "replication_targets": [],
            "properties": {},
        }
    )


_GET_POOLS = Rule("scheduler_extension:scheduler_stats:get_pools", ADMIN)
ROUTES = (
    Route("GET", "/scheduler-stats/get_pools", LIST.answers("pools", _view), _GET_POOLS),
    Route("GET", "/capabilities/{id}", show_capabilities, Rule("volume_extension:capabilities", ADMIN)),
)
