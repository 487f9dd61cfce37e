"""What is done of a thing in one transaction, without steps: its line in the log, in that transaction.

It is an operation of no steps that has ended when it is first seen, and only its end is told: to streams, to
webhooks and in Cinder's words, like that of any other. So a thing's history has it, with the request and the
time. An operation that is enqueued tells of itself; whatever else a request changes of a project's things is
recorded here. ``tests/api/witness.py`` finds a request that does neither.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol

from pumice.model.ids import new_id
from pumice.model.scope import Scope
from pumice.operations.operation import Operation
from pumice.store import clock
from pumice.store import operations as log
from pumice.store.columns import now
from pumice.store.database import Transaction


class AtOnce(StrEnum):
    """The kinds of what is done at once.

    A few are those of verbs: of things for which there is nothing to do outside.
    """

    ATTACHMENT_COMPLETE = "attachment.complete"
    ATTACHMENT_DELETE = "attachment.delete"
    """An attachment that nobody was connected by is deleted."""
    ATTACHMENT_RESERVE = "attachment.reserve"
    BACKUP_RESET_STATUS = "backup.reset_status"
    BACKUP_UPDATE = "backup.update"
    GROUP_DELETE = "group.delete"
    GROUP_RESET_STATUS = "group.reset_status"
    GROUP_SNAPSHOT_RESET_STATUS = "group_snapshot.reset_status"
    GROUP_UPDATE = "group.update"
    SERVER_LOCK = "server.lock"
    SERVER_RESET_STATUS = "server.reset_status"
    SERVER_UNLOCK = "server.unlock"
    SERVER_UPDATE = "server.update"
    SNAPSHOT_RECYCLE = "snapshot.recycle"
    SNAPSHOT_RESET_STATUS = "snapshot.reset_status"
    SNAPSHOT_RESTORE = "snapshot.restore"
    SNAPSHOT_UPDATE = "snapshot.update"
    TRANSFER_ACCEPT = "transfer.accept"
    """A volume has come to the project; like the next three about the volume."""
    TRANSFER_CREATE = "transfer.create"
    TRANSFER_DELETE = "transfer.delete"
    TRANSFER_TAKEN = "transfer.taken"
    """What the project has offered is another's now."""
    VOLUME_ATTACH = "volume.attach"
    VOLUME_BEGIN_DETACHING = "volume.begin_detaching"
    VOLUME_DELETE = "volume.delete"
    VOLUME_DETACH = "volume.detach"
    VOLUME_RECYCLE = "volume.recycle"
    VOLUME_RESERVE = "volume.reserve"
    VOLUME_RESET_STATUS = "volume.reset_status"
    VOLUME_RESTORE = "volume.restore"
    VOLUME_RETYPE = "volume.retype"
    VOLUME_ROLL_DETACHING = "volume.roll_detaching"
    VOLUME_UNRESERVE = "volume.unreserve"
    VOLUME_UPDATE = "volume.update"
    """The volume's name, description, metadata, or what else is only written down of it, is changed."""


class Owned(Protocol):
    """A thing of a project's."""

    @property
    def id(self) -> str:
        """The thing's id."""

    @property
    def project_id(self) -> str:
        """The project."""


def record(
    tx: Transaction,
    kind: AtOnce,
    thing: Owned,
    who: Scope,
    *,
    parent: Operation[Any] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write down that this transaction has done this to the ``thing``, for its project to be told."""
    at = now()
    log.insert_ended(
        tx,
        {
            "id": new_id(),
            "kind": kind.value,
            "subject": thing.id,
            "project_id": thing.project_id,
            "request_id": who.request_id or (parent.request_id if parent else None),
            "parent_id": parent.id if parent else None,
            "params": {},
            "notes": dict(notes or {}),
            "steps": [],
            "state": "done",
            "position": 0,
            "place": "",
            "settled": True,
            "settled_at": at,
            "cancelled": False,
            "tries": 0,
            "attempt": 0,
            "run_at": 0.0,
            "deadline": clock.time(),
            "created_at": at,
            "finished_at": at,
            "began_number": None,
        },
    )
