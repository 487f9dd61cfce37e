"""A guest on the reference stack: it boots from a device of this kernel's initiator, and is given other disks.

A guest in the lane's guest, both under software emulation, so each step takes its time.
"""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest
from kernel_image import CACHE
from pumice_process import PumiceProcess
from reference_stack import given, logical, reference_stack, what_is_there
from stories import SERVERS, VOLUMES, Stories

from pumice.host import luks
from pumice.model.units import GIB, MIB

pytestmark = [pytest.mark.kernel(memory_mib=4096), pytest.mark.timeout(3000), pytest.mark.long]


@pytest.fixture(scope="module")
def pumice() -> Iterator[PumiceProcess]:
    with reference_stack(PUMICE_COMPUTE__DETACH_SECONDS="600") as pumice:
        yield pumice


@pytest.fixture(scope="module")
def stories(pumice: PumiceProcess, tmp_path_factory: pytest.TempPathFactory) -> Stories:
    pumice.start()
    stories = Stories(pumice)
    stories.upload_guest(tmp_path_factory.mktemp("guest"), CACHE)
    return stories


def says(stories: Stories, server: str, words: str) -> None:
    end = time.monotonic() + 900
    while words not in (said := stories.console(server)):
        assert time.monotonic() < end, f"the guest does not say {words!r}: {said[-2000:]}"
        time.sleep(1)


def grow(stories: Stories, server: str, volume: str, sectors: int) -> None:
    """Make the guest's second disk one of 2 GiB under its hands; it is to see ``sectors`` of 512 bytes."""
    assert stories.extend(volume, 2) == 202
    stories.pumice.settle()
    stories.volume_is(volume, "in-use")
    stories.type_into(server, "echo $(cat /sys/block/vdb/size) sectors")
    says(stories, server, f"{sectors} sectors")


def machine(pumice: PumiceProcess, server: str) -> str:
    """The machine as libvirt describes it."""
    connection = libvirt.open(pumice.libvirtd.uri)
    try:
        return str(connection.lookupByUUIDString(server).XMLDesc())
    finally:
        connection.close()


def as_the_page_says(pumice: PumiceProcess, server: str) -> None:
    """Give the guest a disk and take it away, as ``docs/by-hand.md`` has it done with virsh."""
    page = Path(__file__).parents[2] / "docs" / "by-hand.md"
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL)
    [attach], [detach] = (
        [it for it in blocks if f"virsh {verb}-device" in it] for verb in ("attach", "detach")
    )
    script = f"""
        STATE_DIR={pumice.state_dir} volume=by-hand disk=/dev/vg/by-hand
        lvcreate --yes --size 4m --name by-hand vg
        {attach}
        virsh domblklist pumice-SERVER | grep by-hand
        {detach}
        for try in $(seq 300); do virsh domblklist pumice-SERVER | grep by-hand || break; sleep 1; done
        virsh domblklist pumice-SERVER | grep by-hand && exit 1
        lvremove --yes vg/by-hand
    """.replace("SERVER", server)
    lines = "\n".join(line.strip() for line in script.splitlines())
    done = subprocess.run(
        ["bash", "-eux"], input=lines, cwd="/tmp", capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_guest_boots_from_a_kernel_device_and_gets_grows_and_loses_plain_and_encrypted_disks(
    stories: Stories,
) -> None:
    pumice, before = stories.pumice, what_is_there()
    root = stories.create(imageRef=stories.image)
    plain = stories.create()
    secret = stories.create(volume_type=stories.encrypted_type())
    pumice.settle()
    server = stories.boot(root)
    pumice.settle()
    stories.server_is(server, "ACTIVE")
    says(stories, server, "PUMICE-GUEST ready")
    assert f"<source dev='{given(root)}'" in machine(pumice, server)

    for volume, readable in ((plain, True), (secret, False)):
        stories.attach(server, volume)
        pumice.settle()
        stories.volume_is(volume, "in-use")
        says(stories, server, f"serial {volume[:20]}")
        device, words = given(volume), f"kept on {volume}"
        assert f"<source dev='{device}'" in machine(pumice, server)
        disk = "/dev/vdb bs=512 conv=fsync,notrunc"
        stories.type_into(server, f"echo {words} | dd of={disk} seek=64; dd if=/dev/vdb bs=512 skip=64 count=1")
        says(stories, server, words)
        grow(stories, server, volume, (2 * GIB - (0 if readable else luks.HEADER_BYTES)) // 512)
        stories.detach(server, volume)
        pumice.settle()
        stories.volume_is(volume, "available")
        assert not device.exists()
        with logical(volume).open("rb") as file:
            on_disk = file.read(64 * MIB)
        assert (words.encode() in on_disk, on_disk.startswith(b"LUKS")) == (readable, not readable)
    assert not pumice.violations()
    as_the_page_says(pumice, server)

    stories.delete(f"{SERVERS}/{server}")
    pumice.settle()
    for volume in (root, plain, secret):
        stories.delete(f"{VOLUMES}/{volume}")
    pumice.settle()
    assert what_is_there() == before
    assert not pumice.violations()
