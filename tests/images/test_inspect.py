"""Hostile, broken and honest images: each is recognised, or refused with its reason."""

import os
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pumice.backends.contract import ImageFile
from pumice.images.inspect import inspect_image, kept_image, require_fits
from pumice.model.errors import ImageRefused
from pumice.model.units import GIB, MIB

QEMU_NAMES = {"raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "vdi": "vdi", "vhd": "vpc", "vhdx": "vhdx"}


def made(path: Path, image_format: str, *options: str, size: int = 64 * MIB) -> Path:
    """An image made by qemu-img, with 1 MiB of data in it."""
    source = path.with_suffix(".source")
    source.write_bytes(os.urandom(MIB))
    os.truncate(source, size)
    name = QEMU_NAMES[image_format]
    subprocess.run(["qemu-img", "convert", "-q", "-f", "raw", "-O", name, *options, source, path], check=True)
    return path


def patched(path: Path, offset: int, data: bytes) -> Path:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
    return path


def vmdk_header(capacity: int, directory_at: int = 26) -> bytes:
    header = struct.pack("<4sIIQQQQIQQ", b"KDMV", 1, 3, capacity, 128, 1, 20, 512, 21, directory_at)
    return header.ljust(512, b"\0")


def vmdk(path: Path, descriptor: str, capacity: int = 2048) -> Path:
    """A VMDK of a header, 20 sectors of descriptor, and no data."""
    path.write_bytes(vmdk_header(capacity) + descriptor.encode().ljust(20 * 512, b"\0") + bytes(MIB))
    return path


DESCRIPTOR = """# Disk DescriptorFile
version=1
CID=e8f1d7c5
parentCID=ffffffff
createType="monolithicSparse"

RW 2048 SPARSE "disk.vmdk"

ddb.virtualHWVersion = "4"
"""


# --- honest images -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image_format", sorted(QEMU_NAMES))
@pytest.mark.parametrize("declare", [True, False])
def test_every_format_is_recognised_with_its_size(image_format: str, declare: bool, tmp_path: Path) -> None:
    options = ["-o", "force_size=on"] if image_format == "vhd" else []
    path = made(tmp_path / "image", image_format, *options)
    image = inspect_image(path, image_format if declare else None)
    assert (image.path, image.format, image.virtual_size) == (path, image_format, 64 * MIB)


def test_a_compressed_stream_optimized_vmdk_is_accepted(tmp_path: Path) -> None:
    path = made(tmp_path / "image", "vmdk", "-o", "subformat=streamOptimized")
    assert inspect_image(path, "vmdk").virtual_size == 64 * MIB


def test_a_fixed_vhd_is_told_what_it_is(tmp_path: Path) -> None:
    image = made(tmp_path / "fixed.vhd", "vhd", "-o", "subformat=fixed", size=MIB)
    with pytest.raises(ImageRefused, match="a fixed VHD, a raw disk with a footer: convert it"):
        inspect_image(image, "vhd")


def test_a_large_vhdx_is_recognised_although_its_metadata_lies_far_in(tmp_path: Path) -> None:
    path = made(tmp_path / "image", "vhdx", size=4096 * GIB)
    assert inspect_image(path, "vhdx").virtual_size == 4096 * GIB


@pytest.mark.parametrize(
    ("offset", "signature"), [(510, b"\x55\xaa"), (512, b"EFI PART"), (54, b"FAT16   "), (0, b"\xeb\x3c\x90")]
)
def test_a_disk_with_a_partition_table_or_boot_sector_is_raw(
    offset: int, signature: bytes, tmp_path: Path
) -> None:
    path = made(tmp_path / "image", "raw")
    assert inspect_image(patched(path, offset, signature), "raw").format == "raw"


def iso(path: Path) -> Path:
    descriptor = (
        b"\1CD001\1".ljust(80, b"\0") + struct.pack("<L", 512) * 2 + bytes(40) + struct.pack("<HH", 2048, 2048)
    )
    path.write_bytes(bytes(32768) + descriptor.ljust(MIB - 32768, b"\0"))
    return path


def test_an_iso_is_an_iso_also_with_a_partition_table(tmp_path: Path) -> None:
    path = iso(tmp_path / "image")
    assert inspect_image(path, "iso").virtual_size == MIB
    assert inspect_image(patched(path, 510, b"\x55\xaa"), "iso").format == "iso"
    assert inspect_image(path, "raw").format == "raw"


def test_a_huge_raw_image_is_judged_by_its_first_bytes(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.touch()
    os.truncate(path, 8192 * GIB)
    assert inspect_image(path).virtual_size == 8192 * GIB


# --- hostile images ------------------------------------------------------------------------------------------


def test_a_backing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image"
    subprocess.run(
        ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd", path, "1G"],
        check=True,
    )
    with pytest.raises(ImageRefused, match="refers to a backing file"):
        inspect_image(path, "qcow2")


def test_an_external_data_file_is_refused(tmp_path: Path) -> None:
    path, data = tmp_path / "image", tmp_path / "data"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-o", f"data_file={data},data_file_raw=on", path, "1M"],
        check=True,
    )
    with pytest.raises(ImageRefused, match="keeps its data in another file"):
        inspect_image(path, "qcow2")


@pytest.mark.parametrize("bit", [4, 5, 17, 63])
def test_an_unknown_feature_of_qcow2_is_refused(bit: int, tmp_path: Path) -> None:
    path = patched(made(tmp_path / "image", "qcow2"), 72, struct.pack(">Q", 1 << bit))
    with pytest.raises(ImageRefused, match="features that are not known"):
        inspect_image(path, "qcow2")


@pytest.mark.parametrize("version", [0, 1, 4])
def test_an_unknown_version_of_qcow2_is_refused(version: int, tmp_path: Path) -> None:
    path = patched(made(tmp_path / "image", "qcow2"), 4, struct.pack(">I", version))
    with pytest.raises(ImageRefused):
        inspect_image(path, "qcow2")


def test_a_vmdk_as_plain_as_it_should_be_is_accepted(tmp_path: Path) -> None:
    assert inspect_image(vmdk(tmp_path / "image", DESCRIPTOR), "vmdk").virtual_size == MIB


def test_the_footer_of_a_vmdk_is_read_however_far_it_is_from_the_header(tmp_path: Path) -> None:
    at_the_end = 2**64 - 1
    path = vmdk(tmp_path / "image", DESCRIPTOR)
    patched(path, 0, vmdk_header(2048, directory_at=at_the_end))
    marker, end = struct.pack("<QII", 1, 0, 3).ljust(512, b"\0"), bytes(512)
    patched(path, 100 * MIB, marker + vmdk_header(2048) + end)
    assert inspect_image(path, "vmdk").virtual_size == MIB
    patched(path, 100 * MIB, marker + vmdk_header(2048, directory_at=at_the_end) + end)
    with pytest.raises(ImageRefused, match="footer does not agree"):
        inspect_image(path, "vmdk")


@pytest.mark.parametrize(
    "descriptor",
    [
        DESCRIPTOR.replace('"disk.vmdk"', '"/etc/passwd"'),
        DESCRIPTOR.replace("RW 2048 SPARSE", "RW 2048 FLAT").replace('"disk.vmdk"', '"/etc/passwd" 0'),
        DESCRIPTOR.replace("monolithicSparse", "monolithicFlat"),
        DESCRIPTOR.replace("monolithicSparse", "twoGbMaxExtentFlat"),
        DESCRIPTOR.replace("monolithicSparse", "vmfs"),
        DESCRIPTOR.replace("RW 2048", "nonsense"),
        DESCRIPTOR.replace("createType", "somethingElse"),
        "",
    ],
)
def test_a_vmdk_whose_descriptor_could_reach_another_file_is_refused(descriptor: str, tmp_path: Path) -> None:
    with pytest.raises(ImageRefused):
        inspect_image(vmdk(tmp_path / "image", descriptor), "vmdk")


def test_a_vmdk_with_a_parent_is_refused(tmp_path: Path) -> None:
    descriptor = DESCRIPTOR.replace("parentCID=ffffffff", 'parentCID=1\nparentFileNameHint="/etc/passwd"')
    with pytest.raises(ImageRefused, match="refers to a parent file"):
        inspect_image(vmdk(tmp_path / "image", descriptor), "vmdk")


def test_a_vmdk_that_tells_qemu_another_type_than_the_inspector_is_refused(tmp_path: Path) -> None:
    flat = DESCRIPTOR.replace("monolithicSparse", "monolithicFlat")
    descriptor = flat.replace("createType=", 'CREATETYPE="monolithicSparse"\ncreateType=')
    with pytest.raises(ImageRefused, match="tells its type more than once"):
        inspect_image(vmdk(tmp_path / "image", descriptor), "vmdk")


def test_a_vmdk_whose_header_leaves_the_size_to_the_descriptor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageRefused, match="tells no virtual size"):
        inspect_image(vmdk(tmp_path / "image", DESCRIPTOR, capacity=0), "vmdk")


