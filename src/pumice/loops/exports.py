"""Each target daemon against the attachments: exports that it lost, and those that belong to nobody.

A target daemon that was restarted knows nothing any more, while guests go on and wait for their disks: what the
attachments say should be exported is exported again at once, with the same names and secrets. Where the daemon
has another address by now, the attachments are told. An export that belongs to no attachment is an orphan once
that was let go of, or unknown, as anything else (``orphans.py``). Where hosts open volumes by themselves there
is nothing to find.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pumice.attachments.exports import let_in
from pumice.backends.targets.contract import Grant, Target
from pumice.loops.glance import Glance, Glances
from pumice.loops.violation import Orphan, Violation, unknown
from pumice.model.errors import PumiceError
from pumice.model.export import Export
from pumice.model.ids import AttachmentId, VolumeId
from pumice.model.states import GETS_IN
from pumice.model.volume import Attachment
from pumice.operations.drivers import Drivers
from pumice.store import attachments, ownership, tombstones
from pumice.store.columns import is_unread
from pumice.store.database import Transaction
from pumice.store.part import Part
from pumice.store.tombstones import Kind

SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Expected:
    """An export that should be there."""

    attachment_id: AttachmentId
    volume_id: VolumeId
    pool: str
    initiator: str
    username: str
    portals: tuple[str, ...]
    """The addresses that the attachment's row names."""


async def check(drivers: Drivers, glances: Glances | None = None) -> list[Violation]:
    """Find what differs at every target daemon of this process: anywhere, or where a loop looks by now."""
    found: list[Violation] = []
    for places in _places_by_target(drivers):
        target, glance = drivers.targets[places[0]], (glances or Glances()).at(places[0])
        try:
            found += await _at_target(drivers, places, target, glance)
        except PumiceError as error:
            found.append(Violation(f"target {target.driver} of {places[0]} does not answer: {error.in_full}"))
    return found


def _places_by_target(drivers: Drivers) -> list[list[str]]:
    """The backends of each target daemon: several may share one."""
    places: dict[int, list[str]] = {}
    for place, target in drivers.targets.items():
        places.setdefault(id(target), []).append(place)
    return list(places.values())


async def _at_target(
    drivers: Drivers, places: Sequence[str], target: Target, glance: Glance
) -> list[Violation]:
    let_in = {volume for place in places for volume in drivers.let_in.get(place, ())}
    seen = await _there(target)
    if seen is None:
        _looked_at(drivers, places, let_in)
        return []
    # What was exported and lost again between two looks has left no trace outside: so ``let_in`` too.
    part = glance.part(frozenset(seen), target.portals, also=let_in)
    before, known = await drivers.db.read(_read_expected, places, part)
    wrong = {it.volume_id for it in before if _differs(it, target, seen)}
    wrong |= {volume for volume, _ in _within(part, seen) - known}
    glance.has_seen(frozenset(seen), wrong, target.portals)
    _looked_at(drivers, places, let_in)
    there = await _there(target) if wrong else None  # once more, between two looks at the rows
    if there is None:
        return []

    def read(tx: Transaction) -> tuple[list[Expected], Accounts, Accounts]:
        expected, known = _read_expected(tx, places, part)
        nobodys = _within(part, there) - known
        busy = ownership.in_hand(tx, {volume for volume, _ in nobodys})
        nobodys = {(volume, name) for volume, name in nobodys if volume not in busy}
        return expected, nobodys, _let_go(tx, places, nobodys)

    expected, nobodys, let_go = await drivers.db.read(read)
    lasting = set(before).intersection(expected)  # what came or went during the check has its own operation
    wanted = [it for it in expected if it in lasting]
    lost = [it for it in wanted if not _is_there(it, there)]
    moved = [it for it in wanted if _is_there(it, there) and it.portals != target.portals]
    return [
        *(_breach(drivers, export, "is not exported to its attachment") for export in lost),
        *(
            _breach(drivers, export, "has moved, and has another address than its attachment")
            for export in moved
        ),
        *(_orphan(drivers, places, target, *each) for each in sorted(let_go)),
        *(unknown("export", _called(*each), places[0]) for each in sorted(nobodys - let_go)),
    ]


