"""Pools and requests to choose with, in a few words."""

from typing import Any

from pumice.model.volume import Pool
from pumice.scheduler.request import Request
from pumice.store.columns import now

ZONE = "nova"


def a_pool(name: str = "here@one#a", **facts: Any) -> Pool:
    """An empty thin pool of 100 GiB; what it says of itself and what is claimed in it may be told."""
    usual = {
        "availability_zone": ZONE,
        "total_gb": 100.0,
        "free_gb": 100.0,
        "claimed_gb": 0,
        "volumes": 0,
        "thin": True,
        "max_over_subscription_ratio": 20.0,
        "reserved_percentage": 0,
        "capabilities": {},
        "updated_at": now(),
    }
    return Pool(name=name, host=name.partition("#")[0], **{**usual, **facts})


def a_request(size: int = 1, **wanted: Any) -> Request:
    """A volume of ``size`` GiB in the usual zone."""
    return Request(**{"size": size, "availability_zone": ZONE, **wanted})
