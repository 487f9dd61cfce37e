"""What is inside one device is written into another that is encrypted otherwise, and both are compared."""

import os
from pathlib import Path

import pytest

from pumice.backends.contract import no_progress
from pumice.host import luks, qemu_img
from pumice.host.command import CommandFailed
from pumice.host.qemu_img import Locked
from pumice.model.units import MIB

SIZE = 8 * MIB
HEAD, TAIL = b"at the front" * 5000, b"where there is room still"
LAST = SIZE - luks.HEADER_BYTES - len(TAIL)
"""Where what an encrypted device has room for ends."""
KEYS = {"plain": None, "one": luks.Key("a" * 64), "other": luks.Key("b" * 64, 256)}


async def a_device(path: Path, how: str) -> Locked:
    path.touch()
    os.truncate(path, SIZE)
    if key := KEYS[how]:
        await luks.format_device(path, key)
    return Locked(path, key)


def written(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


async def rewrite(source: Locked, target: Locked) -> bool:
    await qemu_img.rewrite(source, target, SIZE, progress=no_progress, timeout=60)
    return await qemu_img.are_alike(source, target, progress=no_progress, timeout=60)


@pytest.mark.parametrize("between", ["one", "other"])
async def test_what_is_inside_comes_through_every_key_and_back(tmp_path: Path, between: str) -> None:
    plain = await a_device(tmp_path / "plain", "plain")
    written(plain.device, 0, HEAD)
    written(plain.device, LAST, TAIL)
    first, second = await a_device(tmp_path / "first", between), await a_device(tmp_path / "second", "one")
    back = await a_device(tmp_path / "back", "plain")
    assert await rewrite(plain, first)
    assert await rewrite(first, second)
    assert HEAD[:12] not in second.device.read_bytes()
    assert await rewrite(second, back)
    assert back.device.read_bytes() == plain.device.read_bytes()
    assert back.device.stat().st_size == second.device.stat().st_size == SIZE
    assert back.device.stat().st_blocks * 512 < SIZE / 4, "zeroes are no bytes"


async def test_what_has_no_room_beside_the_header_is_never_lost_unseen(tmp_path: Path) -> None:
    plain, locked = await a_device(tmp_path / "plain", "plain"), await a_device(tmp_path / "locked", "one")
    written(plain.device, SIZE - 1, b"\1")
    assert not await rewrite(plain, locked)


async def test_a_byte_that_is_not_as_it_was_is_seen(tmp_path: Path) -> None:
    plain, locked = await a_device(tmp_path / "plain", "plain"), await a_device(tmp_path / "locked", "one")
    written(plain.device, 0, HEAD)
    assert await rewrite(plain, locked)
    written(locked.device, SIZE - 1, b"\1")
    assert not await qemu_img.are_alike(plain, locked, progress=no_progress, timeout=60)


async def test_keys_are_on_no_command_line(tmp_path: Path) -> None:
    plain, locked = await a_device(tmp_path / "plain", "plain"), await a_device(tmp_path / "locked", "one")
    other = Locked(locked.device, KEYS["other"])
    with pytest.raises(CommandFailed) as failed:
        await rewrite(plain, other)
    assert "Invalid password" in failed.value.stderr
    assert "b" * 64 not in f"{failed.value!r} {vars(failed.value)}"
