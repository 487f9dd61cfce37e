"""What is there and belongs to nobody: bytes, machines, files of servers, secrets. And bytes that are missing.

How can there be any, when every operation cleans up behind itself? A worker that was stopped for longer than
its lease wakes up in the middle of a step, and makes what its successor has undone already; a daemon acts after
nobody waits for it any more; somebody restores an old database.

Where most of what is found belongs to nobody, and it is more than a handful, this is more likely the wrong
database than a heap of orphans: that is said, and nothing is removed.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial

from pumice.backends.contract import Backend, Piece
from pumice.hypervisor.contract import Hypervisor
from pumice.loops.breach import Breach, Orphan
from pumice.model.errors import PumiceError
from pumice.model.ids import AttachmentId, ServerId
from pumice.operations.hands import Hands
from pumice.store import belongings
from pumice.store.database import Transaction

SECONDS = 60.0
HANDFUL = 10


async def look(hands: Hands) -> list[Breach]:
    """At every backend and hypervisor of this process."""
    found: list[Breach] = []
    for place, backend in hands.backends.items():
        try:
            found += await _at_backend(hands, place, backend)
        except PumiceError as error:
            found.append(Breach(f"backend {place} does not answer: {error}"))
    for host, hypervisor in hands.hypervisors.items():
        try:
            found += await _at_hypervisor(hands, host, hypervisor)
        except PumiceError as error:
            found.append(Breach(f"hypervisor {host} does not answer: {error}"))
    return found


async def _at_backend(hands: Hands, place: str, backend: Backend) -> list[Breach]:
    there = (await backend.inventory()).pieces

    def strangers(tx: Transaction, may: Collection[belongings.Piece], pieces: Iterable[Piece]) -> list[Piece]:
        found = [it for it in pieces if not it.whole or (it.kind, it.id, it.pool) not in may]
        ids = {piece.id for piece in found}
        busy = belongings.in_hand(tx, ids) | belongings.adopting(tx, ids)
        return [piece for piece in found if piece.id not in busy]

    def is_orphan(piece: Piece, tx: Transaction) -> bool:
        return bool(strangers(tx, belongings.bytes_at(tx, place, [piece.id]).may, [piece]))

    def read(tx: Transaction) -> tuple[list[Piece], frozenset[belongings.Piece]]:
        known = belongings.bytes_at(tx, place)
        return strangers(tx, known.may, there), known.must

    nobodys, must = await hands.db.read(read)
    whole = {(piece.kind, piece.id, piece.pool) for piece in there if piece.whole}
    lost = [f"{kind} {known} has no bytes on {place}" for kind, known, _ in sorted(must - whole)]
    orphans = [
        Orphan(
            piece.kind if piece.whole else f"unfinished {piece.kind}",
            piece.id,
            f"{place}#{piece.pool}",
            f"no {piece.kind} has these bytes" if piece.whole else "nobody is making it any more",
            partial(is_orphan, piece),
            partial(backend.discard, piece),
        )
        for piece in sorted(nobodys, key=lambda piece: (piece.kind, piece.id, piece.pool))
    ]
    return [Breach(words) for words in lost] + _unless_most(hands, place, orphans, len(there))


async def _at_hypervisor(hands: Hands, host: str, hypervisor: Hypervisor) -> list[Breach]:
    machines = await hypervisor.machines()
    remains = await hypervisor.remains() - machines
    secrets = await hypervisor.secrets()

    def is_no_server(server: str, tx: Transaction) -> bool:
        return server not in belongings.servers_at(tx, host) | belongings.in_hand(tx, {server})

    def is_no_attachment(attachment: str, tx: Transaction) -> bool:
        return attachment not in belongings.known_attachments(tx, [attachment]) | belongings.in_hand(
            tx, [attachment]
        )

    def read(tx: Transaction) -> frozenset[str]:
        known = belongings.servers_at(tx, host) | belongings.known_attachments(tx, secrets)
        return known | belongings.in_hand(tx, (machines | remains | secrets) - known)

    known = await hands.db.read(read)
    kinds: list[tuple[str, str, Collection[str], Callable[[str, Transaction], bool], Remove]] = [
        ("machine", "no server of this host has it", machines, is_no_server, partial(_delete, hypervisor)),
        (
            "files of server",
            "no server of this host has it",
            remains,
            is_no_server,
            partial(_delete, hypervisor),
        ),
        ("secret", "no attachment has it", secrets, is_no_attachment, partial(_forget_secret, hypervisor)),
    ]
    found: list[Breach] = []
    for kind, why, there, is_orphan, remove in kinds:
        orphans = [
            Orphan(kind, nobodys, host, why, partial(is_orphan, nobodys), partial(remove, nobodys))
            for nobodys in sorted(set(there) - known)
        ]
        found += _unless_most(hands, host, orphans, len(there))
    return found


Remove = Callable[[str], Awaitable[None]]


async def _delete(hypervisor: Hypervisor, server: str) -> None:
    await hypervisor.delete(ServerId(server))


async def _forget_secret(hypervisor: Hypervisor, attachment: str) -> None:
    await hypervisor.forget_secret(AttachmentId(attachment))


def _unless_most(hands: Hands, place: str, orphans: list[Orphan], there: int) -> list[Breach]:
    """The orphans' breaches; without a way to mend them where they are most of what is there."""
    found = [orphan.breach(hands) for orphan in orphans]
    if len(found) <= HANDFUL or 2 * len(found) <= there:
        return found
    why = f"most of what is on {place} belongs to nobody. Is this the right database? Nothing is removed"
    return [Breach(why), *(Breach(breach.words) for breach in found)]
