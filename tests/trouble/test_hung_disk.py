"""A disk that hangs in the kernel, for real: what waits for it cannot be killed, and costs its own pool alone.

A disk that is frozen (``FIFREEZE``) lets whoever writes to it sleep uninterruptibly until it is thawed; one
that a stopped process serves (FUSE), whoever reads what is not in memory.
"""

import asyncio
import contextlib
import fcntl
import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.patience import PATIENCE, patience

from pumice.backends.contract import no_progress
from pumice.backends.files import FilesBackend
from pumice.host.thread import HANGS_SECONDS
from pumice.model.errors import Retryable
from pumice.model.ids import VolumeId, new_id
from pumice_installation import VOLUMES, Installation, state_directory

pytestmark = [pytest.mark.timeout(600)]
FIFREEZE, FITHAW = 0xC0045877, 0xC0045878
IN_HAND = (
    "SELECT state || '|' || json_extract(steps, '$[' || position || ']') FROM operations WHERE owner NOTNULL"
)
DEADLINE = 10.0
"""Seconds for a create: longer than a busy machine takes for one on the disk that is well."""


class Disk:
    """A file system of its own."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "mounted"
        self.path.mkdir(parents=True)
        self.image = self._image(directory)
        subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", self.image], check=True)
        if self._mount():
            self._unmake()
            pytest.skip("this machine does not let the test mount a loop device")

    def _image(self, directory: Path) -> Path:
        image = directory / "disk"
        image.touch()
        os.truncate(image, 8 * 1024**3)
        return image

    def _mount(self) -> int:
        return subprocess.run(["mount", "-o", "loop", self.image, self.path], capture_output=True).returncode

    def _unmake(self) -> None:
        """Its image is not needed any more."""

    def forget(self) -> None:
        """Nothing of it is in memory."""
        subprocess.run(["umount", self.path], check=True)
        assert self._mount() == 0

    def _ask(self, what: int) -> None:
        directory = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, what, 0)
        finally:
            os.close(directory)

    def freeze(self) -> str:
        """It hangs from now on. The command that ends it."""
        self._ask(FIFREEZE)
        return f"fsfreeze -u {self.path}"

    def thaw(self) -> None:
        """It does not hang any more."""
        with contextlib.suppress(OSError):  # the guard has
            self._ask(FITHAW)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        thaw = f"sleep {2 * PATIENCE}; {self.freeze()}"  # whatever becomes of this test
        guard = subprocess.Popen(["sh", "-c", thaw], stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            yield
        finally:
            os.killpg(guard.pid, signal.SIGKILL)
            guard.wait()
            self.thaw()

    def close(self) -> None:
        subprocess.run(["umount", "-l", self.path], check=True)
        self._unmake()


class ServedDisk(Disk):
    """A disk whose bytes a process serves to the kernel: none come while it is stopped."""

    def _image(self, directory: Path) -> Path:
        kept, served = super()._image(directory), directory / "served"
        served.touch()
        options = {
            "--blockdev": f"driver=file,node-name=kept,filename={kept}",
            "--export": f"type=fuse,id=served,node-name=kept,mountpoint={served},writable=on",
        }
        self.server = subprocess.Popen(["qemu-storage-daemon", *itertools.chain(*options.items())])
        give_up = time.monotonic() + PATIENCE
        while not os.path.ismount(served):
            assert self.server.poll() is None and time.monotonic() < give_up, "it is not served"
            time.sleep(0.01)
        return served

    def _unmake(self) -> None:
        self.server.terminate()
        self.server.wait(PATIENCE)

    def freeze(self) -> str:
        self.server.send_signal(signal.SIGSTOP)
        return f"kill -CONT {self.server.pid}"

    def thaw(self) -> None:
        self.server.send_signal(signal.SIGCONT)


@pytest.fixture
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Disk]:
    if os.geteuid() != 0:
        pytest.skip("freezing a disk needs root")
    disk = getattr(request, "param", Disk)(tmp_path / "disk")
    yield disk
    disk.close()


@pytest.fixture
def pumice(disk: Disk, tmp_path: Path) -> Iterator[Installation]:
    (tmp_path / "well").mkdir()
    backends = {
        "sick": {"pools": {"bad": str(disk.path)}},
        "well": {"pools": {"well": str(tmp_path / "well")}},
    }
    settings = {
        "PUMICE_BACKENDS": json.dumps({name: it | {"target": "fake"} for name, it in backends.items()}),
        "PUMICE_COMPUTE__DRIVER": "none",
        "PUMICE_OPERATIONS__DEADLINES": json.dumps({"volume.create": DEADLINE}),
    }
    with state_directory() as state:
        pumice = Installation(state, **settings)
        pumice.launch("serve")
        try:
            pumice.log_in()
            pools = "/volume/v3/scheduler-stats/get_pools"
            pumice.wait(lambda: len(pumice.call("GET", pools)["pools"]) == 2, "its pools do not come up")
            for name in backends:
                made = pumice.call("POST", "/volume/v3/types", {"volume_type": {"name": name}})["volume_type"]
                specs = {"extra_specs": {"volume_backend_name": name}}
                pumice.call("POST", f"/volume/v3/types/{made['id']}/extra_specs", specs)
            yield pumice
        finally:
            pumice.close()


def create(pumice: Installation, kind: str) -> str:
    asked = {"volume": {"size": 1, "volume_type": kind}}
    return str(pumice.call("POST", VOLUMES, asked)["volume"]["id"])


def test_a_disk_that_hangs_costs_itself_alone_and_heals(pumice: Installation, disk: Disk) -> None:
    def down() -> list[str]:
        found = pumice.call("GET", "/volume/v3/os-services")["services"]
        return [service["host"] for service in found if service["state"] != "up"]

    with disk.frozen():
        hung = [create(pumice, "sick") for _ in range(6)]
        well = create(pumice, "well")
        pumice.becomes(f"{VOLUMES}/{well}", "volume", "available")
        for volume in hung:
            pumice.becomes(f"{VOLUMES}/{volume}", "volume", "error")
        assert set(down()) <= {"here@sick"}, "what hangs there makes nothing else silent"
        leases = "SELECT count(*) FROM operations WHERE state != 'done' AND lease_until IS NOT NULL"
        pumice.wait(lambda: pumice.rows(leases) == ["0"], "a lease does not end")
        doctor = pumice.command("doctor", "--json").stdout
        assert "'make_bytes' at volume:here@sick since" in doctor and f"{disk.path} hangs" in doctor
        metrics = httpx.get(f"http://127.0.0.1:{pumice.watched}/metrics").text
        assert 'pumice_hanging_seconds{place="volume:here@sick"}' in metrics
        pumice.call("DELETE", f"{VOLUMES}/{well}")
        pumice.becomes(f"{VOLUMES}/{well}", "volume", "gone")
    pumice.settle()
    assert pumice.rows("SELECT * FROM hanging_calls") == []
    pumice.wait(lambda: down() == [], "it is not up again")
    again = create(pumice, "sick")
    for volume in (*hung, again):
        pumice.becomes(f"{VOLUMES}/{again}", "volume", "available")
        pumice.call("DELETE", f"{VOLUMES}/{volume}")
    pumice.settle()
    assert pumice.violations() == []

    with disk.frozen():
        create(pumice, "sick")
        pumice.wait(lambda: "running|make_bytes" in pumice.rows(IN_HAND), "it is not begun")
        process = pumice.processes["serve"]
        process.send_signal(signal.SIGTERM)
        pumice.wait(lambda: "stopped.with_calls_that_hang" in pumice.log("serve"), "it does not stop")
        pumice.wait(lambda: not pumice.answers(), "it still answers")
    assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("disk", [Disk, ServedDisk], indirect=True, ids=["for writes", "for reads"])
async def test_a_pool_that_hangs_leaves_the_backends_others_alone(disk: Disk, tmp_path: Path) -> None:
    backend = FilesBackend({"bad": disk.path, "well": tmp_path / "well"})
    await backend.start()
    source = VolumeId(new_id())
    await backend.create(source, "bad", 1)
    (disk.path / "volumes" / source).write_bytes(b"all of it")
    disk.forget()

    async def make(pool: str) -> None:
        made = VolumeId(new_id())
        if pool == "bad" and isinstance(disk, ServedDisk):
            await backend.create_from_volume(made, pool, 1, source, pool, no_progress)
        else:
            await backend.create(made, pool, 1)

    with disk.frozen():
        hung = [asyncio.create_task(make("bad")) for _ in range(12)]
        await asyncio.sleep(0.1)
        for task in hung:
            task.cancel()
        async with patience():
            for _ in range(3):
                await make("well")
            assert {pool.name for pool in await backend.pools()} == {"bad", "well"}
        await asyncio.sleep(HANGS_SECONDS)
        with pytest.raises(Retryable, match="hangs"):
            await make("bad")
        assert not any(task.done() for task in hung)
    await asyncio.gather(*hung, return_exceptions=True)
    await make("bad")
