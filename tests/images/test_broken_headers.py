"""Whatever a parser stumbles over in an image is the image's fault, and is told as such."""

import struct
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


@pytest.mark.parametrize("size", [2**63, 2**64 - 1])
def test_a_disk_that_is_larger_than_any_can_be_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "image"
    header = struct.pack(">4sIQIIQ", b"QFI\xfb", 3, 0, 0, 16, size)
    path.write_bytes(header.ljust(70_000, b"\0"))
    with pytest.raises(ImageRefused, match="larger than any can be"):
        inspect_image(path, "qcow2")
