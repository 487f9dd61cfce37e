"""The backends under test, each built from a name and a directory: so another process can build it as well."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import yaml
from tests.ceph_cluster import CephCluster, CephPool
from tests.drivers import toy_store
from tests.drivers.toy_store.store import ToyStore

from pumice import backends
from pumice.backends.contract import Backend
from pumice.backends.fake import FakeBackend
from pumice.backends.files import FilesBackend
from pumice.backends.lvm import LvmBackend
from pumice.backends.lvm_group import VolumeGroup
from pumice.backends.lvm_thick import ThickLayout
from pumice.backends.lvm_thin import ThinLayout
from pumice.backends.rbd import RbdBackend
from pumice.backends.rbd_images import Cluster

POOL = "pool"
DISK = Path("/dev/vda")
IN_A_GUEST = [
    pytest.mark.kernel,
    pytest.mark.timeout(900),
]


@contextmanager
def a_directory(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """For a backend that needs nothing else."""
    yield tmp_path / "pool"


@contextmanager
def on_xfs(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A directory whose files can share blocks."""
    yield request.getfixturevalue("xfs") / tmp_path.name


@contextmanager
def in_a_group(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A volume group without volumes."""
    request.getfixturevalue("volume_group")
    yield tmp_path / "lvm"
    lvm("lvremove", "--select", "lv_name=~^volume- || lv_name=~^snap-", POOL)


def an_lvm(directory: Path, *, thin: bool) -> LvmBackend:
    group = VolumeGroup(POOL, directory, devices=[str(DISK)])
    return LvmBackend(group, ThinLayout(group, "thin") if thin else ThickLayout(group))


@contextmanager
def in_ceph(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A pool without images, of a cluster that all tests share."""
    pool: CephPool = request.getfixturevalue("ceph_pool")
    (tmp_path / "pool").write_text(pool.name)
    (tmp_path / "cluster").write_text(str(pool.cluster.directory))
    yield tmp_path
    pool.cluster.empty(pool.name)


def an_rbd(directory: Path) -> RbdBackend:
    pool = ceph_pool_of(directory)
    cluster = Cluster(pool.cluster.conf, "admin", pool.cluster.keyring)
    return RbdBackend(cluster, {POOL: pool.name}, directory / "windows")


def ceph_pool_of(directory: Path) -> CephPool:
    """The pool that ``in_ceph`` has noted."""
    return CephPool(CephCluster(Path((directory / "cluster").read_text())), (directory / "pool").read_text())


@dataclass(frozen=True)
class Rig:
    """How a backend is tried."""

    build: Callable[[Path], Backend]
    """The backend anew, as a restarted process would build it, with what is around it."""
    place: Callable[[Path, pytest.FixtureRequest], AbstractContextManager[Path]] = a_directory
    """What it needs around it, empty."""
    marks: Sequence[pytest.MarkDecorator] = ()


RIGS = {
    "files": Rig(lambda directory: FilesBackend({POOL: directory})),
    "files-reflink": Rig(lambda directory: FilesBackend({POOL: directory}), on_xfs),
    "fake": Rig(lambda directory: FakeBackend((POOL,), directory=directory)),
    "fake-memory": Rig(lambda _: FakeBackend((POOL,))),
    "lvm-thin": Rig(partial(an_lvm, thin=True), in_a_group, IN_A_GUEST),
    "lvm-thick": Rig(partial(an_lvm, thin=False), in_a_group, [*IN_A_GUEST, pytest.mark.long]),
    "rbd": Rig(an_rbd, in_ceph, [pytest.mark.real]),
    "toy": Rig(lambda directory: ToyStore({POOL: directory})),
}
"""A driver's name, perhaps with the way in which it is set up behind a ``-``."""
KINDS = [pytest.param(kind, marks=rig.marks) for kind, rig in RIGS.items()]

CLAIMS: dict[str, dict[str, str]] = {}
"""What each driver says of each rule: ``holds``, or why it does not."""
for folder in (backends, toy_store):
    CLAIMS |= yaml.safe_load(Path(folder.__file__ or "").with_name("conformance.yaml").read_text())


def build(kind: str, directory: Path) -> Backend:
    """The backend anew, as a restarted process would build it."""
    return RIGS[kind].build(directory)


def has_xfs() -> bool:
    """Whether ``an_xfs`` can be had, as far as can be seen without one."""
    known = "xfs" in Path("/proc/filesystems").read_text().split() and Path("/dev/loop-control").exists()
    return known and os.geteuid() == 0 and shutil.which("mkfs.xfs") is not None


@contextmanager
def an_xfs(directory: Path) -> Iterator[Path]:
    """A file system with reflink, on a loop device."""
    if os.geteuid() != 0 or shutil.which("mkfs.xfs") is None:
        pytest.skip("a file system with reflink needs root and mkfs.xfs (package xfsprogs)")
    disk, mountpoint = directory / "disk", directory / "mounted"
    mountpoint.mkdir()
    disk.touch()
    os.truncate(disk, 1024**3)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", disk], check=True)
    if subprocess.run(["mount", "-o", "loop", disk, mountpoint], check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let the test mount a loop device")
    try:
        yield mountpoint
    finally:  # lazily: a process of another test that was forked meanwhile may hold it for a moment
        subprocess.run(["umount", "--lazy", mountpoint], check=True)


@contextmanager
def a_volume_group() -> Iterator[None]:
    """A group with a thin pool on the disk; the rest of it is for thick volumes."""
    lvm("vgcreate", POOL, str(DISK))
    lvm("lvcreate", "--type", "thin-pool", "--size", "20G", "--name", "thin", POOL)
    yield
    lvm("vgremove", "--force", POOL)


def lvm(*argv: str) -> str:
    """A command of LVM; what it says."""
    env = os.environ | {"LVM_SUPPRESS_FD_WARNINGS": "1"}
    done = subprocess.run([*argv, "--yes"], env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout


_CHILD = """
import asyncio, sys, time
from pathlib import Path
from backend_rigs import POOL, build
from pumice.backends.contract import ImageFile

def hang(done):
    print("told", done, flush=True)
    time.sleep(600)  # holds the event loop: what was begun is never finished

async def main(kind, directory, verb, wanted, source):
    backend = build(kind, Path(directory))
    await backend.start()
    if verb == "clone":
        await backend.create_from_volume(wanted, POOL, 1, source, POOL, hang)
    elif verb == "snapshot":
        await backend.create_snapshot(wanted, source, POOL, hang)
    else:
        await backend.create_from_image(wanted, POOL, 1, ImageFile(Path(source), "raw", 1024**2), hang)

asyncio.run(main(*sys.argv[1:]))
"""


def killed_while(kind: str, directory: Path, verb: str, wanted: str, source: str) -> None:
    """Make one call in a process of its own, and kill -9 it when the call tells its first progress."""
    env = os.environ | {"PYTHONPATH": ":".join(sys.path)}
    argv = [sys.executable, "-c", _CHILD, kind, str(directory), verb, wanted, source]
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        told = any(line.startswith(b"told ") for line in child.stdout)  # among lines of the log
        assert told, "the call ended before it told any progress"
        child.kill()
