"""Images whose bytes are not given out for a while, and images that have none."""

from typing import Any

import pytest

from pumice.images.for_volume import image_for_volume
from pumice.images.settle import alone
from pumice.model.errors import Invalid
from pumice.model.scope import INTERNAL
from pumice.model.states import ImageStatus


async def act(rig: Any, image_id: str, action: str, caller: str = "member") -> int:
    answer = await getattr(rig, caller).post(f"/v2/images/{image_id}/actions/{action}")
    return int(answer.status_code)


async def download(rig: Any, image_id: str, caller: str = "member") -> Any:
    return await getattr(rig, caller).get(f"/v2/images/{image_id}/file")


async def test_a_deactivated_image_keeps_its_bytes_and_gives_them_to_admins_alone(rig: Any) -> None:
    image_id = await rig.create()
    await rig.upload(image_id, b"bytes")
    assert await act(rig, image_id, "deactivate") == 204
    assert await rig.status(image_id) == "deactivated"
    assert (await download(rig, image_id)).status_code == 403
    assert "deactivated" in (await download(rig, image_id)).text
    assert (await download(rig, image_id, "admin")).content == b"bytes"
    with pytest.raises(Invalid, match="deactivated"):
        await rig.db.read(image_for_volume, INTERNAL, image_id)
    async with alone(rig.db, rig.files, image_id):
        pass  # what settles an image must not take these bytes for a leftover
    assert await act(rig, image_id, "reactivate") == 204
    assert (await download(rig, image_id)).content == b"bytes"


async def test_to_deactivate_or_reactivate_again_changes_nothing(rig: Any) -> None:
    image_id = await rig.create()
    await rig.upload(image_id, b"bytes")
    for action in ("reactivate", "deactivate", "deactivate", "reactivate", "reactivate"):
        assert await act(rig, image_id, action) == 204
    assert await rig.status(image_id) == "active"


@pytest.mark.parametrize("action", ["deactivate", "reactivate"])
async def test_only_owners_and_admins_say_so_and_only_of_bytes_that_are_there(rig: Any, action: str) -> None:
    image_id = await rig.create(visibility="private")
    assert await act(rig, image_id, action) == 403
    assert await act(rig, image_id, action, "stranger") == 404
    await rig.upload(image_id, b"bytes")
    assert await act(rig, image_id, action, "reader") == 403
    assert await act(rig, image_id, action, "admin") == 204


async def test_a_deactivated_image_is_found_by_its_status_and_can_be_deleted(rig: Any) -> None:
    image_id = await rig.create()
    await rig.upload(image_id, b"bytes")
    await act(rig, image_id, "deactivate")
    found = (await rig.member.get("/v2/images?status=deactivated")).json()["images"]
    assert [one["id"] for one in found] == [image_id]
    assert (await rig.member.delete(f"/v2/images/{image_id}")).status_code == 204
    assert rig.bytes_left() == []


@pytest.mark.parametrize("disk_format", ["raw", "qcow2", "vmdk"])
async def test_an_image_of_no_bytes_is_accepted_in_every_format(rig: Any, disk_format: str) -> None:
    image_id = await rig.create(disk_format=disk_format)
    assert (await rig.upload(image_id, b"")).status_code == 204
    image = (await rig.member.get(f"/v2/images/{image_id}")).json()
    assert (image["status"], image["size"], image["virtual_size"]) == (ImageStatus.ACTIVE, 0, 0)
    assert image["checksum"] == "d41d8cd98f00b204e9800998ecf8427e"
    read = await download(rig, image_id)
    assert (read.status_code, read.content) in ((200, b""), (204, b""))
