"""Groups of volumes: every read and write of their rows. States change as volumes' do."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from pumice.model.errors import InvalidState
from pumice.model.group import Group
from pumice.model.states import GROUP, GroupStatus
from pumice.model.volume import Volume
from pumice.store.database import Transaction
from pumice.store.group_types import OLDER
from pumice.store.rows import Rows
from pumice.store.stateful import StatefulRows
from pumice.store.tables import groups, volumes

_g = groups.c
_rows = StatefulRows(groups, Group, "Group", GROUP)
_volumes = Rows(volumes, Volume)

get = _rows.visible
page = _rows.page
change = _rows.change
put = _rows.put
overrule = _rows.overrule

COLUMNS = frozenset(column.name for column in groups.c) - {"volume_types", "operation_id"}
"""What lists may be sorted and filtered by."""

IS_NEWER = _g.group_type_id.not_in(OLDER)
"""The condition that a group is not of the type of consistency groups."""

_in_group = _volumes.select.where(volumes.c.group_id == sa.bindparam("b_group")).order_by(
    volumes.c.created_at, volumes.c.id
)


def insert(tx: Transaction, group: Group) -> None:
    """Add a group."""
    tx.execute(sa.insert(groups), _rows.row(group))


def find(tx: Transaction, group_id: str) -> Group | None:
    """A group for Pumice's own work, if it still exists."""
    return _rows.get(tx, group_id)


def volumes_in(tx: Transaction, group_id: str) -> Sequence[Volume]:
    """The volumes of a group, the oldest first."""
    return _volumes.all(tx.execute(_in_group, {"b_group": group_id}))


def ids_of_volumes(tx: Transaction, ids: Collection[str]) -> Mapping[str, Sequence[str]]:
    """The ids of the volumes in each of some groups, the oldest first."""
    v = volumes.c
    query = sa.select(v.group_id, v.id).where(v.group_id.in_(list(ids))).order_by(v.created_at, v.id)
    found: dict[str, list[str]] = {group_id: [] for group_id in ids}
    for row in tx.execute(query) if ids else ():
        found[row.group_id].append(row.id)
    return found


def consistency_groups(tx: Transaction, ids: Collection[str]) -> frozenset[str]:
    """The ids, of these, of groups which the older API calls consistency groups."""
    query = sa.select(_g.id).where(_g.id.in_(list(ids)), _g.group_type_id.in_(OLDER))
    return frozenset(tx.execute(query).scalars()) if ids else frozenset()


def have_type(tx: Transaction, type_id: str) -> bool:
    """Whether a group has this group type."""
    return tx.execute(sa.select(_g.id).where(_g.group_type_id == type_id).limit(1)).first() is not None


def move(
    tx: Transaction,
    group_id: str,
    start: Collection[GroupStatus],
    end: GroupStatus,
    *,
    must: str,
    **changes: Any,
) -> None:
    """Move a group from one of the states ``start`` to ``end``. See ``volumes.move``."""

    def refusal(group: Group) -> InvalidState:
        return InvalidState(f"Invalid Group: Group status must {must}, but current status is: {group.status}")

    _rows.move(tx, group_id, start, end, refusal, **changes)


def settle(tx: Transaction, group_id: str, status: GroupStatus, operation_id: str, **changes: Any) -> None:
    """Give a group that ``operation_id`` holds another state, if it holds it still."""
    _rows.settle(tx, group_id, operation_id, status=status, **changes)


def delete(tx: Transaction, group_id: str) -> None:
    """Forget a group, whose volumes are gone."""
    tx.execute(sa.delete(groups).where(_g.id == group_id))
