"""Passwords: argon2id hashes, and checks that take the same time whoever is asked about.

Parameters are the smaller of OWASP's recommendations (19 MiB, two passes). Hashing is heavy on purpose, so it
has two threads of its own: logins wait for one another, requests that carry a token never wait for logins.
Passwords are never stored, logged or put into an error.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LONGEST = 4096
"""Characters that a password may have (Keystone's ``max_password_length``)."""

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_threads = ThreadPoolExecutor(2, "passwords")
_of_nobody = _hasher.hash("nobody has this password")


def hash_now(password: str) -> str:
    """The hash of a password, for callers without an event loop. Takes tens of milliseconds."""
    return _hasher.hash(password)


async def hash_password(password: str) -> str:
    """The hash of a password, salt and parameters in it."""
    return await asyncio.get_running_loop().run_in_executor(_threads, hash_now, password)


async def matches(password: str, hashed: str | None) -> bool:
    """Whether ``password`` is the one that was hashed.

    Without a hash (no such user, or one without a password) the answer is no, after the same amount of work:
    the time of an answer must not tell which users exist.
    """
    right = await asyncio.get_running_loop().run_in_executor(_threads, _verify, password, hashed or _of_nobody)
    return right and hashed is not None


def _verify(password: str, hashed: str) -> bool:
    try:
        return _hasher.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False
