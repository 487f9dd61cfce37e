"""Holds: what the operations under way have taken, and how. Every read and write of them.

What each way of holding means, and which go together, is in ``operations/holds.py``. An operation's row says
how it holds its subject, which costs no statement of its own; what else it holds is in ``operation_holds``. A
hold ends with its operation; or already when that has *settled*, if it is not ``LASTING``. That is asked of the
operation, whatever is written of its holds: a version that knows of none may end it.
"""

from collections.abc import Collection, Mapping

import sqlalchemy as sa

from pumice.store.any_of import any_of, none_of
from pumice.store.database import Transaction
from pumice.store.tables import operation_holds, operations

LASTING = "own"
"""The one that outlives the news of a failure, until nothing is left to clean."""

_h, _o = operation_holds.c, operations.c
HELD = sa.union_all(
    sa.select(_o.subject.label("thing"), _o.id.label("operation_id"), _o.hold.label("mode")).where(
        _o.hold.is_not(None)
    ),
    sa.select(_h.thing, _h.operation_id, _h.mode),
)
"""Every hold as it is written, for reading."""
ENDED = ("done", "failed")
"""The states of operations that hold nothing any more."""

_insert = sa.insert(operation_holds)
_held, _mine = HELD.subquery("held"), HELD.subquery("mine")
_holder = operations.alias("holder")
_lives = sa.exists().where(
    _holder.c.id == _held.c.operation_id,
    none_of(_holder.c.state, ENDED),
    sa.or_(_holder.c.settled.is_(False), _held.c.mode == LASTING),
)
_on = sa.select(_held.c.thing, _held.c.mode, _held.c.operation_id).where(
    any_of(_held.c.thing, "things"), _lives
)
_still_held = (
    sa.select(_held.c.operation_id)
    .join(_mine, _mine.c.thing == _held.c.thing)
    .where(
        _mine.c.operation_id == sa.bindparam("b_operation"),
        any_of(_held.c.operation_id, "others"),
        _lives,
    )
)
_end = sa.delete(operation_holds).where(_h.operation_id == sa.bindparam("b_operation"))
_end_passing = _end.where(_h.mode != LASTING)
_let_subject_go = sa.update(operations).where(_o.id == sa.bindparam("b_operation")).values(hold=None)
_let_passing_subject_go = _let_subject_go.where(_o.hold != LASTING)


def insert(tx: Transaction, operation_id: str, modes: Mapping[str, str]) -> None:
    """Let an operation hold each of these things, beside its subject, in its mode."""
    if modes:
        rows = [{"thing": thing, "operation_id": operation_id, "mode": mode} for thing, mode in modes.items()]
        tx.send(_insert, rows)


def on(tx: Transaction, things: Collection[str]) -> list[tuple[str, str, str]]:
    """The operations that hold one of these things, and how: (thing, mode, operation)."""
    if not things:
        return []
    return [(row.thing, row.mode, row.operation_id) for row in tx.execute(_on, {"things": list(things)})]


def end(tx: Transaction, operation_id: str, *, lasting: bool = True) -> None:
    """End what an operation holds: all of it, or all that is not ``lasting``."""
    tx.execute(_let_subject_go if lasting else _let_passing_subject_go, {"b_operation": operation_id})
    tx.execute(_end if lasting else _end_passing, {"b_operation": operation_id})


def end_beside_subject(tx: Transaction, operation_id: str) -> None:
    """End the holds of an operation whose row was just written without the hold of its subject."""
    tx.send(_end, {"b_operation": operation_id})


def still_held(tx: Transaction, operation_id: str, others: Collection[str]) -> set[str]:
    """The operations among ``others`` that still hold something which ``operation_id`` holds too."""
    values = {"b_operation": operation_id, "others": list(others)}
    return set(tx.execute(_still_held, values).scalars()) if others else set()


def ancestors(tx: Transaction, operation_id: str | None) -> set[str]:
    """An operation, whose part it is or who waits for it, whose part that is, and so on."""
    found = set[str]()
    while operation_id and operation_id not in found:
        found.add(operation_id)
        operation_id = tx.execute(sa.select(_o.parent_id).where(_o.id == operation_id)).scalar()
    return found


def parts(tx: Transaction, operation_id: str) -> set[str]:
    """The operations that are parts of this one."""
    return set(tx.execute(sa.select(_o.id).where(_o.parent_id == operation_id)).scalars())


def adopt(tx: Transaction, ids: Collection[str], parent_id: str) -> None:
    """Let ``parent_id`` be woken when one of these ends. Whoever waited for it before still is."""
    tx.execute(sa.update(operations).where(_o.id.in_(list(ids))).values(parent_id=parent_id))


def kind(tx: Transaction, operation_id: str) -> str:
    """The kind of an operation that holds something."""
    return str(tx.execute(sa.select(_o.kind).where(_o.id == operation_id)).scalar_one())
