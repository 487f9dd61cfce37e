"""What may be said of a volume, a snapshot, an action: kept and told again, done, or refused in a sentence."""

from typing import Any

import pytest
from volume_cloud import Cloud

from databases import ON_SQLITE
from pumice.api.volume.snapshots import NewSnapshot
from pumice.api.volume.volume_actions import ResetStatus, UploadFor
from pumice.api.volume.volumes import NewVolume
from pumice.model.ids import new_id

pytestmark = ON_SQLITE

KEPT: dict[str, tuple[Any, str, Any]] = {
    "size": (2, "size", 2),
    "name": ("n", "name", "n"),
    "description": ("d", "description", "d"),
    "display_name": ("n", "name", "n"),
    "display_description": ("d", "description", "d"),
    "volume_type": ("__DEFAULT__", "volume_type", "__DEFAULT__"),
    "metadata": ({"k": "v"}, "metadata", {"k": "v"}),
    "availability_zone": ("nova", "availability_zone", "nova"),
}
"""What a create says and show tells again: the value, under which name, and how."""
REFUSED: dict[str, tuple[Any, int]] = {
    "snapshot_id": (new_id(), 404),
    "source_volid": (new_id(), 404),
    "image_id": (new_id(), 400),
    "image_ref": (new_id(), 400),
    "consistencygroup_id": (new_id(), 404),
    "group_id": (new_id(), 404),
    "backup_id": (new_id(), 404),
    "multiattach": (True, 400),
    "size": (0, 400),
    "volume_type": ("no-such", 404),
    "availability_zone": ("nowhere", 400),
}
"""What is looked for, and not found here; or not done."""


async def test_every_word_of_a_new_volume_is_accounted_for(cloud: Cloud) -> None:
    assert NewVolume.model_fields.keys() == KEPT.keys() | REFUSED.keys()
    assert NewSnapshot.model_fields.keys() == {
        *("volume_id", "name", "display_name", "description", "force", "metadata")
    }
    assert UploadFor.model_fields.keys() == {
        *("image_name", "force", "disk_format", "container_format", "visibility", "protected")
    }
    assert ResetStatus.model_fields.keys() == {"status", "attach_status", "migration_status"}


async def test_what_is_said_of_a_volume_is_told_again(cloud: Cloud) -> None:
    for name, (value, told_as, told) in KEPT.items():
        volume = await cloud.make(**{"size": 1, name: value})
        shown = (await cloud.call("GET", f"/volumes/{volume['id']}")).json()["volume"]
        assert shown[told_as] == told, name


@pytest.mark.parametrize("name", REFUSED)
async def test_what_cannot_be_done_is_refused_in_a_sentence(cloud: Cloud, name: str) -> None:
    value, status = REFUSED[name]
    wire = {"image_ref": "imageRef"}.get(name, name)
    answer = await cloud.call("POST", "/volumes", {"volume": {"size": 1, wire: value}})
    assert answer.status_code == status, answer.text
    assert all(len(fault["message"]) > 20 for fault in answer.json().values())


async def test_what_is_said_of_an_image_to_be_made_is_told_by_the_answer(cloud: Cloud) -> None:
    volume = await cloud.make()
    said = {"image_name": "i", "disk_format": "qcow2", "container_format": "bare", "visibility": "shared"}
    answer = await cloud.act(volume["id"], "os-volume_upload_image", {**said, "protected": True})
    made = answer.json()["os-volume_upload_image"]
    assert {name: made[name] for name in said} == said
    assert made["protected"] is True
    for wrong in ({"container_format": "docker"}, {"disk_format": "ploop"}):
        answer = await cloud.act(volume["id"], "os-volume_upload_image", {"image_name": "j", **wrong})
        assert answer.status_code == 400


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"migration_status": "none"}, 202),
        ({"migration_status": "migrating"}, 400),
        ({"migration_status": "nonsense"}, 400),
        ({"attach_status": "attached"}, 400),
        ({"attach_status": "detached"}, 202),
    ],
)
async def test_a_status_that_the_rows_cannot_tell_is_refused(
    cloud: Cloud, said: dict[str, str], status: int
) -> None:
    volume = await cloud.make()
    answer = await cloud.act(volume["id"], "os-reset_status", said, who="admin")
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("name", ["min_disk", "min_ram"])
async def test_a_size_in_image_metadata_that_is_none_is_told_at_the_upload(cloud: Cloud, name: str) -> None:
    volume = await cloud.make()
    for value, status in (("much", 400), ("-1", 400), ("9" * 30, 400), ("", 202)):
        said = {"metadata": {name: value}}
        assert (await cloud.act(volume["id"], "os-set_image_metadata", said)).status_code == 200
        answer = await cloud.act(volume["id"], "os-volume_upload_image", {"image_name": "i"})
        assert (answer.status_code, status == 202 or name in answer.text) == (status, True), answer.text
