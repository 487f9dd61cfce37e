"""Create a group: volumes that are on one backend, and are of certain types.

1. ``accept``, in the request's transaction: types, zone, quota, the row in ``creating``
2. ``choose_backend``: the scheduler chooses one that every volume type can be on
3. ``publish``: ``available``

If no backend will do, the group is in ``error``, and a message says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pumice.model.booleans import is_true
from pumice.model.errors import Invalid, NoValidBackend
from pumice.model.group import CONSISTENT, Group, GroupType
from pumice.model.ids import is_uuid, new_id
from pumice.model.scope import INTERNAL, Scope
from pumice.model.states import GroupStatus
from pumice.model.tunables import Tunables
from pumice.operations.holds import Thing, open_up
from pumice.operations.operation import Operation, Step, Verb, enqueue, scheduler
from pumice.scheduler.choose import choose, passing
from pumice.scheduler.request import Request
from pumice.store import group_types, groups, messages, pools, quotas, types
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.messages import Event
from pumice.store.serialize import serialized

G = GroupStatus
REPLICATED = ("group_replication_enabled", "consistent_group_replication_enabled")
"""The group specs that promise replication, which a pool has to report."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The group that the tenant asks for. Types by name or id."""

    group_type: str
    volume_types: Sequence[str]
    name: str | None = None
    description: str | None = None
    availability_zone: str | None = None


@dataclass(frozen=True, slots=True)
class GroupParams:
    """The group that the operation is about."""

    group_id: str


@serialized(quotas.turn)
def accept(tx: Transaction, who: Scope, wanted: Wanted, tunables: Tunables) -> Group:
    """Answer the request: the group in ``creating``. Raises ``NotFound``, ``Invalid`` or ``OverQuota``."""
    kinds = [types.find(tx, who, each) for each in wanted.volume_types]
    group_type = find_type(tx, who, wanted.group_type)
    zone = wanted.availability_zone or tunables.availability_zone
    if wanted.availability_zone and not pools.has_zone(tx, zone):
        raise Invalid(f"Invalid input received: Availability zone '{zone}' is invalid.")
    quotas.take(tx, who.project, quotas.limits(tx, who.project, tunables.quotas), {"groups": 1})
    group = Group(
        id=new_id(),
        project_id=who.project,
        user_id=who.user_id,
        name=wanted.name,
        description=wanted.description,
        status=G.CREATING,
        group_type_id=group_type.id,
        volume_types=list(dict.fromkeys(kind.id for kind in kinds)),
        availability_zone=zone,
        host=None,
        group_snapshot_id=None,
        source_group_id=None,
        operation_id=new_id(),
        created_at=now(),
        updated_at=None,
    )
    groups.insert(tx, group)
    enqueue(tx, CREATE_GROUP, GroupParams(group.id), subject=group.id, who=who, id=group.operation_id)
    return group


def find_type(tx: Transaction, who: Scope, name_or_id: str) -> GroupType:
    """A group type by its id, or else by its name. Raises ``NotFound``."""
    named = group_types.named(tx, name_or_id)
    if named and (named.is_public or who.is_admin):
        return named
    return group_types.get(tx, who, name_or_id if is_uuid(name_or_id) else f"with name {name_or_id}")


def is_consistent(tx: Transaction, group: Group) -> bool:
    """Whether the group's type promises snapshots of one moment."""
    return promises(group_types.get(tx, INTERNAL, group.group_type_id), CONSISTENT)


def promises(kind: GroupType, spec: str) -> bool:
    """Whether groups of the type are promised what the spec says."""
    return is_true((kind.group_specs.get(spec) or "").removeprefix("<is>"))


def choose_backend(tx: Transaction, op: Operation[GroupParams], tunables: Tunables) -> None:
    """Choose the backend that a volume of each type could come to. Raises ``NoValidBackend``."""
    group = groups.find(tx, op.params.group_id)
    assert group is not None
    promised = group_types.get(tx, INTERNAL, group.group_type_id)
    needed = {spec: "<is> True" for spec in REPLICATED if promises(promised, spec)}
    left = pools.alive(tx, tunables.service_down_seconds)
    if not left:
        raise NoValidBackend("No valid backend was found: every volume service is down or disabled.")
    requests = [
        Request(size=0, availability_zone=group.availability_zone, extra_specs={**kind.extra_specs, **needed})
        for kind in (types.get(tx, each) for each in group.volume_types)
        if kind is not None
    ]
    for request in requests:
        choose(left, request, tunables)  # says why, if none will do
        hosts = {pool.host for pool in passing(left, request, tunables)}
        left = [pool for pool in left if pool.host in hosts]
    groups.change(tx, group.id, host=choose(left, requests[0], tunables).host)


def publish(tx: Transaction, op: Operation[Any], tunables: Tunables) -> None:
    """The group is ready."""
    groups.move(tx, op.params.group_id, {G.CREATING}, G.AVAILABLE, must="be creating", operation_id=None)


def explain(tx: Transaction, op: Operation[Any], error: str) -> None:
    """The group is in ``error``, and its owner can read why."""
    groups.settle(tx, op.params.group_id, G.ERROR, op.id)
    assert op.project_id is not None
    messages.tell(tx, op.project_id, Event.CREATE_GROUP, op.params.group_id, error, op.request_id)


CREATE_GROUP = Verb(
    kind="group.create",
    params=GroupParams,
    holds=lambda op: (open_up(Thing.GROUP, op.params.group_id),),
    steps=(Step(choose_backend, at=scheduler), Step(publish, at=scheduler)),
    failed=explain,
    deadline=600,
)
