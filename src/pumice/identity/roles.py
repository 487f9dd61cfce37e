"""The roles every installation has, and which of them bring others along.

The defaults of the field: an admin may do what a manager may, a manager what a member may, a member what a
reader may (Keystone, "Default roles"). ``service`` stands apart: services show it to one another.
"""

from collections.abc import Iterable
from itertools import pairwise

_LADDER = ("admin", "manager", "member", "reader")

BUILT_IN = (*_LADDER, "service")
"""Roles that cannot be renamed or deleted, because rules name them."""

_IMPLIED = {role: frozenset(_LADDER[step + 1 :]) for step, role in enumerate(_LADDER)}
_NEXT = dict(pairwise(_LADDER))


def implied_by(role: str) -> frozenset[str]:
    """The roles that come along with ``role``."""
    return _IMPLIED.get(role, frozenset())


def next_to(role: str) -> str | None:
    """The one role that ``role`` implies by itself; the others come along with that one."""
    return _NEXT.get(role)


def with_implied(roles: Iterable[str]) -> frozenset[str]:
    """``roles`` and all that they imply."""
    held = frozenset(roles)
    return held.union(*(implied_by(role) for role in held))
