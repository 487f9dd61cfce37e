"""The real openstacksdk against the service on a real socket."""

import asyncio
import hashlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from tests.patience import patience

from pumice.model.units import MIB

openstack = pytest.importorskip("openstack", reason="openstacksdk is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")  # what the client warns of is not ours


@pytest.fixture
async def url(rig: Any) -> AsyncIterator[str]:
    """Where the service listens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(rig.service, lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/image"
        server.should_exit = True
        await serving


@pytest.fixture
def cloud(url: str) -> Any:
    """A connection that speaks with the member's token."""
    return openstack.connect(
        load_yaml_config=False,
        load_envvars=False,
        auth_type="admin_token",
        auth={"endpoint": url, "token": "member"},
        image_endpoint_override=url,
    )


async def test_the_sdk_creates_finds_updates_downloads_and_deletes(
    cloud: Any, rig: Any, tmp_path: Path
) -> None:
    content = os.urandom(9 * MIB)
    (tmp_path / "up").write_bytes(content)

    def story() -> None:
        image = cloud.image.create_image(
            "story",
            filename=str(tmp_path / "up"),
            disk_format="raw",
            container_format="bare",
            tags=["blue"],
            colour="blue",
        )
        image = cloud.image.get_image(image.id)
        assert (image.status, image.size) == ("active", len(content))
        assert image.hash_value == hashlib.sha512(content).hexdigest()
        assert image.properties["colour"] == "blue"

        assert cloud.image.find_image("story").id == image.id
        assert cloud.image.find_image("other", ignore_missing=True) is None
        assert [found.id for found in cloud.image.images(tag="blue", limit=1)] == [image.id]

        changed = cloud.image.update_image(image, name="renamed", min_disk=1, colour="red")
        assert (changed.name, changed.min_disk, changed.properties["colour"]) == ("renamed", 1, "red")
        cloud.image.add_tag(image, "red")
        assert sorted(cloud.image.get_image(image).tags) == ["blue", "red"]

        cloud.image.add_member(image, member_id="friend")
        assert [member.id for member in cloud.image.members(image)] == ["friend"]

        cloud.image.download_image(image, output=str(tmp_path / "down"), stream=True)
        assert (tmp_path / "down").read_bytes() == content

        cloud.image.delete_image(image)
        with pytest.raises(openstack.exceptions.NotFoundException):
            cloud.image.get_image(image.id)

    await asyncio.to_thread(story)
    assert rig.bytes_left() == []


async def test_the_sdk_lists_more_images_than_a_page_holds(cloud: Any, rig: Any) -> None:
    made = {await rig.create(name=f"image {number}") for number in range(30)}
    listed = await asyncio.to_thread(lambda: [image.id for image in cloud.image.images()])
    assert len(listed) == 30
    assert set(listed) == made


async def test_a_client_that_cuts_the_connection_leaves_the_image_queued(rig: Any, url: str) -> None:
    image_id = await rig.create()
    host, port = url.removeprefix("http://").removesuffix("/image").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"PUT /image/v2/images/{image_id}/file HTTP/1.1\r\nHost: {host}\r\nX-Auth-Token: member\r\n"
        "Content-Type: application/octet-stream\r\nContent-Length: 10000000\r\n\r\n".encode()
    )
    writer.write(b"x" * MIB)
    await writer.drain()
    async with patience():
        while await rig.status(image_id) != "saving":
            await asyncio.sleep(0.01)
        writer.close()
        while await rig.status(image_id) != "queued" or rig.bytes_left():
            await asyncio.sleep(0.01)


async def test_a_refusal_reaches_a_client_that_still_sends(cloud: Any, rig: Any, tmp_path: Path) -> None:
    image_id = await rig.create()
    await rig.upload(image_id, b"first")
    big = tmp_path / "big"
    big.touch()
    os.truncate(big, 200 * MIB)

    def send() -> None:
        with big.open("rb") as data:
            answer = cloud.image.get_image(image_id).upload(cloud.image, data=data)
        assert answer.status_code == 409
        assert "only a queued image takes bytes" in answer.text

    await asyncio.to_thread(send)
