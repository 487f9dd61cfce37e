"""A Ceph of the tests' own, on one machine: a monitor, a manager and an OSD that keeps everything in memory.

All workers of a test run share one: the first that asks starts it, the last that lets go stops it. Each has a
pool of its own in it.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tests.patience import PATIENCE
from tests.ports import free_port

DAEMONS = ("mgr.x", "osd.0", "mon.a")
"""In the order in which they are stopped."""
_CONF = """\
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]
mon initial members = a
public addr = 127.0.0.1
keyring = {here}/keyring
run dir = {here}
admin socket = {here}/$name.$pid.asok
log file = {here}/$name.log
pid file = {here}/$name.pid
mon data = {here}/mon
mgr data = {here}/mgr
osd data = {here}/osd
mgr initial modules =
osd objectstore = memstore
memstore device bytes = 8589934592
osd memory target = 939524096
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon allow pool delete = true
mon data avail warn = 2
mon data avail crit = 1
# so that it is up in seconds, and an OSD that is stopped is missed in seconds
paxos propose interval = 0.05
paxos min wait = 0.01
mon tick interval = 1
mgr tick period = 1
mgr stats period = 1
"""
_CAPS = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *", "mgr": "allow *"},
    "mgr.x": {"mon": "allow profile mgr", "osd": "allow *", "mds": "allow *"},
    "osd.0": {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *"},
}


class CephCluster:
    """A cluster in a directory, which any process may look at by it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.conf = directory / "ceph.conf"
        self.keyring = directory / "keyring"
        """Also the administrator's: ``client.admin``."""

    def start(self) -> None:
        """Make it and have it run: it takes a few seconds, and answers then."""
        here = self.directory
        for part in ("mon", "mgr", "osd"):
            (here / part).mkdir()
        fsid = str(uuid.uuid4())
        self.conf.write_text(_CONF.format(fsid=fsid, here=here, v1=free_port(), v2=free_port()))
        for name, caps in _CAPS.items():
            given = [word for kind, cap in caps.items() for word in ("--cap", kind, cap)]
            new = [] if self.keyring.exists() else ["--create-keyring"]
            self.run("ceph-authtool", *new, str(self.keyring), "--gen-key", "-n", name, *given)
        address = f"[{self._addresses()}]"
        self.run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, str(here / "monmap"))
        keyring = ("--keyring", str(self.keyring))
        self.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", str(here / "monmap"), *keyring)
        self.run("ceph-mon", "-i", "a")
        self.ceph("auth", "import", "-i", str(self.keyring))
        self.run("ceph-mgr", "-i", "x")
        osd = str(uuid.uuid4())
        self.ceph("osd", "new", osd, "0")
        self.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self.run("ceph-osd", "-i", "0")

    def _addresses(self) -> str:
        [line] = [it for it in self.conf.read_text().splitlines() if it.startswith("mon host")]
        return line.partition("[")[2].rstrip("]")

    def make_pool(self, name: str) -> None:
        """An empty pool for images, of which the manager has heard."""
        self.ceph("osd", "pool", "create", name, "1")
        self.ceph("osd", "pool", "application", "enable", name, "rbd")
        give_up = time.monotonic() + PATIENCE
        while not self._has_room(name):
            assert time.monotonic() < give_up
            time.sleep(0.1)

    def _has_room(self, pool: str) -> bool:
        told = json.loads(self.ceph("df", "--format", "json"))["pools"]
        return any(it["name"] == pool and it["stats"]["max_avail"] for it in told)

    def empty(self, pool: str) -> None:
        """Forget everything that is in a pool."""
        self.run("rados", "purge", pool, "--yes-i-really-really-mean-it")

    def ceph(self, *argv: str) -> str:
        """A command of an administrator's; what it says."""
        return self.run("ceph", *argv)

    def rbd(self, *argv: str) -> str:
        """A command on images; what it says."""
        return self.run("rbd", *argv)

    def rados(self, *argv: str) -> str:
        """A command on objects; what it says."""
        return self.run("rados", *argv)

    def pid(self, daemon: str) -> int:
        """The process of one of the ``DAEMONS``."""
        return int((self.directory / f"{daemon}.pid").read_text())

    def send(self, daemon: str, what: signal.Signals) -> None:
        """Stop it as a machine that hangs is stopped, let it go on, or end it."""
        os.kill(self.pid(daemon), what)

    def stop(self) -> None:
        """End its processes, and wait until they have ended."""
        gateways = [file.stem for file in self.directory.glob("client.*.pid")]
        for daemon in (*gateways, *DAEMONS):
            self.end(daemon)

    def end(self, daemon: str) -> None:
        """End one, and wait until it has ended."""
        with suppress(FileNotFoundError, ProcessLookupError):
            process = self.pid(daemon)
            for signalled in (signal.SIGCONT, signal.SIGKILL):
                os.kill(process, signalled)
            give_up = time.monotonic() + PATIENCE
            while Path(f"/proc/{process}").exists() and not _is_zombie(process):
                assert time.monotonic() < give_up
                time.sleep(0.02)

    def run(self, *argv: str) -> str:
        """Any command that Ceph brings; what it says."""
        done = subprocess.run(
            argv,
            env=os.environ | {"CEPH_CONF": str(self.conf)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout


def _is_zombie(process: int) -> bool:
    """Whether its last thread has ended: until then its files are open and locked."""
    with suppress(FileNotFoundError, ProcessLookupError):
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "Z" and len(os.listdir(f"/proc/{process}/task")) == 1
    return True


@dataclass(frozen=True)
class CephPool:
    """A pool of a cluster."""

    cluster: CephCluster
    name: str

    def allocated(self, image: str) -> int:
        """The bytes that an image takes."""
        told = json.loads(self.cluster.rbd("du", "--format", "json", f"{self.name}/{image}"))
        return int(told["images"][0]["used_size"])


@contextmanager
def own_cluster(pool: str) -> Iterator[CephCluster]:
    """A cluster with one pool for a single user, who may break it."""
    cluster = CephCluster(Path(tempfile.mkdtemp(prefix="pumice-ceph-")))
    with (cluster.directory / "users").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        _ends_without(users, cluster)
        try:
            cluster.start()
            cluster.make_pool(pool)
            yield cluster
        finally:
            cluster.stop()
            shutil.rmtree(cluster.directory)


def _ends_without(users: TextIO, cluster: CephCluster) -> None:
    """See to it that nothing is left of a cluster when all who have a lock on a file were killed."""
    words = ["setsid", "--fork", "flock", users.name, "sh", "-c", _END, "sh", str(cluster.directory)]
    with open(os.devnull, "r+") as nowhere:
        subprocess.run(words, check=True, stdin=nowhere, stdout=nowhere, stderr=nowhere)


@contextmanager
def shared_cluster(run: Path) -> Iterator[CephCluster]:
    """The one cluster of a test run, whose workers have the directory ``run`` in common.

    Who uses it has a lock on a file. The last one stops it; where all were killed, a process does so that waits
    for nothing else.
    """
    note = run / "ceph"
    with (run / "ceph-users").open("w") as users:
        with _alone(run):
            fcntl.flock(users, fcntl.LOCK_SH)
            if not (note.exists() and Path(note.read_text()).exists()):
                cluster = CephCluster(Path(tempfile.mkdtemp(prefix="pumice-ceph-")))
                _ends_without(users, cluster)
                cluster.start()
                note.write_text(str(cluster.directory))
            cluster = CephCluster(Path(note.read_text()))
        try:
            yield cluster
        finally:
            with _alone(run):
                if _is_last(users):
                    cluster.stop()
                    shutil.rmtree(cluster.directory)
                    note.unlink()


_END = 'for file in "$1"/*.pid; do kill -9 "$(cat "$file")"; done; rm -rf "$1"'


def _is_last(users: TextIO) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _alone(run: Path) -> Iterator[None]:
    with (run / "ceph-turn").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield
