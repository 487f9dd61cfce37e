"""The real openstacksdk against the service on a real socket."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from compute_cloud import Cloud

openstack = pytest.importorskip("openstack", reason="openstacksdk is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")  # what the client warns of is not ours


@pytest.fixture
async def url(cloud: Cloud) -> AsyncIterator[str]:
    """Where the service listens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(cloud.service, lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/compute/v2.1"
        server.should_exit = True
        await serving


@pytest.fixture
def sdk(url: str) -> Any:
    """A connection that speaks with the member's token."""
    return openstack.connect(
        load_yaml_config=False,
        load_envvars=False,
        auth_type="admin_token",
        auth={"endpoint": url, "token": "member"},
        compute_endpoint_override=url,
    )


async def test_the_sdk_boots_attaches_detaches_and_deletes(cloud: Cloud, sdk: Any) -> None:
    root, data = await cloud.volume(bootable=True), await cloud.volume()

    def story() -> None:
        flavor = sdk.compute.find_flavor("m1.nano")
        assert flavor.ram == 128
        assert [zone.name for zone in sdk.compute.availability_zones()] == ["nova"]
        server = sdk.compute.create_server(
            name="story",
            flavor_id=flavor.id,
            networks="none",
            block_device_mapping=[cloud.from_volume(root)],
        )
        server = sdk.compute.wait_for_server(server, interval=0.05, wait=10)
        assert [volume.id for volume in server.attached_volumes] == [root]
        attachment = sdk.compute.create_volume_attachment(server, volume_id=data)
        assert attachment.volume_id == data
        shown = {one.volume_id: one.device for one in sdk.compute.volume_attachments(server)}
        assert shown == {root: "/dev/vda", data: "/dev/vdb"}
        sdk.compute.set_server_metadata(server, role="db")
        assert sdk.compute.find_server("story").metadata == {"role": "db"}
        assert "hello" in sdk.compute.get_server_console_output(server)["output"]
        assert [action.action for action in sdk.compute.server_actions(server)][-1] == "create"

    await asyncio.to_thread(story)
    await cloud.until_volume(data, "in-use")

    def end() -> None:
        server = sdk.compute.find_server("story")
        sdk.compute.delete_volume_attachment(server, data)
        sdk.compute.delete_server(server)
        sdk.compute.wait_for_delete(server, interval=0.05, wait=10)

    await asyncio.to_thread(end)
    await cloud.until_quiet()
    assert [await cloud.volume_status(volume) for volume in (root, data)] == ["available", "available"]
    await cloud.check_invariants()
