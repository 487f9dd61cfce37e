"""A kernel with everything: Debian's own, in QEMU, with this machine's root under it.

    with Kernel(disks=["2G"], modules=["dm-thin-pool"]) as guest:
        print(guest.run(["lvs"], timeout=60).stdout)

The guest sees every file of this machine, read-only (virtiofs), under an overlay in its memory: what it writes
is gone with it, and nothing it does with devices, LVM or targets can reach this machine. It runs as root, with
udevd. What is to outlive it goes into a directory named in ``shares``, which it may write to. Its console is
part of every error. It boots in about 7 seconds, under software emulation, because a stranger's KVM may not
work.
"""

import contextlib
import json
import os
import re
import select
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from kernel_image import kernel_image

_VIRTIOFSD = (Path("/usr/lib/qemu/virtiofsd"), Path("/usr/libexec/virtiofsd"))
_AGENT = Path(__file__).with_name("guest_agent.py")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BOOT_SECONDS = 600.0  # it takes 7 where nobody else computes
_CONSOLE_BYTES = 6000
_CPU_INFO = Path("/proc/cpuinfo")
_CPU = "max,-la57,-smap,-smep,-pku,-xsave,-avx,-avx2,-erms,-fsrm"
"""All that can be emulated, without what makes each access to memory, each switch of tasks or each copy dearer.

States of hundreds of bytes were saved by emulated instructions, and copies made byte by byte.
"""

_GUEST_INIT = """\
export PATH={path}
mkdir -p /dev/pts /dev/shm /lib/modules/{version}
mount -t devpts devpts /dev/pts; mount -t tmpfs shm /dev/shm; mount -t tmpfs run /run
mkdir -p /run/lock /run/udev
ln -sf /proc/self/fd /dev/fd; ln -sf fd/0 /dev/stdin; ln -sf fd/1 /dev/stdout; ln -sf fd/2 /dev/stderr
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --bind {modules} /lib/modules/{version}
{shares}
hostname kernel-lane; ip link set lo up
{network}
modprobe configfs && mount -t configfs configfs /sys/kernel/config
modprobe -a virtio_blk loop {wanted} || echo "kernel lane: a module is missing"
/lib/systemd/systemd-udevd --daemon
udevadm trigger --action=add --subsystem-match=block && udevadm settle --timeout=60
for port in /sys/class/virtio-ports/*; do
    [ "$(cat $port/name)" = agent ] && agent=/dev/${{port##*/}}
done
/usr/bin/python3 -ES {agent} $agent # not exec: this shell reaps what daemons leave behind
"""

_NETWORK = """\
modprobe virtio_net
ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2
"""


