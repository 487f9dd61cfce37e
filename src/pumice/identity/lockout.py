"""Lock-out: a user whose password was wrong too often in a row is refused for a while, right or wrong.

As Keystone's ``[security_compliance]``: off unless a number is set, nobody is told that it is so, and an option
of a user (``ignore_lockout_failure_attempts``) exempts it. A right password, or a new one, begins anew.
"""

from datetime import timedelta

from pumice.identity import options, passwords
from pumice.store import failed_logins, users
from pumice.store.columns import now
from pumice.store.database import Database, Transaction

attempts: int | None = None
"""How many wrong passwords in a row lock a user out (``[identity] lockout_failure_attempts``)."""
seconds = 1800.0
"""Seconds of a lock-out, from the last wrong password (``[identity] lockout_duration``)."""


async def matches(db: Database, user_id: str | None, password: str, hashed: str | None) -> bool:
    """Whether the password is right and its user not locked out. The answer takes as long in each case."""
    if attempts is None or user_id is None:
        return await passwords.matches(password, hashed)
    locked = await db.read(_is_locked, user_id)
    right = await passwords.matches(password, None if locked else hashed)
    if locked:
        return False
    if not right:
        await db.write(_count, user_id)
    elif await db.read(failed_logins.get, user_id):
        return await db.write(_forget, user_id)
    return right


def _is_locked(tx: Transaction, user_id: str) -> bool:
    found = failed_logins.get(tx, user_id)
    if attempts is None or found is None or found.number < attempts or _is_over(found):
        return False
    user = users.get(tx, user_id)
    return user is None or not options.of(user).get("ignore_lockout_failure_attempts")


def _is_over(found: failed_logins.Failed) -> bool:
    return found.at + timedelta(seconds=seconds) < now()


def _count(tx: Transaction, user_id: str) -> None:
    found = failed_logins.get(tx, user_id)
    before = 0 if found is None or _is_over(found) else found.number
    failed_logins.put(tx, user_id, before + 1)


def _forget(tx: Transaction, user_id: str) -> bool:
    """Begin anew, unless others who tried at the same moment have locked the user meanwhile."""
    if _is_locked(tx, user_id):
        return False
    failed_logins.forget(tx, user_id)
    return True
