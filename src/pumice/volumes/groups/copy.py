"""Create a group from another, or from a snapshot of one: a volume from each of the source's, on its backend.

1. ``accept``: the group and its volumes in ``creating``, and their quota
2. ``wait_for_volumes``: each is made by an operation of its own
3. ``publish``: ``available``

Where the group's type promises copies of one moment, the source's volumes must not be in use, and until all are
copied nobody can come to use one. If a volume fails, the group is in ``error``, with the volumes that it has.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pumice.model.errors import InvalidState
from pumice.model.group import Group
from pumice.model.ids import new_id
from pumice.model.scope import Scope
from pumice.model.states import GroupStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import Snapshot, Volume
from pumice.operations.holds import Hold, Thing, make, read
from pumice.operations.operation import Step, Verb, Wait, enqueue, scheduler
from pumice.store import group_snapshots, groups, operations, quotas
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.serialize import serialized
from pumice.volumes import create as create_volume
from pumice.volumes.frozen import refuse_frozen
from pumice.volumes.groups.create import explain, publish
from pumice.volumes.groups.snapshot import kept_still, stillness

G = GroupStatus
_OF_A_SNAPSHOT = (
    ", or make a snapshot of the group, which is of one moment in use too, and the new group of that"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The group that the tenant asks for, made of one of the two sources."""

    name: str | None = None
    description: str | None = None
    group_snapshot_id: str | None = None
    source_group_id: str | None = None


@dataclass(frozen=True, slots=True)
class CopyGroupParams:
    """The parameters of the operation."""

    group_id: str
    group_snapshot_id: str | None
    source_group_id: str | None
    still: list[str] = field(default_factory=list)
    """The source's volumes that nobody comes to use while they are copied."""


@serialized(quotas.turn)
def accept(tx: Transaction, who: Scope, wanted: Wanted, tunables: Tunables) -> Group:
    """Answer the request: the group in ``creating``.

    Raises ``NotFound``, ``InvalidState``, ``Invalid`` or ``OverQuota``.
    """
    source, found = _source(tx, who, wanted)
    refuse_frozen(tx, source.host)
    quotas.take(tx, who.project, quotas.limits(tx, who.project, tunables.quotas), {"groups": 1})
    kinds = [*source.volume_types, *(each.type_id for each in found if each.type_id)]
    group = Group(
        id=new_id(),
        project_id=who.project,
        user_id=who.user_id,
        name=wanted.name,
        description=wanted.description,
        status=G.CREATING,
        group_type_id=source.group_type_id,
        volume_types=list(dict.fromkeys(kinds)),
        availability_zone=source.availability_zone,
        host=source.host,
        group_snapshot_id=wanted.group_snapshot_id,
        source_group_id=wanted.source_group_id,
        operation_id=new_id(),
        created_at=now(),
        updated_at=None,
    )
    groups.insert(tx, group)
    originals = [each for each in found if isinstance(each, Volume)]
    still = kept_still(tx, source, originals, _OF_A_SNAPSHOT) if originals else []
    params = CopyGroupParams(group.id, wanted.group_snapshot_id, wanted.source_group_id, still)
    parent = enqueue(tx, COPY_GROUP, params, subject=group.id, who=who, id=group.operation_id)
    made = [create_volume.accept(tx, who, _copy_of(each, group), tunables, parent=parent) for each in found]
    operations.note(tx, parent.id, parent.notes | {"volumes": [volume.operation_id for volume in made]})
    return group


def _source(tx: Transaction, who: Scope, wanted: Wanted) -> tuple[Group, Sequence[Volume | Snapshot]]:
    """The group that is copied, and what of it. Raises ``NotFound``, or ``InvalidState`` for nothing."""
    found: Sequence[Volume | Snapshot]
    if wanted.group_snapshot_id:
        group_snapshot = group_snapshots.get(tx, who, wanted.group_snapshot_id)
        source = groups.get(tx, who, group_snapshot.group_id)
        found, what = group_snapshots.members(tx, group_snapshot.id), "Group snapshot"
    else:
        source = groups.get(tx, who, wanted.source_group_id or "")
        found, what = groups.volumes_in(tx, source.id), "Source Group"
    if not found:
        raise InvalidState(f"Invalid Group: {what} is empty. No group will be created.")
    return source, found


def _copy_of(each: Volume | Snapshot, group: Group) -> create_volume.Wanted:
    is_snapshot = isinstance(each, Snapshot)
    return create_volume.Wanted(
        size=each.size,
        volume_type=each.type_id,
        snapshot_id=each.id if is_snapshot else None,
        source_volid=None if is_snapshot else each.id,
        group_id=group.id,
    )


def _source_hold(asked: CopyGroupParams) -> Hold:
    if asked.group_snapshot_id:
        return read(Thing.GROUP_SNAPSHOT, asked.group_snapshot_id)
    return read(Thing.GROUP, asked.source_group_id or "")


COPY_GROUP: Verb[CopyGroupParams] = Verb(
    kind="group.create_from_source",
    params=CopyGroupParams,
    holds=lambda op: (
        make(Thing.GROUP, op.params.group_id),
        _source_hold(op.params),
        *stillness(op.params.still),
    ),
    steps=(Wait("volumes", at=scheduler), Step(publish, at=scheduler)),
    failed=explain,
    deadline=3 * 3600,
)
