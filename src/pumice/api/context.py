"""What handlers work with: the database, the way to wait for an operation, the caller's identity, the rules."""

import asyncio
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakValueDictionary

from pumice.api.changes import Changes
from pumice.api.feed import Feed
from pumice.host.outbound import Outbound
from pumice.model.metrics_sink import MetricsSink
from pumice.model.scope import Scope
from pumice.model.tunables import Tunables
from pumice.operations.completions import Completions
from pumice.operations.operation import Verb
from pumice.store.database import Database

if TYPE_CHECKING:
    from pumice.api.own.process import Process
    from pumice.api.own.shapes import Look


class Tokens(Protocol):
    """Turns tokens into callers."""

    async def scope_of(self, token: str) -> Scope:
        """The scope of a token: its user, project and roles. Raises ``Unauthenticated``."""


@dataclass(slots=True)
class ApiContext:
    """Shared by every handler of a process."""

    db: Database
    completions: Completions
    tokens: Tokens
    tunables: Tunables
    metrics: MetricsSink = field(default_factory=MetricsSink)
    refuses_new: Callable[[], str | None] = lambda: None
    """Why nothing new is to be made at the moment, if that is so; reads and deletes go on."""
    verbs: Mapping[str, Verb[Any]] = field(default_factory=dict)
    """What can be asked for, by its kind: an operation that is tried again is read as its verb says."""
    outbound: Outbound = field(default_factory=Outbound)
    """What posts to tenants' servers: it knows which addresses may be reached."""
    audited: "Look | None" = None
    """What was found when the rows were last looked at as a whole."""
    process: "Process | None" = None
    """The process that answers, as it tells operators of itself."""
    changes: Changes = field(init=False)
    feed: Feed = field(init=False)
    _turns: MutableMapping[str | None, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    def __post_init__(self) -> None:
        self.changes = Changes(self.db)
        self.feed = Feed(self.db, self.changes)

    def turn(self, project_id: str | None) -> asyncio.Lock:
        """Held while a list is made: each project has one made at a time, whatever number it asks for."""
        return self._turns.setdefault(project_id, asyncio.Lock())
