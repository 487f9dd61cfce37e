"""What backends can do and hold (api-ref, "Back-end storage pools", "Capabilities for storage back ends")."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from pumice.api.booleans import flag
from pumice.api.call import Call, Reply
from pumice.api.policy import ADMIN, Rule
from pumice.api.routing import Route
from pumice.api.volume.filters import unmet
from pumice.api.volume.volume_view import wire_time
from pumice.model.errors import NotFound
from pumice.model.scope import Scope
from pumice.model.volume import Pool
from pumice.scheduler.filters import capabilities
from pumice.scheduler.request import Request
from pumice.store import pools, types
from pumice.store.database import Transaction


async def index(call: Call) -> Reply:
    """Every pool, or those of a ``name`` (3.28) or for a ``volume_type`` (3.35); with ``detail`` in full."""
    unmet(call, "pool", "detail", admins_too=True)
    found = await call.ctx.db.read(pools.every)
    if (name := call.query.get("name")) and call.version >= (3, 28):
        found = [pool for pool in found if pool.name == name]
    if (kind := call.query.get("volume_type")) and call.version >= (3, 35):
        passes = await call.ctx.db.read(_meets, call.who, kind)
        found = [pool for pool in found if passes(pool)]
    full = flag(call, "detail")
    return Reply({"pools": [_view(pool) if full else {"name": pool.name} for pool in found]})


def _meets(tx: Transaction, who: Scope, name_or_id: str) -> Callable[[Pool], bool]:
    kind = types.find(tx, who, name_or_id)
    return lambda pool: capabilities(pool, Request(0, pool.availability_zone, kind.extra_specs))


def _view(pool: Pool) -> dict[str, Any]:
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
    told = _view(found[0])["capabilities"]
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


ROUTES = (
    Route(
        "GET", "/scheduler-stats/get_pools", index, Rule("scheduler_extension:scheduler_stats:get_pools", ADMIN)
    ),
    Route("GET", "/capabilities/{id}", show_capabilities, Rule("volume_extension:capabilities", ADMIN)),
)
