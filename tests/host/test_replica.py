"""A device's bytes are copied where something is, and known by a digest."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.in_full import says

from pumice.backends import replica
from pumice.backends.contract import no_progress
from pumice.model.errors import Retryable, TryAnotherBackend
from pumice.model.units import MIB

SIZE = 64 * MIB


def a_file(path: Path, pieces: dict[int, bytes], size: int = SIZE) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
        for offset, piece in pieces.items():
            file.seek(offset)
            file.write(piece)
    return path


async def test_the_copy_is_equal_and_as_sparse_and_of_the_same_digest(tmp_path: Path) -> None:
    pieces = {0: b"first", 5 * MIB - 2: b"over", 20 * MIB: bytes(4 * MIB), SIZE - 3: b"end"}
    source, target = a_file(tmp_path / "source", pieces), a_file(tmp_path / "target", {})
    seen: list[float] = []
    found = await replica.copy(source, target, SIZE, seen.append)
    assert source.read_bytes() == target.read_bytes()
    assert target.stat().st_blocks * 512 <= 8 * MIB, "zeroes that were allocated are not written"
    assert found == await replica.digest(target, SIZE, no_progress)
    assert found == await replica.digest(source, SIZE, no_progress)
    assert seen == sorted(seen) and seen[-1] == 1.0


async def test_another_byte_or_another_place_is_another_digest(tmp_path: Path) -> None:
    empty = await replica.digest(a_file(tmp_path / "a", {}), SIZE, no_progress)
    digests = {empty}
    for number, pieces in enumerate(({0: b"x"}, {0: b"y"}, {1: b"x"}, {2 * MIB: b"x"}, {SIZE - 1: b"x"})):
        digests.add(await replica.digest(a_file(tmp_path / str(number), pieces), SIZE, no_progress))
    assert len(digests) == 6


async def test_what_lies_behind_the_volumes_size_is_no_part_of_it(tmp_path: Path) -> None:
    source = a_file(tmp_path / "source", {0: b"x", SIZE: b"behind"}, SIZE + MIB)
    target = a_file(tmp_path / "target", {})
    await replica.copy(source, target, SIZE, no_progress)
    assert target.stat().st_size == SIZE and target.read_bytes()[:1] == b"x"


async def test_what_cannot_be_read_or_written_is_said(tmp_path: Path) -> None:
    source = a_file(tmp_path / "source", {0: b"x"}, 2 * MIB)
    with pytest.raises(Retryable, check=says("No such file")):
        await replica.copy(source, tmp_path / "nowhere", 2 * MIB, no_progress)
    with pytest.raises(TryAnotherBackend, match="no space left"):
        await replica.copy(source, Path("/dev/full"), 2 * MIB, no_progress)


async def test_two_names_of_one_device_are_known(tmp_path: Path) -> None:
    one, other, link = a_file(tmp_path / "one", {}), a_file(tmp_path / "other", {}), tmp_path / "link"
    link.symlink_to(one)
    assert await replica.are_one(one, link)
    assert not await replica.are_one(one, other)
    assert not await replica.are_one(Path("/dev/zero"), Path("/dev/zero")), "a fake's hold nothing"


@pytest.fixture
def block_device(tmp_path: Path) -> Iterator[Path]:
    disk = a_file(tmp_path / "disk", {})
    made = subprocess.run(["losetup", "--find", "--show", disk], capture_output=True, text=True, timeout=60)
    if made.returncode:
        pytest.skip("this machine does not let the test make a loop device")
    device = Path(made.stdout.strip())
    yield device
    subprocess.run(["losetup", "--detach", device], check=True, timeout=60)


async def test_a_block_device_is_a_device_too(block_device: Path, tmp_path: Path) -> None:
    source = a_file(tmp_path / "source", {MIB: os.urandom(3 * MIB)})
    there = await replica.copy(source, block_device, SIZE, no_progress)
    assert there == await replica.digest(block_device, SIZE, no_progress)
    back = a_file(tmp_path / "back", {})
    assert there == await replica.copy(block_device, back, SIZE, no_progress)
    assert back.read_bytes() == source.read_bytes()
    assert back.stat().st_blocks * 512 <= 4 * MIB, "what a block device has of zeroes stays a hole"
