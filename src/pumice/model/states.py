"""The states things can be in, and one table of moves for each kind of thing.

``store/`` makes every move with a single conditional UPDATE that names the states it may start from, taken
from these tables; a move that is not in the table cannot be written.

A volume (Cinder's status words; those in brackets pass: an operation holds the volume until it ends)::

               [creating] --> available <--> reserved --> [attaching] --> in-use --> [detaching]
                   |            |   ^                        ^              |           |
                   v            v   |________________________|______________|___________|
                 error     [deleting] --> (gone)      error_deleting, [extending], error_extending …
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar


class VolumeStatus(StrEnum):
    """Cinder's volume status words (api-ref, "Volume status")."""

    CREATING = "creating"
    DOWNLOADING = "downloading"
    AVAILABLE = "available"
    RESERVED = "reserved"
    ATTACHING = "attaching"
    IN_USE = "in-use"
    DETACHING = "detaching"
    EXTENDING = "extending"
    DELETING = "deleting"
    ERROR = "error"
    ERROR_DELETING = "error_deleting"
    ERROR_EXTENDING = "error_extending"
    MAINTENANCE = "maintenance"
    UPLOADING = "uploading"
    AWAITING_TRANSFER = "awaiting-transfer"
    BACKING_UP = "backing-up"
    RESTORING_BACKUP = "restoring-backup"
    ERROR_BACKING_UP = "error_backing-up"
    ERROR_RESTORING = "error_restoring"
    MANAGING = "managing"
    ERROR_MANAGING = "error_managing"
    RETYPING = "retyping"
    REVERTING = "reverting"
    UNMANAGING = "unmanaging"
    RECYCLED = "recycled"
    """Ours, and never told by Cinder's API: it is in the recycle bin."""


class SnapshotStatus(StrEnum):
    """Cinder's snapshot status words."""

    CREATING = "creating"
    AVAILABLE = "available"
    DELETING = "deleting"
    ERROR = "error"
    ERROR_DELETING = "error_deleting"
    BACKING_UP = "backing-up"
    RESTORING = "restoring"
    UNMANAGING = "unmanaging"
    RECYCLED = "recycled"


class BackupStatus(StrEnum):
    """Cinder's backup status words."""

    CREATING = "creating"
    AVAILABLE = "available"
    RESTORING = "restoring"
    DELETING = "deleting"
    ERROR = "error"
    ERROR_DELETING = "error_deleting"


class GroupStatus(StrEnum):
    """Cinder's words for the status of a group."""

    CREATING = "creating"
    AVAILABLE = "available"
    UPDATING = "updating"
    DELETING = "deleting"
    DELETED = "deleted"
    ERROR = "error"
    ERROR_DELETING = "error_deleting"


class GroupSnapshotStatus(StrEnum):
    """Cinder's words for the status of a group snapshot."""

    CREATING = "creating"
    AVAILABLE = "available"
    UPDATING = "updating"
    DELETING = "deleting"
    DELETED = "deleted"
    ERROR = "error"
    ERROR_DELETING = "error_deleting"


class ImageBaseStatus(StrEnum):
    """The states of an image's base in a pool; only operators see them."""

    CREATING = "creating"
    AVAILABLE = "available"
    DELETING = "deleting"
    ERROR = "error"
    """The snapshot could not be made, or its bytes were gone when they were asked for."""
    ERROR_DELETING = "error_deleting"


class AttachStatus(StrEnum):
    """Cinder's words for the state of one attachment."""

    RESERVED = "reserved"
    ATTACHING = "attaching"
    ATTACHED = "attached"
    DETACHING = "detaching"
    ERROR_ATTACHING = "error_attaching"
    ERROR_DETACHING = "error_detaching"


class ServerStatus(StrEnum):
    """Nova's server status words that Pumice stores."""

    BUILD = "BUILD"
    ACTIVE = "ACTIVE"
    SHUTOFF = "SHUTOFF"
    PAUSED = "PAUSED"
    REBOOT = "REBOOT"
    HARD_REBOOT = "HARD_REBOOT"
    ERROR = "ERROR"


def vm_state(status: str) -> str:
    """Nova's other word for a server's status, which its faults and ``OS-EXT-STS:vm_state`` use."""
    match status:
        case ServerStatus.BUILD:
            return "building"
        case ServerStatus.SHUTOFF:
            return "stopped"
        case ServerStatus.ACTIVE | ServerStatus.REBOOT | ServerStatus.HARD_REBOOT:
            return "active"
        case _:  # also one that this version does not know
            return status.lower()


class ImageStatus(StrEnum):
    """Glance's image status words."""

    QUEUED = "queued"
    SAVING = "saving"
    ACTIVE = "active"
    DEACTIVATED = "deactivated"
    KILLED = "killed"


HAS_BYTES = frozenset({ImageStatus.ACTIVE, ImageStatus.DEACTIVATED})
"""An image whose bytes are whole, be they given out or not."""


S = TypeVar("S", bound=StrEnum)
Moves = Mapping[S, frozenset[S]]
"""The states that may follow each state."""


