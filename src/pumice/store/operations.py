"""The operation log: rows of ``operations`` and their lines. Only ``operations/`` writes them.

The log is also the queue: ``work_queue.py``.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from pumice.model.errors import LostLease
from pumice.store import holds, json_columns
from pumice.store.any_of import any_of
from pumice.store.changes import changed
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.log_numbers import next_number
from pumice.store.tables import operation_lines, operations, services
from pumice.store.work_queue import QUEUE, queue_topic, wake_waiting

Row = sa.RowMapping
ENDED_WORD, WELL = "ended", "well"
CANCELLED = "cancelled"
"""The first word of the topic that is notified when an operation's cancelling was asked for; its id follows."""

_o = operations.c
UNDER_WAY = ("running", "waiting", "undoing")
ENDED = holds.ENDED
CLEANING = "cleaning"
"""The state of what was told as failed and still undoes; stored as ``undoing`` and ``settled``."""

is_cleaning = sa.and_(_o.state == "undoing", _o.settled.is_(True))

_insert = sa.insert(operations)
_insert_ended = _insert.values(ended_number=next_number()).inline()
_insert_lines = sa.insert(operation_lines).values(number=next_number()).inline()
_by_id = sa.select(operations).where(_o.id == sa.bindparam("b_id"))
_fenced = (
    sa.update(operations)
    .where(
        _o.id == sa.bindparam("b_id"),
        _o.attempt == sa.bindparam("b_attempt"),
        _o.owner == sa.bindparam("b_owner"),
    )
    .returning(_o.parent_id, _o.cancelled)
)
_ENDS = {"ended_number": sa.func.coalesce(_o.ended_number, next_number())}
"""What is written where an operation is settled, and stays."""
_fenced_end = _fenced.values(_ENDS)
_last_line = (
    sa.select(sa.func.max(operation_lines.c.number))
    .where(operation_lines.c.operation_id == sa.bindparam("b_operation"))
    .scalar_subquery()
)
_repeat_line = (
    sa.update(operation_lines)
    .where(
        operation_lines.c.number == _last_line,
        operation_lines.c.step == sa.bindparam("b_step"),
        operation_lines.c.direction == sa.bindparam("b_direction"),
        operation_lines.c.outcome == sa.bindparam("b_outcome"),
    )
    .values(times=operation_lines.c.times + 1)
)
_share = sa.select(_o.id).where(any_of(_o.id, "ids")).with_for_update(read=True)
_endings = sa.select(_o.id, _o.state, _o.settled, _o.error).where(any_of(_o.id, "ids"))


def ended_topic(operation_id: str) -> str:
    """The topic that is notified when this operation has ended."""
    return f"{ENDED_WORD} {operation_id}"


def ended_well_topic(operation_id: str) -> str:
    """The topic where it has ended well: who waits for it has nothing to look for."""
    return f"{ENDED_WORD} {operation_id} {WELL}"


def ending(topic: str) -> tuple[str, bool] | None:
    """The operation that a topic says has ended, and whether it says that it ended well. None for any other."""
    word, _, rest = topic.partition(" ")
    operation_id, _, how = rest.partition(" ")
    return (operation_id, how == WELL) if word == ENDED_WORD else None


def insert(tx: Transaction, row: Mapping[str, Any]) -> None:
    """Add an operation and let the workers of its place know."""
    tx.send(_insert, dict(row))
    tx.notify(queue_topic(row["place"]))
    tx.notify(changed(row["id"]))


def insert_ended(tx: Transaction, row: Mapping[str, Any]) -> None:
    """Add an operation that has ended already: nobody is to carry it."""
    tx.send(_insert_ended, dict(row))
    tx.notify(changed(row["id"]))


def has_line(tx: Transaction, operation_id: str, started_at: datetime) -> bool:
    """Whether the history of an operation has the line of a step that began then."""
    c = operation_lines.c
    query = sa.select(1).where(c.operation_id == operation_id, c.started_at == started_at)
    return tx.execute(query).first() is not None


def get(tx: Transaction, operation_id: str) -> Row | None:
    """The row of an operation; None if there is none."""
    return tx.execute(_by_id, {"b_id": operation_id}).mappings().one_or_none()


