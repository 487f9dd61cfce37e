"""A libvirtd of our own, for machines where none runs: containers, laptops, tests.

The daemon gets a private mount namespace in which its fixed directories (``/etc/libvirt``, ``/run/libvirt``,
``/var/lib/libvirt``…) are folders of ours, so that it touches nothing of a system's libvirtd and several can
run at once. It outlives Pumice, by design: a restart finds it again, and guests outlive the daemon too.

    state_dir/libvirtd.pid    locked by the daemon as long as it lives: the one truth about whether it runs
    state_dir/libvirt-sock    where clients connect
    state_dir/{etc,run,lib,log,cache}

Two costs are avoided here. virtlogd is not needed, because QEMU writes its logs itself. And where KVM is of no
use, ``/dev/kvm`` is hidden from the daemon: its look at what QEMU can do then takes 2 s instead of up to 40 s.
"""

import asyncio
import fcntl
import os
import shutil
import signal
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import structlog

from pumice.host.command import CommandFailed, launch
from pumice.host.lock_holder import lock_holder
from pumice.host.thread import in_thread
from pumice.hypervisor import accelerator
from pumice.model.errors import Conflict, Misconfigured, Retryable

log = structlog.get_logger(__name__)

_SEARCH_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
"""The path on which libvirtd is looked for: not every root has sbin on its own."""

_SOCKET_PATH_LIMIT = 107  # sockaddr_un.sun_path holds 108 bytes with the final NUL; see unix(7)

_DIED_SILENTLY = "unable to determine if daemon is running"
"""What libvirtd's parent says of a child that ended before it told whether it started well."""

_QEMU_CONF = """\
stdio_handler = "file"
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
dynamic_ownership = 0
remember_owner = 0
"""

_LIBVIRTD_CONF = """\
unix_sock_dir = "{state_dir}"
unix_sock_rw_perms = "0700"
auth_unix_rw = "none"
auth_unix_ro = "none"
host_uuid = "{host_uuid}"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
"""

# Mounting takes a process inside the namespace. The script is fixed text, its values come as arguments.
_IN_NAMESPACE = """\
set -e
cd "$1"
mount --bind etc /etc/libvirt
mount --bind run /run/libvirt
mount --bind lib /var/lib/libvirt
mount --bind log /var/log/libvirt
mount --bind "$2" /var/cache/libvirt
if [ "$3" = hide-kvm ]; then
    # libvirtd asks access(2), which root fails only for a file on a read-only mount.
    mount --bind no-kvm /dev/kvm
    mount -o remount,bind,ro /dev/kvm
fi
exec libvirtd --daemon --config /etc/libvirt/libvirtd.conf --pid-file "$1/libvirtd.pid"
"""


