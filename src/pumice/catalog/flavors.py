"""Flavors: the sizes a server can have."""

from pumice.model.scope import INTERNAL
from pumice.model.server import Flavor
from pumice.store import flavors
from pumice.store.database import Transaction

get = flavors.get

DEFAULTS = (
    ("42", "m1.nano", 1, 128, 1),
    ("84", "m1.micro", 1, 192, 1),
    ("1", "m1.tiny", 1, 512, 1),
    ("2", "m1.small", 1, 2048, 20),
    ("3", "m1.medium", 2, 4096, 40),
    ("4", "m1.large", 4, 8192, 80),
)
"""Id, name, vCPUs, MiB of memory, GiB of disk: the ids and names that the field knows."""


def make_defaults(tx: Transaction) -> None:
    """Make the default flavors, unless there are any: what an operator has deleted does not come back."""
    if flavors.page(tx, INTERNAL, limit=1, marker=None, sort=[("id", True)]):
        return
    for flavor_id, name, vcpus, ram, disk in DEFAULTS:
        flavors.insert(tx, new(flavor_id, name, vcpus=vcpus, ram=ram, disk=disk))


def new(
    flavor_id: str,
    name: str,
    *,
    vcpus: int,
    ram: int,
    disk: int,
    ephemeral: int = 0,
    swap: int = 0,
    is_public: bool = True,
    description: str | None = None,
    rxtx_factor: float | None = None,
) -> Flavor:
    """A flavor as it is at first: enabled and without extra specs."""
    return Flavor(
        id=flavor_id,
        name=name,
        vcpus=vcpus,
        ram=ram,
        disk=disk,
        ephemeral=ephemeral,
        swap=swap,
        is_public=is_public,
        disabled=False,
        description=description,
        extra_specs={},
        rxtx_factor=rxtx_factor,
    )
