"""Quotas: what each project may use, and what it uses.

Usage is counted in rows of its own that change in the transaction that adds or removes what is counted, so that
they equal the rows at every moment; ``usage_by_rows`` counts afresh, for the audit.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from pumice.model.errors import OverQuota
from pumice.model.scope import Scope
from pumice.model.tunables import TYPED, UNLIMITED
from pumice.store import adding_up, clock
from pumice.store.database import Transaction
from pumice.store.tables import backups, groups, quota_limits, quota_usage, snapshots, volume_types, volumes

DEFAULT_CLASS = "class:default"

_u = quota_usage.c
_insert = sa.insert(quota_usage)
_limits = sa.select(quota_limits).where(
    quota_limits.c.project_id.in_([sa.bindparam("b_project"), DEFAULT_CLASS])
)


_backups = sa.select(
    backups.c.project_id, sa.func.count().label("number"), sa.func.sum(backups.c.size).label("gigabytes")
).group_by(backups.c.project_id)
_groups = sa.select(groups.c.project_id, sa.func.count().label("number")).group_by(groups.c.project_id)


def turn(who: Scope, *_: object) -> str:
    """The queue of those who are about to count in the caller's project (``store/serialize.py``)."""
    return f"quota of {who.project_id}"


def take(tx: Transaction, project_id: str, limits: Mapping[str, int], amounts: Mapping[str, int]) -> None:
    """Add ``amounts`` to what the project uses. Raises ``OverQuota``, and the transaction leaves no trace."""
    used = _add(tx, project_id, amounts)
    for resource, amount in amounts.items():
        limit = limits.get(resource, UNLIMITED)
        if amount > 0 and limit != UNLIMITED and used[resource] > limit:
            raise OverQuota(_explain(resource, amount, limit, used[resource] - amount))


def refuse_larger(limits: Mapping[str, int], size: int) -> None:
    """Raises ``OverQuota`` for a volume that is larger than one may be."""
    limit = limits.get("per_volume_gigabytes", UNLIMITED)
    if limit != UNLIMITED and size > limit:
        raise OverQuota(f"Requested volume size {size}G is larger than maximum allowed limit {limit}G.")


def give_back(tx: Transaction, project_id: str, amounts: Mapping[str, int]) -> None:
    """Take ``amounts`` off what the project uses."""
    _add(tx, project_id, {resource: -amount for resource, amount in amounts.items()})


def limits(tx: Transaction, project_id: str, defaults: Mapping[str, int]) -> dict[str, int]:
    """Every limit of the project: its own, else the default class's, else the settings'."""
    rows = tx.execute(_limits, {"b_project": project_id}).all()
    of_class = {row.resource: row.hard_limit for row in rows if row.project_id == DEFAULT_CLASS}
    own = {row.resource: row.hard_limit for row in rows if row.project_id != DEFAULT_CLASS}
    return {**defaults, **of_class, **own}


def usage(tx: Transaction, project_id: str) -> dict[str, int]:
    """The project's usage by resource; what it never used is missing."""
    rows = tx.execute(sa.select(_u.resource, _u.in_use).where(_u.project_id == project_id))
    return {row.resource: row.in_use for row in rows}


def set_limits(tx: Transaction, project_id: str, wanted: Mapping[str, int]) -> None:
    """Give the project (or ``DEFAULT_CLASS``) limits of its own."""
    for resource, limit in wanted.items():
        same = quota_limits.c.project_id == project_id, quota_limits.c.resource == resource
        if not tx.execute(sa.update(quota_limits).where(*same).values(hard_limit=limit)).rowcount:
            row = {"project_id": project_id, "resource": resource, "hard_limit": limit}
            tx.execute(sa.insert(quota_limits), row)


def forget_limits(tx: Transaction, project_id: str) -> None:
    """Give a project the default limits again."""
    tx.execute(sa.delete(quota_limits).where(quota_limits.c.project_id == project_id))


def rename_type(tx: Transaction, old: str, new: str) -> None:
    """Count under a volume type's new name what was counted under the old one, and keep its limits."""
    for table in (quota_usage, quota_limits):
        for thing in TYPED:
            tx.execute(
                sa.update(table).where(table.c.resource == f"{thing}_{old}").values(resource=f"{thing}_{new}")
            )


def forget_type(tx: Transaction, name: str) -> None:
    """Forget what was counted and limited under a volume type's name; what was used is remembered."""
    adding_up.close(tx, [f"{thing}_{name}" for thing in TYPED])
    for table in (quota_usage, quota_limits):
        tx.execute(sa.delete(table).where(table.c.resource.in_([f"{thing}_{name}" for thing in TYPED])))


def recount(tx: Transaction, project_id: str) -> None:
    """Let the project's usage rows say what its volumes, snapshots, backups and groups say."""
    said = usage(tx, project_id)
    counted = {resource: n for (_, resource), n in usage_by_rows(tx, project_id).items()}
    differences = {name: counted.get(name, 0) - said.get(name, 0) for name in said.keys() | counted.keys()}
    _add(tx, project_id, {name: difference for name, difference in differences.items() if difference})


