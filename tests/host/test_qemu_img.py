"""qemu-img is kept on a short leash: formats named, no other file opened, limits that hold."""

import asyncio
import os
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from pumice.backends.contract import no_progress
from pumice.host import qemu_img
from pumice.host.command import CommandTimedOut
from pumice.host.thread import in_thread
from pumice.model.errors import ImageRefused, TryAnotherBackend
from pumice.model.units import MIB

SECRET = b"root:x:0:0:" * 1000


def made(path: Path, image_format: str, data: bytes) -> Path:
    """An image of ``data`` in a format of QEMU's own making."""
    raw = path.with_suffix(".source")
    raw.write_bytes(data)
    subprocess.run(["qemu-img", "convert", "-q", "-f", "raw", "-O", image_format, raw, path], check=True)
    return path


def overlay_of_a_secret(directory: Path) -> Path:
    secret, overlay = directory / "secret", directory / "overlay"
    secret.write_bytes(SECRET)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", secret, overlay], check=True)
    return overlay


def a_target(directory: Path, size: int = 64 * MIB) -> Path:
    target = directory / "target"
    target.touch()
    os.truncate(target, size)
    return target


async def convert(source: Path, source_format: str, target: Path, timeout: float = 30) -> list[float]:
    told: list[float] = []
    await qemu_img.convert(
        *(source, source_format, target),
        virtual_size=64 * MIB,
        progress=told.append,
        timeout=timeout,
        target_is_zero=True,
    )
    return told


@pytest.mark.parametrize("image_format", sorted(qemu_img.DRIVERS))
async def test_every_format_is_converted_byte_by_byte_with_progress(image_format: str, tmp_path: Path) -> None:
    data = os.urandom(MIB) + bytes(2 * MIB) + os.urandom(MIB)
    image = made(tmp_path / "image", qemu_img.DRIVERS[image_format], data)
    target = a_target(tmp_path)
    told = await convert(image, image_format, target)
    assert target.read_bytes()[: len(data)] == data
    assert target.stat().st_size == 64 * MIB, "the target keeps its size"
    assert told == sorted(told) and told[-1] == 1.0


async def test_zeroes_stay_holes(tmp_path: Path) -> None:
    image = made(tmp_path / "image", "qcow2", os.urandom(MIB) + bytes(15 * MIB) + os.urandom(MIB))
    target = a_target(tmp_path)
    await convert(image, "qcow2", target)
    assert target.stat().st_blocks * 512 < 4 * MIB


async def test_without_the_promise_of_zeroes_old_bytes_are_overwritten(tmp_path: Path) -> None:
    image = made(tmp_path / "image", "qcow2", bytes(MIB))
    target = a_target(tmp_path, MIB)
    target.write_bytes(b"old" * (MIB // 3) + b"!")
    await qemu_img.convert(image, "qcow2", target, virtual_size=MIB, progress=no_progress, timeout=30)
    assert target.read_bytes() == bytes(MIB)


async def test_raw_content_is_never_probed(tmp_path: Path) -> None:
    overlay = overlay_of_a_secret(tmp_path)
    target = a_target(tmp_path)
    await convert(overlay, "raw", target)
    assert target.read_bytes()[: overlay.stat().st_size] == overlay.read_bytes()


async def test_a_backing_file_is_not_opened_even_if_inspection_were_forgotten(tmp_path: Path) -> None:
    overlay = overlay_of_a_secret(tmp_path)
    target = a_target(tmp_path)
    await convert(overlay, "qcow2", target)
    assert SECRET[:100] not in target.read_bytes()


@pytest.mark.parametrize(
    "name", ["nbd:localhost:1", "a,b=c,,d", 'json:{"driver":"nbd"}', "-h", 'ä "quoted" \'']
)
async def test_a_file_name_is_only_a_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = os.urandom(MIB)
    (tmp_path / name).write_bytes(data)
    target = a_target(tmp_path)
    await convert(Path(name), "raw", target)
    assert target.read_bytes()[:MIB] == data


async def test_a_source_larger_than_its_target_is_refused(tmp_path: Path) -> None:
    image = made(tmp_path / "image", "qcow2", bytes(2 * MIB))
    target = a_target(tmp_path, MIB)
    with pytest.raises(ImageRefused, match="larger than what the volume has room for"):
        await convert(image, "qcow2", target)
    assert target.stat().st_size == MIB


async def test_a_truncated_image_is_refused_although_qemu_would_read_zeroes(tmp_path: Path) -> None:
    image = made(tmp_path / "image", "qcow2", os.urandom(4 * MIB))
    os.truncate(image, 2 * MIB)
    target = a_target(tmp_path)
    with pytest.raises(ImageRefused, match="truncated or damaged"):
        await convert(image, "qcow2", target)
    assert target.stat().st_blocks == 0, "not a byte of it was copied"


@pytest.mark.parametrize("image_format", ["qcow2", "raw"])
async def test_an_image_that_was_deleted_meanwhile_is_told_so(tmp_path: Path, image_format: str) -> None:
    with pytest.raises(ImageRefused, match="deleted before its bytes were copied"):
        await convert(tmp_path / "gone", image_format, a_target(tmp_path))


async def test_an_image_that_asks_for_too_much_memory_is_refused(tmp_path: Path) -> None:
    image = made(tmp_path / "image", "qcow2", os.urandom(MIB))
    with image.open("r+b") as file:  # a first-level table of 2^32 - 1 entries: 32 GiB of memory
        file.seek(36)
        file.write(struct.pack(">I", 2**32 - 1))
    with pytest.raises(ImageRefused):
        await convert(image, "qcow2", a_target(tmp_path))


async def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageRefused, match="'qed'"):
        await convert(tmp_path / "image", "qed", a_target(tmp_path))


async def test_a_target_that_is_not_there_sends_the_caller_elsewhere_or_refuses(tmp_path: Path) -> None:
    image = made(tmp_path / "image", "raw", os.urandom(MIB))
    with pytest.raises((TryAnotherBackend, ImageRefused)):
        await convert(image, "raw", tmp_path / "absent")
    assert not (tmp_path / "absent").exists(), "a target is never created"


async def test_a_conversion_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    image = made(tmp_path / "image", "raw", os.urandom(64 * MIB))
    with pytest.raises(CommandTimedOut):
        await convert(image, "raw", a_target(tmp_path), timeout=0.001)


async def test_a_cancelled_caller_waits_for_its_thread() -> None:
    begun, stop, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        stop.wait(30)
        ended.set()

    calling = asyncio.create_task(in_thread(work, stop=stop))
    while not begun.is_set():
        await asyncio.sleep(0.001)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert ended.is_set()


async def test_an_error_in_a_thread_reaches_its_caller() -> None:
    with pytest.raises(FileNotFoundError):
        await in_thread(os.stat, "/nonexistent")