def test_a_bare_vmdk_descriptor_that_names_a_path_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_text(
        DESCRIPTOR.replace("monolithicSparse", "monolithicFlat").replace("disk.vmdk", "/etc/passwd")
    )
    for declared in ("vmdk", "raw", None):
        with pytest.raises(ImageRefused):
            inspect_image(path, declared)


def test_content_of_another_format_than_declared_is_refused(tmp_path: Path) -> None:
    for found in sorted(set(QEMU_NAMES) - {"raw"}):
        path = made(tmp_path / found, found)
        for declared in sorted(set(QEMU_NAMES) - {found}):
            with pytest.raises(ImageRefused, match=f"declared as '{declared}', but its content is '{found}'"):
                inspect_image(path, declared)


def test_luks_is_plain_bytes_to_who_says_raw(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"LUKS\xba\xbe\0\1" + bytes(MIB))
    assert inspect_image(path, "raw").format == "raw"


@pytest.mark.parametrize("image_format", ["qcow2", "vmdk", "vdi"])
def test_what_is_kept_as_raw_is_raw_whatever_a_guest_wrote_there(image_format: str, tmp_path: Path) -> None:
    path = made(tmp_path / "image", image_format)
    assert kept_image(path, "raw") == ImageFile(path, "raw", path.stat().st_size)
    assert kept_image(path, image_format) == inspect_image(path, image_format)


