"""The target driver ``tgt``: iSCSI in user space, by tgtd.

A volume's target is ``<prefix>:volume-<id>`` with the device behind logical unit 1. A grant is a CHAP account
bound to it and the initiator's name in its access list; never an address, because tgtd lets in who matches
*either* list. What tgtd holds is the only memory there is: every call reads it, works out what is missing
and adds that, so a call that was cut short anywhere is completed by the next one.

Three habits of tgtd 1.0.85 shape this file:

* **It dies of a gap in a target's accounts.** It keeps them in slots and afterwards reads the first *n*
  slots; unbind one before the last, and the next listing is a segmentation fault that takes the disks of all
  guests along. So accounts are unbound from the end only, and those after the wanted one are bound anew.
* **A target without accounts asks for no password.** So each has a *guard* in its first slot from the
  beginning, an account whose password nobody knows, and an initiator is listed only after its account.
* **It cannot tell which account belongs to which initiator.** So each grant has a *note*: an account bound to
  nothing, hence good for no login, named ``<volume>|<user>|<initiator>``. It comes first and goes last,
  so whatever a killed process leaves behind can be attributed.

One thread makes all requests, one call after another: calls cannot disturb one another, and a cancelled
caller does not leave a call half done.
"""

import secrets
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from pumice.backends.targets.contract import Grant, path_of
from pumice.backends.targets.tgt_management import (
    DEFAULT_SOCKET,
    Listed,
    Management,
    Refusal,
    TgtdRefused,
    TgtdSilent,
)
from pumice.backends.targets.tgtd import TgtDaemon
from pumice.host.thread import Threads
from pumice.model.errors import Invalid, Misconfigured, Retryable
from pumice.model.export import Device, IscsiExport
from pumice.model.ids import VolumeId

DEFAULT_PREFIX = "iqn.2010-10.org.openstack"
LUN = 1

T = TypeVar("T")


class Note(NamedTuple):
    """What a grant's note says; the guard is a note without user and initiator, bound to its target."""

    volume: str
    user: str = ""
    initiator: str = ""

    @property
    def account(self) -> str:
        """The name of the account that carries the note."""
        return "|".join(self)


