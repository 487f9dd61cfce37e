"""What a server lets be done to it, by its lock and its state: Nova's checks, in one place.

A lock holds for everybody but administrators. ``BUILD`` and ``ERROR`` take no words about a server; the other
states are those that Nova calls active, paused, suspended or stopped.
"""

from pumice.model.errors import Conflict
from pumice.model.scope import Scope
from pumice.model.server import Server, cannot
from pumice.model.states import ServerStatus

_UNSETTLED = frozenset({ServerStatus.BUILD, ServerStatus.ERROR})


def refuse_locked(server: Server, who: Scope) -> None:
    """Raises ``Conflict`` for a server that is locked, unless an administrator asks."""
    if server.locked and not who.is_admin:
        raise Conflict(f"Instance {server.id} is locked")


def must_be_settled(server: Server, doing: str) -> None:
    """Raises ``Conflict`` for a server that is not made yet, or in error."""
    if server.status in _UNSETTLED:
        raise Conflict(cannot(server, doing))


def must_be_idle(server: Server, doing: str) -> None:
    """Raises ``Conflict`` for a server that is not settled, or at which something is under way."""
    if server.task:
        raise Conflict(cannot(server, doing))
    must_be_settled(server, doing)
