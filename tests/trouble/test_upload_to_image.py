"""A volume becomes an image and the image a volume again, with the same bytes; what fails leaves neither."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pumice_process import PumiceProcess, installation
from stories import IMAGES, VOLUMES, Stories

from pumice.model.units import MIB

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def small_cloud() -> Iterator[Stories]:
    backends = {"files": {"driver": "files", "target": "fake"}}
    with installation(PUMICE_BACKENDS=json.dumps(backends), PUMICE_COMPUTE__DRIVER="none") as pumice:
        pumice.awaited = {"cinder-volume"}
        pumice.start()
        yield Stories(pumice)


def begun(stories: Stories, volume: str, **wanted: object) -> str:
    body = {"os-volume_upload_image": {"image_name": "made", **wanted}}
    answer = stories.pumice.call("POST", f"{VOLUMES}/{volume}/action", body)["os-volume_upload_image"]
    assert (answer["status"], answer["container_format"]) == ("uploading", "bare")
    assert answer["volume_type"]["name"] == "__DEFAULT__"
    return str(answer["image_id"])


def bytes_of(pumice: PumiceProcess, volume: str) -> Path:
    [found] = (pumice.state_dir / "volumes").rglob(volume)
    return found


@pytest.mark.parametrize("disk_format", ["raw", "qcow2", "vmdk"])
def test_a_volume_goes_through_an_image_unchanged(small_cloud: Stories, disk_format: str) -> None:
    pumice, data = small_cloud.pumice, os.urandom(4 * MIB)
    first = small_cloud.create(imageRef=small_cloud.upload(data, "raw"))
    pumice.settle()
    image = begun(small_cloud, first, disk_format=disk_format)
    pumice.settle()
    small_cloud.volume_is(first, "available")
    made = pumice.call("GET", f"{IMAGES}/{image}")
    assert (made["status"], made["disk_format"], made["virtual_size"]) == ("active", disk_format, 1024**3)
    second = small_cloud.create(imageRef=image)
    pumice.settle()
    small_cloud.volume_is(second, "available")
    with bytes_of(pumice, second).open("rb") as file:
        assert file.read(len(data)) == data
    assert not pumice.violations()


def test_an_image_that_was_deleted_meanwhile_does_not_keep_the_volume(small_cloud: Stories) -> None:
    volume = small_cloud.create()
    small_cloud.pumice.settle()
    image = begun(small_cloud, volume)
    small_cloud.pumice.http.delete(f"{IMAGES}/{image}")
    small_cloud.pumice.settle()
    small_cloud.volume_is(volume, "available")
    assert not small_cloud.pumice.violations()


@pytest.mark.parametrize(
    "wanted", [{"disk_format": "ploop"}, {"container_format": "ovf"}, {"disk_format": "?"}, {"image_name": ""}]
)
def test_an_image_that_cannot_be_made_is_refused(small_cloud: Stories, wanted: dict[str, str]) -> None:
    volume = small_cloud.create()
    small_cloud.pumice.settle()
    body = {"os-volume_upload_image": {"image_name": "made", **wanted}}
    answer = small_cloud.pumice.http.post(f"{VOLUMES}/{volume}/action", json=body)
    assert answer.status_code == 400, answer.text
    small_cloud.volume_is(volume, "available")
