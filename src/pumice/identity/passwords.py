"""Passwords: argon2id hashes, and checks that take the same time whoever is asked about.

Parameters are the smaller of OWASP's recommendations (19 MiB, two passes). Hashing is heavy on purpose, so it
has two threads of its own: logins wait for one another, a few of them and no more, and requests that carry a
token never wait for logins.
Passwords are never stored, logged or put into an error.
"""

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from pumice.model.errors import TooBusy

LONGEST = 4096
"""Characters that a password may have (Keystone's ``max_password_length``)."""

most_waiting = 64
"""Checks that may be in hand or wait at once (``[identity] most_logins``): at about 40 a second, 1.6 s."""

P = ParamSpec("P")
T = TypeVar("T")

_waiting: set[asyncio.Future[Any]] = set()
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_of_nobody = f"$argon2id$v=19$m={_hasher.memory_cost},t={_hasher.time_cost},p=1${'A' * 22}${'A' * 43}"
"""The hash of no password: to check one against it is the same work."""
_threads = ThreadPoolExecutor(2, "passwords")


def hash_now(password: str) -> str:
    """The hash of a password, for callers without an event loop. Takes tens of milliseconds."""
    return _hasher.hash(password)


async def hash_password(password: str) -> str:
    """The hash of a password, salt and parameters in it."""
    return await _in_turn(hash_now, password)


async def matches(password: str, hashed: str | None) -> bool:
    """Whether ``password`` is the one that was hashed.

    Without a hash (no such user, or one without a password) the answer is no, after the same amount of work:
    the time of an answer must not tell which users exist.
    """
    right = await _in_turn(_verify, password, hashed or _of_nobody)
    return right and hashed is not None


async def _in_turn(work: Callable[P, T], *args: P.args, **kw: P.kwargs) -> T:
    """Do it in one of the threads; who is cancelled while waiting for one is forgotten."""
    if len(_waiting) >= most_waiting:
        raise TooBusy("Too many passwords are being checked at the moment. Ask again in a second or two.")
    doing = asyncio.get_running_loop().run_in_executor(_threads, functools.partial(work, *args, **kw))
    _waiting.add(doing)
    try:
        return await doing
    finally:
        _waiting.discard(doing)


def _verify(password: str, hashed: str) -> bool:
    try:
        return _hasher.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False
