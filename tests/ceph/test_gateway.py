"""Ceph's own gateway beside Pumice: it keeps the backups, and whoever Pumice's Identity knows is its user."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openstack.connection import Connection
from openstack.exceptions import HttpException
from tests.ceph_cluster import CephPool
from tests.clients.installation import Installation, wait
from tests.clients.suites import furnish, settings
from tests.radosgw import RadosGateway, gateway

from pumice.model.units import GIB, MIB

pytestmark = [
    pytest.mark.real,
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore"),  # what the client warns of is not ours
]
SOME = 64 * MIB


@pytest.fixture(scope="module")
def pumice() -> Installation:
    """Not served yet."""
    return Installation(real=False)


@pytest.fixture(scope="module")
def store(ceph_pool: CephPool, pumice: Installation) -> Iterator[RadosGateway]:
    with gateway(ceph_pool.cluster, f"swift-{ceph_pool.name}", f"{pumice.url}/identity") as one:
        yield one


@pytest.fixture(scope="module")
def bucket(store: RadosGateway) -> str:
    return store.a_bucket()


@pytest.fixture(scope="module")
def served(pumice: Installation, store: RadosGateway, bucket: str) -> Iterator[Installation]:
    pumice.environment.update(settings(store) | store.environment(bucket) | {"PUMICE_BACKUP__CHUNK_MIB": "1"})
    with pumice:
        store.trust(pumice.passwords["admin"])
        furnish(pumice, {"object-store": store.swift})
        yield pumice


@pytest.fixture
def admin(served: Installation) -> Iterator[Connection]:
    with served.cloud() as cloud:
        yield cloud


def bytes_of(pumice: Installation, volume: str) -> Path:
    [found] = [path for path in pumice.state_dir.rglob(f"*{volume}*") if path.stat().st_size == GIB]
    return found


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_backup_waits_for_a_gateway_that_died_and_goes_on(
    served: Installation, store: RadosGateway, bucket: str, admin: Connection
) -> None:
    api = admin.block_storage
    volume = api.wait_for_status(api.create_volume(size=1), "available")
    with bytes_of(served, volume.id).open("r+b") as file:
        file.write(os.urandom(SOME))
    backup = api.create_backup(volume_id=volume.id)
    wait(lambda: len(store.left(bucket)) > 8, "nothing arrives")
    store.kill()
    assert api.get_backup(backup.id).status == "creating"
    store.start()
    api.wait_for_status(backup, "available")
    with bytes_of(served, volume.id).open("r+b") as file:
        file.seek(GIB - 7)
        file.write(b"changed")
    later = api.wait_for_status(api.create_backup(volume_id=volume.id, is_incremental=True), "available")
    found = api.wait_for_status(api.create_volume(size=1, backup_id=later.id), "available")
    assert digest(bytes_of(served, found.id)) == digest(bytes_of(served, volume.id))
    for one in (later, backup):
        api.delete_backup(one)
        api.wait_for_delete(one)
    assert store.left(bucket) == []
    assert served.violations() == ""


def test_users_of_identity_are_those_of_the_object_store(served: Installation, admin: Connection) -> None:
    with served.cloud("pumice-demo") as demo:
        demo.object_store.create_container("papers")
        demo.object_store.upload_object(container="papers", name="one", data=b"some words")
        assert demo.object_store.download_object("one", container="papers") == b"some words"
        project = demo.current_project_id
        assert f"AUTH_{project}" in (demo.object_store.get_endpoint() or "")
        assert [it.name for it in admin.object_store.containers()] == [], "another project's are seen"
        url = f"{demo.object_store.get_endpoint()}/papers"
        assert httpx.get(url, headers={"X-Auth-Token": "nonsense"}).status_code == 401
        demo.object_store.delete_object("one", container="papers")
        demo.object_store.delete_container("papers")
    with pytest.raises(HttpException):
        admin.object_store.get_container_metadata("papers")
