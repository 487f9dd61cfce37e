"""Verbs, which are tables of steps, and operations, which are runs of them.

A verb is written down in one file, in the order it happens::

    def claim_space(tx, op, tunables): ...      # a change of our own rows: an ordinary function
    def give_space_back(tx, op, tunables): ...  # its undo

    async def make_bytes(op, drivers): ...   # a change outside: a coroutine, given the drivers
    async def delete_bytes(op, drivers): ...

    CREATE = Verb(
        kind="volume.create",
        params=CreateParams,
        holds=lambda op: (own(VOLUME, op.params.volume_id),),
        steps=(
            Step(claim_space, undo=give_space_back, at=scheduler, chooses=True),
            Step(make_bytes, undo=delete_bytes, at=backend),
            Step(publish, at=backend),
        ),
        failed=explain,
        deadline=3600,
    )

The rules that make it safe to kill anything at any moment:

* A change of our rows commits in one transaction with its line in the log: it happens exactly once.
* A change outside may happen again: it must be idempotent, and so must every undo, which must also succeed when
  the step did nothing or only half.
* A failed step is undone too, then all before it, backwards.
* ``failed`` says to the tenant how it ended. It runs once, after the last undo; or, when the deadline passes
  first, at the deadline, and the undoing goes on as a cleaning job. Only ``settle`` calls it.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar, Generic, Protocol, TypeVar, cast

from pumice.model.errors import Unreadable
from pumice.model.ids import new_id
from pumice.model.scope import Scope
from pumice.model.tunables import Tunables
from pumice.model.volume import host_of
from pumice.operations import holds
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Hold
from pumice.operations.places import SCHEDULER, WEBHOOKS, compute_host, volume_host
from pumice.store import clock
from pumice.store import operations as log
from pumice.store.columns import is_unread, now
from pumice.store.database import Transaction


class Params(Protocol):
    """A frozen dataclass of plain values: what an operation was asked to do. Written once, never changed."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


P = TypeVar("P", bound=Params)


@dataclass(slots=True)
class Operation(Generic[P]):
    """A run of a verb."""

    id: str
    kind: str
    subject: str
    """The id of the volume, server… that the operation is about."""
    params: P
    notes: dict[str, Any]
    """What the steps learnt on the way (plain JSON values); saved with each step's line."""
    steps: list[str]
    state: str
    position: int
    place: str
    resume_at: int | None
    error: str | None
    settled: bool
    cancelled: bool
    tries: int
    attempt: int
    deadline: float
    project_id: str | None
    request_id: str | None
    parent_id: str | None
    owner: str | None = None
    progress: float | None = None
    settled_at: datetime | None = None
    unread: str | None = None
    """What this version does not know of its parameters; None when it knows all of them."""
    records: tuple[Any, ...] = ()
    """The lines of its history that were written when it was saved last."""

    def note_progress(self, done: float) -> None:
        """Say how much of the step in hand is done, from 0 to 1: it is written with the next renewal."""
        self.progress = done


