"""Be the only process that has something: by locks of the kernel, which end with the process."""

import contextlib
import errno
import fcntl
import hashlib
import os
import socket
import struct
from pathlib import Path

from pumice.host import durable
from pumice.model.errors import Misconfigured

_COPY = (
    "A copy of a state directory is not served beside its original: stop one of the two, or give this one a "
    "database and storage of its own."
)


class Held:
    """What is held until this is closed, or nobody has it any more."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def is_of(self, path: Path) -> bool:
        """Whether the file that was locked is the one that has this name now."""
        return durable.is_named(self._descriptor, path)

    def close(self) -> None:
        """Let go of the lock."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


def take_name(name: str, what: str) -> Held:
    """A name that one process of this machine may have. Raises ``Misconfigured`` while another has it."""
    address = f"\0pumice {hashlib.sha256(name.encode()).hexdigest()}"  # a name may be longer than an address
    with socket.socket(socket.AF_UNIX) as taken:
        try:
            taken.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise Misconfigured(f"{what} is served by process {_holder(address)}. {_COPY}") from None
        taken.listen()  # so that who is refused can ask who has it
        return Held(taken.detach())


def _holder(address: str) -> str:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(1.0)
        asking.connect(address)
        pid, _, _ = struct.unpack("3i", asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return str(pid)
    return "unknown"


def take_file(path: Path, what: str, *, shared: bool) -> Held:
    """A lock on a file, alone or ``shared``; on a network file system it is one among all hosts.

    Raises ``Misconfigured`` while another has it, and ``OSError``.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    held = Held(file := os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    try:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:  # NFS: what is locked for one alone must be open for writing
            held = Held(file := os.open(path, os.O_RDWR | os.O_CLOEXEC))
            fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Misconfigured(f"{what} is served by another process. {_COPY}") from None
    return held
