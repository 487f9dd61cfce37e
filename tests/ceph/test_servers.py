"""Servers on volumes in Ceph: QEMU opens the images, with a key that nobody else gets to see."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import libvirt
import pytest
from pumice_process import PumiceProcess, installation
from stories import SERVERS, VOLUMES, Stories
from tests.ceph.conftest import User

from pumice.app.guest_image import GREETING
from pumice.app.tour.run import cache_dir
from pumice.model.units import GIB

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

ATTACHMENTS = "/volume/v3/attachments"


@pytest.fixture
def cloud(ceph_user: User) -> Iterator[PumiceProcess]:
    with installation(PUMICE_COMPUTE__DETACH_SECONDS="20", PUMICE_LOG_LEVEL="debug") as pumice:
        pumice.environment["PUMICE_BACKENDS"] = json.dumps({"ceph": ceph_user.settings})
        pumice.start()
        yield pumice


def begin_of(user: User, volume: str) -> bytes:
    """The first bytes of a volume, as any client of the cluster reads them."""
    where = f"{user.pool.name}/volume-{volume}"
    words = ["rbd", "--conf", str(user.pool.cluster.conf), "export", "--no-progress", where, "-"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as reading:
        assert reading.stdout is not None
        found = reading.stdout.read(len(GREETING))
        reading.kill()
    return found


def domain_of(stories: Stories, server: str) -> tuple[str, dict[str, int]]:
    """A running guest as libvirt has it, and the sizes of its disks by their names."""
    connection = libvirt.open(stories.pumice.libvirtd.uri)
    try:
        domain = connection.lookupByUUIDString(server)
        xml = str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE))
        disks = [it.get("dev", "") for it in ElementTree.fromstring(xml).findall("devices/disk/target")]  # noqa: S314
        return xml, {disk: int(domain.blockInfo(disk)[0]) for disk in disks}
    finally:
        connection.close()


def holds(directory: Path, secret: str) -> list[Path]:
    """The files below a directory that have a secret in them."""
    every = (it for it in directory.rglob("*") if it.is_file())
    return [it for it in every if secret.encode() in it.read_bytes()]


def test_the_four_stories_on_images_of_ceph(cloud: PumiceProcess, ceph_user: User, tmp_path: Path) -> None:
    stories, pool = Stories(cloud), ceph_user.pool
    stories.upload_guest(tmp_path, cache_dir())
    root = stories.settled(stories.create(imageRef=stories.image), "available")
    server = stories.boot(root)
    cloud.settle()
    stories.server_is(server, "ACTIVE")
    stories.wait_for_guest(server)

    data = stories.settled(stories.create(), "available")
    stories.attach(server, data)
    stories.settled(data, "in-use")
    cloud.wait(lambda: "PUMICE-GUEST wrote vdb" in stories.console(server), "the guest does not write")
    assert begin_of(ceph_user, data) == GREETING.encode()
    assert stories.extend(data, 2) == 202
    stories.settled(data, "in-use")
    xml, sizes = domain_of(stories, server)
    assert sizes["vdb"] == 2 * GIB

    wanted = {"volume_id": data, "force": True}
    snapshot = cloud.call("POST", "/volume/v3/snapshots", {"snapshot": wanted})["snapshot"]["id"]
    cloud.settle()
    copy = stories.settled(stories.create(size=2, snapshot_id=snapshot), "available")
    assert begin_of(ceph_user, copy) == GREETING.encode()
    second = stories.boot(stories.settled(stories.create(source_volid=root), "available"))
    cloud.settle()
    stories.wait_for_guest(second)

    assert ceph_user.key not in xml
    assert not holds(cloud.state_dir, ceph_user.key)
    assert not any(ceph_user.key in it for it in cloud.log("serve").splitlines())
    assert cloud.violations() == []

    cloud.call("POST", f"{SERVERS}/{server}/action", {"reboot": {"type": "HARD"}})
    cloud.settle()
    cloud.wait(lambda: stories.boots(server) == 2, "the guest does not boot again", 180)
    stories.detach(server, data)
    stories.settled(data, "available")
    for it in (server, second):
        stories.delete(f"{SERVERS}/{it}")
    cloud.settle()
    stories.delete(f"/volume/v3/snapshots/{snapshot}")
    cloud.settle()
    for volume in cloud.call("GET", VOLUMES)["volumes"]:
        stories.delete(f"{VOLUMES}/{volume['id']}")
    cloud.settle()
    for base in cloud.call("GET", "/pumice/v1/image-cache")["image_bases"]:
        cloud.call("POST", f"/pumice/v1/image-cache/{base['id']}/actions/evict")
    cloud.settle()
    assert cloud.violations() == []
    assert pool.cluster.rbd("ls", pool.name) == ""
    assert pool.cluster.rbd("trash", "ls", "--all", pool.name) == "", "the last clone takes its origin along"


BRICK = """
import json, sys
from os_brick.initiator.connector import InitiatorConnector
info = json.load(sys.stdin)
brick = InitiatorConnector.factory("RBD", "")
found = brick.connect_volume(info)
found["path"].write(b"by os-brick")
found["path"].flush()
brick.disconnect_volume(info, found)
"""


def test_a_real_os_brick_opens_what_a_client_is_told_and_no_client_is_told_the_key(
    cloud: PumiceProcess, ceph_user: User, tmp_path: Path
) -> None:
    stories, pool = Stories(cloud), ceph_user.pool
    volume = stories.settled(stories.create(), "available")
    wanted = {"volume_uuid": volume, "connector": {"host": "node1"}}
    link = cloud.call("POST", ATTACHMENTS, {"attachment": wanted})["attachment"]
    info = link["connection_info"]
    assert info["name"] == f"{pool.name}/volume-{volume}"
    assert (info["driver_volume_type"], info["auth_username"], info["discard"]) == ("rbd", pool.name, True)
    assert len(info["hosts"]) == len(info["ports"]) == 1
    assert ceph_user.key not in json.dumps(link)
    info["keyring"] = ceph_user.keyring.read_text()  # a host that has it finds it in /etc/ceph
    words = [sys.executable, "-W", "ignore", "-c", BRICK]
    for library in ("rados", "rbd"):  # as Debian has them, of its own Python, which is the tests' too
        for file in Path("/usr/lib/python3/dist-packages").glob(f"{library}.*"):
            (tmp_path / file.name).symlink_to(file)
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(words, input=json.dumps(info), capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0, done.stderr
    assert begin_of(ceph_user, volume).startswith(b"by os-brick")
    stories.delete(f"{ATTACHMENTS}/{link['id']}")
    stories.settled(volume, "available")
    stories.delete(f"{VOLUMES}/{volume}")
    cloud.settle()
    assert cloud.violations() == []