class GuestError(Exception):
    """The guest did not boot, died, or did not end a command in time; its console is in the message."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


def why_not() -> str | None:
    """What this machine lacks to run a guest; None when nothing is missing."""
    if os.geteuid() != 0:
        return "sharing this machine's root with a guest needs root"
    if shutil.which("qemu-system-x86_64") is None or _virtiofsd() is None:
        return "needs the packages qemu-system-x86 and qemu-system-common: scripts/setup dev"
    return None


def _virtiofsd() -> Path | None:
    return next((path for path in _VIRTIOFSD if path.exists()), None)


def _clock() -> str:
    """Tells the guest's kernel how fast it counts, as far as ours was told.

    On a host that is so busy that a tick comes late it would find out wrong, and its clock go several times as
    fast as ours: so all that waits there would give up too early.
    """
    told = dict(re.findall(r"^(flags|cpu MHz)\s*: (.*)$", _CPU_INFO.read_text(), re.MULTILINE))
    if "tsc_known_freq" not in told.get("flags", "").split():
        return ""
    return f"tsc_early_khz={round(float(told['cpu MHz']) * 1000)}"


_running: set[subprocess.Popen[bytes]] = set()
"""QEMU and what serves it, of all guests of this process."""


def computing() -> float:
    """Seconds of the processor that the guests which are running have used until now."""
    ticks = 0
    for process in _running:
        with contextlib.suppress(FileNotFoundError):
            user, system = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
            ticks += int(user) + int(system)
    return ticks / os.sysconf("SC_CLK_TCK")


class Kernel:
    """One guest, from ``__enter__`` to ``__exit__``.

    ``disks``: fresh virtio disks by size (``"2G"``): ``/dev/vda``, ``/dev/vdb``… ``modules``: what to modprobe
    at first; the rest loads as it is asked for. ``shares``: directories that the guest may write to.
    ``forwards``: ports of the guest by port of this machine's 127.0.0.1; the guest reaches that as 10.0.2.2.
    """

    def __init__(
        self,
        disks: Sequence[str] = (),
        modules: Sequence[str] = (),
        *,
        shares: Sequence[Path] = (),
        forwards: Mapping[int, int] | None = None,
        memory_mib: int = 2048,
        cpus: int = 1,
    ) -> None:
        self._disks = disks
        self._modules = modules
        self._shares = shares
        self._forwards = forwards
        self._memory_mib = memory_mib
        self._cpus = cpus
        self._unread = b""
        self._processes: list[subprocess.Popen[bytes]] = []
        self._agent: socket.socket | None = None

    def __enter__(self) -> "Kernel":
        self._folder = Path(tempfile.mkdtemp(prefix="pumice-kernel-"))
        try:
            self._boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Pull the plug: nothing of the guest is worth keeping."""
        if self._agent is not None:
            self._agent.close()
        for process in reversed(self._processes):
            process.kill()
            process.wait()
            _running.discard(process)
        self._processes.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    # --- commands ------------------------------------------------------------------------------------

    def run(
        self, argv: Sequence[str], *, timeout: float, cwd: str = "/", env: Mapping[str, str] | None = None
    ) -> Done:
        """Run a command as root. Raises ``GuestError`` when it does not end within ``timeout`` seconds."""
        self._ask(argv, cwd, env)
        give_up = time.monotonic() + timeout
        texts = {"stdout": "", "stderr": "", "note": ""}
        while True:
            kind, value = self._answer(give_up, f"'{argv[0]}' did not end within {timeout:g} seconds.")
            if kind == "exit":
                return Done(int(value), texts["stdout"], texts["stderr"])
            texts[kind] += str(value)

    def follow(
        self, argv: Sequence[str], *, silence: float, cwd: str = "/", env: Mapping[str, str] | None = None
    ) -> Iterator[tuple[str, str | int]]:
        """Run a command; yields what it writes as it comes, then how it ended.

        That is ``stdout``, ``stderr`` or ``note`` (file descriptor 3) with a piece of text, and ``exit`` with
        the code. Raises ``GuestError`` when nothing comes for ``silence`` seconds. One command runs at a time.
        """
        self._ask(argv, cwd, env)
        while True:
            give_up = time.monotonic() + silence
            kind, value = self._answer(give_up, f"'{argv[0]}' was silent for {silence:g} seconds.")
            yield kind, value
            if kind == "exit":
                return

    def _ask(self, argv: Sequence[str], cwd: str, env: Mapping[str, str] | None) -> None:
        environment = {"HOME": "/root", "LC_ALL": "C.UTF-8"} | dict(env or {}) | {"PATH": _PATH}
        asked = {"argv": list(argv), "cwd": cwd, "env": environment}
        assert self._agent is not None
        self._agent.sendall(json.dumps(asked).encode() + b"\n")

    def console(self) -> str:
        """The end of what the kernel and udevd said."""
        return "\n".join(
            (self._folder / name).read_bytes()[-_CONSOLE_BYTES:].decode(errors="replace")
            for name in ("virtiofsd", "qemu", "console")
            if (self._folder / name).exists()
        )

    def _answer(self, give_up: float, too_late: str) -> tuple[str, str | int]:
        assert self._agent is not None
        while b"\n" not in self._unread:
            wait = give_up - time.monotonic()
            if wait <= 0:
                raise GuestError(f"{too_late}\n{self.console()}")
            if not select.select([self._agent], [], [], wait)[0]:
                continue
            piece = self._agent.recv(65536)
            if not piece:
                raise GuestError(f"The guest died.\n{self.console()}")
            self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        kind, value = json.loads(line)
        return kind, value

    # --- boot ----------------------------------------------------------------------------------------

    def _boot(self) -> None:
        image = kernel_image()
        agent = socket.socket(socket.AF_UNIX)
        agent.bind(str(self._folder / "agent"))
        agent.listen(1)
        init = self._folder / "guest-init"
        init.write_text(self._guest_init(image.modules))
        shared = {"root": Path("/")} | {f"share{n}": path for n, path in enumerate(self._shares)}
        qemu = [
            *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", _CPU, "-smp", str(self._cpus)),
            *("-m", str(self._memory_mib), "-machine", "q35,memory-backend=memory"),
            *("-object", f"memory-backend-memfd,id=memory,size={self._memory_mib}M,share=on"),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-kernel", image.vmlinuz, "-initrd", image.initrd),
            "-append",
            # The check of the timer would fail on a host that is so busy that a tick comes late.
            "console=ttyS0 quiet loglevel=4 mitigations=off no_timer_check tsc=reliable random.trust_cpu=on "
            f"{_clock()} panic=-1 net.ifnames=0 systemd.log_level=err guest_init={init}",
            *("-chardev", f"file,id=console,path={self._folder / 'console'}", "-serial", "chardev:console"),
            *("-chardev", f"socket,id=agent,path={self._folder / 'agent'}", "-device", "virtio-serial-pci"),
            *("-device", "virtserialport,chardev=agent,name=agent"),
        ]
        for tag, directory in shared.items():
            qemu += self._share(tag, directory)
        for number, size in enumerate(self._disks):
            disk = self._folder / f"disk{number}"
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, size], check=True)
            qemu += ["-drive", f"file={disk},format=qcow2,if=none,id=disk{number},cache=unsafe,discard=unmap"]
            qemu += ["-device", f"virtio-blk-pci,drive=disk{number},serial=disk{number}"]
        if self._forwards is not None:
            ports = "".join(f",hostfwd=tcp:127.0.0.1:{here}-:{there}" for here, there in self._forwards.items())
            qemu += ["-netdev", f"user,id=net{ports}", "-device", "virtio-net-pci,netdev=net,romfile="]
        self._start("qemu", qemu)
        give_up = time.monotonic() + _BOOT_SECONDS
        agent.settimeout(_BOOT_SECONDS)
        with agent:
            self._agent, _ = agent.accept()
        kind, self.release = self._answer(give_up, "The guest did not boot.")
        assert kind == "ready"

    def _guest_init(self, modules: Path) -> str:
        lines = [
            f"mkdir -p {shlex.quote(str(path))}; mount -t virtiofs share{number} {shlex.quote(str(path))}"
            for number, path in enumerate(self._shares)
        ]
        return _GUEST_INIT.format(
            path=_PATH,
            version=modules.name,
            modules=shlex.quote(str(modules)),
            shares="\n".join(lines),
            network=_NETWORK if self._forwards is not None else "",
            wanted=shlex.join(self._modules),
            agent=shlex.quote(str(_AGENT)),
        )

    def _share(self, tag: str, directory: Path) -> list[str]:
        """Start the daemon that shares a directory, and wait for its socket. QEMU's arguments for it."""
        path = self._folder / tag
        cache = "always" if tag == "root" else "auto"
        options = ("-o", f"source={directory}", "-o", f"cache={cache}", "-o", "sandbox=chroot", "-o", "xattr")
        daemon = self._start("virtiofsd", [_virtiofsd(), f"--socket-path={path}", *options])
        give_up = time.monotonic() + 30
        while not path.exists():
            if daemon.poll() is not None or time.monotonic() > give_up:
                raise GuestError(f"{directory} cannot be shared.\n{self.console()}")
            time.sleep(0.01)
        return [
            "-chardev",
            f"socket,id={tag},path={path}",
            "-device",
            f"vhost-user-fs-pci,chardev={tag},tag={tag}",
        ]

    def _start(self, name: str, argv: Sequence[object]) -> subprocess.Popen[bytes]:
        """Start a process that dies with this one, whatever kills it."""
        with (self._folder / name).open("ab") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *map(str, argv)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._processes.append(process)
        _running.add(process)
        return process
