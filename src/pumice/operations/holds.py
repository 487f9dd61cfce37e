"""The one rule for what else is under way on a thing.

A verb says, next to its steps, what each of its operations holds and how::

    CREATE = Verb(
        kind="volume.create",
        holds=lambda op: (own(VOLUME, op.params.volume_id), read(VOLUME, op.params.source_id)),
        ...
    )

Whether an operation may begin follows from ``TOGETHER``, in the transaction that accepts it: two that hold
one thing go together, or they do not, whatever verbs they belong to. Of two that do not, the later is refused;
or it waits until the earlier has let go, if ``Wait("others", …)`` is its first step. Who has said in which pool
it acts waits for nobody who moves the thing to another one (``Verb.moves``). What a verb itself begins on the
way, its parts, may use what it holds.

A hold ends with its operation. When a deadline passes first, the tenant is told and what is left is cleaned
when the host comes back: cleaning removes what the operation made, and reads nothing any more, so then only
``OWN`` stays.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

from pumice.model.errors import Conflict, InvalidState, PumiceError
from pumice.store import holds as rows
from pumice.store import volumes
from pumice.store.database import Transaction


class Mode(StrEnum):
    """How a thing is held."""

    READ = "read"
    """The thing's bytes are being copied: they must be there, and be those of the moment that was asked for."""
    USE = "use"
    """Somebody is being connected to it, or disconnected."""
    CHANGE = "change"
    """The thing will be changed, or be gone."""
    OWN = rows.LASTING
    """The thing is being made, or unmade so that this can be undone: it is nobody else's until all is clean."""


M = Mode
TOGETHER = frozenset(product((M.READ, M.USE), repeat=2))
"""The pairs of modes that go together; all others do not."""


class Thing(StrEnum):
    """What can be held, by its name in messages."""

    VOLUME = "volume"
    SNAPSHOT = "snapshot"
    BACKUP = "backup"
    IMAGE_BASE = "image base"
    GROUP = "group"
    GROUP_SNAPSHOT = "group snapshot"
    ATTACHMENT = "attachment"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Hold:
    """A thing, and how it is held."""

    kind: Thing
    id: str
    mode: Mode
    is_new: bool = False
    """Whether the thing is made in the same transaction, so that nobody else can hold it."""

    def refused(self, under_way: str) -> PumiceError:
        """The error that says what is in the way: as Cinder's for what is in the wrong state, or Nova's."""
        if self.kind is Thing.SERVER:
            return Conflict(f"Instance {self.id} is busy: '{under_way}' is under way on it. {_LATER}")
        name = self.kind.capitalize()
        return InvalidState(
            f"Invalid {self.kind}: {name} {self.id} is busy: '{under_way}' is under way on it. {_LATER}"
        )


_LATER = "Ask again when that has ended."


def nothing(_: object) -> tuple[Hold, ...]:
    """No holds: what a verb has that does not say. Those that hold nothing say so, with ``lambda _: ()``."""
    return ()


def read(kind: Thing, id: str) -> Hold:  # noqa: A002 (the thing's id)
    """A hold on something whose bytes are copied."""
    return Hold(kind, id, Mode.READ)


def use(kind: Thing, id: str) -> Hold:  # noqa: A002 (the thing's id)
    """Connect somebody, or disconnect."""
    return Hold(kind, id, Mode.USE)


def change(kind: Thing, id: str) -> Hold:  # noqa: A002 (the thing's id)
    """Make it other than it is, or remove it."""
    return Hold(kind, id, Mode.CHANGE)


def own(kind: Thing, id: str) -> Hold:  # noqa: A002 (the thing's id)
    """Make or unmake it, and be able to take that back."""
    return Hold(kind, id, Mode.OWN)


def make(kind: Thing, id: str) -> Hold:  # noqa: A002 (the thing's id)
    """Make one that was not there before."""
    return Hold(kind, id, Mode.OWN, is_new=True)


def open_up(kind: Thing, id: str) -> Hold:  # noqa: A002 (the thing's id)
    """Make one that was not there before, of rows alone: others may be connected to it before it is ready."""
    return Hold(kind, id, Mode.USE, is_new=True)


def take(
    tx: Transaction,
    operation_id: str,
    wanted: Sequence[Hold],
    *,
    subject: str,
    waits: bool = False,
    not_for: Collection[str] = (),
    parent_id: str | None = None,
) -> list[str]:
    """Hold what an operation wants: its own row says how it holds its ``subject``.

    Whom it has to wait for, if it ``waits``, and ``not_for`` these kinds; else raises what is in the way.
    """
    _lock(tx, wanted)
    others = _in_the_way(tx, wanted, operation_id, parent_id)
    kinds = {other: rows.kind(tx, other) for other in others}
    if refusing := [other for other, kind in kinds.items() if not waits or kind in not_for]:
        raise others[refusing[0]].refused(kinds[refusing[0]])
    rows.insert(tx, operation_id, {hold.id: hold.mode for hold in wanted if hold.id != subject})
    if others:
        rows.adopt(tx, others, operation_id)
    return list(others)


def require(tx: Transaction, *wanted: Hold, parent_id: str | None = None) -> None:
    """Raise what is in the way of something that is done in one transaction, without an operation.

    What the operation ``parent_id`` holds, of which it is done a part, is in nobody's way.
    """
    for operation_id, hold in _in_the_way(tx, wanted, parent_id=parent_id).items():
        raise hold.refused(rows.kind(tx, operation_id))


def let_go(tx: Transaction, operation_id: str, others: Collection[str]) -> set[str]:
    """The operations among ``others`` for which an operation has to wait no longer."""
    return set(others) - rows.still_held(tx, operation_id, others)


def _lock(tx: Transaction, wanted: Sequence[Hold]) -> None:
    """Lock what whoever attaches or detaches locks: of two that are in each other's way the later sees that."""
    taken = [hold for hold in wanted if not hold.is_new and hold.mode is not Mode.READ]
    volumes.lock(tx, *(hold.id for hold in taken if hold.kind is Thing.VOLUME))
    volumes.lock_attached(tx, *(hold.id for hold in taken if hold.kind is Thing.ATTACHMENT))


def _in_the_way(
    tx: Transaction, wanted: Sequence[Hold], operation_id: str | None = None, parent_id: str | None = None
) -> dict[str, Hold]:
    """The operations that hold one of the things in a way that does not go together, with what is wanted."""
    by_id = {hold.id: hold for hold in wanted if not hold.is_new}
    found = {
        other: by_id[thing]
        for thing, mode, other in rows.on(tx, by_id)
        if (Mode(mode), by_id[thing].mode) not in TOGETHER
    }
    if found:
        family = rows.ancestors(tx, parent_id)
        if operation_id:
            family |= rows.parts(tx, operation_id)
        found = {other: hold for other, hold in found.items() if other not in family}
    return found
