"""Space that is put by: there while there is room, given up when there is none, and put by again."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.host.reserve import Reserve
from pumice.model.units import MIB


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 20 MiB."""
    mounting = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", tmp_path]
    if subprocess.run(mounting, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let the test mount a tmpfs")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def fill(path: Path, size: int) -> None:
    path.write_bytes(bytes(size))


def test_it_is_at_most_a_tenth_of_the_disk(disk: Path) -> None:
    reserve = Reserve(disk, 64 * MIB)
    reserve.keep()
    assert reserve.path.stat().st_size == reserve.size == 2 * MIB
    assert not reserve.low


def test_below_twice_its_size_nothing_new_is_made_and_it_is_kept(disk: Path) -> None:
    reserve = Reserve(disk, 2 * MIB)
    reserve.keep()
    fill(disk / "ballast", 17 * MIB)
    reserve.keep()
    assert reserve.low and reserve.path.exists()


def test_on_a_full_disk_it_is_given_up_and_put_by_when_there_is_room(disk: Path) -> None:
    reserve = Reserve(disk, 2 * MIB)
    reserve.keep()
    fill(disk / "ballast", 18 * MIB)
    reserve.keep()
    assert reserve.low and not reserve.path.exists()
    assert not reserve.give_up(), "there is nothing to give any more"
    reserve.keep()
    assert reserve.low and not reserve.path.exists(), "it does not take the room that it gave"
    (disk / "ballast").unlink()
    reserve.keep()
    assert not reserve.low and reserve.path.stat().st_size == 2 * MIB


def test_none_is_put_by_where_none_is_wished(disk: Path) -> None:
    reserve = Reserve(disk, 0)
    fill(disk / "ballast", 19 * MIB)
    reserve.keep()
    assert not reserve.low and not reserve.path.exists()


def test_a_disk_that_is_full_from_the_beginning_is_low(disk: Path) -> None:
    fill(disk / "ballast", 20 * MIB)
    reserve = Reserve(disk, 2 * MIB)
    reserve.keep()
    assert reserve.low and not reserve.path.exists()
