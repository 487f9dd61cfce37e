"""A Debian 12 of its own, with systemd as its first process, and nothing of this checkout in it.

    with CleanRoot(["python3-venv"], binds=[wheels]) as machine:
        machine.run("systemctl start pumice")

Its files are made by mmdebstrap from Debian's packages, which are kept in ``.cache/clean-root``; it runs on
this machine's kernel in namespaces of its own (systemd-nspawn), as root, with no interface but loopback.
What it writes goes with it.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

CACHE = Path(__file__).parents[2] / ".cache" / "clean-root"
_INIT = ("systemd", "systemd-sysv", "dbus")
_PATIENCE = 300.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CGROUPS = Path("/sys/fs/cgroup")
_SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
"""Where this machine has Debian's packages from: so has the clean one."""
_DAYS_KEPT = 7


def why_not() -> str | None:
    """What this machine lacks to make one; None when nothing is missing."""
    if os.geteuid() != 0:
        return "making a root directory needs root"
    if lacking := [it for it in ("mmdebstrap", "systemd-nspawn") if shutil.which(it) is None]:
        return f"needs {' and '.join(lacking)}: scripts/setup wheel"
    return None


class CleanRoot:
    """One, from ``__enter__`` to ``__exit__``. ``binds``: directories that it sees, read-only."""

    def __init__(self, packages: Sequence[str], *, binds: Sequence[Path] = ()) -> None:
        self._packages = sorted({*packages, *_INIT})
        self._binds = binds

    def __enter__(self) -> "CleanRoot":
        self._folder = Path(tempfile.mkdtemp(prefix="pumice-clean-root-"))
        self.root = self._folder / "root"
        self._group = f"pumice-clean-root-{os.getpid()}"
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._first = 0
        try:
            self.root.mkdir()
            subprocess.run(["tar", "-x", "-f", _archive(self._packages), "-C", self.root], check=True)
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
        """Pull the plug, and remove every file."""
        if self._nspawn is not None:
            if self._first:
                os.kill(self._first, signal.SIGKILL)  # all others die with it
            self._nspawn.kill()
            self._nspawn.wait()
        for hierarchy in self._hierarchies():
            _remove_group(hierarchy / self._group)
        shutil.rmtree(self._folder)

    def run(
        self, command: str, *, seconds: float = _PATIENCE, ok: bool = True, env: Mapping[str, str] | None = None
    ) -> str:
        """What a shell command of root prints there. With ``ok``, an ``AssertionError`` if it fails."""
        words = [f"{name}={value}" for name, value in (env or {}).items()]
        inside = ["nsenter", "--all", "--wdns=/", "--target", str(self._first), "env", "-i"]
        inside += [f"PATH={_PATH}", "HOME=/root", "LC_ALL=C.UTF-8", *words, "sh", "-c", command]
        done = subprocess.run(inside, capture_output=True, text=True, check=False, timeout=seconds)
        assert done.returncode == 0 or not ok, f"{command}\n{done.stdout}{done.stderr}\n{self._log()}"
        return done.stdout

    def wait(self, done: Callable[[], bool], otherwise: str, seconds: float = _PATIENCE) -> None:
        """Until something is so."""
        give_up = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < give_up, f"{otherwise}\n{self._log()}"
            time.sleep(0.2)

    def processes(self) -> list[str]:
        """The command line of every process there."""
        return self.run("ps -eo args=").splitlines()

    def _log(self) -> str:
        if self._nspawn is None or self._nspawn.poll() is not None:
            return self.console()
        reading = ["nsenter", "--all", "--target", str(self._first), "journalctl", "-n", "60", "--no-pager"]
        return subprocess.run(reading, capture_output=True, text=True, check=False, timeout=60).stdout

    def console(self) -> str:
        """What systemd said as it booted."""
        return (self._folder / "console").read_text(errors="replace")[-4000:]

    # --- boot ----------------------------------------------------------------------------------------

    def _boot(self) -> None:
        words = ["systemd-nspawn", "--quiet", "--boot", "--private-network", f"--directory={self.root}"]
        words += [f"--bind-ro={path}" for path in self._binds]
        # Where no systemd runs this machine, nobody registers it nor gives it a control group: it has ours.
        words += ["--register=no"] + ([] if Path("/run/systemd/system").is_dir() else ["--keep-unit"])
        for hierarchy in self._hierarchies():
            (hierarchy / self._group).mkdir()
        enter = "for it; do echo $$ >$it/cgroup.procs; done"
        groups = [str(hierarchy / self._group) for hierarchy in self._hierarchies()]
        with (self._folder / "console").open("wb") as console:
            self._nspawn = subprocess.Popen(
                [
                    "setpriv",
                    "--pdeathsig",
                    "KILL",
                    "sh",
                    "-c",
                    f"{enter}; exec {' '.join(words)}",
                    "sh",
                    *groups,
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        give_up = time.monotonic() + _PATIENCE
        while not self._is_up():
            assert self._nspawn.poll() is None and time.monotonic() < give_up, self.console()
            time.sleep(0.1)

    def _is_up(self) -> bool:
        assert self._nspawn is not None
        for child in Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split():
            if Path(f"/proc/{child}/root/run/systemd/private").exists():
                self._first = int(child)
        return bool(self._first) and self.run("systemctl is-system-running --wait", ok=False) in {
            "running\n",
            "degraded\n",
        }

    def _hierarchies(self) -> list[Path]:
        """Where its control group is made: the unified hierarchy, or on older machines also systemd's own."""
        if Path("/run/systemd/system").is_dir():
            return []
        found = [it for it in (_CGROUPS / "systemd", _CGROUPS / "unified") if it.is_dir()]
        return found or [_CGROUPS]


def _archive(packages: Sequence[str]) -> Path:
    """A root directory with these packages, as a tar file, no older than a week."""
    kept = CACHE / f"{hashlib.sha256(' '.join(packages).encode()).hexdigest()[:12]}.tar"
    if not kept.exists() or time.time() - kept.stat().st_mtime > _DAYS_KEPT * 86400:
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as making:
            made = Path(making) / "root.tar"
            sources = next(path for path in _SOURCES if path.exists())
            words = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}"]
            subprocess.run([*words, "bookworm", made, sources], check=True, timeout=1200)
            made.replace(kept)
    return kept


def _remove_group(group: Path) -> None:
    """A control group and those within; the processes of it are dead, or die."""
    for path, _, _ in os.walk(group, topdown=False):
        give_up = time.monotonic() + 10
        while Path(path).exists():
            try:
                Path(path).rmdir()
            except OSError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.05)