def save(
    tx: Transaction, operation_id: str, attempt: int, owner: str, values: Mapping[str, Any]
) -> tuple[str | None, bool]:
    """Write an operation's new position. Raises ``LostLease`` when somebody else claimed it since.

    Its parent's id, and whether its cancelling was asked for: the row knows both best, because they may have
    changed while a worker had it in hand.
    """
    fence = {"b_id": operation_id, "b_attempt": attempt, "b_owner": owner}
    save_it = _fenced_end if values.get("settled") else _fenced
    row = tx.execute(save_it, {**fence, **values, **_of_subject(values)}).first()
    if row is None:
        raise LostLease(f"Operation {operation_id} was taken over by another worker.")
    _let_go(tx, operation_id, values)
    tx.notify(changed(operation_id))
    return row.parent_id, row.cancelled


def _of_subject(values: Mapping[str, Any]) -> dict[str, None]:
    """The end of an operation's hold of its subject, where it comes to a state in which it ends."""
    return {"hold": None} if values.get("state") in ENDED else {}


def _let_go(tx: Transaction, operation_id: str, values: Mapping[str, Any]) -> None:
    """End what else it holds, as far as it has come to an end itself; whoever waits for that looks again."""
    if values.get("state") in ENDED:
        holds.end_beside_subject(tx, operation_id)
    elif values.get("settled"):
        holds.end(tx, operation_id, lasting=False)
        wake_waiting(tx, operation_id)


def add_lines(tx: Transaction, lines: Sequence[Mapping[str, Any]]) -> None:
    """Append to the history."""
    if lines:
        tx.send(_insert_lines, [dict(line) for line in lines])


def repeat_line(tx: Transaction, line: Mapping[str, Any]) -> None:
    """Let the last line stand for one more try that ended as it did, or append a first one."""
    last = {f"b_{name}": line[name] for name in ("step", "direction", "outcome")}
    told = {name: line[name] for name in ("place", "attempt", "error", "started_at", "seconds")}
    if not tx.execute(_repeat_line, {"b_operation": line["operation_id"], **last, **told}).rowcount:
        add_lines(tx, [line])


_placed_by = (
    sa.select(sa.func.coalesce(sa.func.max(operation_lines.c.attempt), 0))
    .where(operation_lines.c.operation_id == _o.id)
    .scalar_subquery()
)
_is_untouched = sa.and_(
    _o.state == "running",
    _o.owner.is_(None),
    _o.settled.is_(False),
    _o.attempt == _placed_by,
    ~sa.exists().where(operation_lines.c.operation_id == _o.id, operation_lines.c.place == _o.place),
)
"""Nobody has claimed it since it was placed where it is."""


def is_untouched(tx: Transaction, operation_id: str) -> bool:
    """Whether nothing of the step where it stands was begun: nobody has claimed it there."""
    return tx.execute(sa.select(_o.id).where(_o.id == operation_id, _is_untouched)).first() is not None


def untouched(tx: Transaction, down_seconds: float, operation_id: str | None = None) -> Sequence[Row]:
    """Operations at a backend whose service is down, that nobody has claimed since they were placed there."""
    up = sa.exists().where(
        services.c.binary == "cinder-volume",
        sa.literal("volume:") + sa.func.coalesce(services.c.cluster, services.c.host) == _o.place,
        services.c.updated_at >= now() - timedelta(seconds=down_seconds),
    )
    query = sa.select(operations).where(_is_untouched, _o.place.startswith("volume:"), ~up)
    if operation_id is not None:
        query = query.where(_o.id == operation_id)
    return tx.execute(query).mappings().all()


def stay(tx: Transaction, ids: Collection[str]) -> None:
    """Let no operation of these end before this transaction has: who ends wakes those that wait by then."""
    tx.lock(_share, ids)


def completions(tx: Transaction, ids: Collection[str]) -> dict[str, tuple[bool, str | None]]:
    """Whether each of several operations ended well, and if not why; those still under way are missing.

    One that was pruned from the log counts as having ended well.
    """
    rows = {row.id: row for row in tx.execute(_endings, {"ids": list(ids)})}
    found: dict[str, tuple[bool, str | None]] = {}
    for operation_id in ids:
        row = rows.get(operation_id)
        if row is None or row.state == "done":
            found[operation_id] = True, None
        elif row.settled:
            found[operation_id] = False, row.error
    return found


