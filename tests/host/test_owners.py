"""What root writes durably into a directory of another account is that account's."""

import os
from pathlib import Path

import pytest

from pumice.host.durable import write_text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_a_file_belongs_to_whom_its_directory_belongs_to(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    write_text(tmp_path / "mark", "ours")
    assert ((tmp_path / "mark").stat().st_uid, (tmp_path / "mark").read_text()) == (65534, "ours\n")
