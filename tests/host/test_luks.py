"""LUKS by qemu-img: what is written through a key can be read through it, and in no other way."""

import os
import subprocess
from pathlib import Path

import pytest

from pumice.backends.contract import no_progress
from pumice.host import luks, qemu_img
from pumice.model.errors import ImageRefused
from pumice.model.units import MIB

KEY = luks.Key("0123456789abcdef" * 4)
SIZE = 64 * MIB
"""Of a device and an image: to decrypt a GiB takes seconds of a processor."""
DATA = b"what nobody may read " * 10_000


def opened(device: Path, key: luks.Key, into: Path) -> int:
    """Decrypt a device with QEMU, as a guest's host does; qemu-img's exit code."""
    argv = ["qemu-img", "convert", *luks.SECRET_WORDS, "--image-opts"]
    argv += [f"driver=luks,key-secret=luks,file.filename={device}", "-O", "raw", str(into)]
    return subprocess.run(argv, input=key.passphrase.encode(), capture_output=True, check=False).returncode


async def write(device: Path, data: bytes, key: luks.Key) -> None:
    image = device.with_name("image")
    image.write_bytes(data)
    await qemu_img.convert(
        image, "raw", device, virtual_size=len(data), progress=no_progress, timeout=60, key=key
    )


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "device"
    path.touch()
    os.truncate(path, SIZE)
    return path


@pytest.mark.parametrize("key_size", luks.KEY_SIZES)
async def test_what_is_written_through_a_key_is_read_only_through_it(
    device: Path, tmp_path: Path, key_size: int
) -> None:
    key = luks.Key(KEY.passphrase, key_size)
    await luks.format_device(device, key)
    assert device.stat().st_size == SIZE
    await write(device, DATA, key)
    with device.open("rb") as file:
        stored = file.read(8 * MIB)
    assert stored.startswith(b"LUKS\xba\xbe")
    assert b"nobody" not in stored
    assert opened(device, key, tmp_path / "clear") == 0
    with (tmp_path / "clear").open("rb") as file:
        assert file.read(len(DATA)) == DATA
    assert 0 <= SIZE - (tmp_path / "clear").stat().st_size <= luks.HEADER_BYTES
    assert opened(device, luks.Key("f" * 64), tmp_path / "wrong") != 0


async def test_formatting_again_makes_what_was_there_unreadable(device: Path, tmp_path: Path) -> None:
    await luks.format_device(device, KEY)
    await write(device, DATA, KEY)
    await luks.format_device(device, KEY)
    assert opened(device, KEY, tmp_path / "clear") == 0
    with (tmp_path / "clear").open("rb") as file:
        assert file.read(len(DATA)) != DATA


async def test_an_image_as_large_as_the_device_has_no_room_beside_the_header(device: Path) -> None:
    await luks.format_device(device, KEY)
    image = device.with_name("image")
    image.touch()
    os.truncate(image, SIZE)
    with pytest.raises(ImageRefused, match="larger than what the volume has room for"):
        await qemu_img.convert(
            image, "raw", device, virtual_size=SIZE, progress=no_progress, timeout=60, key=KEY
        )


def test_a_key_does_not_tell_its_passphrase_when_it_is_printed() -> None:
    assert KEY.passphrase not in f"{KEY!r} {KEY}"
