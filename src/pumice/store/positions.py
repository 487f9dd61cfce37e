"""How far those have come who follow the operation log."""

import sqlalchemy as sa

from pumice.store import logged
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.tables import positions

_p = positions.c


def begin(tx: Transaction, name: str) -> int:
    """Up to which number it has come; one who is new begins with what comes now."""
    found = find(tx, name)
    if found is None:
        found = logged.last_line(tx)
        tx.execute(sa.insert(positions), {"name": name, "number": found, "updated_at": now()})
    return found


def find(tx: Transaction, name: str) -> int | None:
    """Up to which number it has come; None for one who never began."""
    number: int | None = tx.execute(sa.select(_p.number).where(_p.name == name)).scalar()
    return number


def save(tx: Transaction, name: str, number: int) -> None:
    """Note how far it has come."""
    moved = sa.update(positions).where(_p.name == name, _p.number < number)
    tx.execute(moved.values(number=number, updated_at=now()))


def seconds_behind(tx: Transaction, name: str) -> float | None:
    """For how long the log has had what it was not told; None where that is nothing, or nobody follows."""
    number = find(tx, name)
    later = logged.lines_after(tx, number, 1) if number is not None else ()
    return (now() - later[0]["started_at"]).total_seconds() if later else None