class TgtTarget:
    """The ``Target`` contract on tgtd: one of our own where ``daemon`` is given, else the system's."""

    driver = "tgt"
    protocol = "iSCSI"
    grows_in_use = False
    local_to_host = False

    def __init__(
        self,
        portal: str,
        *,
        iqn_prefix: str = DEFAULT_PREFIX,
        daemon: TgtDaemon | None = None,
        ipc_socket: Path = DEFAULT_SOCKET,
    ) -> None:
        """``portal`` is the ``ip:port`` initiators are told; ``ipc_socket`` is that of the system's tgtd."""
        self.daemon = daemon
        self.portals: tuple[str, ...] = (portal,)
        self._names = f"{iqn_prefix}:volume-"
        self._tgtd = daemon.management if daemon else Management(ipc_socket)
        self._thread = Threads("tgt", 1)

    async def start(self) -> None:
        """See ``Target.start``. Finds our own daemon or starts it; the system's must be there."""
        if self.daemon:
            await self.daemon.start()
            return
        try:
            await self._in_thread(self._tgtd.portals)
        except TgtdSilent as error:
            raise Misconfigured(
                f"{error} Start it ('systemctl start tgt'), or let Pumice run one of its own."
            ) from None

    async def grant(self, volume: VolumeId, device: Device, grant: Grant) -> IscsiExport:
        """See ``Target.grant``.

        tgtd can make a disk read-only for all, or for nobody: the first grant of a volume decides, and another
        is ``Invalid``.
        """
        if any(mark in word for word in (grant.username, grant.initiator) for mark in "|, \n"):
            raise Invalid("The names of an account and of an initiator hold no '|', comma or space.")
        await self._on_tgtd(partial(self._grant, volume, path_of(device), grant))
        return IscsiExport(self._iqn(volume), self.portals, LUN)

    async def revoke(self, volume: VolumeId, grant: Grant) -> None:
        """See ``Target.revoke``.

        tgtd cannot tell the sessions of one initiator apart either. Where it has another grant on the volume
        (two guests of one host), all its sessions end, and those still allowed are taken up again by the
        initiator itself, without an error in the guest.
        """
        if not self._is_down():
            await self._on_tgtd(partial(self._revoke, volume, grant))

    async def remove(self, volume: VolumeId) -> None:
        """See ``Target.remove``."""
        if not self._is_down():
            await self._on_tgtd(partial(self._remove, volume))

    async def resize(self, volume: VolumeId, device: Device) -> None:
        """See ``Target.resize``. tgtd reads a device's size only when it opens it, so the disk is taken out and
        put in again: sessions stay, but requests of the milliseconds in between fail. Pause the guests."""
        await self._on_tgtd(partial(self._resize, volume, path_of(device)))

    async def exports(self) -> Mapping[VolumeId, frozenset[str]]:
        """See ``Target.exports``. Targets that were not made here are not listed, whatever their name."""
        return await self._on_tgtd(self._exports)

    # --- in the thread: one call, from reading what is there to its last request -----------------------

    def _grant(self, volume: VolumeId, device: Path, grant: Grant) -> None:
        note = Note(volume, grant.username, grant.initiator)
        target = self._opened(volume)
        notes = self._notes(volume)
        if target.device and target.read_only != grant.read_only and any(it.user != note.user for it in notes):
            raise Invalid(
                "The target tgt makes a volume read-only for all of its attachments or for none: attach it as "
                "it is attached already, or detach it there first."
            )
        self._put_in(target, volume, device, read_only=grant.read_only)
        for earlier in notes:
            if earlier.user == note.user:
                self._shut_out(volume, earlier)
                self._tgtd.delete_account(earlier.account)
        self._tgtd.add_account(note.account, _nobody_knows())
        self._tgtd.add_account(note.user, grant.password)
        self._tgtd.bind_account(target.tid, note.user)
        self._tgtd.bind_initiator(target.tid, note.initiator)

    def _revoke(self, volume: VolumeId, grant: Grant) -> None:
        notes = self._notes(volume)
        mine = [note for note in notes if note.user == grant.username]
        if len(mine) == len(notes):
            self._remove(volume)
            return
        for note in mine:
            self._shut_out(volume, note)
            if target := self._find(volume):
                self._tgtd.end_sessions(target, note.initiator)
            self._tgtd.delete_account(note.account)

    def _remove(self, volume: VolumeId) -> None:
        notes = self._notes(volume)
        if target := self._find(volume):
            self._tgtd.remove_target(target)
        for note in notes:
            self._tgtd.delete_account(note.user)
            self._tgtd.delete_account(note.account)
        self._tgtd.delete_account(Note(volume).account)

    def _resize(self, volume: VolumeId, device: Path) -> None:
        if target := self._find(volume):
            self._tgtd.delete_logical_unit(target.tid)
            self._describe(target.tid, volume, device, read_only=target.read_only)

    def _exports(self) -> dict[VolumeId, frozenset[str]]:
        users: dict[str, dict[str, str]] = {}
        for note in self._all_notes():
            users.setdefault(note.volume, {})[note.user] = note.initiator
        return {
            volume: frozenset(
                user
                for user, initiator in users.get(volume, {}).items()
                if target.device and user in target.accounts and initiator in target.initiators
            )
            for target in self._tgtd.targets()
            if (volume := self._volume(target)) and Note(volume).account in target.accounts
        }

    # --- the parts of a call ---------------------------------------------------------------------------

    def _opened(self, volume: VolumeId) -> Listed:
        """The volume's target, made if need be, with its guard on duty and its device as it is."""
        guard = Note(volume).account
        self._tgtd.add_account(guard, _nobody_knows())
        for _ in range(10):
            if target := self._find(volume):
                self._tgtd.bind_account(target.tid, guard)
                return target
            taken = self._tgtd.taken()
            free = next(tid for tid in range(1, len(taken) + 2) if tid not in taken)
            try:
                self._tgtd.add_target(free, self._iqn(volume))
            except TgtdRefused as error:
                if error.code != Refusal.TARGET_EXISTS:
                    raise
        raise Retryable("tgtd has no number left for a target; others keep taking them.")

    def _put_in(self, target: Listed, volume: VolumeId, device: Path, *, read_only: bool) -> None:
        """See to it that logical unit 1 is this device, described to its end."""
        described = target.scsi_id == _scsi_id(volume) and target.thin and target.read_only == read_only
        if target.device == str(device) and described:
            return
        self._tgtd.delete_logical_unit(target.tid)
        self._describe(target.tid, volume, device, read_only=read_only)

    def _describe(self, tid: int, volume: VolumeId, device: Path, *, read_only: bool) -> None:
        self._tgtd.add_logical_unit(tid, device)
        self._tgtd.describe_logical_unit(tid, _scsi_id(volume), read_only=read_only)

    def _shut_out(self, volume: VolumeId, note: Note) -> None:
        """Take a grant's account away, and its initiator's rule if no other grant here needs it."""
        others = [other for other in self._notes(volume) if other != note]
        if target := self._find(volume):
            if note.initiator not in {other.initiator for other in others}:
                self._tgtd.unbind_initiator(target.tid, note.initiator)
            self._unbind(target, note.user, {other.user for other in others})
        self._tgtd.delete_account(note.user)

    def _unbind(self, target: Listed, user: str, others: set[str]) -> None:
        """Unbind one account and never leave a gap: from the end, then the others anew.

        Those that an earlier call unbound, and was killed before it bound them again, come back here too.
        """
        if user in target.accounts:
            for account in reversed(target.accounts[target.accounts.index(user) :]):
                self._tgtd.unbind_account(target.tid, account)
        for account in others.intersection(self._tgtd.accounts()):
            self._tgtd.bind_account(target.tid, account)

    # --- reading -----------------------------------------------------------------------------------------

    def _find(self, volume: VolumeId) -> Listed | None:
        return self._tgtd.target(self._iqn(volume))

    def _all_notes(self) -> list[Note]:
        parts = (account.split("|") for account in self._tgtd.accounts())
        return [Note(*part) for part in parts if len(part) == len(Note._fields) and part[1]]

    def _notes(self, volume: VolumeId) -> list[Note]:
        return [note for note in self._all_notes() if note.volume == volume]

    def _iqn(self, volume: VolumeId) -> str:
        return f"{self._names}{volume}"

    def _volume(self, target: Listed) -> VolumeId | None:
        volume = target.iqn.removeprefix(self._names)
        return VolumeId(volume) if volume != target.iqn else None

    # --- the thread ----------------------------------------------------------------------------------------

    def _is_down(self) -> bool:
        """Whether a daemon of our own is dead: then nobody is let in, and nothing is left to take away.

        So an attach that failed because it cannot be started is undone all the same.
        """
        return self.daemon is not None and self.daemon.pid() is None

    async def _on_tgtd(self, call: Callable[[], T]) -> T:
        """Make the call; a daemon of our own that died is started again first, empty as it then is."""
        try:
            return await self._in_thread(call)
        except TgtdSilent:
            if self.daemon is None:
                raise
            await self.daemon.start()
            return await self._in_thread(call)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await self._thread.run(call)


def _nobody_knows() -> str:
    """A password for an account that must never log in."""
    return secrets.token_urlsafe(32)


def _scsi_id(volume: VolumeId) -> str:
    """The disk's identity to SCSI, of 32 hexadecimal digits.

    tgtd's own choice counts targets, and so repeats itself on every host: multipath would take two volumes
    for two paths to one.
    """
    return volume.replace("-", "")
