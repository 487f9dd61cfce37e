"""What clients are told to mount, by what the settings say is mounted where."""

from pathlib import Path

import pytest
from tests.in_full import says

from pumice.backends.targets.contract import Grant
from pumice.backends.targets.shared import SharedTarget
from pumice.model.errors import Retryable
from pumice.model.export import SharedFile
from pumice.model.ids import AttachmentId, VolumeId, new_id

GRANT = Grant(AttachmentId(new_id()), "here", "user", "")


async def test_a_file_is_told_below_the_mount_that_it_is_on(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    shares = {tmp_path: "nfs:/outer", inner: "nfs:/inner"}
    target = SharedTarget(shares, options="vers=4.2", base=Path("/mnt"))
    for directory, share, within in ((tmp_path, "nfs:/outer", "file"), (inner, "nfs:/inner", "file")):
        file = directory / "file"
        file.touch()
        told = await target.grant(VolumeId(new_id()), file, GRANT)
        assert told == SharedFile(str(file), file.stat().st_ino, share, within, "-o vers=4.2", "/mnt")


async def test_of_what_nobody_said_anything_the_path_is_told(tmp_path: Path) -> None:
    target = SharedTarget({tmp_path / "elsewhere": "nfs:/vols"}, options="", base=Path("/mnt"))
    file = tmp_path / "file"
    file.touch()
    assert await target.grant(VolumeId(new_id()), file, GRANT) == SharedFile(str(file), file.stat().st_ino)
    with pytest.raises(Retryable, check=says("cannot be opened.*absent")):
        await target.grant(VolumeId(new_id()), tmp_path / "absent", GRANT)
