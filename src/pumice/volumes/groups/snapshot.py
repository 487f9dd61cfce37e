"""Make a snapshot of a group: one of each volume in it.

1. ``accept``: the group snapshot and a snapshot of each volume in ``creating``, and their quota
2. ``wait_for_snapshots``: each is made by an operation of its own
3. ``publish``: ``available``

Where the group's type promises that they are of one moment, until all are copied nobody can come to use a
volume of it. Where servers of ours use some already, 2. is done by this operation itself, while their guests
stand still (``one_moment.py``). If a snapshot fails, the group snapshot is in ``error``.
"""

from collections.abc import Sequence

from pumice.model.errors import InvalidState
from pumice.model.group import Group, GroupSnapshot
from pumice.model.ids import new_id
from pumice.model.scope import Scope
from pumice.model.states import GroupSnapshotStatus, GroupStatus, SnapshotStatus, VolumeStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import Volume
from pumice.operations.holds import Hold, Thing, change, make, use
from pumice.operations.operation import (
    Operation,
    Step,
    Verb,
    Wait,
    enqueue,
    on_backend,
    on_compute,
    scheduler,
)
from pumice.store import group_snapshots, groups, messages, operations, quotas, snapshots
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.messages import Event
from pumice.store.serialize import serialized
from pumice.volumes.frozen import refuse_frozen
from pumice.volumes.groups.create import is_consistent
from pumice.volumes.groups.one_moment import (
    GroupSnapshotParams,
    delete_copies,
    is_in_use,
    keep_bytes,
    let_guests_go_on,
    pause_guests,
    prove_stillness,
    refusal,
    users,
)
from pumice.volumes.snapshots import create as create_snapshot

S = GroupSnapshotStatus


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
    consistent = is_consistent(tx, group)
    if consistent and any(volume.status == VolumeStatus.IN_USE for volume in found):
        _begin_at_once(tx, who, group, group_snapshot, found, tunables)
        return group_snapshot
    params = GroupSnapshotParams(group_snapshot.id, group.id, still=kept_still(tx, group, found))
    parent = _enqueue(tx, who, group_snapshot, params)
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


def _begin_at_once(
    tx: Transaction,
    who: Scope,
    group: Group,
    group_snapshot: GroupSnapshot,
    found: Sequence[Volume],
    tunables: Tunables,
) -> None:
    """One operation makes all of them, while those who use the volumes stand still."""
    using = users(tx, group, found)
    made = [
        create_snapshot.new_row(
            tx,
            who,
            volume,
            group_snapshot.name,
            group_snapshot.description,
            {},
            tunables,
            group_snapshot.id,
            operation_id=group_snapshot.operation_id,
        )
        for volume in found
    ]
    params = GroupSnapshotParams(
        group_snapshot.id,
        group.id,
        still=[volume.id for volume in found],
        kept=[[one.id, one.volume_id, one.pool] for one in made],
        pool=made[0].pool,
        host=using.host,
        servers=using.servers,
        guests=using.guests,
    )
    _enqueue(tx, who, group_snapshot, params)


def _enqueue(
    tx: Transaction, who: Scope, group_snapshot: GroupSnapshot, params: GroupSnapshotParams
) -> Operation[GroupSnapshotParams]:
    operation_id, subject = group_snapshot.operation_id, group_snapshot.id
    return enqueue(tx, CREATE_GROUP_SNAPSHOT, params, subject=subject, who=who, id=operation_id)


def kept_still(tx: Transaction, group: Group, found: Sequence[Volume], instead: str = "") -> list[str]:
    """The volumes whose copies have to be of one moment. Raises ``InvalidState`` for one that is in use.

    ``instead`` ends the sentence that says what may be done about it.
    """
    if not is_consistent(tx, group):
        return []
    for volume in found:
        if volume.status != VolumeStatus.AVAILABLE:
            raise refusal(
                group, volume, f"which can be kept for volumes that are available. Detach it{instead}"
            )
    return [volume.id for volume in found]


def stillness(volume_ids: Sequence[str]) -> tuple[Hold, ...]:
    """Volumes that nobody shall come to use."""
    return tuple(change(Thing.VOLUME, volume_id) for volume_id in volume_ids)


def publish(tx: Transaction, op: Operation[GroupSnapshotParams], tunables: Tunables) -> None:
    """The group snapshot is ready, and with it the snapshots that this operation has made."""
    for one in op.params.pieces:
        snapshots.reset(tx, one.snapshot_id, SnapshotStatus.AVAILABLE, op.id)
    must = "be creating"
    group_snapshots.move(
        tx, op.params.group_snapshot_id, {S.CREATING}, S.AVAILABLE, must=must, operation_id=None
    )


def explain(tx: Transaction, op: Operation[GroupSnapshotParams], error: str) -> None:
    """The group snapshot is in ``error``; what failed is told of its snapshots."""
    for one in op.params.pieces:
        snapshots.reset(tx, one.snapshot_id, SnapshotStatus.ERROR, op.id)
        if snapshot := snapshots.find(tx, one.snapshot_id):
            messages.tell(tx, snapshot.project_id, Event.CREATE_SNAPSHOT, snapshot.id, error, op.request_id)
    group_snapshots.settle(tx, op.params.group_snapshot_id, S.ERROR, op.id)


CREATE_GROUP_SNAPSHOT = Verb(
    kind="group_snapshot.create",
    params=GroupSnapshotParams,
    holds=lambda op: (
        make(Thing.GROUP_SNAPSHOT, op.params.group_snapshot_id),
        use(Thing.GROUP, op.params.group_id),
        *stillness(op.params.still),
        *(make(Thing.SNAPSHOT, one.snapshot_id) for one in op.params.pieces),
        *(change(Thing.SERVER, server_id) for server_id in op.params.servers),
    ),
    steps=(
        Step(pause_guests, undo=let_guests_go_on, at=on_compute, when=is_in_use, chooses=True),
        Step(keep_bytes, undo=delete_copies, at=on_backend, when=is_in_use),
        Step(prove_stillness, at=on_compute, when=is_in_use),
        Step(let_guests_go_on, at=on_compute, when=is_in_use),
        Wait("snapshots", at=scheduler, when=lambda op: not op.params.kept),
        Step(publish, at=scheduler),
    ),
    version=2,
    failed=explain,
    deadline=3 * 3600,
)
