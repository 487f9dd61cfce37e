"""What one process has no other has, until it has ended or let go."""

import os
from pathlib import Path

import pytest

from pumice.host.sole import take_file, take_name
from pumice.model.errors import Misconfigured
from pumice.model.ids import new_id


@pytest.mark.parametrize("length", [1, 300])
def test_a_name_of_any_length_is_one_process_s(length: int) -> None:
    name = f"{new_id()} {'x' * length}"
    held = take_name(name, "It")
    with pytest.raises(Misconfigured, match=f"It is served by process {os.getpid()}"):
        take_name(name, "It")
    take_name(f"{name}y", "Another").close()
    held.close()
    take_name(name, "It").close()


def test_a_file_is_shared_by_those_who_say_so_and_by_nobody_else(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    both = [take_file(file, "It", shared=True) for _ in range(2)]
    with pytest.raises(Misconfigured):
        take_file(file, "It", shared=False)
    for held in both:
        held.close()
    alone = take_file(file, "It", shared=False)
    assert alone.is_of(file)
    file.unlink()
    file.touch()
    assert not alone.is_of(file)
