"""Looks at what the kernel's own targets and initiators take. As ``probes``: nothing is changed or loaded."""

import importlib.util
import os
import shutil
from dataclasses import replace

from pumice.app.probes import NO_EXPORTS, NO_SERVERS, Finding, Verdict
from pumice.host.command import run
from pumice.hypervisor.connectors.kernel import COMMANDS
from pumice.model.errors import PumiceError

_EXTRA = "pip install 'pumice[kernel]'"


async def volume_group(name: str, *, thin: bool) -> Finding:
    """A volume group of LVM, and what its volumes need of this machine."""
    part = f"volume group {name}"

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
    found = await _module(part, "dm-thin-pool" if thin else "dm-snapshot")
    return replace(found, found=f"{free.strip()} free") if found.verdict is Verdict.OK else found


async def lio() -> Finding:
    """The kernel's iSCSI target, and the library that tells it what to do."""
    part = "lio"
    if importlib.util.find_spec("rtslib_fb") is None:
        return Finding(part, Verdict.MISSING, "rtslib-fb is not installed", NO_EXPORTS, _EXTRA)
    return await _module(part, "iscsi_target_mod")


async def nvmet() -> Finding:
    """The kernel's NVMe over TCP target."""
    return await _module("nvmet", "nvmet-tcp")


async def connector(multipath: bool) -> Finding:
    """What connects volumes to this host: os-brick, the initiator's tools and name, perhaps multipathd."""
    part = "kernel connector"

    def lacks(found: str, cure: str) -> Finding:
        return Finding(part, Verdict.MISSING, found, NO_SERVERS, cure)

    if importlib.util.find_spec("os_brick") is None:
        return lacks("os-brick is not installed", _EXTRA)
    if os.geteuid() != 0:
        return lacks("needs root", "run with sudo, or choose the connector 'qemu'")
    for command, package in COMMANDS.items():
        if shutil.which(command) is None:
            return lacks(f"{command} is not installed", f"apt-get install {package}")
    if not os.path.exists("/etc/iscsi/initiatorname.iscsi"):
        return lacks("this host has no initiator name", "apt-get install --reinstall open-iscsi")
    if multipath:
        try:
            await run("multipathd", "show", "status", timeout=10)
        except PumiceError:
            cure = "apt-get install multipath-tools; systemctl enable --now multipathd"
            return lacks("multipathd does not run", cure)
    return await _module(part, "iscsi_tcp")


async def _module(part: str, module: str) -> Finding:
    """Whether the running kernel has the module, loaded or not."""
    try:
        await run("modprobe", "--dry-run", module, timeout=10)
    except PumiceError:
        cure = "boot a kernel that has it, such as Debian's linux-image-amd64"
        return Finding(part, Verdict.MISSING, f"this kernel has no {module}", NO_EXPORTS, cure)
    return Finding(part, Verdict.OK, f"{module} can be loaded")
