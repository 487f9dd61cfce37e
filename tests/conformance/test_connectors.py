"""Every connector keeps every rule of ``hypervisor/connectors/contract.py``: this suite calls each method.

The kernel's connector is tried in a guest, single path, with multipath and by NVMe: what is claimed about
devices is read from the volume's own bytes, and what is claimed to be gone is looked for in the kernel.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from connector_rigs import CLAIMS, HOST, KINDS, KernelRig, PlainRig, Rig
from initiators import initiators
from tests.patience import soon

from pumice.hypervisor.connectors.fake import FakeConnector
from pumice.hypervisor.connectors.qemu import QemuConnector
from pumice.hypervisor.contract import BlockSource
from pumice.model.errors import Retryable
from pumice.model.ids import AttachmentId, new_id

pytestmark = pytest.mark.claims(CLAIMS)


@pytest.fixture(params=KINDS)
async def rig(request: pytest.FixtureRequest, tmp_path: Path, shelf: Path) -> AsyncIterator[Rig]:
    if request.param == "qemu":
        yield PlainRig(QemuConnector())
    elif request.param == "fake":
        yield PlainRig(FakeConnector(tmp_path), tmp_path)
    else:
        with initiators(multipath=True):
            rig = KernelRig(tmp_path, shelf, request.param == "multipath", request.param == "nvme")
            await rig.target.start()
            await rig.connector.start()
            yield rig
            for attachment in await rig.connector.connections():
                await rig.connector.disconnect(attachment)
            for volume in rig.exported:
                await rig.target.remove(volume)


@pytest.fixture
def attachment() -> AttachmentId:
    return AttachmentId(new_id())


@pytest.mark.rule("idempotent")
async def test_every_call_may_be_made_twice(rig: Rig, attachment: AttachmentId) -> None:
    await rig.connector.start()
    await rig.connector.start()
    assert await rig.connector.properties(HOST) == await rig.connector.properties(HOST)
    source = await rig.export(attachment)
    first = await rig.connector.connect(attachment, "server", source)
    assert await rig.connector.connect(attachment, "server", source) == first
    for _ in range(2):
        await rig.connector.grown(attachment, 1)
    for _ in range(2):
        await rig.connector.disconnect(attachment)
    assert (await rig.connector.connections(), rig.leftovers()) == ({}, "")


@pytest.mark.rule("absent")
async def test_what_is_absent_is_disconnected_and_grown(rig: Rig, attachment: AttachmentId) -> None:
    await rig.connector.disconnect(attachment)
    await rig.connector.grown(attachment, 64 << 20)
    assert await rig.connector.connections() == {}


@pytest.mark.rule("device")
async def test_a_connected_volume_takes_writes_and_grows(rig: Rig, attachment: AttachmentId) -> None:
    source = await rig.export(attachment)
    connected = await rig.connector.connect(attachment, "server", source)
    assert isinstance(rig, KernelRig) and isinstance(connected, BlockSource)
    await asyncio.to_thread(write, connected.path, b"written before it grew")
    assert rig.file().read_bytes().startswith(b"written before it grew")
    os.truncate(rig.file(), 64 << 20)
    await rig.target.resize(rig.exported[-1], rig.file())
    await rig.connector.grown(attachment, 64 << 20)
    assert await asyncio.to_thread(size_of, connected.path) == 64 << 20
    await rig.connector.disconnect(attachment)
    assert rig.leftovers() == ""


@pytest.mark.rule("found_again")
async def test_what_a_process_had_connected_the_next_one_disconnects(
    rig: Rig, attachment: AttachmentId
) -> None:
    await rig.connector.connect(attachment, "server", await rig.export(attachment))
    follower = rig.again()
    await follower.start()
    assert await follower.connections() == {attachment: "server"}
    await follower.disconnect(attachment)
    assert (await follower.connections(), rig.leftovers()) == ({}, "")


@pytest.mark.rule("at_once")
async def test_volumes_come_and_go_at_once(rig: Rig) -> None:
    wanted = [AttachmentId(new_id()) for _ in range(5)]
    sources = [await rig.export(attachment) for attachment in wanted]
    connect = rig.connector.connect
    found = await asyncio.gather(
        *(connect(*it, sources[n]) for n, it in enumerate((a, "server") for a in wanted))
    )
    assert len(set(found)) == len(wanted)
    if isinstance(rig, KernelRig):
        for number, source in enumerate(found):
            assert isinstance(source, BlockSource)
            await asyncio.to_thread(write, source.path, b"volume %d" % number)
            assert rig.file(number).read_bytes().startswith(b"volume %d" % number)
    await asyncio.gather(*(rig.connector.disconnect(attachment) for attachment in wanted))
    assert (await rig.connector.connections(), rig.leftovers()) == ({}, "")


@pytest.mark.rule("many")
async def test_200_volumes_come_and_go_and_leave_nothing(rig: Rig) -> None:
    """A login takes seconds under software emulation: there 20 do, unless TEST_MANY says otherwise."""
    number = int(os.environ.get("TEST_MANY", 20 if isinstance(rig, KernelRig) else 200))
    turns = asyncio.Semaphore(4)

    async def come_and_go() -> None:
        attachment = AttachmentId(new_id())
        async with turns:
            await rig.connector.connect(attachment, "server", await rig.export(attachment))
            await rig.connector.disconnect(attachment)

    await asyncio.gather(*(come_and_go() for _ in range(number)))
    assert (await rig.connector.connections(), rig.leftovers()) == ({}, "")


@pytest.mark.rule("errors")
async def test_a_volume_that_cannot_be_reached_is_told_in_time_and_leaves_nothing(
    rig: Rig, attachment: AttachmentId
) -> None:
    assert isinstance(rig, KernelRig)
    source = await rig.export(attachment)
    await rig.target.remove(rig.exported[-1])
    with pytest.raises(Retryable, match="could not be connected to its server's host") as told:
        await soon(rig.connector.connect(attachment, "server", source))
    assert "correct-horse" not in told.value.in_full
    assert (await rig.connector.connections(), rig.leftovers()) == ({}, "")


@pytest.mark.rule("secrets")
async def test_no_secret_is_written_down(rig: Rig, attachment: AttachmentId, tmp_path: Path) -> None:
    await rig.connector.connect(attachment, "server", await rig.export(attachment))
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"correct-horse" not in kept
    await rig.connector.disconnect(attachment)


def write(device: Path, data: bytes) -> None:
    fd = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.pwrite(fd, data.ljust(512), 0)
        os.fsync(fd)
    finally:
        os.close(fd)


def size_of(device: Path) -> int:
    with device.open("rb") as file:
        return file.seek(0, os.SEEK_END)
