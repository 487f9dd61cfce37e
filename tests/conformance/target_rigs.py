"""What the target drivers' suites need of each driver: a fresh one, who gets in, a restart, what is left of it.

Who gets in is seen in logins: with QEMU's initiator for iSCSI, with the kernel's for NVMe.
"""

import asyncio
import os
import re
import signal
import subprocess
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.ceph_cluster import CephCluster
from tests.patience import patience, soon

from pumice.backends import targets
from pumice.backends.targets import lio_rtslib, nvmet
from pumice.backends.targets.contract import Grant, Target
from pumice.backends.targets.fake import FakeTarget
from pumice.backends.targets.lio import LioTarget
from pumice.backends.targets.nvmet import NvmetTarget
from pumice.backends.targets.rbd import RbdTarget
from pumice.backends.targets.tgt import TgtTarget
from pumice.backends.targets.tgtd import TgtDaemon
from pumice.model.export import Export, IscsiExport, LocalDevice, NvmeExport, RbdImage, SharedFile
from pumice.model.ids import AttachmentId, new_id

HOST_A, HOST_B = "iqn.1993-08.org.debian:host-a", "iqn.1993-08.org.debian:host-b"
A_PASSWORD = "correct horse"


def a_grant(initiator: str = HOST_A, password: str = A_PASSWORD) -> Grant:
    attachment = AttachmentId(new_id())
    return Grant(attachment, initiator, attachment.replace("-", "")[:20], password)


@asynccontextmanager
async def a_session(portal: Export, grant: Grant) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Logged in as the grant says with QEMU's initiator; what is given reads, and says whether it could."""
    assert isinstance(portal, IscsiExport)
    process = await _start_qemu_io(portal, grant)
    assert process.stdin and process.stdout

    async def reads() -> bool:
        process.stdin.write(b"read 0 512\n")
        said = b""
        async with patience():
            while b"512/512 bytes" not in said and b"failed" not in said and not process.stdout.at_eof():
                said += await process.stdout.read(4096)
        return b"512/512 bytes" in said

    try:
        yield reads
    finally:
        process.kill()
        await process.wait()


async def qemu_io(
    portal: IscsiExport,
    grant: Grant,
    *commands: str,
    told: asyncio.Event | None = None,
    then: Sequence[str] = (),
) -> tuple[int, str]:
    """Log in with QEMU's initiator, run qemu-io's ``commands`` and, once told, ``then`` others."""
    process = await _start_qemu_io(portal, grant)
    assert process.stdin
    try:
        process.stdin.write("".join(f"{command}\n" for command in commands).encode())
        if told:
            await told.wait()
        output, _ = await soon(process.communicate("".join(f"{command}\n" for command in then).encode()))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode().replace("qemu-io> ", "")


