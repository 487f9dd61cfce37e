"""Virtual machines under libvirt and QEMU, which logs in to volumes by iSCSI itself, or opens this host's own.

A machine is a persistent domain named ``pumice-<server id>`` whose UUID is the server's id. A volume is a
virtio disk whose serial number is the volume's id, and that is how it is found again, whatever its device
name. The CHAP password of each attachment is a libvirt secret whose UUID is the attachment's id; what opens the
volume's LUKS is another beside it. Both are private and ephemeral, so they live in libvirtd's memory alone. One
that was restarted has forgotten them; a running guest goes on without, and ``start`` is given them again.

    state_dir/initiator        this host's IQN, made once
    state_dir/consoles/        what guests write to their serial ports
    state_dir/disks/<server>/  disks that are copies of images

Never: a password in a domain's XML, a domain that is not ours touched, a disk called gone while the guest
holds it.
"""

import asyncio
import os
import secrets
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

from pumice.host import qemu_img
from pumice.host.thread import in_thread
from pumice.hypervisor import accelerator, console_log, domain_xml, pauses, qemu_leftovers
from pumice.hypervisor.accelerator import Accelerator
from pumice.hypervisor.contract import Disk, Machine, Power, Progress
from pumice.hypervisor.files import Files
from pumice.hypervisor.libvirt_connection import Connection, LibvirtConnection, load
from pumice.hypervisor.libvirt_domains import (
    Domain,
    disks_of,
    find,
    forget_secrets,
    forget_secrets_of,
    mirrored,
    must_find,
    power_of,
    pull_the_plug,
    secrets_of_ours,
    tell_secrets,
)
from pumice.hypervisor.libvirtd import LibvirtDaemon
from pumice.model.connector import Connector
from pumice.model.errors import GuestKeepsDisk, InvalidState, Misconfigured, NotFound, Retryable
from pumice.model.ids import AttachmentId, ServerId
from pumice.model.qos import LIMITS
from pumice.model.units import GIB

MOST_LOOKS = 5
"""How often a change is begun anew that met another: each time the other was done first."""
_SHORT = 30.0
_LONG = 90.0  # seconds: QEMU logs in to every target before libvirt answers
_POLL = 0.05
_ASK_AGAIN = 2.0  # seconds between requests to a guest that has not followed yet
_CONVERT = 3600.0
_LOOK_AT_MIRROR = 0.5  # seconds


