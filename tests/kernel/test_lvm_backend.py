"""What only LVM has: the group's limits, the thin pool, wiping, and commands that outlive their process."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.in_full import says
from tests.patience import patience

from pumice.backends.contract import no_progress
from pumice.backends.lvm import LvmBackend
from pumice.backends.lvm_group import VolumeGroup
from pumice.backends.lvm_thick import ThickLayout, Wipe
from pumice.backends.lvm_thin import ThinLayout
from pumice.model.errors import Misconfigured, NotFound, Retryable, TryAnotherBackend
from pumice.model.ids import VolumeId, new_id
from pumice.model.stored import StoredObject
from pumice.model.units import GIB, MIB

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.timeout(900),
]
DISK = Path("/dev/vdb")
MARK = b"what a tenant has deleted"


def lvm(*argv: str) -> str:
    done = subprocess.run([*argv, "--yes"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def group(tmp_path: Path) -> Iterator[VolumeGroup]:
    """A group on the first disk, which is full of what others have deleted."""
    with DISK.open("r+b") as disk:
        for offset in range(0, 6 * GIB, 64 * MIB):
            disk.seek(offset)
            disk.write(MARK)
    lvm("vgcreate", "vg", str(DISK))
    yield VolumeGroup("vg", tmp_path / "lvm")
    lvm("vgremove", "--force", "vg")


def thin(group: VolumeGroup) -> LvmBackend:
    return LvmBackend(group, ThinLayout(group, "thin"))


def thick(group: VolumeGroup, wipe: Wipe = "zero", mib_per_second: float | None = None) -> LvmBackend:
    return LvmBackend(group, ThickLayout(group, wipe=wipe, mib_per_second=mib_per_second))


def holds(device: Path, wanted: bytes = MARK) -> bool:
    """Whether the words begin any MiB: all that is written here does, and extents are whole MiB."""
    with device.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        return any(os.pread(file.fileno(), 4096, offset).startswith(wanted) for offset in range(0, size, MIB))


async def test_a_thin_pool_is_made_watched_and_told_of(group: VolumeGroup) -> None:
    backend = thin(group)
    await backend.start()
    await backend.start()
    [pool] = await backend.pools()
    assert (pool.name, pool.thin) == ("vg", True)
    assert 5 < pool.total_gb < 6 and pool.free_gb == pool.total_gb
    assert pool.capabilities["data_percent"] == 0 and 0 < float(str(pool.capabilities["metadata_percent"])) < 50
    assert (pool.capabilities["autoextend_threshold"], pool.capabilities["autoextend_percent"]) == (80, 20)
    volume = VolumeId(new_id())
    await backend.create(volume, "vg", 50)
    with (await backend.device(volume, "vg")).open("r+b") as device:
        device.write(bytes(600 * MIB))
    [pool] = await backend.pools()
    assert float(str(pool.capabilities["data_percent"])) > 9 and pool.free_gb < pool.total_gb - 0.5


@pytest.mark.short
async def test_a_pool_that_serves_old_bytes_is_refused(group: VolumeGroup) -> None:
    lvm("lvcreate", "--type", "thin-pool", "--size", "1G", "--zero", "n", "--name", "thin", "vg")
    with pytest.raises(Misconfigured, match="lvchange --zero y vg/thin"):
        await thin(group).start()


async def test_a_volume_of_that_name_is_not_taken_for_a_pool(group: VolumeGroup) -> None:
    lvm("lvcreate", "--size", "1G", "--name", "thin", "vg")
    with pytest.raises(Misconfigured, match="no thin pool"):
        await thin(group).start()


async def test_a_group_that_is_not_there_is_a_setting_to_repair(tmp_path: Path) -> None:
    for devices in ([], ["/dev/vdc"]):
        with pytest.raises(Misconfigured, match="There is no volume group 'absent'"):
            await thick(VolumeGroup("absent", tmp_path / "lvm", devices=devices)).start()


async def test_a_group_that_comes_later_is_found_and_no_other_is_seen_meanwhile(tmp_path: Path) -> None:
    backend = thick(VolumeGroup("late", tmp_path / "late"))
    with pytest.raises(Misconfigured):
        await backend.start()
    with pytest.raises(Misconfigured):
        await backend.pools()
    lvm("vgcreate", "late", "/dev/vdc")
    try:
        [pool] = await backend.pools()
        assert 0.9 < pool.total_gb <= 1
        assert "a|^/dev/vdc$|" in (tmp_path / "late" / "lvm.conf").read_text()
    finally:
        lvm("vgremove", "--force", "late")


@pytest.mark.short
async def test_of_two_groups_with_one_name_none_is_chosen(group: VolumeGroup, tmp_path: Path) -> None:
    lvm("vgcreate", "--devices", "/dev/vdc", "other", "/dev/vdc")
    try:
        lvm("vgrename", "--devices", "/dev/vdc", "other", "vg")
        with pytest.raises(Misconfigured, match="More than one volume group is called 'vg'"):
            await thick(group).start()
        named = thick(VolumeGroup("vg", tmp_path / "named", devices=[str(DISK)]))
        await named.start()
        [pool] = await named.pools()
        assert pool.total_gb > 5
    finally:
        lvm("vgremove", "--force", "--devices", "/dev/vdc", "vg")


async def test_other_groups_of_the_host_are_not_even_seen(group: VolumeGroup, tmp_path: Path) -> None:
    await thick(group).start()
    lvm("vgcreate", "hosts-own", "/dev/vdd")
    try:
        seen = lvm("env", f"LVM_SYSTEM_DIR={tmp_path / 'lvm'}", "vgs", "--noheadings", "-o", "vg_name")
        assert seen.split() == ["vg"]
    finally:
        lvm("vgremove", "hosts-own")


@pytest.mark.short
async def test_a_full_group_sends_elsewhere_and_keeps_nothing(group: VolumeGroup) -> None:
    backend = thick(group)
    await backend.start()
    source = VolumeId(new_id())
    await backend.create(source, "vg", 3)
    with pytest.raises(TryAnotherBackend, match="is full"):
        await backend.create(VolumeId(new_id()), "vg", 4)
    with pytest.raises(TryAnotherBackend, match="is full"):
        await backend.create_from_volume(VolumeId(new_id()), "vg", 3, source, "vg", no_progress)
    with pytest.raises(TryAnotherBackend, match="is full"):
        await backend.extend(source, "vg", 7)
    inventory = await backend.inventory()
    assert inventory.volumes == {source} and not inventory.leftovers


@pytest.mark.short
async def test_a_volume_in_use_is_not_deleted_but_trouble(group: VolumeGroup) -> None:
    backend = thin(group)
    await backend.start()
    volume = VolumeId(new_id())
    await backend.create(volume, "vg", 1)
    with (await backend.device(volume, "vg")).open("rb"), pytest.raises(Retryable, check=says("in use")):
        await backend.delete(volume, "vg")
    await backend.delete(volume, "vg")


async def test_a_volume_that_is_not_active_is_activated_when_it_is_asked_for(group: VolumeGroup) -> None:
    backend = thin(group)
    await backend.start()
    volume = VolumeId(new_id())
    await backend.create(volume, "vg", 1)
    lvm("vgchange", "--activate", "n", "vg")
    assert (await backend.device(volume, "vg")).is_block_device()


@pytest.mark.short
async def test_a_thick_volume_shows_nothing_of_what_was_there_before(group: VolumeGroup) -> None:
    backend = thick(group, wipe="none")
    await backend.start()
    volume = VolumeId(new_id())
    await backend.create(volume, "vg", 1)
    await backend.extend(volume, "vg", 3)
    assert not holds(await backend.device(volume, "vg"))


@pytest.mark.long
@pytest.mark.parametrize("wipe", ["zero", "none"])
async def test_what_deleting_wipes_is_gone_from_the_disk(group: VolumeGroup, wipe: Wipe) -> None:
    backend = thick(group, wipe=wipe)
    await backend.start()
    volume = VolumeId(new_id())
    await backend.create(volume, "vg", 5)
    with (await backend.device(volume, "vg")).open("r+b") as device:
        device.seek(2 * GIB)
        device.write(b"a secret of this very tenant")
    await backend.delete(volume, "vg")
    assert holds(DISK, b"a secret of this very tenant") == (wipe == "none")


_CHILD = """
import asyncio, sys
from pathlib import Path
from pumice.backends.lvm import LvmBackend
from pumice.backends.lvm_group import VolumeGroup
from pumice.backends.lvm_thick import ThickLayout