def ask_to_cancel(tx: Transaction, operation_id: str) -> bool:
    """Ask for the undo. False when there is no such operation or it has ended."""
    result = tx.execute(
        sa.update(operations)
        .where(_o.id == operation_id, _o.state.in_(("running", "waiting")))
        .values(cancelled=True, state="running", run_at=0.0)
    )
    tx.notify(QUEUE)
    tx.notify(f"{CANCELLED} {operation_id}")
    tx.notify(changed(operation_id))
    return bool(result.rowcount)


def page(
    tx: Transaction,
    *,
    states: Collection[str] | None,
    kind: str | None,
    subject: str | Collection[str] | None,
    limit: int,
    projects: Collection[str] | None = None,
    since: datetime | None = None,
) -> Sequence[Row]:
    """Operations, the newest first."""
    query = sa.select(operations).order_by(_o.created_at.desc()).limit(limit)
    if states is not None:
        query = query.where(_o.state.in_(list(states)))
    if kind is not None:
        query = query.where(_o.kind == kind)
    if subject is not None:
        query = query.where(_o.subject.in_([subject] if isinstance(subject, str) else list(subject)))
    if projects is not None:
        query = query.where(_o.project_id.in_(list(projects)))
    if since is not None:
        query = query.where(_o.created_at >= since)
    return tx.execute(query).mappings().all()


def extensions(tx: Transaction, server_id: str, volume_ids: Collection[str]) -> Sequence[Row]:
    """The operations that extended these volumes while the server used them."""
    of_server = json_columns.value(_o.params, "server_id").as_string() == server_id
    query = sa.select(operations).where(_o.subject.in_(list(volume_ids)), _o.kind == "volume.extend", of_server)
    return tx.execute(query).mappings().all() if volume_ids else ()


def beginning_with(tx: Transaction, characters: str) -> Sequence[Row]:
    """Up to two operations whose id begins so: one is the one, two are too many."""
    query = sa.select(operations).where(_o.id.startswith(characters, autoescape=True)).limit(2)
    return tx.execute(query).mappings().all()


def lines(tx: Transaction, operation_id: str) -> Sequence[Row]:
    """The history of one operation in the order it happened."""
    return (
        tx.execute(
            sa.select(operation_lines)
            .where(operation_lines.c.operation_id == operation_id)
            .order_by(operation_lines.c.number)
        )
        .mappings()
        .all()
    )


def forget(tx: Transaction, operation_id: str) -> None:
    """Drop an operation that has ended, with its history."""
    tx.execute(sa.delete(operation_lines).where(operation_lines.c.operation_id == operation_id))
    tx.execute(sa.delete(operations).where(_o.id == operation_id, _o.settled.is_(True)))


def take_notes(tx: Transaction, operation_id: str) -> Mapping[str, Any]:
    """What an operation that only looked has found; it is forgotten, so that it does not fill the log."""
    row = get(tx, operation_id)
    forget(tx, operation_id)
    return row["notes"] if row else {}


def prune(tx: Transaction, seconds: float, most: int = 1000) -> int:
    """Forget operations that ended more than ``seconds`` ago."""
    old = (
        sa.select(_o.id)
        .where(_o.state.in_(("done", "failed")), _o.finished_at < now() - timedelta(seconds=seconds))
        .order_by(_o.finished_at)
        .limit(most)
    )
    tx.execute(sa.delete(operation_lines).where(operation_lines.c.operation_id.in_(old)))
    return int(tx.execute(sa.delete(operations).where(_o.id.in_(old))).rowcount)


def force(tx: Transaction, operation_id: str, attempt: int, values: Mapping[str, Any]) -> None:
    """Write an operation that nobody holds, unless somebody has claimed it since ``attempt``."""
    forced = tx.execute(
        sa.update(operations)
        .where(_o.id == operation_id, _o.attempt == attempt)
        .values(lease_until=None, **values, **_of_subject(values), **(_ENDS if values.get("settled") else {}))
    )
    if forced.rowcount:
        _let_go(tx, operation_id, values)
    tx.notify(QUEUE)
    tx.notify(changed(operation_id))


def note(tx: Transaction, operation_id: str, notes: Mapping[str, Any]) -> None:
    """Replace the notes of an operation in the transaction that enqueued it."""
    tx.execute(sa.update(operations).where(_o.id == operation_id).values(notes=dict(notes)))