HANDED_OVER = "handed_over"
"""The note with the names of steps whose undo another operation does."""
MOVERS = set[str]()
"""The kinds of the verbs that move what they are about."""
DEADLINES: dict[str, float] = {}
"""Deadlines by kind that the settings give this process in place of the verbs' own."""
OurRows = Callable[[Transaction, Operation[P], Tunables], None]
Outside = Callable[[Operation[P], Drivers], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a step: which role's process serves it, and which place of that role an operation means."""

    role: str
    """``scheduler``, ``volume`` or ``compute``"""
    of: Callable[[Operation[Any]], str]

    def __call__(self, op: Operation[Any]) -> str:
        """The name of the place (``places.py``)."""
        return self.of(op)


def _backend(op: Operation[Any]) -> str:
    """The host of the pool that was chosen on the way, or that the operation was told."""
    return volume_host(host_of(op.notes.get("pool") or op.params.pool))


def _compute(op: Operation[Any]) -> str:
    """The host that was chosen or found on the way, or that the operation was told; none has nothing to do."""
    host = op.notes.get("host") or getattr(op.params, "host", None)
    return compute_host(host) if host else SCHEDULER


scheduler = Place("scheduler", lambda _: SCHEDULER)
"""The place where pools and hosts are chosen."""
webhooks_place = Place("scheduler", lambda _: WEBHOOKS)
"""The place from which messages are posted to tenants' servers."""
on_backend = Place("volume", _backend)
"""The host of the volume's backend."""
on_compute = Place("compute", _compute)
"""The server's host."""


@dataclass(frozen=True, slots=True)
class Step(Generic[P]):
    """A step: what to do, how to undo it, and where both run.

    One that does nothing has a name and an undo: it takes back what the request's transaction did, when all
    that came after it is undone. On the way there it is passed over.
    """

    do: OurRows[P] | Outside[P] | None
    at: Place
    undo: OurRows[P] | Outside[P] | None = None
    chooses: bool = False
    """Whether ``TryAnotherBackend`` from a later step undoes back to here, to choose again."""
    tries: int = 5
    """How often trouble is met with another try."""
    timeout: float = 120.0
    """Seconds that one try may take."""
    when: Callable[[Operation[P]], bool] | None = None
    """Whether an operation has this step at all; None for each."""
    takes_away: bool = False
    """Whether it takes something away that is gone anyway where its host is gone for good."""
    long: bool = False
    """Whether a cancel cuts it short, as it does a copy of many bytes."""
    longest_pause: float | None = None
    """The most seconds between two tries, where that is not as for all."""
    called: str = ""
    """The name of a step that does nothing."""

    @property
    def name(self) -> str:
        """The step's name: that of the function it runs."""
        return self.do.__name__ if self.do else self.called

    def is_empty(self, op: Operation[P], /) -> bool:
        """Whether the operation does without it, in its direction."""
        return (self.do is None and op.state != "undoing") or (self.when is not None and not self.when(op))

    def work(self, undoing: bool, /) -> tuple[OurRows[P] | None, Outside[P] | None]:
        """What is to be done, as a change of our own rows or as a change outside (a coroutine)."""
        work = self.undo if undoing else self.do
        if work is None or inspect.iscoroutinefunction(work):
            return None, cast("Outside[P] | None", work)
        return cast("OurRows[P]", work), None


OTHERS = "others"
"""The note that names whom an operation waits for because of what they hold."""


@dataclass(frozen=True, slots=True)
class Wait(Generic[P]):
    """A step that waits, without polling, for child operations to end; if one failed, so does this step.

    With ``whatever`` it does not matter how they end. ``Wait("others", …)`` is for those that were there first
    and hold what this one wants (``holds.py``): until they have let go of it.
    """

    note: str
    """The note that names them, as a list of ids."""
    at: Place
    whatever: bool = False
    when: Callable[[Operation[P]], bool] | None = None
    """Whether an operation may come to wait here at all: asked when it begins."""
    undo: None = None
    chooses: bool = False
    long: bool = False
    tries: int = 1
    timeout: float = 0.0

    @property
    def name(self) -> str:
        """Named after what is awaited."""
        return f"wait_for_{self.note}"

    def is_empty(self, op: Operation[P], /) -> bool:
        """Whether there are no children to wait for."""
        return not op.notes.get(self.note)

    def work(self, _undoing: bool, /) -> tuple[None, None]:
        """Do nothing: the transaction that follows looks at the children."""
        return None, None

    def ended(self, tx: Transaction, op: Operation[P]) -> dict[str, tuple[bool, str | None]]:
        """The operations that need not be awaited any more: whether each ended well, and if not why."""
        ids: list[str] = op.notes[self.note]
        log.stay(tx, ids)
        if self.note == OTHERS:
            return dict.fromkeys(holds.let_go(tx, op.id, ids), (True, None))
        return log.completions(tx, ids)


@dataclass(frozen=True, slots=True)
class Verb(Generic[P]):
    """What the API can ask for: its steps in order, and what to tell when they fail for good."""

    kind: str
    params: type[P]
    steps: tuple[Step[P] | Wait[P], ...]
    failed: Callable[[Transaction, Operation[P], str], None]
    holds: Callable[[Operation[P]], Sequence[Hold]] = holds.nothing
    """What an operation holds from the moment it is accepted, and how (``holds.py``)."""
    deadline: float = 600.0
    """Seconds from the request to an explained end, where the settings say nothing else."""
    retired: tuple[str, ...] = field(default=())
    """Names of steps of earlier versions that may be passed over."""
    again: Callable[[Transaction, Operation[P], Scope, Tunables], object] | None = None
    """Ask for the same once more after it failed, as its owner would. None where only the owner can know."""
    unserved: float | None = None
    """Seconds for which it waits at a place that nobody serves; None: until its deadline."""
    moves: bool = False
    """Whether its subject may be elsewhere when it has ended: who says where it is does not wait for it."""
    spares_bytes: bool = False
    """Whether none of its steps, nor an undo, writes over or removes what somebody stored. Then it is carried
    on even where the database was restored and it has gone on since; any other is left as it is."""
    locks: Callable[[Transaction, Operation[P]], None] | None = None
    """Locks all that its transactions depend on, but for those at the scheduler, which look at every pool. They
    begin with it, and then run row by row (``serialize.py``): none is run again because others read or wrote
    what lies near."""
    version: int = 1
    """The version of the shape of its parameters. A field that a later one adds is empty by default, and
    says ``since`` which; none is ever dropped."""

    def __post_init__(self) -> None:
        if self.moves:
            MOVERS.add(self.kind)

    @property
    def limit(self) -> float:
        """Seconds from the request to an explained end."""
        return DEADLINES.get(self.kind, self.deadline)

    @property
    def waits(self) -> bool:
        """Whether it waits for what is in its way, and is not refused."""
        return any(isinstance(step, Wait) and step.note == OTHERS for step in self.steps)

    @property
    def says_where(self) -> bool:
        """Whether its parameters name the pool at which it acts, which must be the same when its turn comes."""
        names_pool = any(each.name == "pool" for each in fields(self.params))
        return names_pool and any(isinstance(it, Step) and it.at.role == "volume" for it in self.steps)

    def step(self, op: Operation[P]) -> Step[P] | Wait[P] | None:
        """The step in hand, by its name in the list the operation began with; None past either end.

        Moves ``op.position`` over what has nothing to do in the operation's direction. Raises ``Unreadable``.
        """
        if op.unread:
            raise Unreadable(op.unread)
        undoing = op.state == "undoing"
        while (op.resume_at or 0) <= op.position < len(op.steps) if undoing else op.position < len(op.steps):
            name = op.steps[op.position]
            step = self.named(name)
            if step is None and name not in self.retired:
                raise Unreadable(
                    f"This version's '{self.kind}' has no step '{name}': let the version that began it end it."
                )
            if step is not None and not step.is_empty(op) and not (undoing and not self._undoes(step, op)):
                return step
            op.position += -1 if undoing else 1
        return None

    def named(self, name: str) -> Step[P] | Wait[P] | None:
        """The step of this name, if this version has it."""
        return next((step for step in self.steps if step.name == name), None)

    def _undoes(self, step: Step[P] | Wait[P], op: Operation[P]) -> bool:
        return step.undo is not None and step.name not in op.notes.get(HANDED_OVER, ())

    def choice_before(self, op: Operation[P]) -> int | None:
        """The position of the nearest step before the one in hand that chose where it acts."""
        choosers = {step.name for step in self.steps if step.chooses}
        return next((at for at in range(op.position - 1, -1, -1) if op.steps[at] in choosers), None)


def enqueue(
    tx: Transaction,
    verb: Verb[P],
    params: P,
    *,
    subject: str,
    who: Scope,
    parent: Operation[Any] | None = None,
    notes: dict[str, Any] | None = None,
    id: str | None = None,  # noqa: A002 (the operation's id)
) -> Operation[P]:
    """Write the operation's first line, in the transaction that changed the state it is about.

    Raises ``InvalidState`` or ``Conflict`` when something else is under way that is in its way.
    """
    created = now()
    op: Operation[P] = Operation(
        id=id or new_id(),
        kind=verb.kind,
        subject=subject,
        params=params,
        notes=dict(notes or {}),
        steps=[],
        state="running",
        position=0,
        place="",
        resume_at=None,
        error=None,
        settled=False,
        cancelled=False,
        tries=0,
        attempt=0,
        deadline=clock.time() + verb.limit,
        project_id=who.project_id,
        request_id=who.request_id or (parent.request_id if parent else None),
        parent_id=parent.id if parent else None,
    )
    parent_id = parent.id if parent else None
    wanted = verb.holds(op)
    not_for = MOVERS if verb.says_where else ()
    if others := holds.take(
        tx, op.id, wanted, subject=subject, waits=verb.waits, not_for=not_for, parent_id=parent_id
    ):
        op.notes[OTHERS] = others
    # Where nobody is in the way there is nothing to wait for: a version without that step can carry it too.
    steps = [step for step in verb.steps if others or step.name != f"wait_for_{OTHERS}"]
    steps = [step for step in steps if not (isinstance(step, Wait) and step.when and not step.when(op))]
    op.steps, op.place = [step.name for step in steps], steps[0].at(op)
    hold = next((hold.mode for hold in wanted if hold.id == subject), None)
    log.insert(tx, stored(verb, op, created) | {"hold": hold})
    return op


def since(version: int) -> Mapping[str, int]:
    """The metadata of a field that a later version of its verb has added."""
    return {"since": version}


def stored(verb: Verb[P], op: Operation[P], created: datetime) -> dict[str, Any]:
    """A new operation as the row it is stored in.

    A field that was added later is told when it says something, and makes the row one of that version: the
    version before, which may work beside this one, knows all other rows.
    """
    params, version = asdict(op.params), 1
    for each in fields(verb.params):
        if added := each.metadata.get("since"):
            if params[each.name]:
                version = max(version, added)
            else:
                del params[each.name]
    row = {name: getattr(op, name) for name in _STORED}
    volume_id = params.get("volume_id")
    about = {"volume_id": None if volume_id == op.subject else volume_id}
    return row | about | {"params": params, "version": version, "run_at": 0.0, "created_at": created}


_STORED = (
    "id", "kind", "subject", "notes", "steps", "state", "position", "place", "resume_at", "error", "settled",
    "settled_at", "cancelled", "tries", "attempt", "deadline", "project_id", "request_id", "parent_id",
)  # fmt: skip
_READ = (*_STORED, "owner", "progress")


def from_row(verb: Verb[P], row: log.Row) -> Operation[P]:
    """The operation a row of the log tells of, whichever version wrote it.

    A field that is not there has its default. Raises ``Unreadable`` when one without a default is missing. Of
    one that this version does not know it tells in ``unread``: how such an operation ended can still be said,
    but it cannot be carried on.
    """
    if torn := [name for name in ("params", "notes", "steps") if is_unread(row[name]) or row[name] is None]:
        raise Unreadable(f"What this '{verb.kind}' says of its {' and '.join(torn)} is torn.")
    given, known = row["params"], {each.name: each for each in fields(verb.params)}
    required = {name for name, each in known.items() if each.default is each.default_factory is MISSING}
    if missing := sorted(required - given.keys()):
        raise Unreadable(f"This '{verb.kind}' does not say its {', '.join(missing)}.")
    unread = None
    if unknown := sorted(given.keys() - known):
        unread = f"This '{verb.kind}' says more than this version knows: {', '.join(unknown)}."
    elif row["version"] > verb.version:
        unread = f"This '{verb.kind}' is of version {row['version']}, and this Pumice knows {verb.version}."
    params = verb.params(**{name: value for name, value in given.items() if name in known})
    return Operation(params=params, unread=unread, **{name: row[name] for name in _READ})


def verb_of(verbs: Mapping[str, Verb[Any]], row: log.Row) -> Verb[Any]:
    """The verb of a row of the log. Raises ``Unreadable``."""
    if (verb := verbs.get(row["kind"])) is None:
        raise Unreadable(f"This version knows no '{row['kind']}'.")
    return verb