def _looked_at(drivers: Drivers, places: Sequence[str], volumes: set[VolumeId]) -> None:
    for place in places:
        drivers.let_in.get(place, set()).difference_update(volumes)


Accounts = set[tuple[VolumeId, str]]
"""Volumes, each with the account of one that is let in; without one where the export lets nobody in."""


async def _there(target: Target) -> Accounts | None:
    exports = await target.exports()
    if exports is None:
        return None
    return {(volume, name) for volume, names in exports.items() for name in names or [""]}


def _within(part: Part | None, accounts: Accounts) -> Accounts:
    return accounts if part is None else {it for it in accounts if it[0] in part}


def _is_there(export: Expected, there: Accounts) -> bool:
    return (export.volume_id, export.username) in there


def _differs(export: Expected, target: Target, there: Accounts) -> bool:
    return not _is_there(export, there) or export.portals != target.portals


def _let_go(tx: Transaction, places: Sequence[str], accounts: Accounts) -> Accounts:
    """The accounts that this installation has let go of: nobody who may be in there is known to use them."""
    buried = tombstones.buried(tx, Kind.ACCOUNT, {name for _, name in accounts if name})
    ours = ownership.volumes_at(tx, places, {volume for volume, name in accounts if not name})
    return {(volume, name) for volume, name in accounts if (name in buried if name else volume in ours)}


def _called(volume: VolumeId, username: str) -> str:
    return f"{volume} to {username or 'nobody'}"


def _breach(drivers: Drivers, export: Expected, what: str) -> Violation:
    def note(tx: Transaction, portal: Export) -> None:
        link = attachments.find(tx, export.attachment_id)
        if link is not None and _is_finished(link) and link.portal != portal:
            attachments.change(tx, link.id, portal=portal)

    async def restore() -> str | None:
        link = await drivers.db.read(attachments.find, export.attachment_id)
        if link is None or not _is_finished(link):
            return None
        await drivers.db.write(note, await let_in(drivers, export))
        return "exported again"

    return Violation(f"volume {export.volume_id} {what} {export.attachment_id}", restore, waits=False)


def _orphan(
    drivers: Drivers, places: Sequence[str], target: Target, volume: VolumeId, username: str
) -> Violation:
    def is_orphan(tx: Transaction) -> bool:
        _, known = _read_expected(tx, places, Part(frozenset([volume])))
        nobodys = {(volume, username)} - known
        return bool(_let_go(tx, places, nobodys)) and not ownership.in_hand(tx, [volume])

    async def remove() -> None:
        if username:
            await target.revoke(volume, Grant(AttachmentId(""), "", username, ""))
        else:
            await target.remove(volume)

    why = "its attachment was deleted" if username else "no attachment has it"
    return Orphan("export", _called(volume, username), places[0], why, is_orphan, remove).violation(drivers)


def _read_expected(
    tx: Transaction, places: Sequence[str], part: Part | None
) -> tuple[list[Expected], Accounts]:
    """The finished exports that these backends should have; volume and account of all that may be there."""
    links = attachments.exported_at(tx, places, part)
    known = {(link.volume_id, link.chap_username or "") for link, _ in links}
    return [_expected(link, pool) for link, pool in links if _is_finished(link)], known


def _is_finished(link: Attachment) -> bool:
    """Whether its detaching failed halfway: it may be exported or not, and nobody waits for it any more.

    Where it cannot be read who is let in, that is left as it is.
    """
    is_known = link.portal is not None and not is_unread(link.connector)
    return is_known and link.operation_id is None and link.status in GETS_IN


def _expected(link: Attachment, pool: str) -> Expected:
    assert link.connector is not None and link.portal is not None
    return Expected(
        link.id,
        link.volume_id,
        pool,
        link.connector.initiator,
        link.chap_username or "",
        link.portal.portals,
    )
