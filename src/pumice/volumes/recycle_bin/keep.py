"""Delete a volume or a snapshot as its owner asks: into the recycle bin where one is in force, else for good.

Into the bin go those that are available: one in error holds nothing that somebody wants back. That is one
transaction, and touches no bytes: the row is hidden, and quota given back if the settings say so. What is
deleted by force, by an undo or by a verb of Pumice's own never comes here.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pumice.catalog import volume_types
from pumice.model import recycling
from pumice.model.scope import Scope
from pumice.model.states import SnapshotStatus, VolumeStatus
from pumice.model.tunables import UNLIMITED, Tunables
from pumice.model.volume import Snapshot, Volume
from pumice.operations.at_once import AtOnce, record
from pumice.operations.holds import Thing, read, require
from pumice.operations.operation import Operation
from pumice.store import quotas, recycle_bin, snapshots, volumes
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.recycle_bin import Standing
from pumice.volumes import delete, delete_with_snapshots
from pumice.volumes.frozen import refuse_frozen
from pumice.volumes.grouped import refuse_in_group, refuse_in_group_snapshot
from pumice.volumes.snapshots import delete as delete_snapshot_for_good

S, V = SnapshotStatus, VolumeStatus
DAY = 86_400.0


def delete_volume(
    tx: Transaction,
    who: Scope,
    volume_id: str,
    tunables: Tunables,
    parent: Operation[Any] | None = None,
    *,
    with_group: bool = False,
    with_snapshots: bool = False,
    for_good: bool = False,
) -> str | None:
    """Answer the request; the operation's id, if there is much to do. Raises ``NotFound`` or ``InvalidState``.

    A volume in a group is deleted ``with_group`` alone.
    """
    volume = volumes.get(tx, who, volume_id)
    if not with_group:
        refuse_in_group(volume, delete.MUST)
    standing = recycle_bin.standing(tx, volume.project_id, volume.type_id, volume.id)
    term = 0.0 if for_good else _term(standing, tunables)
    if term and volume.status is V.AVAILABLE and volume.pool:
        found = snapshots.of_volume(tx, volume.id) if with_snapshots else ()
        size = volume.size + sum(snapshot.size for snapshot in found)
        counts = tunables.recycle_counts or _is_too_much(tx, volume.project_id, size, tunables)
        _recycle(tx, volume, found, _terms(tx, standing, term, counts=counts), who, parent)
        return None
    if with_snapshots or (standing.has_snapshots and not snapshots.of_volume(tx, volume.id)):
        return delete_with_snapshots.begin(tx, who, volume, parent)
    return delete.begin(tx, who, volume, parent)


def delete_snapshot(
    tx: Transaction,
    who: Scope,
    snapshot_id: str,
    tunables: Tunables,
    parent: Operation[Any] | None = None,
    *,
    with_group: bool = False,
) -> str | None:
    """Answer the request; the operation's id, if there is much to do. Raises ``NotFound`` or ``InvalidState``.

    A part of a group snapshot is deleted ``with_group`` alone.
    """
    snapshot = snapshots.get(tx, who, snapshot_id)
    if not with_group:
        refuse_in_group_snapshot(snapshot)
    standing = recycle_bin.standing(tx, snapshot.project_id, snapshot.type_id)
    term = _term(standing, tunables)
    if term and snapshot.status is S.AVAILABLE:
        counts = tunables.recycle_counts or _is_too_much(tx, snapshot.project_id, snapshot.size, tunables)
        _recycle_snapshot(tx, snapshot, _terms(tx, standing, term, counts=counts), who, parent)
        return None
    return delete_snapshot_for_good.begin(tx, who, snapshot, parent)


def _term(standing: Standing, tunables: Tunables) -> float:
    """Seconds that what is deleted now is kept: the project decides, else its type, else the settings."""
    for said in (standing.project, standing.extra_specs):
        if (days := recycling.days(said)) is not None:
            return days * DAY
    return tunables.recycle_days * DAY


def _is_too_much(tx: Transaction, project_id: str, gigabytes: int, tunables: Tunables) -> bool:
    """Whether a project would keep more in the bin, beside its quota, than its quota of gigabytes.

    Else one that creates and deletes could fill every pool.
    """
    limit = quotas.limits(tx, project_id, tunables.quotas).get("gigabytes", UNLIMITED)
    return limit != UNLIMITED and recycle_bin.uncounted(tx, project_id) + gigabytes > limit


def _terms(tx: Transaction, standing: Standing, seconds: float, *, counts: bool) -> dict[str, Any]:
    """What the row of what goes into the bin says of that."""
    if standing.stands_still:
        recycle_bin.set_clock(tx, standing.seconds)
    return {
        "recycled_at": now(),
        "recycled_until": standing.seconds + seconds,
        "recycled_told": None,
        "recycled_counts": counts,
    }


def _recycle(
    tx: Transaction,
    volume: Volume,
    with_it: Sequence[Snapshot],
    terms: dict[str, Any],
    who: Scope,
    parent: Operation[Any] | None,
) -> None:
    """Put a volume into the bin: what copies it may go on, and nobody may be about to change it."""
    refuse_frozen(tx, volume.pool)
    require(tx, read(Thing.VOLUME, volume.id), parent_id=parent.id if parent else None)
    for snapshot in with_it:
        refuse_in_group_snapshot(snapshot)
        _recycle_snapshot(tx, snapshot, terms, who, parent)
    volumes.move(tx, volume.id, {V.AVAILABLE}, V.RECYCLED, must=delete.MUST, group_id=None, **terms)
    _give_back(tx, "volumes", volume, terms)
    record(tx, AtOnce.VOLUME_RECYCLE, volume, who, parent=parent)


def _recycle_snapshot(
    tx: Transaction, snapshot: Snapshot, terms: dict[str, Any], who: Scope, parent: Operation[Any] | None
) -> None:
    """Put a snapshot into the bin. One in error goes there with its volume, and comes back as it was."""
    require(tx, read(Thing.SNAPSHOT, snapshot.id), parent_id=parent.id if parent else None)
    if snapshot.status in (S.ERROR, S.ERROR_DELETING):
        snapshots.change(tx, snapshot.id, **terms)
    else:
        must = "be available or error"
        snapshots.move(tx, snapshot.id, {S.AVAILABLE}, S.RECYCLED, must=must, group_snapshot_id=None, **terms)
    _give_back(tx, "snapshots", snapshot, terms)
    record(tx, AtOnce.SNAPSHOT_RECYCLE, snapshot, who, parent=parent)


def _give_back(tx: Transaction, things: str, thing: Volume | Snapshot, terms: dict[str, Any]) -> None:
    if not terms["recycled_counts"]:
        quotas.give_back(tx, thing.project_id, amounts(tx, things, thing))


def amounts(tx: Transaction, things: str, thing: Volume | Snapshot) -> dict[str, int]:
    """What a volume or a snapshot takes of its project's quota."""
    kind = volume_types.get(tx, thing.type_id) if thing.type_id else None
    return quotas.amounts_of(things, 1, thing.size, kind.name if kind else None)


def went_together(snapshot: Snapshot, at: datetime | None) -> bool:
    """Whether a snapshot went into the bin in the same moment as its volume, and so with it."""
    return at is not None and snapshot.recycled_at == at
