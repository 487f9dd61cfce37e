"""Images whose bytes are not given out for a while, and images that have none."""

from typing import Any

import pytest

from pumice.images.for_volume import image_for_volume
from pumice.images.settle import alone
from pumice.model.errors import Invalid
from pumice.model.scope import HOUSE
from pumice.model.states import ImageStatus


async def act(house: Any, image_id: str, action: str, caller: str = "member") -> int:
    answer = await getattr(house, caller).post(f"/v2/images/{image_id}/actions/{action}")
    return int(answer.status_code)


async def download(house: Any, image_id: str, caller: str = "member") -> Any:
    return await getattr(house, caller).get(f"/v2/images/{image_id}/file")


async def test_a_deactivated_image_keeps_its_bytes_and_gives_them_to_admins_alone(house: Any) -> None:
    image_id = await house.create()
    await house.upload(image_id, b"bytes")
    assert await act(house, image_id, "deactivate") == 204
    assert await house.status(image_id) == "deactivated"
    assert (await download(house, image_id)).status_code == 403
    assert "deactivated" in (await download(house, image_id)).text
    assert (await download(house, image_id, "admin")).content == b"bytes"
    with pytest.raises(Invalid, match="deactivated"):
        await house.db.read(image_for_volume, HOUSE, image_id)
    async with alone(house.db, house.files, image_id):
        pass  # what settles an image must not take these bytes for a leftover
    assert await act(house, image_id, "reactivate") == 204
    assert (await download(house, image_id)).content == b"bytes"


async def test_to_deactivate_or_reactivate_again_changes_nothing(house: Any) -> None:
    image_id = await house.create()
    await house.upload(image_id, b"bytes")
    for action in ("reactivate", "deactivate", "deactivate", "reactivate", "reactivate"):
        assert await act(house, image_id, action) == 204
    assert await house.status(image_id) == "active"


@pytest.mark.parametrize("action", ["deactivate", "reactivate"])
async def test_only_owners_and_admins_say_so_and_only_of_bytes_that_are_there(house: Any, action: str) -> None:
    image_id = await house.create(visibility="private")
    assert await act(house, image_id, action) == 403
    assert await act(house, image_id, action, "stranger") == 404
    await house.upload(image_id, b"bytes")
    assert await act(house, image_id, action, "reader") == 403
    assert await act(house, image_id, action, "admin") == 204


async def test_a_deactivated_image_is_found_by_its_status_and_can_be_deleted(house: Any) -> None:
    image_id = await house.create()
    await house.upload(image_id, b"bytes")
    await act(house, image_id, "deactivate")
    found = (await house.member.get("/v2/images?status=deactivated")).json()["images"]
    assert [one["id"] for one in found] == [image_id]
    assert (await house.member.delete(f"/v2/images/{image_id}")).status_code == 204
    assert house.bytes_left() == []


@pytest.mark.parametrize("disk_format", ["raw", "qcow2", "vmdk"])
async def test_an_image_of_no_bytes_is_accepted_in_every_format(house: Any, disk_format: str) -> None:
    image_id = await house.create(disk_format=disk_format)
    assert (await house.upload(image_id, b"")).status_code == 204
    image = (await house.member.get(f"/v2/images/{image_id}")).json()
    assert (image["status"], image["size"], image["virtual_size"]) == (ImageStatus.ACTIVE, 0, 0)
    assert image["checksum"] == "d41d8cd98f00b204e9800998ecf8427e"
    read = await download(house, image_id)
    assert (read.status_code, read.content) in ((200, b""), (204, b""))
