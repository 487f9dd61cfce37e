"""Whatever a parser stumbles over in an image is the image's fault, and is told as such."""

from pathlib import Path

import pytest

from pumice.images.inspect import inspect_image
from pumice.model.errors import ImageRefused

DESCRIPTOR = (
    b'# Disk DescriptorFile\nversion=1\nCID=123\nparentCID=ffffffff\ncreateType="monolithicSparse"\n'
    b'parentFileNameHint="/etc/passwd"\nRW 2048 SPARSE "x.vmdk"\n'
)


@pytest.mark.parametrize("declared", ["vmdk", None])
@pytest.mark.parametrize(
    "content",
    [
        DESCRIPTOR,
        DESCRIPTOR.ljust(70_000, b"\0"),
        DESCRIPTOR.replace(b'"/etc/passwd"', b""),
        DESCRIPTOR.replace(b"passwd", b"\xff\xfe"),
        b"KDMV" + bytes(600),
        b"KDMV" + b"\xff" * 70_000,
        b"QFI\xfb" + b"\xff" * 600,
        b"conectix" + b"\xff" * 600,
        b"vhdxfile" + b"\xff" * 300_000,
    ],
)
def test_a_header_that_makes_no_sense_is_refused(tmp_path: Path, content: bytes, declared: str | None) -> None:
    path = tmp_path / "image"
    path.write_bytes(content)
    try:
        found = inspect_image(path, declared)
    except ImageRefused:
        return
    assert (declared, found.format) == (None, "raw"), "what is nothing special is raw"
