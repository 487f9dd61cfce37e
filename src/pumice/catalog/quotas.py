"""Quotas as a whole: every resource's limit and use, also those of each volume type."""

from collections.abc import Mapping
from dataclasses import dataclass

from pumice.model.errors import Invalid
from pumice.model.tunables import TYPED, UNLIMITED, Tunables
from pumice.store import quotas, types
from pumice.store.database import Transaction


@dataclass(frozen=True, slots=True)
class Quota:
    """A project's quota of one resource."""

    limit: int
    in_use: int


def of_project(tx: Transaction, project_id: str, tunables: Tunables) -> dict[str, Quota]:
    """Every resource of a project."""
    known = _defaults(tx, tunables)
    limits, used = quotas.limits(tx, project_id, known), quotas.usage(tx, project_id)
    return {name: Quota(limits[name], used.get(name, 0)) for name in known}


def of_class(tx: Transaction, name: str, tunables: Tunables) -> dict[str, int]:
    """Every limit of a quota class; only the class ``default`` counts for projects."""
    known = _defaults(tx, tunables)
    limits = quotas.limits(tx, f"class:{name}", known)
    return {resource: limits[resource] for resource in known}


def limit_project(tx: Transaction, project_id: str, wanted: Mapping[str, int], tunables: Tunables) -> None:
    """Give a project limits of its own. Raises ``Invalid`` for those below what it uses."""
    known = of_project(tx, project_id, tunables)
    _must_be_known(wanted, known, "quota set")
    for name, limit in wanted.items():
        used = known[name].in_use
        if limit != UNLIMITED and name != "per_volume_gigabytes" and limit < used:
            raise Invalid(
                f"Quota {name} limit must be equal or greater than existing resources. Current usage is {used} "
                f"and the requested limit is {limit}."
            )
    quotas.set_limits(tx, project_id, wanted)


def limit_class(tx: Transaction, name: str, wanted: Mapping[str, int], tunables: Tunables) -> None:
    """Change a class's limits."""
    _must_be_known(wanted, _defaults(tx, tunables), "quota class set")
    quotas.set_limits(tx, f"class:{name}", wanted)


def _defaults(tx: Transaction, tunables: Tunables) -> dict[str, int]:
    names = sorted(types.names(tx).values())
    typed = {f"{thing}_{name}": UNLIMITED for name in names for thing in TYPED}
    return {**tunables.quotas, **typed}


def _must_be_known(wanted: Mapping[str, int], known: Mapping[str, object], what: str) -> None:
    if bad := [name for name in wanted if name not in known]:
        raise Invalid(f"Invalid input received: Bad key(s) in {what}: {', '.join(bad)}")
