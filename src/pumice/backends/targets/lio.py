"""The target driver ``lio``: iSCSI by the kernel itself, told through rtslib.

A volume's target is ``<prefix>:volume-<id>`` with the device behind logical unit 1, at every portal. A grant is
a rule for its initiator, with the grant's CHAP account. What the kernel holds is the only memory there is:
every call reads it, works out what is missing and adds that, so a call that was cut short anywhere is completed
by the next one. A reboot empties it; ``loops/exports.py`` fills it again from the attachments.

**LIO knows one account for each initiator of a target.** So where an initiator has a second grant on a volume
(two guests of one host), that one gets a target of its own, ``…volume-<id>.1``, on the same device: the two
sessions come and go without each other (``numbered.py``). What a reboot took comes back under the name that it
had.
"""

import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from pumice.backends.targets import lio_rtslib
from pumice.backends.targets.contract import Grant, path_of
from pumice.backends.targets.kernel_turn import KernelTurn
from pumice.backends.targets.lio_rtslib import LUN, Rule, TargetEntry
from pumice.backends.targets.numbered import Numbered
from pumice.model.errors import Misconfigured, Retryable
from pumice.model.export import Device, IscsiExport
from pumice.model.ids import VolumeId

DEFAULT_PREFIX = "iqn.2010-10.org.openstack"

T = TypeVar("T")


class LioTarget:
    """The ``Target`` contract on this machine's kernel."""

    driver = "lio"
    protocol = "iSCSI"
    grows_in_use = True
    local_to_host = False

    def __init__(
        self,
        portals: Sequence[str],
        *,
        iqn_prefix: str = DEFAULT_PREFIX,
        mutual_account: tuple[str, str] | None = None,
    ) -> None:
        """``portals``: each ``ip:port`` to listen at. ``mutual_account``: the name and password by which
        targets prove who they are; initiators have it in their ``iscsid.conf``."""
        self.portals = tuple(portals)
        self._names = Numbered(iqn_prefix)
        name, password = mutual_account or ("", "")
        self._mutual = {"mutual_userid": name, "mutual_password": password}
        self._turn = KernelTurn("lio")

    async def start(self) -> None:
        """See ``Target.start``. Loads LIO, and checks that the portals are this machine's addresses."""
        for portal in self.portals:
            _must_be_here(portal)
        await self._turn.take(lio_rtslib.prepare)

    async def grant(self, volume: VolumeId, device: Device, grant: Grant) -> IscsiExport:
        """See ``Target.grant``."""
        entry = await self._in_turn(partial(self._grant, volume, path_of(device), grant))
        return IscsiExport(entry.iqn, self.portals, LUN)

    async def revoke(self, volume: VolumeId, grant: Grant) -> None:
        """See ``Target.revoke``. No session but the grant's own ends."""
        await self._in_turn(partial(self._revoke, volume, grant.username))

    async def remove(self, volume: VolumeId) -> None:
        """See ``Target.remove``."""
        await self._in_turn(partial(self._remove, volume))

    async def resize(self, volume: VolumeId, device: Device) -> None:
        """See ``Target.resize``. The kernel sees by itself that a block device grew. For a file, sessions end
        for a moment: initiators log in again, and no request fails."""
        await self._in_turn(partial(self._resize, volume, path_of(device)))

    async def exports(self) -> Mapping[VolumeId, frozenset[str]]:
        """See ``Target.exports``. Targets whose name does not begin with our prefix are not looked at."""
        return await self._in_turn(self._exports)

    # --- in the thread: one call, from reading what is there to its last change ------------------------

    def _grant(self, volume: VolumeId, device: Path, grant: Grant) -> TargetEntry:
        for entry in self._entries(volume):
            for initiator, rule in entry.rules().items():
                if rule.user == grant.username and initiator != grant.initiator:
                    entry.shut_out(initiator)
        number = self._entry_for(volume, grant)
        backstore = self._put_in(volume, device)
        entries = [TargetEntry(self._names.name(volume, it)) for it in range(number + 1)]
        for entry in entries:
            if not entry.is_open(self.portals):
                entry.open(backstore, self.portals)
        account = {**self._mutual, "password": grant.password, "userid": grant.username}
        entries[number].admit(grant.initiator, account, read_only=grant.read_only)
        return entries[number]

    def _revoke(self, volume: VolumeId, username: str) -> None:
        """A rule without a user name was being made when a process was killed; it goes as well."""
        left = 0
        for entry in self._entries(volume):
            for initiator, rule in entry.rules().items():
                if rule.user in ("", username):
                    entry.shut_out(initiator)
                else:
                    left += 1
        if not left:
            self._remove(volume)
            return
        for entry in reversed(self._entries(volume)):
            if entry.rules():
                return
            entry.close()

    def _remove(self, volume: VolumeId) -> None:
        for entry in reversed(self._entries(volume)):
            entry.close()
        lio_rtslib.drop_backstore(_store_name(volume))

    def _resize(self, volume: VolumeId, device: Path) -> None:
        if self._entries(volume):
            self._put_in(volume, device)

    def _exports(self) -> dict[VolumeId, frozenset[str]]:
        found: dict[VolumeId, frozenset[str]] = {}
        for iqn in lio_rtslib.targets():
            if volume := self._names.volume(iqn):
                entry = TargetEntry(iqn)
                rules = entry.rules().values() if entry.is_open(self.portals) else ()
                users = {rule.user for rule in rules if rule.user and rule.finds_disk}
                found[volume] = found.get(volume, frozenset()).union(users)
        return found

    # --- the parts of a call ---------------------------------------------------------------------------

    def _put_in(self, volume: VolumeId, device: Path) -> lio_rtslib.Backstore:
        """The volume's store, on this device at its size. Another one is taken out of every target for it."""
        backstore = lio_rtslib.find_store(_store_name(volume))
        if backstore is not None and lio_rtslib.is_whole(backstore, device):
            return backstore
        entries = self._entries(volume)
        for entry in entries:
            entry.take_unit_out()
        lio_rtslib.drop_backstore(_store_name(volume))
        backstore = lio_rtslib.make_store(_store_name(volume), device, volume)
        for entry in entries:
            entry.open(backstore, self.portals)
        return backstore

    def _entry_for(self, volume: VolumeId, grant: Grant) -> int:
        """The number of the target where the grant is; or else was; or else the first without its initiator."""
        users = [entry.rules().get(grant.initiator, Rule("", False)).user for entry in self._entries(volume)]
        if grant.username in users:
            return users.index(grant.username)
        return self._names.choose(volume, grant.name, list(map(bool, users)))

    def _entries(self, volume: VolumeId) -> list[TargetEntry]:
        return list(map(TargetEntry, self._names.found(volume, lambda iqn: TargetEntry(iqn).exists())))

    async def _in_turn(self, call: Callable[[], T]) -> T:
        rtslib = lio_rtslib.load()
        try:
            return await self._turn.take(call)
        except (rtslib.RTSLibError, OSError) as error:
            raise Retryable("LIO refused.", str(error)) from error


def _store_name(volume: VolumeId) -> str:
    return f"pumice-{volume}"


def _must_be_here(portal: str) -> None:
    address, _, port = portal.rpartition(":")
    address = address.strip("[]")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family) as tried:
            tried.bind((address, 0))
        int(port)
    except (OSError, ValueError) as error:
        raise Misconfigured(f"The portal '{portal}' cannot be listened at on this host: {error}") from None
