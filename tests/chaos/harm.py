"""What can be done to a world: every way in which a part of it is hurt, and healed again."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from tests.chaos.network import HUB
from tests.chaos.world import PATIENCE, POOLS, World, send


class Harm:
    """Does it. When, to whom and for how long is decided by ``nemesis``."""

    def __init__(self, world: World) -> None:
        self.world = world

    def kill_worker(self, number: int) -> None:
        """kill -9 of one of the API's workers.

        Of the version before also of their keeper, which tries for ever to start another on the new schema.
        """
        if "api" in self.world.old:
            self.world.kill("api")
        elif workers := self._family(self.world.pid("api"))[1:]:
            send(workers[number % len(workers)], signal.SIGKILL)

    def kill_daemon(self, host: str) -> None:
        """kill -9 of a host's tgtd or libvirtd."""
        if pid := self.world.daemon(host).pid():
            send(pid, signal.SIGKILL)

    def kill_guest(self, process: int) -> None:
        """kill -9 of one QEMU."""
        send(process, signal.SIGKILL)

    def stop_postgres(self, *, immediate: bool) -> None:
        """Stop PostgreSQL at once, or with kill -9."""
        self.world.postgres.stop(signal.SIGQUIT if immediate else signal.SIGKILL)

    def pause(self, victim: str) -> list[int]:
        """SIGSTOP a process of ours, ``postgres``, ``QEMU``, or as in ``tgtd of volume1``. What was stopped."""
        world = self.world
        kind, _, host = victim.partition(" of ")
        if kind in ("tgtd", "libvirtd"):
            processes = [pid] if (pid := world.daemon(host).pid()) else []
        elif kind == "QEMU":
            processes = list(world.guests().values())
        else:
            processes = self._family(world.postgres.pid() if kind == "postgres" else world.pid(kind))
        for process in processes:
            send(process, signal.SIGSTOP)
        world.paused.update(processes)
        return processes

    def go_on(self, processes: Iterable[int]) -> None:
        """SIGCONT."""
        for process in processes:
            send(process, signal.SIGCONT)
            self.world.paused.discard(process)

    def _family(self, process: int | None) -> list[int]:
        """A process and its children."""
        if process is None:
            return []
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{process}/task/{process}/children").read_text()
            return [process, *map(int, children.split())]
        return [process]

    def lose_power(self, host: str) -> None:
        """All that runs there is gone without a word: whoever was connected to it does not hear of its end."""
        world = self.world
        for other in {HUB, *world.hosts} - {host}:
            world.network.cut(host, other)
        for process in self._processes_at(host):
            send(process, signal.SIGKILL)
        inside = world.network.inside(host)
        subprocess.run([*inside, "ss", "--kill", "--tcp"], check=True, capture_output=True)  # or FINs follow
        world.processes[host].wait(PATIENCE)

    def power_up(self, host: str) -> None:
        """It is back, as its disk was."""
        for other in {HUB, *self.world.hosts} - {host}:
            self.world.network.repair(host, other)

    def _processes_at(self, host: str) -> list[int]:
        """Every process in a host's namespace, which must be another than this machine's."""
        space = self.world.network.space(host)
        found = []
        for link in Path("/proc").glob("[0-9]*/ns/net"):
            with contextlib.suppress(OSError):
                if link.stat().st_ino == space:
                    found.append(int(link.parts[2]))
        assert os.getpid() not in found
        return found

    def fill(self, disk: Path) -> None:
        """Use up all space of a disk."""
        with contextlib.suppress(OSError), (disk / "filler").open("ab") as filler:
            while True:
                filler.write(bytes(4 * 1024 * 1024))
                filler.flush()

    def empty(self, disk: Path) -> None:
        """Give the space back."""
        (disk / "filler").unlink(missing_ok=True)

    def freeze(self, disk: Path, seconds: float) -> None:
        """Whatever writes to a disk hangs in the kernel. It is thawed whatever becomes of this process."""
        script = 'fsfreeze -f "$0"; sleep "$1"; fsfreeze -u "$0"'
        subprocess.run(["setsid", "sh", "-c", script, disk, str(seconds)], check=False, capture_output=True)

    def set_read_only(self, victim: str, seconds: float) -> bool:
        """A disk turns read-only under everybody; what has a file of it open for writing dies of it."""
        give_up = time.monotonic() + seconds
        while subprocess.run(self._remount(victim, "ro"), check=False, capture_output=True).returncode:
            if time.monotonic() > give_up:
                return False
            self.kill_daemon(victim.split()[-1])
            time.sleep(0.02)
        return True

    def set_writable(self, victim: str) -> None:
        """It is as before."""
        subprocess.run(self._remount(victim, "rw"), check=True, capture_output=True)

    def _remount(self, victim: str, how: str) -> list[str]:
        return ["mount", "-o", f"remount,{how}", str(self.world.disk(victim))]

    def restore_state(self, host: str) -> None:
        """A host's state directory is as it was in the beginning; its pools stay, and nothing of it runs."""
        state, kept = self.world.directory / host, self.world.kept_state(host)
        for path in state.iterdir():
            if path not in self.world.pools(host):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for path in kept.iterdir():
            if path.name not in POOLS.values():
                subprocess.run(["cp", "-a", path, state], check=True, capture_output=True)
