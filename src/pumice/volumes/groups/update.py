"""Change a group: its name, its description, and which volumes are in it. No bytes move: one transaction."""

from collections.abc import Collection
from dataclasses import dataclass

from pumice.model.errors import InvalidState, NotFound
from pumice.model.group import Group
from pumice.model.scope import Scope
from pumice.model.states import GroupStatus, VolumeStatus
from pumice.model.volume import Volume, host_of
from pumice.operations.at_once import AtOnce, record
from pumice.operations.holds import Thing, require, use
from pumice.store import groups, volumes
from pumice.store.database import Transaction

V = VolumeStatus
MAY_COME = (V.AVAILABLE, V.IN_USE)
MAY_LEAVE = (*MAY_COME, V.ERROR, V.ERROR_DELETING)


@dataclass(frozen=True, slots=True)
class Changes:
    """What shall be other than it is; None and nothing are as before."""

    name: str | None = None
    description: str | None = None
    add: Collection[str] = ()
    """Ids of volumes that shall come into the group."""
    remove: Collection[str] = ()
    """Ids of volumes that shall leave it, and stay."""


def update(tx: Transaction, who: Scope, group_id: str, wanted: Changes) -> None:
    """Make the changes, all or none. Raises ``NotFound`` or ``InvalidState``."""
    group = groups.get(tx, who, group_id)
    if both := sorted(set(wanted.add) & set(wanted.remove)):
        raise InvalidState(f"Invalid volume: UUIDs {both} are in both add and remove volume list.")
    inside: dict[str, Volume] = {volume.id: volume for volume in groups.volumes_in(tx, group.id)}
    coming = [_coming(tx, who, group, each) for each in wanted.add if each not in inside]
    leaving = [_leaving(group, inside.get(each), each) for each in wanted.remove]
    words = {"name": wanted.name, "description": wanted.description}
    changes = {key: word for key, word in words.items() if word is not None and word != getattr(group, key)}
    if not (coming or leaving or changes):
        raise InvalidState(
            f"Invalid Group: Cannot update group {group.id} because no valid name, description, "
            "add_volumes, or remove_volumes were provided."
        )
    if coming or leaving:
        require(tx, use(Thing.GROUP, group.id))
        if group.status != GroupStatus.AVAILABLE:
            raise InvalidState("Invalid Group: Group status must be available.")
    groups.change(tx, group.id, **changes)
    for volume in coming:
        volumes.change(tx, volume.id, group_id=group.id)
    for volume in leaving:
        volumes.change(tx, volume.id, group_id=None)
    record(tx, AtOnce.GROUP_UPDATE, group, who)
    for volume in (*coming, *leaving):
        record(tx, AtOnce.VOLUME_UPDATE, volume, who)


def _coming(tx: Transaction, who: Scope, group: Group, volume_id: str) -> Volume:
    """A volume that may come into the group. Raises ``InvalidState``."""

    def cannot(why: str) -> InvalidState:
        return InvalidState(f"Invalid volume: Cannot add volume {volume_id} to group {group.id} {why}.")

    try:
        volume = volumes.get(tx, who, volume_id)
    except NotFound:
        raise cannot("because volume cannot be found") from None
    if volume.group_id:
        raise cannot(f"because it is already in group {volume.group_id}")
    if volume.project_id != group.project_id:
        raise cannot("as they belong to different projects")
    if volume.type_id not in group.volume_types:
        raise cannot(f"because volume type {volume.type_id} is not supported by the group")
    if volume.status not in MAY_COME:
        raise cannot(_in_wrong_state(volume, MAY_COME))
    if volume.is_moving:
        raise cannot(f"because it is being moved: its migration is '{volume.migration_status}'")
    if host_of(volume.pool or "") != group.host:
        raise InvalidState("Invalid volume: Volume is not local to this node.")
    return volume


def _leaving(group: Group, volume: Volume | None, volume_id: str) -> Volume:
    """A volume that may leave the group. Raises ``InvalidState``."""

    def cannot(why: str) -> InvalidState:
        return InvalidState(f"Invalid volume: Cannot remove volume {volume_id} from group {group.id} {why}.")

    if volume is None:
        raise cannot("because it is not in the group")
    if volume.status not in MAY_LEAVE:
        raise cannot(_in_wrong_state(volume, MAY_LEAVE))
    return volume


def _in_wrong_state(volume: Volume, valid: Collection[str]) -> str:
    states = ", ".join(f"'{state}'" for state in valid)
    return f"because volume is in an invalid state: {volume.status}. Valid states are: ({states})"
