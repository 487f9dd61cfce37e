"""What the connectors' suite needs of each: a fresh one, a volume to connect, what it left on the host."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest
import yaml
from initiators import said

from pumice.backends.targets.contract import Grant
from pumice.backends.targets.lio import LioTarget
from pumice.backends.targets.nvmet import NvmetTarget
from pumice.hypervisor import connectors
from pumice.hypervisor.connectors.contract import Remote, StorageConnector
from pumice.hypervisor.connectors.fake import FakeConnector
from pumice.hypervisor.connectors.kernel import KernelConnector
from pumice.hypervisor.connectors.qemu import QemuConnector
from pumice.hypervisor.contract import IscsiSource, NvmeSource
from pumice.model.connector import Connector
from pumice.model.ids import AttachmentId, VolumeId, new_id

PORTALS = ["127.0.0.1:3260", "127.0.0.2:3260"]
NVME_PORTALS = ["127.0.0.1:4420", "127.0.0.2:4420"]
SECRET = "correct-horse"
HOST = Connector("host", "127.0.0.1", "iqn.2026-11.org.pumice:host")


KERNEL = [
    pytest.mark.kernel,
    pytest.mark.timeout(900),
]
KINDS = [
    "qemu",
    "fake",
    *(pytest.param(kind, marks=[*KERNEL, pytest.mark.long]) for kind in ("kernel", "multipath", "nvme")),
]

CLAIMS: dict[str, dict[str, str]] = yaml.safe_load(
    Path(connectors.__file__).with_name("conformance.yaml").read_text()
)
"""What each connector says of each rule: ``holds``, or why it does not."""


class Rig(Protocol):
    """A connector, and volumes for it."""

    connector: StorageConnector

    async def export(self, attachment: AttachmentId) -> Remote:
        """Another volume, exported to this host."""

    def again(self) -> StorageConnector:
        """The connector of a process that follows this one."""

    def leftovers(self) -> str:
        """Sessions, devices and maps on this host; empty when there are none."""


def source_of(attachment: AttachmentId) -> IscsiSource:
    """A volume that nobody exports."""
    return IscsiSource(
        "127.0.0.1:3260", f"iqn.2010-10.org.openstack:volume-{attachment}", 1, "user", SECRET, "me"
    )


@dataclass
class PlainRig:
    """A connector that needs nothing of its host."""

    connector: StorageConnector
    directory: Path | None = None

    async def export(self, attachment: AttachmentId) -> Remote:
        return source_of(attachment)

    def again(self) -> StorageConnector:
        return FakeConnector(self.directory) if self.directory else QemuConnector()

    def leftovers(self) -> str:
        return ""


@dataclass
class KernelRig:
    """os-brick and this kernel's initiators, against this kernel's own targets."""

    state_dir: Path
    shelf: Path
    multipath: bool = False
    nvme: bool = False
    target: LioTarget | NvmetTarget = field(init=False)
    connector: KernelConnector = field(init=False)
    exported: list[VolumeId] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.target = NvmetTarget(NVME_PORTALS) if self.nvme else LioTarget(PORTALS)
        self.connector = self.again()

    def again(self) -> KernelConnector:
        return KernelConnector(self.state_dir, multipath=self.multipath, seconds=60)

    async def export(self, attachment: AttachmentId) -> Remote:
        volume = VolumeId(new_id())
        device = self.shelf / volume
        with device.open("wb") as file:
            file.truncate(32 << 20)
        me = await self.connector.properties(HOST)
        name = me.nqn if self.nvme else me.initiator
        grant = Grant(attachment, name, attachment.replace("-", "")[:20], SECRET)
        self.exported.append(volume)
        portal = await self.target.grant(volume, device, grant)
        if self.nvme:
            return NvmeSource(portal.portals, portal.name, portal.uuid, name)
        return IscsiSource(portal.portals[0], portal.name, 1, grant.username, SECRET, name, portal.portals[1:])

    def file(self, number: int = -1) -> Path:
        """Where the bytes of a volume are in the end."""
        return self.shelf / self.exported[number]

    def leftovers(self) -> str:
        sessions = said("iscsiadm", "-m", "session") + said("iscsiadm", "-m", "node")
        disks = [name for name in os.listdir("/sys/class/block") if name.startswith(("sd", "nvme", "dm-"))]
        return sessions + said("multipath", "-l") + " ".join(disks)
