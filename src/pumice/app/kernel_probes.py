"""Looks at what the kernel's own initiators take. As ``probes``: nothing is changed or loaded."""

import importlib.util
import os
import shutil

from pumice.app.probes import NO_SERVERS
from pumice.host.command import run
from pumice.host.parts import kernel_module
from pumice.hypervisor.connectors.kernel import COMMANDS
from pumice.model.errors import PumiceError
from pumice.model.finding import Finding, Verdict

_EXTRA = "pip install 'pumice[kernel]'"


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
    return await kernel_module(part, "iscsi_tcp", NO_SERVERS)
