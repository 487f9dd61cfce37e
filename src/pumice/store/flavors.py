"""Flavors: every read and write of their rows. One that is not public is for administrators."""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from pumice.model.errors import Conflict, NotFound
from pumice.model.scope import Scope
from pumice.model.server import Flavor
from pumice.store.database import Transaction
from pumice.store.paging import after
from pumice.store.rows import Rows
from pumice.store.tables import flavors

Condition = sa.ColumnElement[bool]

_f = flavors.c
_rows = Rows(flavors, Flavor)


def get(tx: Transaction, who: Scope, flavor_id: str) -> Flavor:
    """A flavor that the caller may use. Raises ``NotFound``."""
    flavor = _rows.get(tx, flavor_id)
    if flavor is None or not (flavor.is_public or who.is_admin):
        raise NotFound("Flavor", flavor_id)
    return flavor


def insert(tx: Transaction, flavor: Flavor) -> None:
    """Add a flavor. Raises ``Conflict`` when its id or its name is taken."""
    same = sa.or_(_f.id == flavor.id, _f.name == flavor.name)
    if other := tx.execute(sa.select(_f.id).where(same)).scalar():
        word = "ID" if other == flavor.id else "name"
        raise Conflict(f"Flavor with {word} {flavor.id if word == 'ID' else flavor.name} already exists.")
    tx.execute(sa.insert(flavors), _rows.row(flavor))


def change(tx: Transaction, flavor_id: str, **changes: Any) -> None:
    """Write columns of a flavor."""
    tx.execute(sa.update(flavors).where(_f.id == flavor_id).values(**changes))


def delete(tx: Transaction, flavor_id: str) -> None:
    """Forget a flavor. Servers keep theirs as it was. Raises ``NotFound``."""
    if not tx.execute(sa.delete(flavors).where(_f.id == flavor_id)).rowcount:
        raise NotFound("Flavor", flavor_id)


def of_public(is_public: bool) -> Condition:
    """The flavors that everybody may use, or the others."""
    return _f.is_public.is_(is_public)


def named(text: str) -> Condition:
    """The flavors with the text in their name."""
    return _f.name.icontains(text, autoescape=True)


def at_least(column: str, value: int) -> Condition:
    """The flavors with at least this much ``ram`` (MiB) or ``disk`` (GiB)."""
    return _f[column] >= value


def page(
    tx: Transaction,
    who: Scope,
    *,
    limit: int,
    marker: str | None,
    sort: Sequence[tuple[str, bool]],
    filters: Iterable[Condition] = (),
) -> Sequence[Flavor]:
    """A page of the flavors the caller may use. Raises ``NotFound`` for a marker that does not exist."""
    query = _rows.select.where(*filters)
    if not who.is_admin:
        query = query.where(_f.is_public)
    keys = [(_f[name], ascending) for name, ascending in sort]
    keys.append((_f.id, keys[-1][1]))
    if marker:
        query = query.where(after(get(tx, who, marker), keys))
    order = [key.asc() if ascending else key.desc() for key, ascending in keys]
    return _rows.all(tx.execute(query.order_by(*order).limit(limit)))
