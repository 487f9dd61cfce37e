"""Images in a pool of Ceph, and volumes in another of the same cluster: no byte is copied between them."""

import hashlib
import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from pumice_process import PumiceProcess, installation
from stories import IMAGES, VOLUMES, Stories
from tests.ceph.conftest import User, make_user
from tests.ceph_cluster import CephPool
from tests.patience import PATIENCE

from pumice.backends.contract import no_progress
from pumice.backends.rbd import RbdBackend
from pumice.backends.rbd_images import Cluster
from pumice.model.ids import VolumeId, new_id
from pumice.model.image_location import RbdLocation
from pumice.model.units import MIB

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

DATA = os.urandom(6 * MIB)


@pytest.fixture
def images_user(ceph_user: User) -> Iterator[User]:
    """The user of images, whose pool that of the volumes may read."""
    cluster, pool = ceph_user.pool.cluster, f"{ceph_user.pool.name}-images"
    if pool not in cluster.ceph("osd", "pool", "ls").split():
        cluster.make_pool(pool)
    yield make_user(cluster, pool)
    cluster.empty(pool)
    cluster.ceph("auth", "rm", f"client.{pool}")


def let_read(user: User, *pools: str) -> None:
    osd = ", ".join(
        [f"profile rbd pool={user.pool.name}", *(f"profile rbd-read-only pool={it}" for it in pools)]
    )
    user.pool.cluster.ceph(
        "auth", "caps", f"client.{user.pool.name}", "mon", "profile rbd", "mgr", "profile rbd", "osd", osd
    )


@pytest.fixture
def cloud(ceph_user: User, images_user: User) -> Iterator[PumiceProcess]:
    let_read(ceph_user, images_user.pool.name)
    place = {name: images_user.settings[name] for name in ("pool", "conf", "user", "keyring")}
    with installation(PUMICE_COMPUTE__DRIVER="none", PUMICE_IMAGES__SHOW_LOCATIONS="true") as pumice:
        pumice.environment["PUMICE_IMAGES__RBD"] = json.dumps(place)
        pumice.environment["PUMICE_BACKENDS"] = json.dumps({"ceph": ceph_user.settings})
        pumice.awaited = {"cinder-volume"}
        pumice.start()
        yield pumice


def parent_of(user: User, image: str) -> dict[str, str]:
    told = json.loads(user.pool.cluster.rbd("info", "--format", "json", f"{user.pool.name}/{image}"))
    return dict(told.get("parent", {}))


def begin_of(user: User, image: str) -> bytes:
    """The first bytes of an image, as any client of the cluster reads them."""
    words = ["rbd", "--conf", str(user.pool.cluster.conf), "export", "--no-progress"]
    with subprocess.Popen([*words, f"{user.pool.name}/{image}", "-"], stdout=subprocess.PIPE) as reading:
        assert reading.stdout is not None
        found = reading.stdout.read(len(DATA))
        reading.kill()
    return found


def left_in(user: User) -> list[str]:
    """What is in a pool, with what waits in its trash."""
    rbd = user.pool.cluster.rbd
    return [*rbd("ls", user.pool.name).split(), *rbd("trash", "ls", "--all", user.pool.name).split()]


def test_a_volume_of_an_image_is_a_clone_and_outlives_it(
    cloud: PumiceProcess, ceph_user: User, images_user: User
) -> None:
    stories = Stories(cloud)
    image = stories.upload(DATA, "raw")
    shown = cloud.call("GET", f"{IMAGES}/{image}")
    fsid = ceph_user.pool.cluster.ceph("fsid").strip()
    assert shown["direct_url"] == f"rbd://{fsid}/{images_user.pool.name}/{image}/snap"
    assert shown["locations"] == [{"url": shown["direct_url"], "metadata": {}}]
    assert cloud.call("GET", f"{IMAGES}?name={shown['name']}")["images"][0]["direct_url"] == shown["direct_url"]
    snaps = json.loads(
        images_user.pool.cluster.rbd("snap", "ls", "--format", "json", f"{images_user.pool.name}/{image}")
    )
    assert [(it["name"], it["protected"]) for it in snaps] == [("snap", "true")], "as Glance has it"
    assert cloud.http.get(f"{IMAGES}/{image}/file").content == DATA

    first, second = (stories.settled(stories.create(imageRef=image)) for _ in range(2))
    for volume in (first, second):
        above = parent_of(ceph_user, f"volume-{volume}")
        assert (above["pool"], above["image"], above["snapshot"]) == (images_user.pool.name, image, "snap")
        assert ceph_user.pool.allocated(f"volume-{volume}") == 0, "nothing was copied"
        assert begin_of(ceph_user, f"volume-{volume}") == DATA
    assert sorted(ceph_user.pool.cluster.rbd("ls", ceph_user.pool.name).split()) == sorted(
        [f"volume-{first}", f"volume-{second}"]
    ), "no base was made"

    cloud.call("DELETE", f"{IMAGES}/{image}")
    assert begin_of(ceph_user, f"volume-{first}") == DATA
    assert cloud.violations() == []
    for volume in (first, second):
        cloud.call("DELETE", f"{VOLUMES}/{volume}")
    cloud.settle()
    cloud.stop("serve")
    cloud.start()  # it looks at once for what waited for its last clone
    _until(lambda: left_in(images_user) == [])