@pytest.mark.parametrize("method", [1, 2])
def test_an_encrypted_qcow2_is_told_so(method: int, tmp_path: Path) -> None:
    path = patched(made(tmp_path / "image", "qcow2"), 32, method.to_bytes(4, "big"))
    with pytest.raises(ImageRefused, match="is encrypted"):
        inspect_image(path)


def test_an_image_of_two_formats_at_once_is_refused(tmp_path: Path) -> None:
    path = patched(made(tmp_path / "image", "qcow2"), 32768, b"\1CD001\1")
    for declared in ("qcow2", "iso", None):
        with pytest.raises(ImageRefused, match="several formats at once: iso, qcow2"):
            inspect_image(path, declared)


def test_formats_that_nobody_checks_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"QED\0" + bytes(MIB))
    with pytest.raises(ImageRefused, match="'qed', which is not supported"):
        inspect_image(path)
    path.write_bytes(b"LUKS\xba\xbe\0\1" + bytes(MIB))
    with pytest.raises(ImageRefused, match="'luks', which is not supported"):
        inspect_image(path)
    with pytest.raises(ImageRefused, match="'ploop' are not supported"):
        inspect_image(path, "ploop")


# --- broken images -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image_format", sorted(set(QEMU_NAMES) - {"raw"}))
@pytest.mark.parametrize("length", [3, 100, 511])
def test_a_header_cut_short_is_refused(image_format: str, length: int, tmp_path: Path) -> None:
    path = made(tmp_path / "image", image_format)
    os.truncate(path, length)
    with pytest.raises(ImageRefused):
        inspect_image(path, image_format)


@pytest.mark.parametrize("image_format", ["vhd", "vdi"])
def test_an_image_whose_end_is_missing_is_refused(image_format: str, tmp_path: Path) -> None:
    path = made(tmp_path / "image", image_format)
    os.truncate(path, path.stat().st_size - 4096)
    with pytest.raises(ImageRefused, match="its end is missing"):
        inspect_image(path, image_format)


@settings(
    max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    magic=st.sampled_from(
        [b"", b"QFI\xfb", b"KDMV", b"conectix", b"vhdxfile", b"# Disk DescriptorFile\n", b"QED\0"]
    ),
    rest=st.binary(max_size=2000),
    padding=st.sampled_from([0, 512, 70000, 300000]),
    declared=st.sampled_from([None, "raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi", "iso"]),
)
def test_garbage_is_raw_or_refused_and_nothing_else(
    magic: bytes, rest: bytes, padding: int, declared: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "garbage"
    path.write_bytes(magic + rest + bytes(padding))
    try:
        image = inspect_image(path, declared)
    except ImageRefused:
        pass
    else:
        assert image.format == (declared or image.format) or image.virtual_size == 0
        assert (image.virtual_size > 0) == (path.stat().st_size > 0)


@settings(
    max_examples=100, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    image_format=st.sampled_from(["qcow2", "vmdk", "vdi", "vhd", "vhdx"]),
    offset=st.one_of(st.integers(0, 1023), st.integers(196608, 196708)),
    damage=st.binary(min_size=1, max_size=16),
)
def test_a_damaged_header_is_understood_or_refused(
    image_format: str, offset: int, damage: bytes, tmp_path: Path
) -> None:
    path = tmp_path / image_format
    if not path.exists():
        made(path, image_format)
    with path.open("r+b") as file:
        file.seek(offset)
        before = file.read(len(damage))
    try:
        image = inspect_image(patched(path, offset, damage))
    except ImageRefused:
        pass
    else:
        assert image.virtual_size > 0
    finally:
        patched(path, offset, before)


def test_an_image_must_fit(tmp_path: Path) -> None:
    image = inspect_image(made(tmp_path / "image", "qcow2", size=GIB + MIB), "qcow2")
    require_fits(image, 2)
    with pytest.raises(ImageRefused, match="2 GiB and does not fit into 1 GiB"):
        require_fits(image, 1)