async def main(verb, directory, volume, rate):
    group = VolumeGroup("vg", Path(directory))
    backend = LvmBackend(group, ThickLayout(group, mib_per_second=float(rate)))
    await backend.start()
    await (backend.delete(volume, "vg") if verb == "delete" else backend.extend(volume, "vg", 3))

asyncio.run(main(*sys.argv[1:]))
"""


async def killed_when(condition: str, verb: str, tmp_path: Path, volume: VolumeId, rate: float) -> None:
    """Run one call in a process of its own, and kill -9 that when ``lvs`` shows what ``condition`` selects."""
    argv = [sys.executable, "-c", _CHILD, verb, str(tmp_path / "lvm"), volume, str(rate)]
    child = await asyncio.create_subprocess_exec(*argv)
    async with patience():
        while not lvm("lvs", "--noheadings", "--select", condition, "vg").strip():
            assert child.returncode is None, "the call ended before it could be killed"
            await asyncio.sleep(0.05)
    child.kill()
    await child.wait()


async def test_a_wipe_that_was_killed_goes_on_where_it_was(group: VolumeGroup, tmp_path: Path) -> None:
    backend = thick(group)
    await backend.start()
    volume = VolumeId(new_id())
    await backend.create(volume, "vg", 2)
    shrunk = 'lv_name=~"gone$" && lv_size<2g'
    await killed_when(shrunk, "delete", tmp_path, volume, rate=128)
    inventory = await backend.inventory()
    assert inventory.pieces == {StoredObject("volume", volume, "vg", whole=False)}
    with pytest.raises(NotFound):
        await backend.device(volume, "vg")
    await backend.delete(volume, "vg")
    assert not (await backend.inventory()).leftovers
    assert not lvm("lvs", "--noheadings", "vg").strip()


async def test_an_extension_that_was_killed_shows_nothing_old_when_it_is_repeated(
    group: VolumeGroup, tmp_path: Path
) -> None:
    backend = thick(group)
    await backend.start()
    volume = VolumeId(new_id())
    await backend.create(volume, "vg", 1)
    await killed_when("lv_size=3g", "extend", tmp_path, volume, rate=16)
    assert holds(await backend.device(volume, "vg")), "it was killed too late to show anything"
    await backend.extend(volume, "vg", 3)
    assert not holds(await backend.device(volume, "vg"))
    assert lvm("lvs", "--noheadings", "-o", "lv_tags", "vg").strip() == ""


@pytest.mark.short
async def test_a_command_of_a_killed_process_runs_out_and_the_next_one_waits_for_it(
    group: VolumeGroup, tmp_path: Path
) -> None:
    await group.configure()
    code = """
import asyncio, sys
from pathlib import Path
from pumice.backends.lvm_group import VolumeGroup
group = VolumeGroup("vg", Path(sys.argv[1]))
asyncio.run(group.change("sh", "-c", "touch $0; sleep 3; touch $0.done", sys.argv[2]))
"""
    begun = tmp_path / "begun"
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(tmp_path / "lvm"), str(begun))
    async with patience():
        while not begun.exists():
            await asyncio.sleep(0.02)
    child.kill()
    await child.wait()
    assert not Path(f"{begun}.done").exists()
    await group.change("vgck", "vg")
    assert Path(f"{begun}.done").exists()
