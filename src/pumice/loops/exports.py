"""Bring each target daemon in line with the attachments: restore what it lost, remove what belongs to nobody.

A target daemon that was restarted knows nothing any more, while guests go on and wait for their disks: what the
attachments say should be exported is exported again, with the same names and secrets. An export that belongs to
no attachment is removed once it was seen twice in a row, so that one that is just being made is left alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from pumice.attachments.exports import let_in
from pumice.backends.targets.contract import Grant
from pumice.model.errors import PumiceError
from pumice.model.ids import AttachmentId, VolumeId
from pumice.model.volume import Attachment
from pumice.operations.hands import Hands
from pumice.store import attachments
from pumice.store.database import Transaction

logger = structlog.get_logger(__name__)

SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Expected:
    """An export that should be there."""

    attachment_id: str
    volume_id: str
    pool: str
    initiator: str
    username: str


@dataclass(slots=True)
class Exports:
    """The exports of every backend of this process."""

    hands: Hands
    _suspects: set[tuple[str, VolumeId, str]] = field(default_factory=set)

    async def align(self) -> None:
        """One look at every target daemon."""
        suspects: set[tuple[str, VolumeId, str]] = set()
        for places in self._places_by_target():
            target = self.hands.targets[places[0]]
            try:
                found = await target.exports()
            except PumiceError as error:
                logger.warning("target.silent", backends=places, error=str(error))
                continue
            expected, known = await self.hands.db.read(read_expected, places)
            for export in expected:
                if export.username not in found.get(VolumeId(export.volume_id), ()):
                    await self._restore(export)
            for volume, usernames in found.items():
                for username in usernames or ("",):
                    if username not in known.get(volume, ()):
                        suspects.add((places[0], volume, username))
        for place, volume, username in suspects & self._suspects:
            await self._remove(place, volume, username)
        self._suspects = suspects

    def _places_by_target(self) -> list[list[str]]:
        """The backends of each target daemon: several may share one."""
        places: dict[int, list[str]] = {}
        for place, target in self.hands.targets.items():
            places.setdefault(id(target), []).append(place)
        return list(places.values())

    async def _restore(self, export: Expected) -> None:
        """One that cannot be restored is named in the log, and keeps no other from it."""
        log = logger.bind(volume=export.volume_id, attachment=export.attachment_id)
        try:
            await let_in(self.hands, export)
        except PumiceError as error:
            log.error("export.lost", error=str(error))
        else:
            log.warning("export.restored")

    async def _remove(self, place: str, volume: VolumeId, username: str) -> None:
        log = logger.bind(volume=volume, username=username)
        target = self.hands.targets[place]
        try:
            if username:
                await target.revoke(volume, Grant(AttachmentId(""), "", username, ""))
            else:
                await target.remove(volume)
        except PumiceError as error:
            log.warning("export.stays", error=str(error))
        else:
            log.warning("export.removed", why="no attachment has it")


def read_expected(tx: Transaction, places: Sequence[str]) -> tuple[list[Expected], dict[str, set[str]]]:
    """The finished exports that these backends should have, and every account that may be there."""
    expected, known = [], dict[str, set[str]]()
    for link, pool in (pair for place in places for pair in attachments.exported_at(tx, place)):
        known.setdefault(link.volume_id, set()).add(link.chap_username or "")
        if link.portal is not None and link.operation_id is None:
            expected.append(_expected(link, pool))
    return expected, known


def _expected(link: Attachment, pool: str) -> Expected:
    assert link.connector is not None
    return Expected(
        link.id, link.volume_id, pool, link.connector.get("initiator", ""), link.chap_username or ""
    )
