"""Delete a group; its volumes too, if that is asked for.

1. ``accept``: the group and every volume of it in ``deleting``, or none of them; where a recycle bin is in
   force its volumes go there, out of the group
2. ``wait_for_volumes``: each other one is deleted by an operation of its own
3. ``forget``: the row and the quota go together

If a volume cannot be deleted the group is in ``error``, and may be deleted again.
"""

from pumice.model.errors import InvalidState
from pumice.model.group import Group
from pumice.model.ids import new_id
from pumice.model.scope import Scope
from pumice.model.states import GroupStatus, VolumeStatus
from pumice.model.tunables import Tunables
from pumice.operations.at_once import AtOnce, record
from pumice.operations.holds import Thing, change
from pumice.operations.operation import Operation, Step, Verb, Wait, enqueue, scheduler
from pumice.store import attachments, group_snapshots, groups, messages, operations, quotas, snapshots
from pumice.store.database import Transaction
from pumice.store.messages import Event
from pumice.store.told import KEPT, kept
from pumice.volumes.frozen import refuse_frozen
from pumice.volumes.groups.create import GroupParams
from pumice.volumes.recycle_bin import keep

G = GroupStatus
DELETABLE = frozenset({G.AVAILABLE, G.ERROR})
WITH_VOLUMES = DELETABLE | {G.ERROR_DELETING, G.DELETED}
"""From where it may be deleted together with its volumes."""


def accept(tx: Transaction, who: Scope, group_id: str, tunables: Tunables, *, with_volumes: bool) -> None:
    """Answer the request. Raises ``NotFound`` or ``InvalidState``."""
    group = groups.get(tx, who, group_id)
    if group_snapshots.are_of(tx, group.id):
        raise InvalidState("Invalid Group: Group has existing snapshots.")
    found = groups.volumes_in(tx, group.id)
    if found and not with_volumes:
        raise InvalidState(
            f"Invalid Group: Group {group.id} still contains volumes. The delete-volumes flag is required to "
            "delete it."
        )
    operation_id, must = new_id(), "be available or error"
    start = WITH_VOLUMES if with_volumes else DELETABLE
    groups.move(tx, group.id, start, G.DELETING, must=must, operation_id=operation_id)
    if group.host is None and not found:
        _forget(tx, group)
        record(tx, AtOnce.GROUP_DELETE, group, who, notes={KEPT: kept(group)})
        return
    refuse_frozen(tx, group.host)
    parent = enqueue(tx, DELETE_GROUP, GroupParams(group.id), subject=group.id, who=who, id=operation_id)
    children = []
    for volume in found:
        if attachments.of_volume(tx, volume.id):
            raise InvalidState(f"Invalid Group: Volume in group {group.id} is attached. Need to detach first.")
        if snapshots.of_volume(tx, volume.id):
            raise InvalidState("Invalid Group: Volume in group still has dependent snapshots.")
        if volume.status != VolumeStatus.DELETING:
            children.append(keep.delete_volume(tx, who, volume.id, tunables, parent, with_group=True))
    if awaited := [child for child in children if child]:
        operations.note(tx, parent.id, parent.notes | {"volumes": awaited})


def forget(tx: Transaction, op: Operation[GroupParams], tunables: Tunables) -> None:
    """Forget the row, with the quota it took. Raises ``InvalidState`` when volumes are left."""
    if group := groups.find(tx, op.params.group_id):
        if left := groups.volumes_in(tx, group.id):
            raise InvalidState(f"Volume {left[0].id} was not deleted.")
        op.notes[KEPT] = kept(group)
        _forget(tx, group)


def _forget(tx: Transaction, group: Group) -> None:
    groups.delete(tx, group.id)
    quotas.give_back(tx, group.project_id, {"groups": 1})


def explain(tx: Transaction, op: Operation[GroupParams], error: str) -> None:
    """The group is in ``error``, and its owner can read why."""
    groups.settle(tx, op.params.group_id, G.ERROR, op.id)
    if group := groups.find(tx, op.params.group_id):
        messages.tell(tx, group.project_id, Event.DELETE_GROUP, group.id, error, op.request_id)


DELETE_GROUP = Verb(
    kind="group.delete",
    params=GroupParams,
    holds=lambda op: (change(Thing.GROUP, op.params.group_id),),
    steps=(Wait("volumes", at=scheduler), Step(forget, at=scheduler)),
    failed=explain,
    deadline=2 * 3600,
    again=lambda tx, op, who, tunables: accept(tx, who, op.params.group_id, tunables, with_volumes=True),
)
