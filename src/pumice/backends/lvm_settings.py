"""Settings of the driver ``lvm``, and what its volume group needs of a machine."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from pumice.backends.contract import Backend
from pumice.backends.settings import PoolSettings
from pumice.host.command import run
from pumice.host.parts import kernel_module
from pumice.model.errors import PumiceError
from pumice.model.finding import Finding, Probe, Verdict


class LvmSettings(PoolSettings):
    """Logical volumes of one volume group, which is the only pool."""

    driver: Literal["lvm"] = Field("lvm", description="Where the bytes live.")
    volume_group: str = Field(description="lvm: the volume group; its name is the pool's.")
    devices: list[str] = Field(
        default_factory=list, description="lvm: the group's disks; default: found by the group's name."
    )
    thin: bool = Field(True, description="lvm: take blocks as they are written; false: all from the beginning.")
    thin_pool: str = Field("pumice-thin", description="lvm: the thin pool; made when there is none.")
    autoextend_threshold: int = Field(
        80, ge=50, le=100, description="lvm: at what percentage dmeventd extends the thin pool; 100 is never."
    )
    autoextend_percent: int = Field(20, ge=1, description="lvm: by how much of its size it is extended.")
    wipe: Literal["zero", "discard", "none"] = Field(
        "zero", description="lvm, thick: what a deleted volume goes through; a new one is zeroed in any case."
    )
    wipe_mib_per_second: float | None = Field(
        None, gt=0, description="lvm, thick: zero no faster than this; default: as fast as the disks are."
    )

    @model_validator(mode="after")
    def is_of_one_host(self) -> Self:
        """Refuse a cluster: no lock manager keeps two hosts apart."""
        if self.cluster:
            raise ValueError(
                "driver = 'lvm' cannot have a 'cluster': nothing keeps two hosts from changing a group's "
                "metadata at once, as Pumice uses no lock manager (lvmlockd). Give each host a volume group of "
                "its own, or use a driver that several hosts may share"
            )
        return self

    @model_validator(mode="after")
    def is_seen_by_one_host(self) -> Self:
        """Refuse to have other hosts open what only this one has."""
        if self.target == "shared":
            raise ValueError(
                "driver = 'lvm' cannot have the target 'shared', which is for files in a directory that every "
                "host has mounted. 'local' lets servers of this host open volumes themselves"
            )
        return self

    def open(self, name: str, state_dir: Path) -> Backend:
        """See ``BackendSettings``."""
        from pumice.backends.lvm import LvmBackend
        from pumice.backends.lvm_group import VolumeGroup
        from pumice.backends.lvm_thick import ThickLayout
        from pumice.backends.lvm_thin import ThinLayout

        group = VolumeGroup(
            self.volume_group,
            state_dir / "lvm" / name,
            devices=self.devices,
            autoextend=(self.autoextend_threshold, self.autoextend_percent),
        )
        thick = ThickLayout(group, wipe=self.wipe, mib_per_second=self.wipe_mib_per_second)
        return LvmBackend(
            group,
            ThinLayout(group, self.thin_pool) if self.thin else thick,
            max_over_subscription_ratio=self.max_over_subscription_ratio,
            reserved_percentage=self.reserved_percentage,
        )

    def probes(self, name: str, state_dir: Path) -> Iterator[Probe]:
        """The group, and what its volumes need of this machine."""
        part = f"volume group {self.volume_group}"
        yield Probe(part, partial(_volume_group, part, self.volume_group, thin=self.thin))


async def _volume_group(part: str, name: str, *, thin: bool) -> Finding:
    def lacks(found: str, cure: str) -> Finding:
        return Finding(part, Verdict.MISSING, found, "other backends", cure)

    for command, package in {"vgs": "lvm2", "thin_check": "thin-provisioning-tools"}.items():
        if shutil.which(command) is None and (thin or command == "vgs"):
            return lacks(f"{command} is not installed", f"apt-get install {package}")
    if os.geteuid() != 0:
        return lacks("needs root", "run with sudo, or choose the backend 'files'")
    try:
        free = await run("vgs", "--noheadings", "--units", "g", "-o", "vg_free", name, timeout=30)
    except PumiceError:
        return lacks("not there", f"vgcreate {name} DISK, or name another in 'volume_group'")
    found = await kernel_module(part, "dm-thin-pool" if thin else "dm-snapshot", "other backends")
    return replace(found, found=f"{free.strip()} free") if found.verdict is Verdict.OK else found