@dataclass(frozen=True, slots=True)
class Transitions(Generic[S]):
    """The states of one kind of thing. Each is in one of three groups, with the moves that lead out of it."""

    at_rest: Moves[S]
    """Lasts by itself."""
    at_work: Moves[S]
    """Lasts as long as an operation is at work on the thing: without one the thing is stuck."""
    in_between: Moves[S] = field(default_factory=dict)
    """An operation is at work, or an outside caller is between two of its calls, such as ``os-reserve`` and
    ``os-attach``: without either the thing was abandoned."""
    with_bytes: frozenset[S] = frozenset()
    """Where bytes are there, whole or growing. In any other state they may be, and are no loss if not."""

    @property
    def transitional(self) -> frozenset[S]:
        """The states that do not last: an operation is at work, or something else is in between."""
        return frozenset({*self.at_work, *self.in_between})

    def may_move(self, start: S, end: S) -> bool:
        """Whether there is this move."""
        groups = self.at_rest, self.at_work, self.in_between
        return any(end in moves.get(start, frozenset()) for moves in groups)

    def ends_in(self, end: S) -> bool:
        """Whether something transitional comes to this state, or stays in it."""
        return end in self.transitional or any(self.may_move(start, end) for start in self.transitional)


def _to(*states: S) -> frozenset[S]:
    return frozenset(states)


V, N, A, M, I = VolumeStatus, SnapshotStatus, AttachStatus, ServerStatus, ImageStatus  # noqa: E741
B, G, P = BackupStatus, GroupStatus, GroupSnapshotStatus

VOLUME: Transitions[VolumeStatus] = Transitions(
    at_rest={
        V.AVAILABLE: _to(V.RESERVED, V.ATTACHING, V.EXTENDING, V.DELETING, V.UPLOADING, V.IN_USE)
        | _to(V.AWAITING_TRANSFER, V.REVERTING, V.UNMANAGING, V.BACKING_UP, V.RESTORING_BACKUP)
        | _to(V.DOWNLOADING, V.MAINTENANCE, V.RETYPING, V.RECYCLED),
        V.IN_USE: _to(V.AVAILABLE, V.RESERVED, V.DETACHING, V.EXTENDING, V.UPLOADING, V.BACKING_UP)
        | _to(V.MAINTENANCE, V.RETYPING),
        V.AWAITING_TRANSFER: _to(V.AVAILABLE),
        V.MAINTENANCE: _to(V.AVAILABLE),
        V.ERROR: _to(V.DELETING, V.UNMANAGING, V.DOWNLOADING),
        V.ERROR_DELETING: _to(V.DELETING),
        V.ERROR_EXTENDING: _to(V.DELETING),
        V.ERROR_RESTORING: _to(V.DELETING),
        V.ERROR_MANAGING: _to(V.DELETING),
        V.ERROR_BACKING_UP: _to(V.DELETING),
        V.RECYCLED: _to(V.AVAILABLE, V.DELETING),
    },
    at_work={
        V.CREATING: _to(V.AVAILABLE, V.ERROR),
        V.DOWNLOADING: _to(V.AVAILABLE, V.ERROR, V.RESERVED),
        V.EXTENDING: _to(V.AVAILABLE, V.IN_USE, V.ERROR_EXTENDING),
        V.UPLOADING: _to(V.AVAILABLE, V.IN_USE),
        V.DELETING: _to(V.ERROR_DELETING),
        V.REVERTING: _to(V.AVAILABLE),
        V.MANAGING: _to(V.AVAILABLE, V.ERROR_MANAGING),
        V.UNMANAGING: _to(V.AVAILABLE, V.ERROR),
        V.BACKING_UP: _to(V.AVAILABLE, V.IN_USE),
        V.RESTORING_BACKUP: _to(V.AVAILABLE, V.ERROR_RESTORING),
        V.RETYPING: _to(V.AVAILABLE),
    },
    in_between={
        V.RESERVED: _to(V.AVAILABLE, V.ATTACHING, V.IN_USE, V.DOWNLOADING),
        V.ATTACHING: _to(V.AVAILABLE, V.RESERVED, V.IN_USE),
        V.DETACHING: _to(V.AVAILABLE, V.IN_USE, V.RESERVED),
    },
    with_bytes=_to(V.AVAILABLE, V.IN_USE, V.AWAITING_TRANSFER, V.MAINTENANCE, V.RECYCLED)
    | _to(V.RESERVED, V.ATTACHING, V.DETACHING, V.EXTENDING, V.UPLOADING, V.BACKING_UP, V.RESTORING_BACKUP)
    | _to(V.ERROR_EXTENDING, V.ERROR_BACKING_UP, V.ERROR_RESTORING),
)

