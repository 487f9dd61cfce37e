"""What the connector ``kernel`` promises beyond the contract: paths that go, kill -9 anywhere."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from connector_rigs import KernelRig
from initiators import initiators, paths
from tests.patience import patience

from pumice.backends.targets.lio import LioTarget
from pumice.hypervisor.connectors.contract import Remote
from pumice.hypervisor.contract import BlockSource, IscsiSource
from pumice.model.ids import AttachmentId, new_id

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.timeout(1800),
    pytest.mark.long,
]

ADDRESSES = ["192.0.2.1", "192.0.2.2"]


@pytest.fixture(params=["single", "multipath"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path, shelf: Path) -> AsyncIterator[KernelRig]:
    for address in ADDRESSES:
        ip("addr", "replace", f"{address}/32", "dev", "lo")
    with initiators(multipath=True):
        rig = KernelRig(tmp_path, shelf, request.param == "multipath")
        rig.target = LioTarget([f"{address}:3260" for address in ADDRESSES])
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


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.mark.parametrize("rig", ["multipath"], indirect=True)
async def test_a_path_that_is_cut_during_writes_costs_no_data(rig: KernelRig, attachment: AttachmentId) -> None:
    connected = await rig.connector.connect(attachment, "server", await rig.export(attachment))
    assert isinstance(connected, BlockSource)
    written, stop = [0], threading.Event()
    writer = threading.Thread(target=write_on, args=(connected.path, written, stop))
    writer.start()
    try:
        await becomes_true(lambda: written[0] > 20 and paths() == 2)
        ip("addr", "del", f"{ADDRESSES[1]}/32", "dev", "lo")
        await becomes_true(lambda: paths() == 1)
        at_cut = written[0]
        await becomes_true(lambda: written[0] > at_cut + 20)
        ip("addr", "replace", f"{ADDRESSES[1]}/32", "dev", "lo")
        await becomes_true(lambda: paths() == 2)
    finally:
        stop.set()
        await asyncio.to_thread(writer.join)
    await rig.connector.disconnect(attachment)
    assert rig.leftovers() == ""
    data = rig.file().read_bytes()
    for number in range(written[0]):
        assert data[number * 4096 : number * 4096 + 8] == number.to_bytes(8, "big"), number


def write_on(device: Path, written: list[int], stop: threading.Event) -> None:
    """Number the device's blocks from its beginning, each on disk before the next."""
    fd = os.open(device, os.O_RDWR | os.O_SYNC | os.O_CLOEXEC)
    try:
        while not stop.is_set() and written[0] < 8000:
            os.pwrite(fd, written[0].to_bytes(8, "big").ljust(4096), written[0] * 4096)
            written[0] += 1
            stop.wait(0.02)
    finally:
        os.close(fd)


@pytest.mark.parametrize("rig", ["multipath"], indirect=True)
async def test_a_volume_is_connected_and_let_go_while_a_path_is_down(
    rig: KernelRig, attachment: AttachmentId
) -> None:
    source = await rig.export(attachment)
    ip("addr", "del", f"{ADDRESSES[1]}/32", "dev", "lo")
    connected = await rig.connector.connect(attachment, "server", source)
    assert isinstance(connected, BlockSource) and connected.path.exists()
    await rig.connector.disconnect(attachment)
    assert rig.leftovers() == ""


@pytest.mark.parametrize("rig", ["single"], indirect=True)
async def test_a_volume_whose_target_went_away_is_let_go(rig: KernelRig, attachment: AttachmentId) -> None:
    await rig.connector.connect(attachment, "server", await rig.export(attachment))
    await rig.target.remove(rig.exported[-1])
    await rig.connector.disconnect(attachment)
    assert rig.leftovers() == ""


@pytest.mark.parametrize("rig", ["single"], indirect=True)
async def test_a_wrong_password_is_told_at_once_and_leaves_nothing(
    rig: KernelRig, attachment: AttachmentId
) -> None:
    source = await rig.export(attachment)
    assert isinstance(source, IscsiSource)
    wrong = IscsiSource(source.portal, source.iqn, 1, source.username, "wrong-password", source.initiator)
    with pytest.raises(Exception, match=r"(?i)auth|login"):
        await rig.connector.connect(attachment, "server", wrong)
    assert rig.leftovers() == ""


@pytest.mark.parametrize("rig", ["single"], indirect=True)
async def test_what_was_killed_at_any_command_is_taken_apart(rig: KernelRig) -> None:
    """Connect and disconnect, killed before each command in turn; the next process disconnects it all."""
    for command in itertools.count():
        attachment = AttachmentId(new_id())
        source = await rig.export(attachment)
        killed = await asyncio.to_thread(killed_before, command, partial(come_and_go, rig, attachment, source))
        follower = rig.again()
        assert set(await follower.connections()) <= {attachment}
        await follower.disconnect(attachment)
        assert (await follower.connections(), rig.leftovers()) == ({}, ""), command
        if not killed:
            break
    assert command > 8


async def come_and_go(rig: KernelRig, attachment: AttachmentId, source: Remote) -> None:
    connector = rig.again()
    await connector.connect(attachment, "server", source)
    await connector.disconnect(attachment)


def killed_before(command: int, story: Callable[[], Awaitable[None]]) -> bool:
    """Run the story in a process that kills itself before it starts the given command; whether it did."""
    child = os.fork()
    if child == 0:
        left = itertools.count(command, -1)

        def hook(event: str, words: tuple[object, ...]) -> None:
            if event == "subprocess.Popen" and next(left) <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        asyncio.run(story())  # type: ignore[arg-type]  # a coroutine, as an awaitable
        os._exit(0)
    return os.waitpid(child, 0)[1] != 0


async def becomes_true(condition: Callable[[], bool]) -> None:
    async with patience():
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.1)