def _until(so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not so():
        assert time.monotonic() < give_up
        time.sleep(0.1)


@pytest.mark.long
def test_other_images_are_copied_as_ever(cloud: PumiceProcess, ceph_user: User, tmp_path: Path) -> None:
    """One that is to be converted, a type that encrypts, and what a volume becomes."""
    stories = Stories(cloud)
    disk = tmp_path / "disk"
    disk.write_bytes(DATA)
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", disk, tmp_path / "qcow2"], check=True)
    image = stories.upload((tmp_path / "qcow2").read_bytes(), "qcow2")
    volume = stories.settled(stories.create(imageRef=image))
    assert begin_of(ceph_user, f"volume-{volume}") == DATA
    sealed = stories.create(volume_type=stories.encrypted_type(), imageRef=stories.upload(DATA, "raw"))
    assert begin_of(ceph_user, f"volume-{stories.settled(sealed)}")[:6] == b"LUKS\xba\xbe"
    asked = {"os-volume_upload_image": {"image_name": "made", "disk_format": "raw"}}
    made = cloud.call("POST", f"{VOLUMES}/{volume}/action", asked)["os-volume_upload_image"]["image_id"]
    stories.settled(volume)
    again = stories.settled(stories.create(imageRef=made))
    assert parent_of(ceph_user, f"volume-{again}")["image"] == made
    assert begin_of(ceph_user, f"volume-{again}") == DATA
    assert cloud.violations() == []


@pytest.mark.parametrize(
    "seconds", [0.2, pytest.param(0.05, marks=pytest.mark.long), pytest.param(0.5, marks=pytest.mark.long)]
)
def test_an_upload_that_is_killed_leaves_a_queued_image_or_an_active_one(
    cloud: PumiceProcess, images_user: User, seconds: float
) -> None:
    image = str(
        cloud.call("POST", IMAGES, {"name": "i", "disk_format": "raw", "container_format": "bare"})["id"]
    )
    headers = {"Content-Type": "application/octet-stream"}

    def upload() -> None:
        with suppress(httpx.HTTPError):
            cloud.http.put(f"{IMAGES}/{image}/file", content=DATA, headers=headers)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(upload)
        time.sleep(seconds)
        cloud.kill("serve")
    cloud.start()

    def is_settled() -> bool:
        status = cloud.call("GET", f"{IMAGES}/{image}")["status"]
        return status in ("queued", "active") and left_in(images_user) == [image] * (status == "active")

    _until(is_settled)
    assert cloud.violations() == []
    if cloud.call("GET", f"{IMAGES}/{image}")["status"] == "active":
        assert cloud.http.get(f"{IMAGES}/{image}/file").content == DATA
    cloud.call("DELETE", f"{IMAGES}/{image}")
    _until(lambda: left_in(images_user) == [])


def test_bytes_that_no_row_knows_are_told_and_left(cloud: PumiceProcess, images_user: User) -> None:
    stories = Stories(cloud)
    image, nobodys = stories.upload(DATA, "raw"), new_id()
    images_user.pool.cluster.rbd("create", "--size", "1M", f"{images_user.pool.name}/{nobodys}")
    assert [it for it in cloud.violations() if nobodys in it and "unknown" in it]
    images_user.pool.cluster.rbd("rename", f"{images_user.pool.name}/{image}", f"{images_user.pool.name}/away")
    assert cloud.violations()[0] == f"image {image} has no bytes"


# --- what cannot be cloned -------------------------------------------------------------------------------


def backend_of(user: User, folder: Path) -> RbdBackend:
    cluster = Cluster(user.pool.cluster.conf, user.pool.name, user.keyring)
    return RbdBackend(cluster, {"one": user.pool.name}, folder)


@pytest.fixture
def image(images_user: User, tmp_path: Path) -> RbdLocation:
    """One that a Glance left; its snapshot is protected, as its are."""
    pool: CephPool = images_user.pool
    (tmp_path / "bytes").write_bytes(DATA)
    pool.cluster.rbd("import", "--no-progress", str(tmp_path / "bytes"), f"{pool.name}/theirs")
    pool.cluster.rbd("snap", "create", "--no-progress", f"{pool.name}/theirs@snap")
    pool.cluster.rbd("snap", "protect", f"{pool.name}/theirs@snap")
    return RbdLocation(pool.cluster.ceph("fsid").strip(), pool.name, "theirs", "snap")


@pytest.mark.long
def test_an_image_of_a_glance_is_taken_as_it_is(
    cloud: PumiceProcess, ceph_user: User, images_user: User, tmp_path: Path
) -> None:
    """It lies in another pool of the cluster, which our images' user may read."""
    cluster = images_user.pool.cluster
    cluster.make_pool(glance := f"{ceph_user.pool.name}-glance")
    osd = f"profile rbd pool={images_user.pool.name}, profile rbd-read-only pool={glance}"
    caps = ("mon", "profile rbd", "mgr", "profile rbd", "osd", osd)
    cluster.ceph("auth", "caps", f"client.{images_user.pool.name}", *caps)
    let_read(ceph_user, images_user.pool.name, glance)
    cloud.stop("serve")
    cloud.start()  # who is connected keeps the caps it had
    (tmp_path / "bytes").write_bytes(DATA[:-7])
    cluster.rbd("import", "--no-progress", str(tmp_path / "bytes"), f"{glance}/theirs")
    cluster.rbd("snap", "create", "--no-progress", f"{glance}/theirs@snap")
    cluster.rbd("snap", "protect", f"{glance}/theirs@snap")
    new = {"name": "i", "disk_format": "raw", "container_format": "bare"}
    image = str(cloud.call("POST", IMAGES, new)["id"])

    def located(url: str) -> httpx.Response:
        patch = [{"op": "add", "path": "/locations/-", "value": {"url": url, "metadata": {}}}]
        content = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
        return cloud.http.patch(f"{IMAGES}/{image}", content=json.dumps(patch), headers=content)

    fsid = cluster.ceph("fsid").strip()
    for wrong in (
        "http://elsewhere/image",
        f"rbd://{uuid.uuid4()}/{glance}/theirs/snap",
        f"rbd://{fsid}/{glance}/nothing/snap",
        f"rbd://{fsid}/{images_user.pool.name}/{image}/snap",
    ):
        assert located(wrong).status_code == 400
    assert cloud.call("GET", f"{IMAGES}/{image}")["status"] == "queued" and left_in(images_user) == []
    answer = located(f"rbd://{fsid}/{glance}/theirs/snap")
    assert answer.status_code == 200 and answer.json()["status"] == "active", answer.text
    assert answer.json()["size"] == len(DATA) - 7
    assert answer.json()["checksum"] == hashlib.md5(DATA[:-7], usedforsecurity=False).hexdigest()
    assert images_user.pool.allocated(image) == 0, "nothing was copied"
    volume = Stories(cloud).settled(Stories(cloud).create(imageRef=image))
    assert parent_of(ceph_user, f"volume-{volume}")["image"] == image
    assert begin_of(ceph_user, f"volume-{volume}") == DATA[:-7] + bytes(7)
    assert ceph_user.pool.allocated(f"volume-{volume}") == 0
    assert located(f"rbd://{fsid}/{glance}/theirs/snap").status_code == 409
    cloud.call("DELETE", f"{IMAGES}/{image}")
    assert begin_of(ceph_user, f"volume-{volume}") == DATA[:-7] + bytes(7)
    assert cluster.rbd("ls", glance).split() == ["theirs"], "it stays its owner's"
    cluster.ceph("osd", "pool", "rm", glance, glance, "--yes-i-really-really-mean-it")


async def test_what_a_glance_left_is_cloned_and_what_cannot_be_is_left_to_be_copied(
    ceph_user: User, image: RbdLocation, tmp_path: Path
) -> None:
    """Protected or not, and whatever features it has, as long as it can be a parent at all."""
    rbd = ceph_user.pool.cluster.rbd

    async def is_cloned(location: RbdLocation = image) -> bool:
        backend = backend_of(ceph_user, tmp_path)  # who is connected keeps the caps it had
        volume = VolumeId(new_id())
        cloned = await backend.clone_image(volume, "one", 1, location, no_progress)
        if cloned:
            assert await backend.clone_image(volume, "one", 1, location, no_progress), "done again it is done"
            assert begin_of(ceph_user, f"volume-{volume}") == DATA
            await backend.delete(volume, "one")
        assert left_in(ceph_user) == []
        return cloned

    assert not await is_cloned(), "its user may not read there"
    let_read(ceph_user, image.pool)
    assert await is_cloned()
    rbd(
        "feature",
        "disable",
        f"{image.pool}/theirs",
        "deep-flatten",
        "fast-diff",
        "object-map",
        "exclusive-lock",
    )
    rbd("snap", "unprotect", f"{image.pool}/theirs@snap")
    assert await is_cloned()
    for other in (
        replace(image, fsid=str(uuid.uuid4())),  # a cluster of the same name, with such a pool and image
        replace(image, pool="nowhere"),
        replace(image, snapshot="another"),
    ):
        assert not await is_cloned(other)
    rbd("trash", "mv", f"{image.pool}/theirs")
    assert not await is_cloned()


def test_a_location_is_read_as_glance_writes_it() -> None:
    fsid = "0b6bb6b8-5b1b-4b0e-9d7e-0c3f6a0a1c11"
    known = RbdLocation(fsid, "im/ages", "a b", "snap")
    assert RbdLocation.parse(known.url) == known
    for url in (
        "",
        "file:///var/lib/x",
        f"rbd://{fsid}/a/b",
        f"rbd://{fsid}/a/b/",
        "rbd://ceph/a/b/snap",
        "rbd://b",
    ):
        assert RbdLocation.parse(url) is None
