"""Replication of a group as a whole: refused in the order in which Cinder refuses, as no backend has it."""

from collections.abc import Collection
from dataclasses import dataclass

from pumice.model.booleans import is_true
from pumice.model.errors import InvalidState
from pumice.model.scope import INTERNAL, Scope
from pumice.model.states import GroupStatus
from pumice.store import group_types, groups, types
from pumice.store.database import Transaction
from pumice.volumes.groups.create import REPLICATED, promises

G = GroupStatus


@dataclass(frozen=True, slots=True)
class Wish:
    """A request about replication, and the states in which it would make sense."""

    words: str
    """``enable replication``"""
    status: Collection[GroupStatus]
    of_replication: Collection[str]
    """The states of replication from which it would be done."""


ENABLE = Wish("enable replication", (G.AVAILABLE,), ("disabled", "enabled"))
DISABLE = Wish("disable replication", (G.AVAILABLE, G.ERROR), ("enabled", "error"))
FAIL_OVER = Wish("failover replication", (G.AVAILABLE,), ("enabled", "failed-over"))
LIST_TARGETS = Wish("list replication targets", tuple(G), ("disabled",))
STATUS = "disabled"
"""The state of every group's replication."""


def refuse(tx: Transaction, who: Scope, group_id: str, wish: Wish) -> None:
    """Raises ``InvalidState`` with the reason that Cinder would give first, or ``NotFound``."""
    group = groups.get(tx, who, group_id)
    kind = group_types.get(tx, INTERNAL, group.group_type_id)
    if not any(promises(kind, spec) for spec in REPLICATED):
        raise InvalidState(f"Invalid group type: Group {group.id} is not a replication group type.")
    for each in group.volume_types:
        found = types.get(tx, each)
        if not (found and is_true(found.extra_specs.get("replication_enabled", "").removeprefix("<is>"))):
            raise InvalidState(
                f"Invalid volume type: Volume type {each} does not have 'replication_enabled' spec key set to "
                "'<is> True'."
            )
    for what, valid, current in (
        ("status", wish.status, group.status),
        ("replication status", wish.of_replication, STATUS),
    ):
        if current not in valid:
            raise InvalidState(
                f"Invalid Group: Group {group.id} {what} must be {[str(word) for word in valid]}, but current "
                f"status is: {current}. Cannot {wish.words}."
            )
    raise InvalidState(f"Invalid Group: No backend replicates. Cannot {wish.words}.")