async def _start_qemu_io(portal: IscsiExport, grant: Grant) -> Process:
    options = (
        f"driver=iscsi,transport=tcp,portal={portal.portals[0]},target={portal.name},lun={portal.lun},"
        f"user={grant.username},password-secret=chap,initiator-name={grant.initiator}"
    )
    return await asyncio.create_subprocess_exec(
        "qemu-io",
        *("--object", f"secret,id=chap,data={grant.password}"),
        *(["-r"] if grant.read_only else []),
        *("--image-opts", "-d", "unmap", options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


def opens(data: dict[str, Any], initiator: str) -> bool:
    """Whether an initiator gets in by what an attachment was told: its ``connection_info``."""
    portal = IscsiExport(data["target_iqn"], (data["target_portal"],), data["target_lun"])
    attachment = AttachmentId("00000000-0000-4000-8000-000000000000")
    grant = Grant(attachment, initiator, data["auth_username"], data["auth_password"])
    code, said = asyncio.run(qemu_io(portal, grant, "read 0 512"))
    assert code == 0 or REFUSED.search(said), said
    return code == 0


REFUSED, NOT_THERE = re.compile(r"\(51[3-6]\)"), "Service unavailable(769)"
"""What a target says at a login (RFC 7143, 11.13.5). LIO says the second of a target that it has not, too."""


class LoginsByIscsi:
    """What an initiator meets at an iSCSI target: QEMU's."""

    async def admits(self, portal: Export, grant: Grant) -> bool:
        """Whether the holder gets in, to the volume's disk. A target that is not there may yet come."""
        async with patience():
            while (said := await self._refusal(portal, grant)) and not REFUSED.search(said):
                await asyncio.sleep(0.2)
        return not said

    async def shuts_out(self, portal: Export, grant: Grant) -> bool:
        """Whether the holder is refused, or meets no target. Asks again where the answer is neither."""
        async with patience():
            while (said := await self._refusal(portal, grant)) and not (
                REFUSED.search(said) or NOT_THERE in said
            ):
                await asyncio.sleep(0.2)
        return bool(said)

    async def _refusal(self, portal: Export, grant: Grant) -> str:
        """What was said to who did not get in; nothing to who did."""
        code, output = await qemu_io(portal, grant, "read -v 0 16")
        assert code or "volume.s.own.byt" in output
        return output if code else ""

    async def size(self, portal: Export, grant: Grant) -> str:
        """What it takes for the disk's size, in qemu-io's words."""
        code, output = await qemu_io(portal, grant, "length")
        assert code == 0, output
        return output.strip()


KERNEL = pytest.mark.kernel
KINDS = [
    "fake",
    "local",
    "shared",
    pytest.param("tgt", marks=pytest.mark.real),
    pytest.param("rbd", marks=pytest.mark.real),
    pytest.param("lio", marks=KERNEL),
    pytest.param("nvmet", marks=[KERNEL, pytest.mark.long]),
]

CLAIMS: dict[str, dict[str, str]] = yaml.safe_load(
    Path(targets.__file__).with_name("conformance.yaml").read_text()
)
"""What each driver says of each rule: ``holds``, or why it does not."""


class FakeRig:
    """The fake, asked instead of logged in to."""

    def __init__(self) -> None:
        self.target = FakeTarget()

    async def admits(self, portal: Export, grant: Grant) -> bool:
        return self.target.admits(portal.name, grant.initiator, grant.username, grant.password)

    async def shuts_out(self, portal: Export, grant: Grant) -> bool:
        return not await self.admits(portal, grant)

    async def size(self, portal: Export, grant: Grant) -> str:
        raise NotImplementedError("the fake has no disks")

    async def lose_everything(self) -> None:
        self.target.forget()

    async def leftovers(self) -> list[str]:
        return [str(device) for device in self.target.devices.values()]


@dataclass
class TgtRig(LoginsByIscsi):
    """A tgtd of this test's own."""

    target: TgtTarget
    daemon: TgtDaemon

    async def lose_everything(self) -> None:
        pid = self.daemon.pid()
        assert pid
        os.kill(pid, signal.SIGKILL)
        while self.daemon.pid():
            await asyncio.sleep(0.01)
        await self.daemon.start()

    async def leftovers(self) -> list[str]:
        management = self.daemon.management
        return [target.iqn for target in management.targets()] + management.accounts()


@dataclass
class LioRig(LoginsByIscsi):
    """The kernel's iSCSI target, at two addresses; a restart is a boot that forgets everything."""

    target: LioTarget = field(default_factory=lambda: LioTarget(["127.0.0.1:3260", "127.0.0.2:3260"]))

    async def lose_everything(self) -> None:
        for iqn in lio_rtslib.targets():
            lio_rtslib.TargetEntry(iqn).close()
        for backstore in self._backstores():
            lio_rtslib.drop_backstore(backstore.name)

    async def leftovers(self) -> list[str]:
        return [*lio_rtslib.targets(), *(path.name for path in self._backstores())]

    def _backstores(self) -> list[Path]:
        return list(lio_rtslib.CORE.glob("*_*/pumice-*"))


def _holds_the_volume(disk: Path) -> None:
    with disk.open("rb") as file:
        assert file.read(16) == b"volume's own byt"


def _size(disk: Path) -> int:
    with disk.open("rb") as file:
        return file.seek(0, os.SEEK_END)


@dataclass
class NvmetRig:
    """The kernel's NVMe target; a restart forgets everything."""

    target: NvmetTarget = field(default_factory=lambda: NvmetTarget(["127.0.0.1:4420", "127.0.0.2:4420"]))

    async def admits(
        self, portal: Export, grant: Grant, look: Callable[[Path], None] = _holds_the_volume
    ) -> bool:
        """Whether the host's name gets in: there is no password. Who gets in has a ``look`` at the disk."""
        address, _, port = portal.portals[0].rpartition(":")
        words = ["-t", "tcp", "-a", address, "-s", port, "-n", portal.name, "-q", grant.initiator]
        done = await asyncio.to_thread(_nvme, "connect", *words)
        if done.returncode:
            return False
        try:
            async with patience():
                while not (disk := await asyncio.to_thread(_nvme_disk, portal)):
                    await asyncio.sleep(0.05)
            await asyncio.to_thread(look, disk)
        finally:
            await asyncio.to_thread(_nvme, "disconnect", "-n", portal.name)
        return True

    async def shuts_out(self, portal: Export, grant: Grant) -> bool:
        return not await self.admits(portal, grant)

    async def size(self, portal: Export, grant: Grant) -> str:
        sizes: list[int] = []
        assert await self.admits(portal, grant, lambda disk: sizes.append(_size(disk)))
        return f"{sizes[0] >> 20} MiB"

    async def lose_everything(self) -> None:
        for name in os.listdir(nvmet.SUBSYSTEMS):
            nvmet._empty(name)
            (nvmet.SUBSYSTEMS / name).rmdir()

    async def leftovers(self) -> list[str]:
        return [*os.listdir(nvmet.SUBSYSTEMS), *os.listdir(nvmet.HOSTS)]


@dataclass
class DirectRig:
    """No target: the volume is opened where its grant says. There is nothing to lose, and nothing to leave."""

    target: Target

    async def admits(self, portal: Export, grant: Grant) -> bool:
        _holds_the_volume(self._opened(portal))
        return True

    async def shuts_out(self, portal: Export, grant: Grant) -> bool:
        return not await self.admits(portal, grant)

    async def size(self, portal: Export, grant: Grant) -> str:
        return f"{_size(self._opened(portal)) >> 20} MiB"

    async def lose_everything(self) -> None:
        pass

    async def leftovers(self) -> list[str]:
        return []

    def _opened(self, portal: Export) -> Path:
        assert isinstance(portal, LocalDevice | SharedFile)
        return Path(portal.path)


@dataclass
class RbdRig:
    """No target: an image is opened in the cluster, which is as good as any host's."""

    cluster: CephCluster
    target: RbdTarget = field(default_factory=RbdTarget)

    async def admits(self, portal: Export, grant: Grant) -> bool:
        assert isinstance(portal, RbdImage)
        where = f"rbd:{portal.name}:conf={self.cluster.conf}"
        words = ["qemu-io", "-r", "-f", "raw", "-c", "read -v 0 16", where]
        done = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True, timeout=60)
        return "volume.s.own.byt" in done.stdout

    async def shuts_out(self, portal: Export, grant: Grant) -> bool:
        return not await self.admits(portal, grant)

    async def size(self, portal: Export, grant: Grant) -> str:
        raise NotImplementedError

    async def lose_everything(self) -> None:
        pass

    async def leftovers(self) -> list[str]:
        return []


Rig = FakeRig | DirectRig | TgtRig | LioRig | NvmetRig | RbdRig


def _nvme(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["nvme", *words], capture_output=True, timeout=60)


def _nvme_disk(portal: NvmeExport) -> Path | None:
    """The disk of the portal, once it is there and has a size."""
    for disk in Path("/sys/class/block").glob("nvme*"):
        there = Path("/dev") / disk.name
        if there.exists() and (disk / "uuid").read_text().strip() == portal.uuid and _size(there):
            return there
    return None
