"""Images made to do harm, from the upload to the volume: refused with the reason, and nothing is left."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pumice_process import PumiceProcess, installation
from stories import VOLUMES, Stories

from pumice.model.units import GIB, MIB


@pytest.fixture(scope="module")
def pumice() -> Iterator[PumiceProcess]:
    backends = {"files": {"target": "fake", "max_over_subscription_ratio": 1000}}
    settings = {"PUMICE_BACKENDS": json.dumps(backends), "PUMICE_COMPUTE__DRIVER": "none"}
    with installation(**settings) as pumice:
        pumice.awaited = {"cinder-volume"}
        pumice.start()
        yield pumice


@pytest.fixture
def stories(pumice: PumiceProcess) -> Stories:
    return Stories(pumice)


def qemu_img(*words: str | Path) -> None:
    subprocess.run(["qemu-img", *words], check=True, capture_output=True)


def a_qcow2(path: Path, size: int, *options: str) -> bytes:
    qemu_img("create", "-q", "-f", "qcow2", *options, path, str(size))
    return path.read_bytes()


def with_backing_file(path: Path) -> bytes:
    return a_qcow2(path, MIB, "-u", "-b", "/etc/passwd", "-F", "raw")


def with_data_file(path: Path) -> bytes:
    return a_qcow2(path, MIB, "-o", f"data_file={path}.data,data_file_raw=on")


def vmdk_that_names_a_path(path: Path) -> bytes:
    descriptor = '# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 2048 FLAT "/etc/passwd" 0\n'
    return descriptor.encode().ljust(MIB, b"\0")


def qcow2_said_to_be_raw(path: Path) -> bytes:
    return a_qcow2(path, MIB)


@pytest.mark.parametrize(
    ("make", "said", "reason"),
    [
        (with_backing_file, "qcow2", "backing file"),
        (with_data_file, "qcow2", "in another file"),
        (vmdk_that_names_a_path, "vmdk", "declared as 'vmdk'"),
        (qcow2_said_to_be_raw, "raw", "declared as 'raw'"),
        (lambda _: b"QFI\xfb\0\0\0\x03", "qcow2", "declared as 'qcow2'"),
    ],
    ids=["backing file", "data file", "vmdk path", "said to be raw", "truncated header"],
)
def test_an_upload_is_refused_with_the_reason_and_no_byte_of_it_is_kept(
    stories: Stories, tmp_path: Path, make, said: str, reason: str
) -> None:
    image, answer = stories.offer(make(tmp_path / "image"), said)
    assert answer.status_code == 415
    assert reason in answer.text
    assert stories.pumice.call("GET", f"/image/v2/images/{image}")["status"] == "queued"
    assert not [file for file in (stories.pumice.state_dir / "images").rglob("*") if image in file.name]


def refused(stories: Stories, image: str, reason: str) -> None:
    """A volume of the image ends in ``error``, its owner reads why, and nothing of it is left."""
    volume = stories.create(imageRef=image)
    stories.pumice.settle()
    stories.volume_is(volume, "error")
    [why] = stories.messages(volume)
    assert reason in why
    assert not [file for file in (stories.pumice.state_dir / "volumes").rglob("*") if volume in file.name]
    assert not stories.pumice.violations()
    stories.delete(f"{VOLUMES}/{volume}")
    stories.pumice.settle()


def test_an_image_that_only_qemu_finds_broken_ends_the_volume_in_an_explained_error(
    stories: Stories, tmp_path: Path
) -> None:
    raw, image = tmp_path / "raw", tmp_path / "image"
    raw.write_bytes(b"bytes" * (4 * MIB))
    qemu_img("convert", "-O", "qcow2", raw, image)
    whole = image.read_bytes()
    refused(stories, stories.upload(whole[: len(whole) // 2], "qcow2"), "truncated or damaged")


def test_an_image_larger_inside_than_the_volume_is_refused_at_once(stories: Stories, tmp_path: Path) -> None:
    image = stories.upload(a_qcow2(tmp_path / "image", 3 * GIB), "qcow2")
    with pytest.raises(AssertionError, match="it needs 3 GiB"):
        stories.create(imageRef=image)
    assert stories.create(size=3, imageRef=image)
    stories.pumice.settle()


def test_an_image_that_was_exchanged_on_disk_is_inspected_again(stories: Stories, tmp_path: Path) -> None:
    image = stories.upload(a_qcow2(tmp_path / "image", MIB), "qcow2")
    [kept] = [file for file in (stories.pumice.state_dir / "images").rglob("*") if image in file.name]
    kept.write_bytes(with_backing_file(tmp_path / "other"))
    refused(stories, image, "backing file")
