"""The states things can be in, and the one table of moves between them.

``store/`` makes every move with a single conditional UPDATE that names the states it may start from, taken
from these tables; a move that is not in the table cannot be written.

A volume (Cinder's status words; those in brackets pass: an operation holds the volume until it ends)::

               [creating] --> available <--> reserved --> [attaching] --> in-use --> [detaching]
                   |            |   ^                        ^              |           |
                   v            v   |________________________|______________|___________|
                 error     [deleting] --> (gone)      error_deleting, [extending], error_extending …
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


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


class ImageStatus(StrEnum):
    """Glance's image status words."""

    QUEUED = "queued"
    SAVING = "saving"
    ACTIVE = "active"
    DEACTIVATED = "deactivated"
    KILLED = "killed"


HAS_BYTES = frozenset({ImageStatus.ACTIVE, ImageStatus.DEACTIVATED})
"""An image whose bytes are whole, be they given out or not."""


V = VolumeStatus
PASSING_VOLUME = frozenset(
    {V.CREATING, V.DOWNLOADING, V.ATTACHING, V.DETACHING, V.EXTENDING, V.DELETING, V.UPLOADING}
    | {V.REVERTING, V.MANAGING, V.UNMANAGING}
)
"""Volume states that must have a living operation (``attaching`` and ``detaching`` may also be held by an
outside caller between ``os-reserve`` and ``os-attach``, or ``os-begin_detaching`` and ``os-detach``)."""

VOLUME_MOVES: Mapping[VolumeStatus, frozenset[VolumeStatus]] = MappingProxyType(
    {
        V.CREATING: frozenset({V.AVAILABLE, V.ERROR, V.DOWNLOADING}),
        V.DOWNLOADING: frozenset({V.AVAILABLE, V.ERROR}),
        V.AVAILABLE: frozenset(
            {V.RESERVED, V.ATTACHING, V.EXTENDING, V.DELETING, V.UPLOADING, V.IN_USE, V.AWAITING_TRANSFER}
            | {V.REVERTING, V.UNMANAGING}
        ),
        V.AWAITING_TRANSFER: frozenset({V.AVAILABLE}),
        V.RESERVED: frozenset({V.AVAILABLE, V.ATTACHING, V.IN_USE}),
        V.ATTACHING: frozenset({V.AVAILABLE, V.RESERVED, V.IN_USE}),
        V.IN_USE: frozenset({V.AVAILABLE, V.RESERVED, V.DETACHING, V.EXTENDING, V.UPLOADING}),
        V.DETACHING: frozenset({V.AVAILABLE, V.IN_USE, V.RESERVED}),
        V.EXTENDING: frozenset({V.AVAILABLE, V.IN_USE, V.ERROR_EXTENDING}),
        V.UPLOADING: frozenset({V.AVAILABLE, V.IN_USE}),
        V.DELETING: frozenset({V.ERROR_DELETING}),
        V.REVERTING: frozenset({V.AVAILABLE}),
        V.MANAGING: frozenset({V.AVAILABLE, V.ERROR_MANAGING}),
        V.UNMANAGING: frozenset({V.AVAILABLE, V.ERROR}),
        V.ERROR: frozenset({V.DELETING, V.UNMANAGING}),
        V.ERROR_DELETING: frozenset({V.DELETING}),
        V.ERROR_EXTENDING: frozenset({V.DELETING}),
        V.ERROR_RESTORING: frozenset({V.DELETING}),
        V.ERROR_MANAGING: frozenset({V.DELETING}),
        V.ERROR_BACKING_UP: frozenset({V.DELETING}),
    }
)


def may_move(start: VolumeStatus, end: VolumeStatus) -> bool:
    """Whether the table of moves has this edge."""
    return end in VOLUME_MOVES.get(start, frozenset())
