"""What projects have used, times how long: added up where it changes, by days in UTC.

A row of ``quota_usage`` says what a project has now of a resource. Whoever changes it adds up, in the same
statement, what it was until now: so the sum is exact, and costs no statement. The first change of a day closes
the days before it: each becomes a row of ``usage_days``. What has not changed since is reckoned by who asks.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from pumice.store import clock
from pumice.store.database import Transaction
from pumice.store.rows import put
from pumice.store.tables import quota_usage, usage_days

DAY = 86_400
KEEP_DAYS = 800
"""Days for which it is known what was used."""

_u, _d = quota_usage.c, usage_days.c
_at, _midnight = sa.bindparam("u_at", type_=sa.Float), sa.bindparam("u_midnight", type_=sa.Float)
_is_new_day = _u.since < _midnight
_since = sa.case((_is_new_day, _midnight), else_=_u.since)
_until = sa.case((_u.since > _at, _u.since), else_=_at)
"""A clock that was put back adds nothing until it is where it was."""

ADDED_UP: Mapping[str, Any] = {
    "today": sa.case((_is_new_day, 0.0), else_=sa.func.coalesce(_u.today, 0.0))
    + _u.in_use * sa.func.coalesce(_until - _since, 0.0),
    "since": sa.func.coalesce(_until, _at),
    "past_since": sa.case((_is_new_day, _u.since), else_=sa.null()),
    "past_today": sa.case((_is_new_day, _u.today), else_=sa.null()),
}
"""What an UPDATE of ``in_use`` writes besides; it is told the ``moment``."""


def moment(at: float) -> dict[str, float]:
    """The parameters of ``ADDED_UP``, for a time in seconds since the epoch."""
    return {"u_at": at, "u_midnight": float(at // DAY * DAY)}


def close_days(
    tx: Transaction, project_id: str, at: float, changed: Sequence[Any], amounts: Mapping[str, int]
) -> None:
    """Write the days that are over of rows whose change was the first of its day."""
    rows = [
        {"project_id": project_id, "resource": row.resource, "day": day, "amount_seconds": amount}
        for row in changed
        for day, amount in _days(row.past_since, row.past_today, row.in_use - amounts[row.resource], at)
        if day < at // DAY and amount
    ]
    _add(tx, rows)


def close(tx: Transaction, resources: Collection[str]) -> None:
    """Write all that is known of rows that are about to be forgotten."""
    at = clock.time()
    query = sa.select(quota_usage).where(_u.resource.in_(list(resources)), _u.since.is_not(None))
    rows = [
        {"project_id": row.project_id, "resource": row.resource, "day": day, "amount_seconds": amount}
        for row in tx.execute(query)
        for day, amount in _days(row.since, row.today, row.in_use, at)
        if amount
    ]
    _add(tx, rows)


def _add(tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        put(tx, usage_days, rows, add=("amount_seconds",))


def _days(since: float, today: float | None, in_use: int, at: float) -> Iterator[tuple[int, float]]:
    """Each day from that of ``since`` until now, and what was in use on it, times seconds."""
    day, amount = int(since // DAY), today or 0.0
    while (day + 1) * DAY <= at:
        yield day, amount + in_use * ((day + 1) * DAY - since)
        day, amount, since = day + 1, 0.0, float((day + 1) * DAY)
    yield day, amount + in_use * max(at - since, 0.0)


def of_days(
    tx: Transaction, project_id: str | None, first: int, last: int
) -> dict[tuple[str, int, str], float]:
    """What was in use from one day to another, times seconds: by project, day and resource.

    Of one project, or of all.
    """
    at, found = clock.time(), dict[tuple[str, int, str], float]()
    over, still = _of_all(tx, first, last) if project_id is None else _of_one(tx, project_id, first, last)
    for row in over:
        found[row.project_id, row.day, row.resource] = row.amount_seconds
    for row in still:
        for day, amount in _days(row.since, row.today, row.in_use, at):
            if first <= day <= last and amount:
                key = row.project_id, day, row.resource
                found[key] = found.get(key, 0.0) + amount
    return found


_still = sa.select(quota_usage).where(_u.since.is_not(None))


def _of_one(tx: Transaction, project_id: str, first: int, last: int) -> tuple[Sequence[Any], Sequence[Any]]:
    """The days of a project that are over, and what it has now."""
    over = sa.select(usage_days).where(_d.day.between(first, last), _d.project_id == project_id)
    return tx.execute(over).all(), tx.execute(_still.where(_u.project_id == project_id)).all()


def _of_all(tx: Transaction, first: int, last: int) -> tuple[Sequence[Any], Sequence[Any]]:
    over = sa.select(usage_days).where(_d.day.between(first, last))
    return tx.execute(over).all(), tx.execute(_still).all()


def expire(tx: Transaction) -> None:
    """Forget what is too old."""
    tx.execute(sa.delete(usage_days).where(_d.day < int(clock.time() // DAY) - KEEP_DAYS))
