"""Make a snapshot of a group: one of each volume in it.

1. ``accept``: the group snapshot and a snapshot of each volume in ``creating``, and their quota
2. ``wait_for_snapshots``: each is made by an operation of its own
3. ``publish``: ``available``

Where the group's type promises that they are of one moment, its volumes must not be in use, and until all
are copied nobody can come to use one. If a snapshot fails, the group snapshot is in ``error``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pumice.model.errors import InvalidState
from pumice.model.group import Group, GroupSnapshot
from pumice.model.ids import new_id
from pumice.model.scope import Scope
from pumice.model.states import GroupSnapshotStatus, GroupStatus, VolumeStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import Volume
from pumice.operations.holds import Hold, Thing, change, make, use
from pumice.operations.operation import Operation, Step, Verb, Wait, enqueue, scheduler
from pumice.store import group_snapshots, groups, operations, quotas
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.serialize import serialized
from pumice.volumes.frozen import refuse_frozen
from pumice.volumes.groups.create import is_consistent
from pumice.volumes.snapshots import create as create_snapshot

S = GroupSnapshotStatus


@dataclass(frozen=True, slots=True)
class GroupSnapshotParams:
    """The parameters of the operation."""

    group_snapshot_id: str
    group_id: str
    still: list[str] = field(default_factory=list)
    """Volumes that nobody comes to use while they are copied."""


@serialized(quotas.turn)
def accept(
    tx: Transaction,
    who: Scope,
    group_id: str,
    *,
    name: str | None,
    description: str | None,
    tunables: Tunables,
) -> GroupSnapshot:
    """Answer the request: the group snapshot in ``creating``.

    Raises ``NotFound``, ``InvalidState`` or ``OverQuota``.
    """
    group = groups.get(tx, who, group_id)
    refuse_frozen(tx, group.host)
    found = groups.volumes_in(tx, group.id)
    if not found or group.status in (GroupStatus.CREATING, GroupStatus.UPDATING):
        raise InvalidState(
            "Invalid Group: Source group cannot be empty or in 'creating' or 'updating' state. No group "
            "snapshot will be created."
        )
    group_snapshot = GroupSnapshot(
        id=new_id(),
        project_id=group.project_id,
        user_id=who.user_id,
        group_id=group.id,
        group_type_id=group.group_type_id,
        name=name,
        description=description,
        status=S.CREATING,
        operation_id=new_id(),
        created_at=now(),
        updated_at=None,
    )
    group_snapshots.insert(tx, group_snapshot)
    params = GroupSnapshotParams(group_snapshot.id, group.id, still=kept_still(tx, group, found))
    parent = enqueue(
        tx,
        CREATE_GROUP_SNAPSHOT,
        params,
        subject=group_snapshot.id,
        who=who,
        id=group_snapshot.operation_id,
    )
    made = [
        create_snapshot.accept(
            tx,
            who,
            volume.id,
            name=name,
            description=description,
            metadata={},
            in_use=True,
            tunables=tunables,
            parent=parent,
            group_snapshot_id=group_snapshot.id,
        )
        for volume in found
    ]
    operations.note(tx, parent.id, parent.notes | {"snapshots": [snapshot.operation_id for snapshot in made]})
    return group_snapshot


def kept_still(tx: Transaction, group: Group, found: Sequence[Volume]) -> list[str]:
    """The volumes whose copies have to be of one moment. Raises ``InvalidState`` for one that is in use."""
    if not is_consistent(tx, group):
        return []
    for volume in found:
        if volume.status != VolumeStatus.AVAILABLE:
            raise InvalidState(
                f"Invalid volume: Volume {volume.id} is {volume.status}: the type of group {group.id} promises "
                "snapshots of one moment, which can be kept for volumes that are available. Detach it."
            )
    return [volume.id for volume in found]


def stillness(volume_ids: Sequence[str]) -> tuple[Hold, ...]:
    """Volumes that nobody shall come to use."""
    return tuple(change(Thing.VOLUME, volume_id) for volume_id in volume_ids)


def publish(tx: Transaction, op: Operation[GroupSnapshotParams], tunables: Tunables) -> None:
    """The group snapshot is ready."""
    must = "be creating"
    group_snapshots.move(
        tx, op.params.group_snapshot_id, {S.CREATING}, S.AVAILABLE, must=must, operation_id=None
    )


def explain(tx: Transaction, op: Operation[GroupSnapshotParams], error: str) -> None:
    """The group snapshot is in ``error``; what failed is told of its snapshots."""
    group_snapshots.settle(tx, op.params.group_snapshot_id, S.ERROR, op.id)


CREATE_GROUP_SNAPSHOT = Verb(
    kind="group_snapshot.create",
    params=GroupSnapshotParams,
    holds=lambda op: (
        make(Thing.GROUP_SNAPSHOT, op.params.group_snapshot_id),
        use(Thing.GROUP, op.params.group_id),
        *stillness(op.params.still),
    ),
    steps=(Wait("snapshots", at=scheduler), Step(publish, at=scheduler)),
    failed=explain,
    deadline=3 * 3600,
)
