"""A real NFS in the kernel lane: the kernel's server exports a directory, and the kernel's client mounts it."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.patience import PATIENCE

SHARE = "127.0.0.1:/volumes"
OPTIONS = "vers=4.2,hard"
_KEPT = Path("/run/nfs-kept")
_EXPORT = "127.0.0.1:/run/nfs-kept"
_SERVER = Path("/proc/fs/nfsd")


class NfsServer:
    """What it serves lies in ``kept``, and is mounted as ``SHARE``."""

    kept = _KEPT / "volumes"

    def begin(self) -> None:
        """Serve."""
        self.kept.mkdir(parents=True)
        _do("modprobe", "-a", "nfsd", "nfsv4")
        _do("mount", "-t", "tmpfs", "nfs-kept", str(_KEPT))
        self.kept.mkdir()
        _do("mount", "-t", "nfsd", "nfsd", str(_SERVER))
        for name in ("nfsv4leasetime", "nfsv4gracetime"):  # until locks that a client had are another's
            (_SERVER / name).write_text("10")
        _do("mount", "-t", "tmpfs", "nfs-state", "/var/lib/nfs")  # what it remembers, also of its clients
        for name in ("v4recovery", "rpc_pipefs"):
            Path("/var/lib/nfs", name).mkdir()
        for name in ("etab", "rmtab"):
            Path("/var/lib/nfs", name).touch()
        self.share()
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        words = ["rpc.mountd", "--foreground", "-N", "2", "-N", "3"]
        self._mountd = subprocess.Popen(words, **quiet)
        self.answer()

    def end(self) -> None:
        """Nobody has it mounted any more."""
        _do("rpc.nfsd", "0")
        self._mountd.kill()
        self._mountd.wait()

    def share(self, how: str = "rw") -> None:
        """Let the client have it: ``rw`` or ``ro``."""
        _do("exportfs", "-o", f"{how},no_root_squash,fsid=0", _EXPORT)
        _do("exportfs", "-f")

    def restore(self) -> None:
        """The same files, from another disk: whoever has the share mounted has stale handles from now on."""
        other = self.kept.with_name("restored")
        _do("cp", "--archive", str(self.kept), str(other))
        shutil.rmtree(self.kept)
        other.rename(self.kept)

    def fall_silent(self) -> None:
        """Who has it mounted ``hard`` waits, and cannot be killed by less than SIGKILL."""
        _do("rpc.nfsd", "0")

    def answer(self) -> None:
        """Serve again."""
        _do("rpc.nfsd", "-N", "3", "-H", "127.0.0.1", "4")

    @contextmanager
    def silent(self) -> Iterator[None]:
        """It does not answer while this lasts."""
        self.fall_silent()
        try:
            yield
        finally:
            self.answer()


def mount(directory: Path, share: str = SHARE) -> None:
    """Mount it there."""
    give_up = time.monotonic() + PATIENCE
    while (done := _mount(directory, share)).returncode:  # while it begins, or ends another mount
        assert time.monotonic() < give_up, done.stderr
        time.sleep(0.2)


def _mount(directory: Path, share: str) -> subprocess.CompletedProcess[str]:
    words = ["mount", "-t", "nfs", "-o", OPTIONS, share, str(directory)]
    return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)


def unmount(directory: Path) -> None:
    """As if it had never been mounted, for whoever asks by its name."""
    _do("umount", "--lazy", str(directory))


def _do(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, f"{words}: {done.stderr}"