def usage_by_rows(tx: Transaction, project_id: str | None = None) -> dict[tuple[str, str], int]:
    """What every project uses, or one, counted from the rows themselves: (project, resource) -> amount."""
    counted: dict[tuple[str, str], int] = {}
    for table, thing in ((volumes, "volumes"), (snapshots, "snapshots")):
        rows: Sequence[Any] = tx.execute(
            sa.select(table.c.project_id, volume_types.c.name, sa.func.count(), sa.func.sum(table.c.size))
            .select_from(table.outerjoin(volume_types, volume_types.c.id == table.c.type_id))
            .where(_of(table, project_id), sa.or_(table.c.recycled_at.is_(None), table.c.recycled_counts))
            .group_by(table.c.project_id, volume_types.c.name)
        ).all()
        for owner, type_name, number, gigabytes in rows:
            for resource, amount in amounts_of(thing, number, gigabytes, type_name).items():
                key = owner, resource
                counted[key] = counted.get(key, 0) + amount
    for row in tx.execute(_groups.where(_of(groups, project_id))):
        counted[row.project_id, "groups"] = row.number
    for row in tx.execute(_backups.where(_of(backups, project_id))):
        for resource, amount in amounts_of_backups(row.number, row.gigabytes).items():
            counted[row.project_id, resource] = amount
    return counted


def _of(table: sa.Table, project_id: str | None) -> sa.ColumnElement[bool]:
    """A condition on one project, or none."""
    return sa.true() if project_id is None else table.c.project_id == project_id


def amounts_of_backups(number: int, gigabytes: int) -> dict[str, int]:
    """The resources that so many backups, of so many GiB in all, count against."""
    return {"backups": number, "backup_gigabytes": gigabytes}


def amounts_of(thing: str, number: int, gigabytes: int, type_name: str | None) -> dict[str, int]:
    """The resources that ``number`` volumes or snapshots of ``gigabytes`` GiB in all count against."""
    return {thing: number, "gigabytes": gigabytes} | amounts_of_type(thing, number, gigabytes, type_name)


def amounts_of_type(thing: str, number: int, gigabytes: int, type_name: str | None) -> dict[str, int]:
    """The amounts of a type alone, which change with the type while the project's totals stay."""
    return {f"{thing}_{type_name}": number, f"gigabytes_{type_name}": gigabytes} if type_name else {}


def _add(tx: Transaction, project_id: str, amounts: Mapping[str, int]) -> dict[str, int]:
    """Change the usage rows; make those that are missing. What they say afterwards."""
    at = clock.time()
    values: dict[str, Any] = {"b_project": project_id, **adding_up.moment(at)}
    for number, (resource, amount) in enumerate(amounts.items()):
        values |= {f"r{number}": resource, f"d{number}": amount}
    changed = tx.execute(_update(len(amounts)), values).all()
    used = {row.resource: row.in_use for row in changed}
    adding_up.close_days(tx, project_id, at, [row for row in changed if row.past_since is not None], amounts)
    if missing := [resource for resource in amounts if resource not in used]:
        new = {"project_id": project_id, "since": at, "today": 0.0}
        rows = [new | {"resource": r, "in_use": amounts[r]} for r in missing]
        tx.execute(_insert, rows)
        used |= {resource: amounts[resource] for resource in missing}
    return used


@functools.cache
def _update(number: int) -> sa.Update:
    """A statement that changes ``number`` usage rows of a project."""
    names = [sa.bindparam(f"r{n}", type_=sa.String) for n in range(number)]
    deltas = {name: sa.bindparam(f"d{n}", type_=sa.Integer) for n, name in enumerate(names)}
    change = sa.case(*((_u.resource == name, delta) for name, delta in deltas.items()), else_=0)
    return (
        sa.update(quota_usage)
        .where(_u.project_id == sa.bindparam("b_project"), _u.resource.in_(names))
        .values(in_use=_u.in_use + change, **adding_up.ADDED_UP)
        .returning(_u.resource, _u.in_use, _u.past_since, _u.past_today)
    )


def _explain(resource: str, amount: int, limit: int, used: int) -> str:
    if resource.startswith("gigabytes"):
        return (
            f"VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed {resource} quota. "
            f"Requested {amount}G, quota is {limit}G and {used}G has been consumed."
        )
    if resource == "backup_gigabytes":
        return (
            f"VolumeBackupSizeExceedsAvailableQuota: Requested backup exceeds allowed Backup gigabytes quota. "
            f"Requested {amount}G, quota is {limit}G and {used}G has been consumed."
        )
    if resource == "backups":
        return f"BackupLimitExceeded: Maximum number of backups allowed ({limit}) exceeded."
    if resource == "groups":
        return f"GroupLimitExceeded: Maximum number of groups allowed ({limit}) exceeded"
    thing = "Snapshot" if resource.startswith("snapshots") else "Volume"
    return (
        f"{thing}LimitExceeded: Maximum number of {resource.partition('_')[0]} allowed ({limit}) exceeded for "
        f"quota '{resource}'."
    )