class LibvirtHypervisor:
    """The machines that libvirt runs on this host.

    ``daemon`` is a private libvirtd, started when it is needed; without it ``uri`` names one that runs.
    ``host`` and ``ip`` are what the connector says of this host.
    """

    driver = "libvirt"

    def __init__(
        self,
        state_dir: Path,
        *,
        uri: str = "qemu:///system",
        daemon: LibvirtDaemon | None = None,
        host: str | None = None,
        ip: str = "127.0.0.1",
    ) -> None:
        self._state_dir = state_dir.absolute()
        self._uri = uri
        self._daemon = daemon
        self._host = host or socket.gethostname()
        self._ip = ip
        self._chosen: Accelerator | None = None
        self._libvirt = LibvirtConnection(self._find_daemon)
        self._files = Files()
        self._turns: WeakValueDictionary[ServerId, asyncio.Lock] = WeakValueDictionary()
        self._pauses = pauses.Pauses(self._go_on, self._state_dir / "paused")

    async def start_up(self) -> None:
        """Check that libvirt answers and can run guests, and let it find out what QEMU can do."""
        load()
        await in_thread(self._make_folders)
        guests_run_under = await self._accelerator()

        def look(connection: Connection) -> None:
            connection.getDomainCapabilities(None, "x86_64", "pc", guests_run_under.value)

        try:
            await self._libvirt.call(look, _LONG)
        except Retryable as trouble:
            raise Misconfigured(
                f"{trouble} Start it (systemctl start libvirtd), or set another URI."
            ) from trouble
        finally:
            await self._pauses.recover()

    async def connector(self) -> Connector:
        """This host's name, address and IQN. The IQN is made at the first call and kept."""
        return Connector(host=self._host, ip=self._ip, initiator=await in_thread(self._initiator))

    async def define(self, machine: Machine) -> None:
        """Make the machine known, off."""
        xml = await self._xml(machine)

        def work(connection: Connection) -> None:
            if find(connection, machine.id) is None:
                connection.defineXML(xml)

        await self._change(machine.id, work)

    async def start(self, machine: Machine) -> None:
        """Bring the definition up to date and power the machine on; one that is paused goes on."""
        xml = await self._xml(machine)

        def work(connection: Connection) -> None:
            domain = find(connection, machine.id)
            if domain is not None and domain.isActive():
                if domain.state()[0] == load().VIR_DOMAIN_PAUSED:
                    domain.resume()
                return
            if domain is not None:
                needed = {uuid for disk in machine.disks for uuid in domain_xml.secret_uuids(disk.attachment)}
                forget_secrets(connection, domain, but=needed)
            for disk in machine.disks:
                tell_secrets(connection, disk)
            connection.defineXML(xml).create()

        await self._change(machine.id, work, _LONG)

    async def stop(self, server: ServerId, timeout: float) -> None:
        """Ask the guest to power off, again and again; pull the plug after ``timeout`` seconds."""

        def off(domain: Domain) -> bool:
            return not domain.isActive()

        def ask(domain: Domain) -> None:
            domain.shutdown()

        if timeout > 0 and await self._guest_follows(server, ask, off, timeout):
            return

        await self._change(server, lambda connection: pull_the_plug(must_find(connection, server)), _LONG)

    async def reboot(self, server: ServerId, *, hard: bool) -> None:
        """Reset the guest, or ask it to restart."""

        def work(connection: Connection) -> None:
            domain = must_find(connection, server)
            if not domain.isActive():
                raise InvalidState(f"Server {server} is powered off and cannot be rebooted.")
            if hard:
                domain.reset()
            else:
                domain.reboot()

        await self._change(server, work)

    async def delete(self, server: ServerId) -> None:
        """Pull the plug and forget the machine: secrets first, since only its definition names them."""

        def work(connection: Connection) -> None:
            libvirt = load()
            domain = find(connection, server)
            if domain is None:
                return
            pull_the_plug(domain)
            forget_secrets(connection, domain)
            domain.undefineFlags(
                libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            )

        await self._change(server, work, _LONG)
        await in_thread(self._remove_files, server)

    async def attach(self, server: ServerId, disk: Disk) -> None:
        """Plug the disk in, live and for good, wherever it is not in yet."""
        xml = domain_xml.disk_xml(await self._files.looked_at(disk))

        def work(connection: Connection) -> None:
            libvirt = load()
            domain = must_find(connection, server)
            if domain.isActive() and disk.serial not in disks_of(domain):
                tell_secrets(connection, disk)
                try:
                    domain.attachDeviceFlags(xml, libvirt.VIR_DOMAIN_AFFECT_LIVE)
                except libvirt.libvirtError:
                    if disk.serial not in disks_of(domain):  # else an earlier call, given up, got through
                        forget_secrets_of(connection, disk.attachment)
                        if connection.isAlive():
                            qemu_leftovers.clear(domain)
                        raise
            if disk.serial not in disks_of(domain, inactive=True):
                domain.attachDeviceFlags(xml, libvirt.VIR_DOMAIN_AFFECT_CONFIG)

        await self._change(server, work, _LONG)

    async def detach(self, server: ServerId, disk: Disk, timeout: float) -> None:
        """Unplug the disk from the guest; once the guest let go, from the definition, with its secret."""

        def out(domain: Domain) -> bool:
            if not domain.isActive():
                return True
            return disk.serial not in disks_of(domain) and not qemu_leftovers.devices(domain)

        def ask(domain: Domain) -> None:
            if known := disks_of(domain).get(disk.serial):
                domain.detachDeviceAlias(known.alias, load().VIR_DOMAIN_AFFECT_LIVE)
            else:
                qemu_leftovers.clear(domain)

        try:
            let_go = await self._guest_follows(server, ask, out, timeout)
        except NotFound:
            let_go = True
        if not let_go:
            raise GuestKeepsDisk(
                f"The guest of server {server} did not release {disk.device} within {timeout:g} seconds; "
                "the volume stays attached. Stop using it in the guest, or stop the server, and try again."
            )

        def work(connection: Connection) -> None:
            domain = find(connection, server)
            if domain is not None and (known := disks_of(domain, inactive=True).get(disk.serial)):
                domain.detachDeviceFlags(known.xml, load().VIR_DOMAIN_AFFECT_CONFIG)
            forget_secrets_of(connection, disk.attachment)
            if domain is not None and domain.isActive():
                qemu_leftovers.clear(domain)

        await self._change(server, work)

    async def pause(self, server: ServerId, seconds: float = pauses.SECONDS) -> None:
        """Suspend the domain, under watch."""

        def work(connection: Connection) -> None:
            if (domain := find(connection, server)) and power_of(domain.state()[0]) is Power.RUNNING:
                domain.suspend()

        await self._pauses.begin(server, seconds)
        await self._change(server, work)

    async def resume(self, server: ServerId) -> None:
        """Resume the domain, and watch over it no longer."""
        await self._go_on(server)
        await self._pauses.end(server)

    async def _go_on(self, server: ServerId) -> None:

        def work(connection: Connection) -> None:
            if (domain := find(connection, server)) and power_of(domain.state()[0]) is Power.PAUSED:
                domain.resume()

        await self._change(server, work)

    async def resize_disk(self, server: ServerId, disk: Disk, size: int) -> None:
        """Have QEMU look at the disk's source again, and tell the guest."""

        def work(connection: Connection) -> None:
            domain = find(connection, server)
            if domain is None or not domain.isActive():
                return
            if known := disks_of(domain).get(disk.serial):
                domain.blockResize(known.target, size, load().VIR_DOMAIN_BLOCK_RESIZE_BYTES)
                if disk.limits:
                    limits = dict.fromkeys(LIMITS, 0) | dict(disk.limits)
                    domain.setBlockIoTune(known.target, limits, load().VIR_DOMAIN_AFFECT_LIVE)

        await self._change(server, work)

    async def mirror(self, server: ServerId, disk: Disk, progress: Progress) -> None:
        """A block copy of QEMU's. A guest that writes a lot cannot keep it from ending: it waits for both."""
        xml = domain_xml.disk_xml(await self._files.looked_at(disk))

        def begin(connection: Connection) -> None:
            libvirt = load()
            known = mirrored(connection, server, disk)
            if known.there or known.runs:
                return
            domain = must_find(connection, server)
            if known.mirror is not None:  # one that was begun for something else, and given up
                domain.blockJobAbort(known.target)
            tell_secrets(connection, disk)
            flags = libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT | libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB
            flags |= libvirt.VIR_DOMAIN_BLOCK_COPY_SYNCHRONOUS_WRITES
            try:
                domain.blockCopy(known.target, xml, None, flags)
            except libvirt.libvirtError:
                if not mirrored(connection, server, disk).runs:  # else an earlier call, given up, got through
                    raise

        def look(connection: Connection) -> bool:
            known = mirrored(connection, server, disk)
            if known.there or known.in_step:
                return True
            done = must_find(connection, server).blockJobInfo(known.target) if known.runs else {}
            if not done:
                raise Retryable(f"The copying of the guest's disk {disk.device} broke off.")
            progress(done["cur"] / done["end"] if done["end"] else 0.0)
            return False

        await self._change(server, begin, _LONG)
        while not await self._libvirt.call(look):
            await asyncio.sleep(_LOOK_AT_MIRROR)
        progress(1.0)

    async def switch(self, server: ServerId, disk: Disk) -> None:
        """Pivot: libvirt writes the new source into the definition with it."""

        def work(connection: Connection) -> None:
            known = mirrored(connection, server, disk)
            if known.there:
                return
            if not known.in_step:
                raise Retryable(f"The copy of the guest's disk {disk.device} is not in step with it.")
            libvirt = load()
            try:
                must_find(connection, server).blockJobAbort(
                    known.target, libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT
                )
            except libvirt.libvirtError:
                if not mirrored(connection, server, disk).there:  # as above
                    raise

        await self._change(server, work, _LONG)

    async def end_mirror(self, server: ServerId, disk: Disk) -> bool:
        """Break the block copy off, if there is one. ``Hypervisor.end_mirror`` says what is told."""
        there = False

        def work(connection: Connection) -> None:
            nonlocal there
            try:
                known = mirrored(connection, server, disk, off=True)
            except NotFound:
                return
            there = known.there
            if known.runs:
                must_find(connection, server).blockJobAbort(known.target)

        await self._change(server, work, _LONG)
        return there

    async def make_local_disk(
        self, server: ServerId, image: Path, image_format: str, *, virtual_size: int, size_gib: int
    ) -> Path:
        """Convert beside the disk's place and move it there when it is whole."""
        disk = self._state_dir / "disks" / server / "disk.raw"
        unfinished = disk.with_suffix(".part")
        size = size_gib * GIB or virtual_size
        if await in_thread(_make_room, disk, unfinished, size):
            await qemu_img.convert(
                image,
                image_format,
                unfinished,
                virtual_size=virtual_size,
                progress=lambda _share: None,
                timeout=_CONVERT,
                target_is_zero=True,
            )
            await in_thread(_finish, unfinished, disk)
        return disk

    async def power(self, server: ServerId) -> Power | None:
        """libvirt's word for the domain's state, as one of ours."""

        def work(connection: Connection) -> Power | None:
            domain = find(connection, server)
            if domain is None:
                return None
            return power_of(domain.state()[0])

        return await self._libvirt.call(work)

    async def powers(self) -> dict[ServerId, Power]:
        """libvirt tells the state of all domains in one answer."""

        def work(connection: Connection) -> dict[ServerId, Power]:
            told = connection.getAllDomainStats(load().VIR_DOMAIN_STATS_STATE)
            named = ((domain.name(), domain.UUIDString(), facts) for domain, facts in told)
            return {
                ServerId(known): power_of(facts["state.state"])
                for name, known, facts in named
                if domain_xml.is_ours(name, known)
            }

        return await self._libvirt.call(work)

    async def disks(self, server: ServerId) -> frozenset[str]:
        """Serial numbers of the disks the running guest (or else the definition) has."""

        def work(connection: Connection) -> frozenset[str]:
            domain = find(connection, server)
            return frozenset(disks_of(domain)) if domain else frozenset()

        return await self._libvirt.call(work)

    async def console(self, server: ServerId, lines: int | None) -> str:
        """The end of the log that QEMU writes of the guest's serial port."""
        await self._libvirt.call(lambda connection: must_find(connection, server))
        return await in_thread(console_log.tail, self._console_log(server), lines)

    async def send_console(self, server: ServerId, text: str) -> None:
        """Type a line into the guest's serial port. For tests and tours: no part of the contract.

        QEMU looks only once a second whether somebody opened its end, so it is held open for longer.
        """

        def work(connection: Connection) -> None:
            stream = connection.newStream()
            must_find(connection, server).openConsole(None, stream, load().VIR_DOMAIN_CONSOLE_FORCE)
            stream.send(f"{text}\n".encode())
            time.sleep(1.5)
            stream.abort()

        await self._libvirt.call(work)

    async def machines(self) -> frozenset[ServerId]:
        """Every domain that bears our name and the UUID that goes with it."""

        def work(connection: Connection) -> frozenset[ServerId]:
            domains = ((domain.name(), domain.UUIDString()) for domain in connection.listAllDomains())
            return frozenset(ServerId(known) for name, known in domains if domain_xml.is_ours(name, known))

        return await self._libvirt.call(work)

    async def remains(self) -> frozenset[ServerId]:
        """The folders and files that are named after servers; QEMU's logs are in libvirtd's keeping."""
        return await in_thread(self._find_remains)

    async def secrets(self) -> frozenset[AttachmentId]:
        """Every secret of libvirtd that is one of ours."""

        def work(connection: Connection) -> frozenset[AttachmentId]:
            return frozenset(map(AttachmentId, secrets_of_ours(connection)))

        return await self._libvirt.call(work)

    async def forget_secret(self, attachment: AttachmentId) -> None:
        """Undefine the attachment's secrets."""
        await self._libvirt.call(lambda connection: forget_secrets_of(connection, attachment))

    async def _change(
        self, server: ServerId, work: Callable[[Connection], None], timeout: float = _SHORT
    ) -> None:
        """Calls that change one machine go one after the other, so that each sees what the last one did.

        libvirtd may still be at one that was given up, as by a process that was killed. What it refuses because
        the machine is in another state by now is looked at again, and then done or found to be done.
        """

        def again(connection: Connection) -> None:
            libvirt = load()
            for _ in range(MOST_LOOKS - 1):
                try:
                    return work(connection)
                except libvirt.libvirtError as error:
                    if error.get_error_code() not in (
                        libvirt.VIR_ERR_OPERATION_INVALID,
                        libvirt.VIR_ERR_NO_DOMAIN,
                    ):
                        raise
            return work(connection)

        turn = self._turns.setdefault(server, asyncio.Lock())
        async with turn:
            await self._libvirt.call(again, timeout)

    async def _guest_follows(
        self,
        server: ServerId,
        ask: Callable[[Domain], None],
        done: Callable[[Domain], bool],
        timeout: float,
    ) -> bool:
        """Ask the guest every so often until ``done``: False after ``timeout`` seconds.

        A guest that is still booting loses a request, and libvirt refuses to repeat one that is pending; so
        an error of ``ask`` means nothing by itself, only what ``done`` sees counts.
        """

        def look(asking: bool, connection: Connection) -> bool:
            domain = must_find(connection, server)
            if done(domain):
                return True
            if asking:
                try:
                    ask(domain)
                except load().libvirtError:
                    if not connection.isAlive():
                        raise
            return False

        limit = time.monotonic() + timeout
        asked = float("-inf")
        while True:
            now = time.monotonic()
            asking = now - asked >= _ASK_AGAIN
            if await self._libvirt.call(partial(look, asking)):
                return True
            if now > limit:
                return False
            if asking:
                asked = now
            await asyncio.sleep(_POLL)

    async def _find_daemon(self) -> str:
        if self._daemon is None:
            return self._uri
        await self._daemon.start()
        return self._daemon.uri

    async def _accelerator(self) -> Accelerator:
        if self._chosen is None:
            cache = self._daemon.cache_dir if self._daemon else self._state_dir
            self._chosen = await accelerator.choose(cache / "accelerator.json")
        return self._chosen

    async def _xml(self, machine: Machine) -> str:
        disks = await asyncio.gather(*map(self._files.looked_at, machine.disks))
        settled = replace(machine, disks=tuple(disks))
        return domain_xml.machine_xml(settled, await self._accelerator(), self._console_log(machine.id))

    def _console_log(self, server: ServerId) -> Path:
        return self._state_dir / "consoles" / f"{server}.log"

    def _make_folders(self) -> None:
        for folder in (self._state_dir, self._state_dir / "consoles", self._state_dir / "disks"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _find_remains(self) -> frozenset[ServerId]:
        consoles = {file.stem for file in (self._state_dir / "consoles").glob("*.log")}
        disks = {folder.name for folder in (self._state_dir / "disks").glob("*")}
        logs = domain_xml.servers_named(self._daemon.logs()) if self._daemon else frozenset()
        return logs | frozenset(map(ServerId, consoles | disks))

    def _remove_files(self, server: ServerId) -> None:
        shutil.rmtree(self._state_dir / "disks" / server, ignore_errors=True)
        self._console_log(server).unlink(missing_ok=True)
        if self._daemon:
            self._daemon.forget_log(domain_xml.domain_name(server))

    def _initiator(self) -> str:
        file = self._state_dir / "initiator"
        if not file.exists():
            self._make_folders()
            fresh = file.with_suffix(f".{os.getpid()}")
            fresh.write_text(f"iqn.2026-11.org.pumice:{secrets.token_hex(6)}\n")
            try:
                file.hardlink_to(fresh)  # fails when another process was faster: then its name is taken
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        return file.read_text().strip()


def _make_room(disk: Path, unfinished: Path, size: int) -> bool:
    """A fresh sparse file for the copy; False when the whole copy is there already."""
    if disk.exists():
        return False
    disk.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with unfinished.open("wb") as file:
        file.truncate(size)
    return True


def _finish(unfinished: Path, disk: Path) -> None:
    """The copy is on disk before it bears its name: a name without its bytes would outlive a power cut."""
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.replace(disk)
