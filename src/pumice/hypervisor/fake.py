"""Machines that exist in name only: for tests of the API, for benchmarks, for a cloud without libvirt.

Held to the same conformance suite as the real thing. What it can be told beyond that:

* ``fail_next["attach"] = Retryable("…")``  the next call of that name raises it, once
* ``delay``                               seconds that every call takes
* ``free``                                while it is cleared, no call gets on
* ``told``                                attachments whose secrets it was told, while their disks are in
* ``guests_keep_disks``                   running guests let no disk go
* ``sources``                             where each disk was found when it was plugged in, by serial number
* ``copies``                              told a disk's serial number as it is mirrored: who has bytes copies
* ``limits``                              how fast each disk may be, by serial number

Given a directory, it remembers its machines there, one small file each, so that they outlive the process as
real guests do. Passwords are not remembered, as libvirt does not remember them.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pumice.hypervisor import pauses
from pumice.hypervisor.contract import (
    Disk,
    IscsiSource,
    Machine,
    Power,
    Progress,
    Source,
)
from pumice.model.connector import Connector
from pumice.model.errors import GuestKeepsDisk, InvalidState, NotFound, Retryable
from pumice.model.ids import AttachmentId, ServerId
from pumice.model.units import GIB

CONSOLE = "A guest of the fake hypervisor says hello.\n"


@dataclass(slots=True)
class _Known:
    power: Power = Power.SHUTDOWN
    disks: dict[str, AttachmentId | None] = field(default_factory=dict)
    """Attachment by serial number."""
    on: dict[str, str] = field(default_factory=dict)
    """By serial number, what each disk is read from and written to."""
    mirrors: dict[str, str] = field(default_factory=dict)
    """By serial number, what is in step with each disk."""


class FakeHypervisor:
    """A hypervisor in memory, or in ``directory``."""

    driver = "fake"

    def __init__(self, directory: Path | None = None, *, host: str = "fake-host", delay: float = 0) -> None:
        self.fail_next: dict[str, Exception] = {}
        self.delay = delay
        self.free = asyncio.Event()
        self.free.set()
        self.guests_keep_disks = False
        self.told: set[AttachmentId] = set()
        self.sources: dict[str, Source] = {}
        self.copies: Callable[[str], None] = _nothing
        self.limits: dict[str, Mapping[str, int]] = {}
        self._directory = directory
        self._host = host
        self._pauses = pauses.Pauses(self._go_on, directory / "paused" if directory else None)
        self._machines: dict[ServerId, _Known] = {}
        for file in directory.glob("*.json") if directory else ():
            kept = json.loads(file.read_text())
            known = _Known(Power(kept["power"]), kept["disks"], kept.get("on", {}), kept.get("mirrors", {}))
            self._machines[ServerId(file.stem)] = known

    async def start_up(self) -> None:
        """Start: guests that were paused before go on."""
        await self._called("start_up")
        await self._pauses.recover()

    async def connector(self) -> Connector:
        """The connector of this host, the same at every call."""
        await self._called("connector")
        return Connector(self._host, "127.0.0.1", f"iqn.2026-11.org.pumice:{self._host}")

    async def define(self, machine: Machine) -> None:
        """Remember the machine, off."""
        await self._called("define")
        if machine.id not in self._machines:
            self._remember(machine.id, _machine(Power.SHUTDOWN, machine.disks))

    async def start(self, machine: Machine) -> None:
        """Run the machine with exactly these disks; one that runs already keeps those it has."""
        await self._called("start")
        known = self._machines.get(machine.id)
        if known is None or known.power is not Power.RUNNING:
            self._forget_secrets(known)
            self._remember(machine.id, _machine(Power.RUNNING, machine.disks))
            for disk in machine.disks:
                self._see(disk)
                self._tell_secret(disk)

    async def stop(self, server: ServerId, timeout: float) -> None:  # noqa: ARG002
        """The guest goes off at once."""
        await self._called("stop")
        known = self._must_find(server)
        known.power = Power.SHUTDOWN
        known.mirrors.clear()
        self._remember(server, known)

    async def reboot(self, server: ServerId, *, hard: bool) -> None:  # noqa: ARG002
        """Reboot the machine, which changes nothing here. Raises ``InvalidState`` for one that is off."""
        await self._called("reboot")
        if self._must_find(server).power is Power.SHUTDOWN:
            raise InvalidState(f"Server {server} is powered off and cannot be rebooted.")

    async def delete(self, server: ServerId) -> None:
        """Forget the machine."""
        await self._called("delete")
        self._forget_secrets(self._machines.pop(server, None))
        if self._directory:
            (self._directory / f"{server}.json").unlink(missing_ok=True)
            self._local_disk(server).unlink(missing_ok=True)

    async def attach(self, server: ServerId, disk: Disk) -> None:
        """The guest has the disk at once."""
        await self._called("attach")
        known = self._must_find(server)
        if disk.serial not in known.disks:
            known.on[disk.serial] = disk.source_name
        known.disks[disk.serial] = disk.attachment
        self._see(disk)
        self._remember(server, known)
        if known.power is Power.RUNNING:
            self._tell_secret(disk)

    async def detach(self, server: ServerId, disk: Disk, timeout: float) -> None:
        """The guest lets go at once, or, where ``guests_keep_disks``, refuses at once."""
        await self._called("detach")
        known = self._machines.get(server)
        if known is None or disk.serial not in known.disks:
            self._forget_secret(disk.attachment)
            return
        if self.guests_keep_disks and known.power is Power.RUNNING:
            raise GuestKeepsDisk(
                f"The guest of server {server} did not release {disk.device} within {timeout:g} seconds; "
                "the volume stays attached."
            )
        del known.disks[disk.serial]
        for said in (known.on, known.mirrors):
            said.pop(disk.serial, None)
        self._remember(server, known)
        self._forget_secret(disk.attachment)

    async def pause(self, server: ServerId, seconds: float = pauses.SECONDS) -> None:
        """The guest stands still, under watch."""
        await self._called("pause")
        await self._pauses.begin(server, seconds)
        self._turn(server, Power.RUNNING, Power.PAUSED)

    async def resume(self, server: ServerId) -> None:
        """The guest goes on, and nobody watches over it any longer."""
        await self._go_on(server)
        await self._pauses.end(server)

    async def _go_on(self, server: ServerId) -> None:
        await self._called("resume")
        self._turn(server, Power.PAUSED, Power.RUNNING)

    async def resize_disk(self, server: ServerId, disk: Disk, size: int) -> None:  # noqa: ARG002
        """Disks have limits here, and no size."""
        await self._called("resize_disk")
        if disk.limits:
            self.limits[disk.serial] = disk.limits

    async def mirror(self, server: ServerId, disk: Disk, progress: Progress) -> None:
        """The other disk is in step at once."""
        await self._called("mirror")
        known = self._must_find(server)
        if disk.serial not in known.disks:
            raise NotFound("Disk", disk.serial)
        if self._is_there(known, disk):
            return
        self._must_run(server, known)
        if known.mirrors.get(disk.serial) != disk.source_name:
            self.copies(disk.serial)
            known.mirrors[disk.serial] = disk.source_name
            self._remember(server, known)
        progress(1.0)

    async def switch(self, server: ServerId, disk: Disk) -> None:
        """The guest has the other disk at once."""
        await self._called("switch")
        known = self._must_find(server)
        if self._is_there(known, disk):
            return
        self._must_run(server, known)
        if known.mirrors.get(disk.serial) != disk.source_name:
            raise Retryable(f"The copy of the guest's disk {disk.device} is not in step with it.")
        known.on[disk.serial] = known.mirrors.pop(disk.serial)
        self._see(disk)
        self._remember(server, known)

    async def end_mirror(self, server: ServerId, disk: Disk) -> bool:
        """The other disk is no more in step."""
        await self._called("end_mirror")
        known = self._machines.get(server)
        if known is None:
            return False
        if known.mirrors.get(disk.serial) == disk.source_name:
            del known.mirrors[disk.serial]
            self._remember(server, known)
        return self._is_there(known, disk)

    async def make_local_disk(
        self, server: ServerId, image: Path, image_format: str, *, virtual_size: int, size_gib: int
    ) -> Path:
        """A sparse file of the right size; without a directory, the name of a file that nobody reads."""
        del image, image_format  # nothing is copied
        await self._called("make_local_disk")
        disk = self._local_disk(server)
        if self._directory and not disk.exists():  # cheap, and only with a directory
            self._directory.mkdir(parents=True, exist_ok=True)
            with disk.open("wb") as file:
                file.truncate(size_gib * GIB or virtual_size)
        return disk

    async def power(self, server: ServerId) -> Power | None:
        """The power state that ``start`` and ``stop`` left."""
        await self._called("power")
        known = self._machines.get(server)
        return known.power if known else None

    async def disks(self, server: ServerId) -> frozenset[str]:
        """Serial numbers of the machine's disks."""
        await self._called("disks")
        known = self._machines.get(server)
        return frozenset(known.disks if known else ())

    async def console(self, server: ServerId, lines: int | None) -> str:
        """A line that never changes."""
        await self._called("console")
        self._must_find(server)
        return CONSOLE if lines is None or lines > 0 else ""

    async def machines(self) -> frozenset[ServerId]:
        """Every machine that is remembered."""
        await self._called("machines")
        return frozenset(self._machines)

    async def powers(self) -> dict[ServerId, Power]:
        """The power of each."""
        await self._called("powers")
        return {server: known.power for server, known in self._machines.items()}

    async def remains(self) -> frozenset[ServerId]:
        """Servers with a local disk in the directory."""
        await self._called("remains")
        files = self._directory.glob("*.raw") if self._directory else ()
        return frozenset(ServerId(file.stem) for file in files)

    async def secrets(self) -> frozenset[AttachmentId]:
        """The attachments whose secrets it was told."""
        await self._called("secrets")
        return frozenset(self.told)

    async def forget_secret(self, attachment: AttachmentId) -> None:
        """Forget the secret of an attachment."""
        await self._called("forget_secret")
        self.told.discard(attachment)

    async def _called(self, name: str) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        await self.free.wait()
        if error := self.fail_next.pop(name, None):
            raise error

    def _turn(self, server: ServerId, start: Power, end: Power) -> None:
        known = self._machines.get(server)
        if known is not None and known.power is start:
            known.power = end
            self._remember(server, known)

    def _must_find(self, server: ServerId) -> _Known:
        try:
            return self._machines[server]
        except KeyError:
            raise NotFound("Machine", server) from None

    @staticmethod
    def _is_there(known: _Known, disk: Disk) -> bool:
        return known.on.get(disk.serial) == disk.source_name

    @staticmethod
    def _must_run(server: ServerId, known: _Known) -> None:
        if known.power is Power.SHUTDOWN:
            raise InvalidState(f"Server {server} is powered off: what its disks are stays as it is.")

    def _remember(self, server: ServerId, known: _Known) -> None:
        self._machines[server] = known
        if self._directory:
            self._directory.mkdir(parents=True, exist_ok=True)
            kept = json.dumps(asdict(known))
            fresh = self._directory / f"{server}.json.new"
            fresh.write_text(kept)
            fresh.replace(self._directory / f"{server}.json")

    def _see(self, disk: Disk) -> None:
        self.sources[disk.serial], self.limits[disk.serial] = disk.source, disk.limits

    def _tell_secret(self, disk: Disk) -> None:
        if disk.attachment and isinstance(disk.source, IscsiSource):
            self.told.add(disk.attachment)

    def _forget_secret(self, attachment: AttachmentId | None) -> None:
        if attachment:
            self.told.discard(attachment)

    def _forget_secrets(self, known: _Known | None) -> None:
        self.told.difference_update(filter(None, known.disks.values() if known else ()))

    def _local_disk(self, server: ServerId) -> Path:
        return (self._directory or Path("/nonexistent")) / f"{server}.raw"


def _nothing(_serial: str) -> None:
    """Disks have no bytes here."""


def _machine(power: Power, disks: Iterable[Disk]) -> _Known:
    some = list(disks)
    attached = {disk.serial: disk.attachment for disk in some}
    return _Known(power, attached, {disk.serial: disk.source_name for disk in some})
