"""Whoever copies a volume's bytes finds those of an image of Ceph: uploads, backups, moves, LUKS."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pumice_process import PumiceProcess, installation
from stories import IMAGES, VOLUMES, Stories
from tests.ceph.conftest import User

from pumice.model.units import MIB

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

BACKUPS = "/volume/v3/backups"


@pytest.fixture
def cloud(ceph_user: User, tmp_path: Path) -> Iterator[PumiceProcess]:
    """One with a backend in Ceph, which comes first, and one of files beside it."""
    files = {"driver": "files", "target": "fake", "capacity_gb": 3}
    with installation(PUMICE_COMPUTE__DRIVER="none") as pumice:
        backends = {"ceph": ceph_user.settings, "files": files}
        pumice.environment["PUMICE_BACKENDS"] = json.dumps(backends)
        pumice.environment |= {"PUMICE_BACKUP__DRIVER": "posix", "PUMICE_BACKUP__PATH": str(tmp_path)}
        pumice.awaited = {"cinder-volume"}
        pumice.start()
        yield pumice


def bytes_of(user: User, volume: str, length: int) -> bytes:
    """The first bytes of a volume, as any client of the cluster reads them."""
    where = f"{user.pool.name}/volume-{volume}"
    words = ["rbd", "--conf", str(user.pool.cluster.conf), "export", "--no-progress", where, "-"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as reading:
        assert reading.stdout is not None
        found = reading.stdout.read(length)
        reading.kill()
    return found


def test_the_same_bytes_through_uploads_backups_and_moves(cloud: PumiceProcess, ceph_user: User) -> None:
    stories, data = Stories(cloud), os.urandom(4 * MIB)

    def names_of_pools() -> list[str]:
        found = cloud.call("GET", "/volume/v3/scheduler-stats/get_pools")["pools"]
        return [str(it["name"]) for it in found]

    cloud.wait(lambda: len(names_of_pools()) == 2, "its pools do not come up")
    pools = names_of_pools()
    [ceph] = [it for it in pools if "@ceph#" in it]
    [elsewhere] = [it for it in pools if "@files#" in it]

    def pool_of(volume: str) -> str:
        return str(cloud.call("GET", f"{VOLUMES}/{volume}")["volume"]["os-vol-host-attr:host"])

    first = stories.settled(stories.create(imageRef=stories.upload(data, "raw")))
    assert pool_of(first) == ceph
    assert bytes_of(ceph_user, first, len(data)) == data

    asked = {"os-volume_upload_image": {"image_name": "made", "disk_format": "qcow2"}}
    image = cloud.call("POST", f"{VOLUMES}/{first}/action", asked)["os-volume_upload_image"]["image_id"]
    stories.settled(first)
    assert cloud.call("GET", f"{IMAGES}/{image}")["virtual_size"] == 1024**3
    assert bytes_of(ceph_user, stories.settled(stories.create(imageRef=image)), len(data)) == data

    backup = cloud.call("POST", BACKUPS, {"backup": {"volume_id": first}})["backup"]["id"]
    stories.settled(first)
    restored = cloud.call("POST", f"{BACKUPS}/{backup}/restore", {"restore": {}})["restore"]["volume_id"]
    assert bytes_of(ceph_user, stories.settled(restored), len(data)) == data

    for there in (elsewhere, ceph):
        cloud.call("POST", f"{VOLUMES}/{first}/action", {"os-migrate_volume": {"host": there}})
        stories.settled(first)
        assert pool_of(first) == there
    assert bytes_of(ceph_user, first, len(data)) == data

    sealed = stories.settled(
        stories.create(volume_type=stories.encrypted_type(), imageRef=stories.upload(data, "raw"))
    )
    assert bytes_of(ceph_user, sealed, 6) == b"LUKS\xba\xbe"
    assert cloud.violations() == []
    assert not list(Path("/proc/self/mounts").read_text().split(f"{cloud.state_dir}/rbd")[1:])
