"""A disk that hangs in the kernel, for real: what waits for it cannot be killed, and costs its own pool alone.

A disk that is frozen (``FIFREEZE``) lets whoever writes to it sleep uninterruptibly until it is thawed; one
that a stopped process serves (FUSE), whoever reads what is not in memory.
"""

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.patience import PATIENCE, patience
from tests.trouble.disks import Disk, ServedDisk

from pumice.backends.contract import no_progress
from pumice.backends.files import FilesBackend
from pumice.host.thread import HANGS_SECONDS
from pumice.model.errors import Retryable
from pumice.model.ids import VolumeId, new_id
from pumice_installation import VOLUMES, Installation, state_directory

pytestmark = [pytest.mark.timeout(600)]
IN_HAND = (
    "SELECT state || '|' || json_extract(steps, '$[' || position || ']') FROM operations WHERE owner NOTNULL"
)
DEADLINE = 10.0
"""Seconds for a create: longer than a busy machine takes for one on the disk that is well."""


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
            pumice.make_types(*backends)
            yield pumice
        finally:
            pumice.close()


def test_a_disk_that_hangs_costs_itself_alone_and_heals(pumice: Installation, disk: Disk) -> None:
    def down() -> list[str]:
        found = pumice.call("GET", "/volume/v3/os-services")["services"]
        return [service["host"] for service in found if service["state"] != "up"]

    with disk.frozen():
        hung = [pumice.create(volume_type="sick") for _ in range(6)]
        well = pumice.create(volume_type="well")
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
    again = pumice.create(volume_type="sick")
    for volume in (*hung, again):
        pumice.becomes(f"{VOLUMES}/{again}", "volume", "available")
        pumice.call("DELETE", f"{VOLUMES}/{volume}")
    pumice.settle()
    assert pumice.violations() == []

    with disk.frozen():
        pumice.create(volume_type="sick")
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
        with pytest.raises(Retryable, match="has not come back"):
            await make("bad")
        assert not any(task.done() for task in hung)
    await asyncio.gather(*hung, return_exceptions=True)
    await make("bad")
