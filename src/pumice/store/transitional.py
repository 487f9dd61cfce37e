"""Volumes and attachments that an outside caller left in a transitional state, between two calls of its own.

No operation holds them, so they have no deadline but an age, from when they came to that state; none for what
an administrator put there, for which nobody will ever call.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from pumice.model.states import AttachStatus, VolumeStatus
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.operations import UNDER_WAY
from pumice.store.tables import attachments, operations, servers, volumes

A, V = AttachStatus, VolumeStatus
LOOK_SECONDS = 60.0
"""How often those are looked for whose time is over."""
_a, _v = attachments.c, volumes.c
_HELD_BY = {
    V.RESERVED: (A.RESERVED, A.ATTACHING, A.ERROR_ATTACHING),
    V.ATTACHING: (A.RESERVED, A.ATTACHING, A.ERROR_ATTACHING),
    V.DETACHING: (A.DETACHING,),
}
"""The states of attachments that explain a volume's."""


@dataclass(frozen=True, slots=True)
class Left:
    """A volume or an attachment that somebody left."""

    kind: str
    """``volume`` or ``attachment``"""
    id: str
    volume_id: str
    status: str
    since: datetime | None
    connected: bool = False
    """An initiator was let in: it may be using the volume."""

    def is_older(self, seconds: float) -> bool:
        """Whether it was left for longer than this."""
        return self.since is None or self.since < now() - timedelta(seconds=seconds)


def left(tx: Transaction, thing_id: str | None = None) -> list[Left]:
    """Everything that was, or what is left of one thing."""
    return [*_volumes(tx, thing_id), *_attachments(tx, thing_id)]


def _alive(operation_id: sa.ColumnElement[str | None]) -> sa.ColumnElement[bool]:
    return sa.exists().where(operations.c.id == operation_id, operations.c.state.in_(UNDER_WAY))


def _volumes(tx: Transaction, volume_id: str | None) -> Sequence[Left]:
    states = [
        sa.and_(_v.status == status, ~sa.exists().where(_a.volume_id == _v.id, _a.status.in_(holders)))
        for status, holders in _HELD_BY.items()
    ]
    query = sa.select(_v.id, _v.status, _v.moved_at).where(sa.or_(*states), ~_alive(_v.operation_id))
    if volume_id is not None:
        query = query.where(_v.id == volume_id)
    return [Left("volume", row.id, row.id, row.status, row.moved_at) for row in tx.execute(query)]


def _attachments(tx: Transaction, attachment_id: str | None) -> Sequence[Left]:
    """Attachments left on their way, but of our own servers: there an operation holds or frees them."""
    ours = sa.exists().where(servers.c.id == _a.server_id)
    waiting = _a.status.in_((A.RESERVED, A.ATTACHING)), _a.operation_id.is_(None), ~ours
    since = sa.func.coalesce(_a.updated_at, _a.created_at).label("since")
    query = sa.select(_a.id, _a.volume_id, _a.status, _a.chap_username, since).where(*waiting)
    if attachment_id is not None:
        query = query.where(_a.id == attachment_id)
    return [
        Left("attachment", row.id, row.volume_id, row.status, row.since, row.chap_username is not None)
        for row in tx.execute(query)
    ]
