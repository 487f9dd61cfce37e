"""Whether the parts of a machine that drivers need are there: programs, kernel modules, ports, directories."""

import os
import shutil
import socket
from pathlib import Path

from pumice.host.command import run
from pumice.model.errors import PumiceError
from pumice.model.finding import Finding, Verdict

SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
"""The directories of system daemons, which a plain user's PATH lacks."""


def search_path() -> str:
    """PATH, and the directories of system daemons."""
    return f"{os.environ.get('PATH', os.defpath)}:{SBIN}"


def program(name: str) -> str | None:
    """The path of a program, also of a system daemon; None when it is not installed."""
    return shutil.which(name, path=search_path())


def ok(part: str, found: str) -> Finding:
    """A finding that asks for nothing."""
    return Finding(part, Verdict.OK, found)


async def kernel_module(part: str, module: str, without: str) -> Finding:
    """Whether the running kernel has the module, loaded or not."""
    try:
        await run("modprobe", "--dry-run", module, timeout=10)
    except PumiceError:
        cure = "boot a kernel that has it, such as Debian's linux-image-amd64"
        return Finding(part, Verdict.MISSING, f"this kernel has no {module}", without, cure)
    return ok(part, f"{module} can be loaded")


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next(it for it in (path, *path.parents) if it.exists())


def may_write(path: Path) -> bool:
    """Whether this process may make the path, or write to what is there."""
    return os.access(existing(path), os.W_OK)


def cannot_listen(host: str, port: int) -> str | None:
    """Why nobody could listen there now; None when somebody could."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            return error.strerror
    return None
