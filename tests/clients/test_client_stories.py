"""The four stories told by unmodified clients to a real ``pumice serve``: on fakes, and on real parts.

The real parts are files, tgt and a guest under libvirt, whose own words on its console are looked for.
"""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cinderclient.exceptions import ClientException
from installation import Installation, wait
from story_clients import Cinder, OpenStackCommand, Sdk, Seen, StoryClient

from pumice.app.guest_image import build_guest_image
from pumice.app.tour.run import cache_dir

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),  # what the clients warn of is not ours
]

REAL = pytest.param(True, id="real", marks=pytest.mark.real)
FAKES = pytest.param(False, id="fakes")
CONNECTOR = {
    "initiator": "iqn.1993-08.org.debian:01:abc",
    "ip": "127.0.0.1",
    "host": "elsewhere",
    "multipath": False,
    "platform": "x86_64",
    "os_type": "linux2",
}


@pytest.fixture(scope="module", params=[FAKES, REAL])
def pumice(request: pytest.FixtureRequest) -> Iterator[Installation]:
    with Installation(real=request.param) as pumice:
        yield pumice


@pytest.fixture(scope="module")
def image(pumice: Installation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk image to boot; on fakes an empty one, since nobody looks into it."""
    file = tmp_path_factory.mktemp("image") / "guest.qcow2"
    if pumice.real:
        return asyncio.run(build_guest_image(file, cache_dir()))
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", file, "16M"], check=True, timeout=60)
    return file


def test_the_openstack_command_does_all_four_stories(pumice: Installation, image: Path) -> None:
    tell(OpenStackCommand(pumice), pumice, image)


def test_openstacksdk_does_all_four_stories(pumice: Installation, image: Path) -> None:
    tell(Sdk(pumice), pumice, image)


def test_cinderclient_does_all_four_stories(pumice: Installation, image: Path) -> None:
    tell(Cinder(pumice), pumice, image)


def test_cinderclient_attaches_as_a_compute_service_does(pumice: Installation) -> None:
    client = Cinder(pumice)
    client.create("data")
    volume = client.cinder.volumes.list(search_opts={"name": "data"})[0]
    server = "55555555-5555-4555-8555-555555555555"
    link = client.cinder.attachments.create(volume.id, None, server)
    assert client.look("data").status == "reserved"
    info = client.cinder.attachments.update(link["id"], CONNECTOR).connection_info
    assert info["driver_volume_type"] == "iscsi" and info["auth_method"] == "CHAP"
    assert client.look("data").status == "attaching"
    client.cinder.attachments.complete(link["id"])
    assert client.look("data").status == "in-use"
    with pytest.raises(ClientException, match="using the Compute API"):
        client.cinder.attachments.delete(link["id"])
    client.as_service().attachments.delete(link["id"])
    assert client.look("data").status == "available"
    client.delete_volume("data")
    assert not pumice.violations()


def tell(client: StoryClient, pumice: Installation, image: Path) -> None:
    """The four stories, from an uploaded image to nothing left."""
    client.upload("guest", image)
    client.create("root", image="guest")
    client.create("data")
    assert client.look("root") == Seen("available", 1, bootable=True, devices=[])
    assert client.look("data") == Seen("available", 1, bootable=False, devices=[])

    client.boot("vm", "root")
    assert client.look("root") == Seen("in-use", 1, bootable=True, devices=["/dev/vda"])
    hear(client, pumice, "PUMICE-GUEST ready")

    assert client.attach("vm", "data") == "/dev/vdb"
    assert client.look("data") == Seen("in-use", 1, bootable=False, devices=["/dev/vdb"])
    hear(client, pumice, "PUMICE-GUEST wrote vdb")

    client.detach("vm", "data")
    assert client.look("data") == Seen("available", 1, bootable=False, devices=[])
    hear(client, pumice, "PUMICE-GUEST gone vdb")

    client.delete_server("vm")
    client.delete_volume("data")
    client.delete_volume("root")
    client.delete_image("guest")
    assert client.everything() == []
    assert not pumice.violations()


def hear(client: StoryClient, pumice: Installation, words: str) -> None:
    """Until a real guest has said so, and the client shows it."""
    if pumice.real:
        sdk = Sdk(pumice)
        wait(lambda: words in sdk.console("vm"), f"the guest does not say: {words}")
        assert words in client.console("vm")
