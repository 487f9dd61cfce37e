"""A host or a backend that is called by another name from now on: every row that has the old one.

``old`` and ``new`` are hosts' names, or both ``host@backend``. What lies in it is renamed with it: pools, and
the places of operations. Doing it twice is doing it once.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from pumice.model.errors import Conflict
from pumice.model.mark import renamed
from pumice.store import work_queue
from pumice.store.beginning import begins_with
from pumice.store.columns import is_unread
from pumice.store.database import Transaction
from pumice.store.tables import (
    attachments,
    backups,
    claims,
    groups,
    image_bases,
    marked_places,
    operations,
    pools,
    servers,
    services,
    snapshots,
    tombstones,
    volumes,
)

_NAMED: Mapping[str, sa.Column[Any]] = {
    "volumes": volumes.c.pool,
    "snapshots": snapshots.c.pool,
    "backups": backups.c.pool,
    "image bases": image_bases.c.pool,
    "groups": groups.c.host,
    "servers": servers.c.host,
    "attachments": attachments.c.host,
    "services": services.c.host,
    "pools": pools.c.name,
    "pools' backends": pools.c.host,
    "claims": claims.c.pool,
    "marked places": marked_places.c.name,
    "tombstones": tombstones.c.place,
}
_REMADE = ("services", "pools", "marked places")
"""What a start under the new name may have made already."""
_PLACES = ("volume:", "compute:")
_KEYS = re.compile("host|pool|place|left_out")


def rename(tx: Transaction, old: str, new: str) -> dict[str, int]:
    """Rename it; how many rows of which kind. Raises ``Conflict`` when both have things of their own."""
    things = [_NAMED[kind] for kind in ("volumes", "snapshots", "servers")]
    if all(any(_count(tx, column, name) for column in things) for name in (old, new)):
        raise Conflict(f"Both '{old}' and '{new}' have volumes or servers: nothing is renamed.")
    changed = {kind: _count(tx, column, old) for kind, column in _NAMED.items()}
    for kind, column in _NAMED.items():
        if not changed[kind]:
            continue
        if kind in _REMADE:
            tx.execute(sa.delete(column.table).where(_lies_in(column, new)))
        for name in tx.execute(sa.select(column).where(_lies_in(column, old)).distinct()).scalars().all():
            values = {column.name: renamed(name, old, new)}
            tx.execute(sa.update(column.table).where(column == name).values(values))
    if "@" not in old:  # the next process of the host is to have another name than those that have ended
        work_queue.release_earlier(tx, old, "")
    _rename_connectors(tx, old, new)
    changed["operations"] = _rename_operations(tx, old, new)
    return {kind: number for kind, number in changed.items() if number}


def _lies_in(column: sa.Column[Any], name: str) -> sa.ColumnElement[bool]:
    inside = (begins_with(column, f"{name}{sign}") for sign in "@#")
    return sa.or_(column == name, *inside)


def _count(tx: Transaction, column: sa.Column[Any], name: str) -> int:
    query = sa.select(sa.func.count()).select_from(column.table).where(_lies_in(column, name))
    return int(tx.execute(query).scalar_one())


def _rename_connectors(tx: Transaction, old: str, new: str) -> None:
    a = attachments.c
    for row in tx.execute(sa.select(a.id, a.connector).where(a.host == new, a.connector.is_not(None))).all():
        if row.connector and not is_unread(row.connector) and row.connector.host == old:
            connector = replace(row.connector, host=new)
            tx.execute(sa.update(attachments).where(a.id == row.id).values(connector=connector))


def _rename_operations(tx: Transaction, old: str, new: str) -> int:
    """Rename in operations, ended ones too: what is asked again is asked with the same parameters."""
    o, number = operations.c, 0
    texts = [sa.cast(column, sa.Text).contains(old, autoescape=True) for column in (o.place, o.params, o.notes)]
    for row in tx.execute(sa.select(o.id, o.place, o.params, o.notes).where(sa.or_(*texts))).all():
        before = {"place": row.place, "params": row.params, "notes": row.notes}
        after = {"place": _place(row.place, old, new)}
        after |= {name: _inside(before[name], old, new) for name in ("params", "notes")}
        # What is torn reads as empty, and stays as it is: somebody may still make something of it.
        if changed := {name: value for name, value in after.items() if value != before[name]}:
            tx.execute(sa.update(operations).where(o.id == row.id).values(changed))
            number += 1
    return number


def _place(place: str, old: str, new: str) -> str:
    for prefix in _PLACES:
        if place.startswith(prefix):
            return prefix + renamed(place.removeprefix(prefix), old, new)
    return place


def _inside(value: Any, old: str, new: str, key: str = "") -> Any:
    """A JSON value with the name changed wherever it names a host, a pool or a place."""
    if isinstance(value, dict):
        return {name: _inside(it, old, new, name) for name, it in value.items()}
    if isinstance(value, list):
        return [_inside(it, old, new, key) for it in value]
    return renamed(value, old, new) if isinstance(value, str) and _KEYS.search(key) else value
