"""Logical volumes that servers of their own host open themselves: no target, no initiator, no session."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from reference_stack import volume_group

from pumice.backends.lvm import LvmBackend
from pumice.backends.lvm_group import VolumeGroup
from pumice.backends.lvm_thick import ThickLayout
from pumice.backends.lvm_thin import ThinLayout
from pumice.backends.targets.contract import Grant
from pumice.backends.targets.local import LocalTarget
from pumice.model.export import LocalDevice
from pumice.model.ids import AttachmentId, VolumeId, new_id
from pumice.model.units import GIB, MIB

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(900)]


@pytest.fixture(params=["thin", "thick"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LvmBackend]:
    with volume_group():
        group = VolumeGroup("vg", tmp_path / "lvm")
        yield LvmBackend(
            group, ThinLayout(group, "thin") if request.param == "thin" else ThickLayout(group, wipe="none")
        )


@pytest.mark.short
async def test_a_logical_volume_is_opened_where_it_is_and_grows_there(backend: LvmBackend) -> None:
    volume, target = VolumeId(new_id()), LocalTarget()
    grant = Grant(AttachmentId(new_id()), "here", "user", "")
    await backend.start()
    await backend.create(volume, "vg", 1)
    told = await target.grant(volume, await backend.device(volume, "vg"), grant)
    assert told == LocalDevice(f"/dev/vg/volume-{volume}", is_block=True)
    disk = os.open(told.path, os.O_RDWR | os.O_DIRECT)  # as QEMU opens it
    try:
        await backend.extend(volume, "vg", 2)
        await target.resize(volume, await backend.device(volume, "vg"))
        assert os.lseek(disk, 0, os.SEEK_END) == 2 * GIB
        assert dd(told.path, seek=2 * GIB - MIB) == 0
    finally:
        os.close(disk)
    await target.revoke(volume, grant)
    assert await target.grant(volume, await backend.device(volume, "vg"), grant) == told
    await backend.delete(volume, "vg")
    assert not Path(told.path).exists()


def dd(path: str, seek: int) -> int:
    """Write a MiB past the cache."""
    where = f"seek={seek // MIB}"
    return subprocess.run(
        ["dd", "if=/dev/zero", f"of={path}", "bs=1M", "count=1", where, "oflag=direct"]
    ).returncode
