"""The real openstacksdk and python-cinderclient against the service on a real socket."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from volume_cloud import CONNECTOR, PROJECT, Cloud

openstack = pytest.importorskip("openstack", reason="openstacksdk is not installed")
cinderclient = pytest.importorskip("cinderclient.client", reason="python-cinderclient is not installed")
keystoneauth = pytest.importorskip("keystoneauth1.session")
token_endpoint = pytest.importorskip("keystoneauth1.token_endpoint")

pytestmark = pytest.mark.filterwarnings("ignore")  # what the clients warn of is not ours

SERVER = "55555555-5555-4555-8555-555555555555"


@pytest.fixture
async def url(cloud: Cloud) -> AsyncIterator[str]:
    """Where the service listens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(cloud.service, lifespan="off", log_config=None))
        serving = asyncio.create_task(server.serve([listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/volume/v3"
        server.should_exit = True
        await serving


def sdk_of(url: str, who: str) -> Any:
    return openstack.connect(
        load_yaml_config=False,
        load_envvars=False,
        auth_type="admin_token",
        auth={"endpoint": url, "token": who},
        block_storage_endpoint_override=f"{url}/{PROJECT}",
        block_storage_api_version="3",
        block_storage_default_microversion="3.71",
    )


def cinder_of(url: str, who: str) -> Any:
    auth = token_endpoint.Token(f"{url}/{PROJECT}", who)
    return cinderclient.Client("3.71", session=keystoneauth.Session(auth=auth))


async def test_the_sdk_creates_attaches_snapshots_and_deletes(cloud: Cloud, url: str) -> None:
    def story() -> None:
        storage = sdk_of(url, "member").block_storage
        volume = storage.create_volume(size=1, name="data", metadata={"k": "v"})
        storage.wait_for_status(volume, "available", interval=0.05, wait=10)
        assert [found.id for found in storage.volumes(limit=1)] == [volume.id]
        assert storage.find_volume("data").id == volume.id
        storage.update_volume(volume, name="renamed")
        storage.set_volume_bootable_status(volume, True)
        volume = storage.get_volume(volume)
        assert (volume.name, volume.is_bootable, volume.metadata) == ("renamed", True, {"k": "v"})

        link = storage.create_attachment(volume, connector=CONNECTOR)
        assert link.connection_info["driver_volume_type"] == "iscsi"
        storage.complete_attachment(link)
        assert storage.get_volume(volume).status == "in-use"
        assert [one.id for one in storage.attachments()] == [link.id]
        storage.delete_attachment(link)
        volume = storage.get_volume(volume)
        assert volume.status == "available"

        snapshot = storage.create_snapshot(volume_id=volume.id, name="s")
        storage.wait_for_status(snapshot, "available", interval=0.05, wait=10)
        storage.delete_snapshot(snapshot)
        storage.wait_for_delete(snapshot, interval=0.05, wait=10)
        storage.extend_volume(volume, 2)
        volume = storage.get_volume(volume)
        storage.wait_for_status(volume, "available", interval=0.05, wait=10)
        storage.delete_volume(volume)
        storage.wait_for_delete(volume, interval=0.05, wait=10)

        assert storage.get_limits().absolute.max_total_volumes == 2000
        assert [kind.name for kind in storage.types()] == ["__DEFAULT__"]
        assert list(storage.backups()) == list(storage.transfers()) == list(storage.groups()) == []
        assert [zone.name for zone in storage.availability_zones()] == ["nova"]

    await asyncio.to_thread(story)


async def test_an_administrators_sdk_manages_types_quotas_and_services(cloud: Cloud, url: str) -> None:
    def story() -> None:
        storage = sdk_of(url, "admin").block_storage
        kind = storage.create_type(name="fast", description="d", is_public=False)
        storage.update_type_extra_specs(kind, volume_backend_name="fake")
        assert storage.get_type(kind).extra_specs == {"volume_backend_name": "fake"}
        storage.add_type_access(kind, PROJECT)
        assert [row["project_id"] for row in storage.get_type_access(kind)] == [PROJECT]
        storage.delete_type(kind)
        storage.update_quota_set(PROJECT, volumes=7)
        quota = storage.get_quota_set(PROJECT, usage=True)
        assert (quota.volumes, quota.usage["volumes"]) == (7, 0)
        storage.revert_quota_set(PROJECT)
        binaries = ["cinder-backup", "cinder-scheduler", "cinder-volume"]
        assert sorted(service.binary for service in storage.services()) == binaries
        assert [pool.name for pool in storage.backend_pools()] == ["box@fake#fake"]
        assert storage.get_capabilities("box@fake").storage_protocol == "iSCSI"

    await asyncio.to_thread(story)


async def test_cinderclient_goes_the_older_way(cloud: Cloud, url: str) -> None:
    def story() -> None:
        cinder = cinder_of(url, "member")
        volume = cinder.volumes.create(1, name="data")
        while cinder.volumes.get(volume.id).status != "available":
            pass
        cinder.volumes.reserve(volume)
        info = cinder.volumes.initialize_connection(volume, CONNECTOR)
        assert info["data"]["target_lun"] == 1
        cinder.volumes.attach(volume, SERVER, "/dev/vdb", mode="rw")
        (link,) = cinder.volumes.get(volume.id).attachments
        assert link["server_id"] == SERVER
        cinder.volumes.begin_detaching(volume)
        cinder.volumes.terminate_connection(volume, CONNECTOR)
        cinder.volumes.detach(volume, link["attachment_id"])
        assert cinder.volumes.get(volume.id).status == "available"
        cinder.volumes.set_metadata(volume, {"a": "1", "b": "2"})
        cinder.volumes.delete_metadata(volume, ["a"])
        assert cinder.volumes.get(volume.id).metadata == {"b": "2", "readonly": "False"}
        assert [found.id for found in cinder.volumes.list(search_opts={"name~": "dat"}, sort="name:asc")] == [
            volume.id
        ]
        link = cinder.attachments.create(volume.id, CONNECTOR, None, mode="ro")
        assert cinder.attachments.show(link["id"]).attach_mode == "ro"
        cinder.attachments.complete(link["id"])
        cinder.attachments.delete(link["id"])
        cinder.volumes.delete(volume, cascade=True)
        assert cinder.messages.list() == cinder.volume_snapshots.list() == cinder.backups.list() == []
        assert cinder.limits.get().to_dict()["absolute"]["maxTotalVolumes"] == 2000

    await asyncio.to_thread(story)