SNAPSHOT: Transitions[SnapshotStatus] = Transitions(
    at_rest={
        N.AVAILABLE: _to(N.DELETING, N.RESTORING, N.UNMANAGING, N.BACKING_UP, N.RECYCLED),
        N.ERROR: _to(N.DELETING),
        N.ERROR_DELETING: _to(N.DELETING),
        N.RECYCLED: _to(N.AVAILABLE, N.DELETING),
    },
    at_work={
        N.CREATING: _to(N.AVAILABLE, N.ERROR),
        N.DELETING: _to(N.ERROR_DELETING),
        N.RESTORING: _to(N.AVAILABLE),
        N.BACKING_UP: _to(N.AVAILABLE),
        N.UNMANAGING: _to(N.AVAILABLE),
    },
    with_bytes=_to(N.AVAILABLE, N.RECYCLED),
)

BACKUP: Transitions[BackupStatus] = Transitions(
    at_rest={
        B.AVAILABLE: _to(B.RESTORING, B.DELETING),
        B.ERROR: _to(B.DELETING),
        B.ERROR_DELETING: _to(B.DELETING),
    },
    at_work={
        B.CREATING: _to(B.AVAILABLE, B.ERROR),
        B.RESTORING: _to(B.AVAILABLE),
        B.DELETING: _to(B.ERROR_DELETING),
    },
)

GROUP: Transitions[GroupStatus] = Transitions(
    at_rest={
        G.AVAILABLE: _to(G.DELETING),
        G.ERROR: _to(G.DELETING),
        G.ERROR_DELETING: _to(G.DELETING),
        G.DELETED: _to(G.DELETING),  # an administrator's word alone, as the next one
    },
    at_work={
        G.UPDATING: _to(G.AVAILABLE),
        G.CREATING: _to(G.AVAILABLE, G.ERROR),
        G.DELETING: _to(G.ERROR),
    },
)

GROUP_SNAPSHOT: Transitions[GroupSnapshotStatus] = Transitions(
    at_rest={
        P.AVAILABLE: _to(P.DELETING),
        P.ERROR: _to(P.DELETING),
        P.ERROR_DELETING: _to(),  # an administrator's word alone, as the next two
        P.DELETED: _to(),
    },
    at_work={
        P.UPDATING: _to(P.AVAILABLE),
        P.CREATING: _to(P.AVAILABLE, P.ERROR),
        P.DELETING: _to(P.ERROR),
    },
)

IMAGE_BASE: Transitions[ImageBaseStatus] = Transitions(
    at_rest={
        ImageBaseStatus.AVAILABLE: _to(ImageBaseStatus.DELETING, ImageBaseStatus.ERROR),
        ImageBaseStatus.ERROR: _to(ImageBaseStatus.DELETING),
        ImageBaseStatus.ERROR_DELETING: _to(ImageBaseStatus.DELETING),
    },
    at_work={
        ImageBaseStatus.CREATING: _to(ImageBaseStatus.AVAILABLE, ImageBaseStatus.ERROR),
        ImageBaseStatus.DELETING: _to(ImageBaseStatus.ERROR_DELETING),
    },
)

ATTACHMENT: Transitions[AttachStatus] = Transitions(
    at_rest={
        A.ATTACHED: _to(A.DETACHING),
        A.ERROR_ATTACHING: _to(A.DETACHING),
        A.ERROR_DETACHING: _to(A.DETACHING),
    },
    at_work={},
    in_between={
        A.RESERVED: _to(A.ATTACHING, A.DETACHING),
        A.ATTACHING: _to(A.RESERVED, A.ATTACHED, A.DETACHING, A.ERROR_ATTACHING),
        A.DETACHING: _to(A.DETACHING, A.ATTACHED, A.ERROR_DETACHING),
    },
)

GETS_IN = frozenset({A.ATTACHING, A.ATTACHED})
"""An attachment in these states is to be exported, and its server to have the disk. One that was half detached
is left as it is."""
KEEPS_IN_USE = frozenset({A.ATTACHED, A.ERROR_DETACHING})
"""An attachment in these states makes its volume ``in-use``."""

SERVER: Transitions[ServerStatus] = Transitions(
    at_rest={
        M.ACTIVE: _to(M.SHUTOFF, M.PAUSED, M.REBOOT, M.HARD_REBOOT, M.ERROR),
        M.SHUTOFF: _to(M.ACTIVE, M.PAUSED, M.HARD_REBOOT, M.ERROR),
        M.PAUSED: _to(M.ACTIVE, M.SHUTOFF, M.HARD_REBOOT, M.ERROR),
        M.ERROR: _to(M.ACTIVE, M.SHUTOFF, M.HARD_REBOOT),
    },
    at_work={
        M.BUILD: _to(M.ACTIVE, M.ERROR),
        M.REBOOT: _to(M.ACTIVE, M.SHUTOFF, M.ERROR),
        M.HARD_REBOOT: _to(M.ACTIVE, M.SHUTOFF, M.PAUSED, M.ERROR),
    },
)

IMAGE: Transitions[ImageStatus] = Transitions(
    at_rest={
        I.QUEUED: _to(I.SAVING),
        I.ACTIVE: _to(I.DEACTIVATED),
        I.DEACTIVATED: _to(I.ACTIVE),
        I.KILLED: _to(),
    },
    at_work={I.SAVING: _to(I.ACTIVE, I.QUEUED)},
)