class LibvirtDaemon:
    """The libvirtd that keeps its state in ``state_dir``.

    ``cache_dir`` holds what is worth keeping between state directories: what QEMU can do, and whether KVM is
    of use. By default it lies inside ``state_dir``.
    """

    name = "libvirtd"
    of_target = None

    def __init__(self, state_dir: Path, cache_dir: Path | None = None) -> None:
        self.state_dir = state_dir.absolute()
        self.cache_dir = (cache_dir or state_dir / "cache").absolute()
        self._socket = self.state_dir / "libvirt-sock"
        self._pid_file = self.state_dir / "libvirtd.pid"
        self._launch_log = self.state_dir / "launch.log"

    @property
    def uri(self) -> str:
        """The address at which libvirt's clients connect."""
        return f"qemu+unix:///system?socket={quote(str(self._socket))}"

    async def start(self) -> None:
        """Make sure that the daemon runs and answers; one that runs already is left as it is.

        Raises ``Misconfigured`` when this machine cannot run it, ``Retryable`` when it does not come up.
        """
        self._check()
        self.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        async with self._only_starter():
            if self.pid() is None:
                await self._launch()
            if not await _becomes_true(self._answers, timeout=10):
                raise Retryable(
                    "The hypervisor does not answer.", f"The log is {self.state_dir / 'log/libvirtd.log'}."
                )

    async def stop(self, *, force: bool = False) -> None:
        """End the daemon, if there is one.

        While guests run it is only ended with ``force``, which pulls their plugs first; without, raises
        ``Conflict``. Raises ``Retryable`` when something of it cannot be ended.
        """
        guests = self._guests()
        if guests and not force:
            raise Conflict(f"libvirtd still runs {len(guests)} guests, which nobody would look after.")
        for guest in guests:
            _kill(guest, signal.SIGKILL)
        await _becomes_true(lambda: not self._guests(), timeout=10)
        if pid := self.pid():
            _kill(pid, signal.SIGTERM)
            if not await _becomes_true(lambda: self.pid() is None, timeout=10):
                log.warning("libvirtd does not end by itself and is killed", pid=pid)
                _kill(pid, signal.SIGKILL)
        if not await _becomes_true(lambda: self.pid() is None and not self._guests(), timeout=5):
            raise Retryable(
                "The hypervisor or a guest of it does not end.", f"Its state is in {self.state_dir}."
            )

    def pid(self) -> int | None:
        """The daemon's process id while it runs. A free lock on the pid file means that nobody is there."""
        return lock_holder(self._pid_file)

    def forget_log(self, domain: str) -> None:
        """Remove QEMU's log of a domain that is gone; libvirt keeps it for ever."""
        (self.state_dir / "log/qemu" / f"{domain}.log").unlink(missing_ok=True)

    def logs(self) -> list[str]:
        """The domains of which QEMU's log is kept."""
        return [file.stem for file in (self.state_dir / "log/qemu").glob("*.log")]

    def _check(self) -> None:
        if len(os.fsencode(self._socket)) > _SOCKET_PATH_LIMIT:
            raise Misconfigured(
                f"The path {self._socket} is longer than the {_SOCKET_PATH_LIMIT} bytes a socket may have; "
                "choose a shorter state directory."
            )
        if not str(self.state_dir).isprintable() or '"' in str(self.state_dir):
            raise Misconfigured(f"The path {self.state_dir!r} holds characters that libvirtd cannot read.")
        if os.geteuid() != 0:
            raise Misconfigured(
                "Starting a private libvirtd needs root; run as root, or use a system's libvirtd."
            )
        for command, package in (("libvirtd", "libvirt-daemon-system"), ("unshare", "util-linux")):
            if shutil.which(command, path=_SEARCH_PATH) is None:
                raise Misconfigured(
                    f"The command '{command}' is missing; install it: apt-get install {package}"
                )

    async def _launch(self) -> None:
        chosen = await accelerator.choose(self.cache_dir / "accelerator.json")
        hide_kvm = chosen is accelerator.Accelerator.TCG and os.access("/dev/kvm", os.F_OK)
        self._prepare()
        words = (str(self.state_dir), str(self.cache_dir), "hide-kvm" if hide_kvm else "show-kvm")
        try:
            argv = ("unshare", "--mount", "sh", "-c", _IN_NAMESPACE, "libvirtd", *words)
            await launch(*argv, log_file=self._launch_log, timeout=60, env={"PATH": _SEARCH_PATH})
        except CommandFailed as failed:
            if _DIED_SILENTLY in failed.stderr:
                raise Retryable("libvirtd was killed while it started.") from failed
            raise Misconfigured(
                f"A private libvirtd could not be started: {failed.stderr.strip()[-300:]} "
                f"(its log is {self.state_dir / 'log/libvirtd.log'})"
            ) from failed
        log.info("libvirtd started", pid=self.pid(), state_dir=str(self.state_dir))

    def _prepare(self) -> None:
        """Write the configuration, and drop what names processes from before this machine's last boot."""
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        boot_file = self.state_dir / "run/boot_id"
        if not boot_file.exists() or boot_file.read_text() != boot:
            shutil.rmtree(self.state_dir / "run", ignore_errors=True)
        for folder in (*(self.state_dir / name for name in ("etc", "run", "lib", "log")), self.cache_dir):
            folder.mkdir(parents=True, exist_ok=True)
        for mount_point in (
            "/etc/libvirt",
            "/run/libvirt",
            "/var/lib/libvirt",
            "/var/log/libvirt",
            "/var/cache/libvirt",
        ):
            Path(mount_point).mkdir(parents=True, exist_ok=True)
        boot_file.write_text(boot)
        (self.state_dir / "no-kvm").touch()
        (self.state_dir / "etc/qemu.conf").write_text(_QEMU_CONF)
        host_uuid = uuid.uuid5(uuid.NAMESPACE_URL, self.state_dir.as_uri())
        conf = _LIBVIRTD_CONF.format(state_dir=self.state_dir, host_uuid=host_uuid)
        (self.state_dir / "etc/libvirtd.conf").write_text(conf)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self._socket)) == 0

    def _guests(self) -> list[int]:
        """Process ids of the QEMUs that this daemon started and that live."""
        found = []
        for file in (self.state_dir / "run/qemu").glob("*.pid"):
            try:
                pid = int(file.read_text())
                name = Path(f"/proc/{pid}/comm").read_text()
            except (OSError, ValueError):
                continue
            if name.startswith("qemu-system"):
                found.append(pid)
        return found

    @asynccontextmanager
    async def _only_starter(self) -> AsyncIterator[None]:
        """Starters of this daemon, in this process or another, go one after the other."""
        with (self.state_dir / "start.lock").open("w") as file:
            await in_thread(fcntl.flock, file, fcntl.LOCK_EX)
            yield


def _kill(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it ended by itself in the meantime
        os.kill(pid, number)


async def _becomes_true(condition: Callable[[], bool], timeout: float) -> bool:
    limit = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > limit:
            return False
        await asyncio.sleep(0.02)
    return True
