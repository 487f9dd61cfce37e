"""A volume's bytes become an image in any format, and are found again in it."""

import os
from pathlib import Path

import pytest

from pumice.backends.contract import no_progress
from pumice.host import qemu_img
from pumice.images.inspect import inspect_image
from pumice.model.errors import Invalid
from pumice.model.units import MIB

FORMATS = sorted(set(qemu_img.DRIVERS) - {"iso"})


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "device"
    path.write_bytes(os.urandom(MIB) + bytes(6 * MIB) + os.urandom(MIB))
    return path


@pytest.mark.parametrize("image_format", FORMATS)
async def test_what_is_exported_passes_the_inspection_and_holds_the_same_bytes(
    device: Path, tmp_path: Path, image_format: str
) -> None:
    image, back = tmp_path / "image", tmp_path / "back"
    told: list[float] = []
    await qemu_img.export(device, image, image_format, progress=told.append, timeout=60)
    found = inspect_image(image, image_format)
    assert (found.format, found.virtual_size) == (image_format, 8 * MIB)
    assert told[-1] == 1.0
    back.touch()
    os.truncate(back, 8 * MIB)
    await qemu_img.convert(
        image, image_format, back, virtual_size=8 * MIB, progress=no_progress, timeout=60, target_is_zero=True
    )
    assert back.read_bytes() == device.read_bytes()


@pytest.mark.parametrize("image_format", ["ploop", "iso", "qcow"])
async def test_a_format_that_cannot_be_written_is_refused(
    device: Path, tmp_path: Path, image_format: str
) -> None:
    with pytest.raises(Invalid, match=image_format):
        await qemu_img.export(device, tmp_path / "image", image_format, progress=no_progress, timeout=60)
    assert not (tmp_path / "image").exists()
