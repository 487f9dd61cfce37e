"""Flatten a volume: it comes to hold its bytes by itself, and shares them no more with what it was copied from.

1. ``begin``, in the transaction that publishes one copy of copies too many; or ``accept``, for an operator
2. ``flatten_bytes``: the backend does it, a second at a time

It holds nothing, so whatever is asked of the volume begins at once: to attach, copy, extend or move it, to
take a snapshot, to delete it. After each second it looks whether the volume is still where it was, and is to
keep its bytes; if not there is nothing left to do. Killed, or tried again, it goes on where it was. If it fails
the volume is what it was.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from pumice.backends.contract import Backend
from pumice.model.errors import InvalidState, NotFound, PumiceError
from pumice.model.ids import ProjectId, VolumeId
from pumice.model.scope import INTERNAL, Scope
from pumice.model.states import VolumeStatus
from pumice.model.volume import pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.operation import Operation, Step, Verb, enqueue, on_backend
from pumice.store import operations as log
from pumice.store import volumes
from pumice.store.database import Transaction

V = VolumeStatus
GIVES_UP_ITS_BYTES = frozenset({V.DELETING, V.ERROR_DELETING, V.REVERTING})
AT_A_TIME = 1.0
"""Seconds of work between two looks: how long at most it is in a deletion's way."""
_DEEP = "deep"


@dataclass(frozen=True, slots=True)
class FlattenParams:
    """The parameters of the operation."""

    volume_id: VolumeId
    pool: str


def accept(tx: Transaction, who: Scope, volume_id: str) -> str:
    """Answer an operator's request; the operation's id. Raises ``NotFound`` or ``InvalidState``."""
    volume = volumes.get(tx, who, volume_id)
    if volume.pool is None or volume.status in GIVES_UP_ITS_BYTES or volume.status == V.CREATING:
        raise InvalidState(
            f"Invalid volume: Volume {volume.id} is {volume.status}, and has no bytes to flatten."
        )
    return begin(tx, volume.id, volume.pool, volume.project_id, who.request_id)


async def note_depth(op: Operation[Any], backend: Backend, volume: VolumeId, pool: str) -> None:
    """Note for ``begin_if_deep`` whether a volume that was just made of others is to be flattened."""
    op.notes.pop(_DEEP, None)
    with suppress(PumiceError):  # for want of an answer no copy fails: the next one is deeper
        if await backend.is_deep(volume, pool):
            op.notes[_DEEP] = True


def begin_if_deep(tx: Transaction, op: Operation[Any], volume_id: VolumeId, pool: str) -> None:
    """Begin it, where the volume was noted to be deep."""
    if op.notes.get(_DEEP):
        begin(tx, volume_id, pool, op.project_id, op.request_id)


def begin(
    tx: Transaction, volume_id: VolumeId, pool: str, project_id: str | None, request_id: str | None
) -> str:
    """Begin it, unless it is under way; the operation's id."""
    found = log.page(tx, states=log.UNDER_WAY, kind=FLATTEN.kind, subject=volume_id, limit=1)
    for row in found:
        return str(row["id"])
    project = ProjectId(project_id) if project_id else None
    who = replace(INTERNAL, project_id=project, request_id=request_id or "")
    return enqueue(tx, FLATTEN, FlattenParams(volume_id, pool), subject=volume_id, who=who).id


def is_wanted(tx: Transaction, asked: FlattenParams) -> bool:
    """Whether the volume is where it was, and is to keep the bytes that it has."""
    volume = volumes.find(tx, asked.volume_id)
    return volume is not None and volume.pool == asked.pool and volume.status not in GIVES_UP_ITS_BYTES


async def flatten_bytes(op: Operation[FlattenParams], drivers: Drivers) -> None:
    """Have the backend do it, until it is done or nobody wants it any more."""
    asked, pool = op.params, pool_of(op.params.pool)
    backend, done, seconds = drivers.backend_of(asked.pool), -1.0, AT_A_TIME
    with suppress(NotFound):  # it has gone, or has another name
        while done < 1 and await drivers.db.read(is_wanted, asked):
            before, done = done, await backend.flatten(asked.volume_id, pool, seconds)
            if done <= before:  # all of the time went by over what was done already
                seconds *= 2
            op.note_progress(max(done, before))


def explain(tx: Transaction, op: Operation[FlattenParams], error: str) -> None:
    """Leave the volume as it is: it shares what it shares, and works as before. The log says why."""


FLATTEN = Verb(
    kind="volume.flatten",
    params=FlattenParams,
    holds=lambda _: (),
    steps=(Step(flatten_bytes, at=on_backend, timeout=4 * 3600, tries=1000, long=True),),
    failed=explain,
    deadline=24 * 3600,
    spares_bytes=True,
)
