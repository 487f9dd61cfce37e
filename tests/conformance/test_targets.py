"""Every target driver keeps every rule of ``backends/targets/contract.py``: this suite calls each method.

A new driver joins by one more rig. The initiator is QEMU's own, so what is claimed about logins is seen in
logins: who gets in reads the volume's bytes, who does not gets nothing.
"""

import asyncio
import itertools
import math
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pumice.backends.targets.contract import Grant, Portal, Target
from pumice.backends.targets.fake import FakeTarget
from pumice.backends.targets.tgt import TgtTarget
from pumice.backends.targets.tgt_management import Management
from pumice.backends.targets.tgtd import TgtDaemon
from pumice.model.errors import Trouble
from pumice.model.ids import AttachmentId, VolumeId, new_id
from pumice.model.units import MIB

HOST_A, HOST_B = "iqn.1993-08.org.debian:host-a", "iqn.1993-08.org.debian:host-b"
A_PASSWORD = "correct horse"


def a_grant(initiator: str = HOST_A, password: str = A_PASSWORD) -> Grant:
    attachment = AttachmentId(new_id())
    return Grant(attachment, initiator, attachment.replace("-", "")[:20], password)


async def qemu_io(portal: Portal, grant: Grant, *commands: str) -> tuple[int, str]:
    """Log in as the grant says with QEMU's initiator and run qemu-io's ``commands``."""
    options = (
        f"driver=iscsi,transport=tcp,portal={portal.portal},target={portal.iqn},lun={portal.lun},"
        f"user={grant.username},password-secret=chap,initiator-name={grant.initiator}"
    )
    process = await asyncio.create_subprocess_exec(
        "qemu-io",
        *("--object", f"secret,id=chap,data={grant.password}"),
        *(word for command in commands for word in ("-c", command)),
        *("--image-opts", "-d", "unmap", options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode()


class FakeRig:
    """The fake, asked instead of logged in to."""

    def __init__(self) -> None:
        self.target = FakeTarget()

    async def admits(self, portal: Portal, grant: Grant) -> bool:
        return self.target.admits(portal.iqn, grant.initiator, grant.username, grant.password)

    async def lose_everything(self) -> None:
        self.target.forget()

    async def leftovers(self) -> list[str]:
        return [str(device) for device in self.target.devices.values()]


@dataclass
class TgtRig:
    """A tgtd of this test's own."""

    target: TgtTarget
    daemon: TgtDaemon

    async def admits(self, portal: Portal, grant: Grant) -> bool:
        code, output = await qemu_io(portal, grant, "read -v 0 16")
        assert code or "volume.s.own.byt" in output
        return code == 0

    async def lose_everything(self) -> None:
        pid = self.daemon.pid()
        assert pid
        os.kill(pid, signal.SIGKILL)
        while self.daemon.pid():
            await asyncio.sleep(0.01)
        await self.daemon.start()

    async def leftovers(self) -> list[str]:
        management = self.daemon.management
        return [target.iqn for target in management.targets()] + management.accounts()


Rig = FakeRig | TgtRig


@pytest.fixture
async def tgt_rig(tmp_path: Path) -> AsyncIterator[TgtRig]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        portal = f"127.0.0.1:{free.getsockname()[1]}"
    daemon = TgtDaemon(tmp_path / "tgtd", portal)
    try:
        target = TgtTarget(portal, daemon=daemon)
        await target.start()
        yield TgtRig(target, daemon)
    finally:
        await daemon.stop(force=True)


@pytest.fixture(params=["fake", pytest.param("tgt", marks=pytest.mark.real)])
def rig(request: pytest.FixtureRequest) -> Rig:
    if request.param == "fake":
        return FakeRig()
    found = request.getfixturevalue("tgt_rig")
    assert isinstance(found, TgtRig)
    return found


@pytest.fixture
def target(rig: Rig) -> Target:
    return rig.target


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "device"
    path.write_bytes(b"volume's own bytes".ljust(4096, b"."))
    os.truncate(path, 8 * MIB)
    return path


@pytest.fixture
def volume() -> VolumeId:
    return VolumeId(new_id())


# --- the contract, call by call -------------------------------------------------------------------------


async def test_a_granted_initiator_gets_in_and_nobody_else(
    rig: Rig, target: Target, volume: VolumeId, device: Path
) -> None:
    grant = a_grant()
    portal = await target.grant(volume, device, grant)
    assert volume in portal.iqn
    assert await rig.admits(portal, grant)
    for impostor in (
        Grant(grant.attachment, HOST_B, grant.username, grant.password),
        Grant(grant.attachment, HOST_A, grant.username, "wrong battery"),
        Grant(grant.attachment, HOST_A, "somebody", grant.password),
    ):
        assert not await rig.admits(portal, impostor)


async def test_every_call_may_be_made_twice(rig: Rig, target: Target, volume: VolumeId, device: Path) -> None:
    await target.start()
    await target.start()
    grant = a_grant()
    first = await target.grant(volume, device, grant)
    assert await target.grant(volume, device, grant) == first
    assert await target.exports() == {volume: {grant.username}}
    for _ in range(2):
        await target.resize(volume, device)
    assert await rig.admits(first, grant)
    for _ in range(2):
        await target.revoke(volume, grant)
        assert await target.exports() == {}
    await target.grant(volume, device, grant)
    for _ in range(2):
        await target.remove(volume)
        assert await target.exports() == {}
    assert await rig.leftovers() == []


async def test_what_is_absent_is_revoked_removed_and_resized(
    rig: Rig, target: Target, volume: VolumeId, device: Path
) -> None:
    await target.revoke(volume, a_grant())
    await target.remove(volume)
    await target.resize(volume, device)
    assert await rig.leftovers() == []


async def test_revoking_an_unknown_grant_leaves_the_others(
    rig: Rig, target: Target, volume: VolumeId, device: Path
) -> None:
    grant = a_grant()
    portal = await target.grant(volume, device, grant)
    await target.revoke(volume, a_grant())
    assert await rig.admits(portal, grant)


@pytest.mark.parametrize("revoked", [0, 1, 2])
@pytest.mark.parametrize("hosts", [(HOST_A, HOST_B, HOST_A), (HOST_A, HOST_A, HOST_A)], ids=["two", "one"])
async def test_revoking_one_of_three_grants_shuts_out_exactly_that_one(
    rig: Rig, target: Target, volume: VolumeId, device: Path, revoked: int, hosts: tuple[str, ...]
) -> None:
    grants = [a_grant(host, f"correct {number}") for number, host in enumerate(hosts)]
    for grant in grants:
        portal = await target.grant(volume, device, grant)
    await target.revoke(volume, grants[revoked])
    for number, grant in enumerate(grants):
        assert await rig.admits(portal, grant) == (number != revoked)
    del grants[revoked]
    assert await target.exports() == {volume: {grant.username for grant in grants}}
    for grant in grants:
        await target.revoke(volume, grant)
    assert await rig.leftovers() == []


async def test_a_grant_made_again_has_the_new_password_and_initiator_only(
    rig: Rig, target: Target, volume: VolumeId, device: Path
) -> None:
    other = a_grant(HOST_A)
    before = a_grant(HOST_A)
    after = Grant(before.attachment, HOST_B, before.username, "quite another")
    await target.grant(volume, device, before)
    await target.grant(volume, device, other)
    portal = await target.grant(volume, device, after)
    assert not await rig.admits(portal, before)
    assert await rig.admits(portal, after)
    assert await rig.admits(portal, other)
    await target.remove(volume)
    assert await rig.leftovers() == []


async def test_a_grant_on_another_device_exports_that_device(
    rig: Rig, target: Target, volume: VolumeId, device: Path, tmp_path: Path
) -> None:
    grant, elsewhere = a_grant(), tmp_path / "elsewhere"
    elsewhere.write_bytes(b"not what was asked for".ljust(MIB))
    await target.grant(volume, elsewhere, grant)
    assert await rig.admits(await target.grant(volume, device, grant), grant)


async def test_twenty_grants_at_once_do_not_disturb_one_another(rig: Rig, target: Target, device: Path) -> None:
    wanted = {VolumeId(new_id()): a_grant() for _ in range(20)}
    await asyncio.gather(*(target.grant(volume, device, grant) for volume, grant in wanted.items()))
    assert await target.exports() == {volume: {grant.username} for volume, grant in wanted.items()}
    await asyncio.gather(*(target.revoke(volume, grant) for volume, grant in wanted.items()))
    assert await rig.leftovers() == []


async def test_grants_at_once_on_one_volume_all_get_in(
    rig: Rig, target: Target, volume: VolumeId, device: Path
) -> None:
    grants = [a_grant() for _ in range(20)]
    portals = await asyncio.gather(*(target.grant(volume, device, grant) for grant in grants))
    assert len(set(portals)) == 1
    assert await target.exports() == {volume: {grant.username for grant in grants}}
    await asyncio.gather(*(target.revoke(volume, grant) for grant in grants[1:]))
    assert await rig.admits(portals[0], grants[0])


async def test_fifty_exports_made_and_removed_leave_nothing(rig: Rig, target: Target, device: Path) -> None:
    for _ in range(50):
        volume = VolumeId(new_id())
        await target.grant(volume, device, a_grant(HOST_A))
        await target.grant(volume, device, a_grant(HOST_B))
        await target.remove(volume)
    assert await rig.leftovers() == []


async def test_grants_made_again_restore_what_a_killed_daemon_lost(
    rig: Rig, target: Target, volume: VolumeId, device: Path
) -> None:
    grant = a_grant()
    await target.grant(volume, device, grant)
    await rig.lose_everything()
    assert await target.exports() == {}
    assert await rig.admits(await target.grant(volume, device, grant), grant)


# --- tgt's own --------------------------------------------------------------------------------------------


class Killed(Exception):
    """Here the process would have ended."""


class KilledInTime(Management):
    """Ends the process before the request after the next ``budget`` ones."""

    budget = math.inf

    def ask(self, *args: Any, **kwargs: Any) -> str:
        if self.budget < 1:
            raise Killed
        self.budget -= 1
        return super().ask(*args, **kwargs)


@pytest.mark.real
async def test_tgt_completes_what_a_killed_process_left_at_any_request(
    tgt_rig: TgtRig, volume: VolumeId, device: Path
) -> None:
    """Cut two grants, a revoke and a removal short at each request in turn; the next calls finish all."""
    tgtd = tgt_rig.daemon.management = KilledInTime(tgt_rig.daemon.ipc_socket)
    target = TgtTarget(tgt_rig.daemon.portal, daemon=tgt_rig.daemon)
    other, grant = a_grant(HOST_B), a_grant(HOST_A)
    for cut_after in itertools.count():
        tgtd.budget = cut_after
        try:
            await target.grant(volume, device, grant)
            await target.grant(volume, device, other)
            await target.revoke(volume, grant)
            await target.remove(volume)
        except Killed:
            finished = False
        else:
            finished = True
        tgtd.budget = math.inf
        if finished:
            break
        await target.grant(volume, device, grant)
        await target.grant(volume, device, other)
        assert await target.exports() == {volume: {grant.username, other.username}}
        await target.revoke(volume, grant)
        assert await target.exports() == {volume: {other.username}}
        await target.revoke(volume, other)
        assert await tgt_rig.leftovers() == []
    assert cut_after > 30


@pytest.mark.real
async def test_tgt_ends_a_revoke_that_was_cut_short_without_harm_to_the_grants_beside_it(
    tgt_rig: TgtRig, volume: VolumeId, device: Path
) -> None:
    tgtd = tgt_rig.daemon.management = KilledInTime(tgt_rig.daemon.ipc_socket)
    target = TgtTarget(tgt_rig.daemon.portal, daemon=tgt_rig.daemon)
    leaving, staying, same_host = a_grant(HOST_A), a_grant(HOST_B), a_grant(HOST_A)
    for cut_after in itertools.count():
        for grant in (leaving, staying, same_host):
            await target.grant(volume, device, grant)
        tgtd.budget = cut_after
        with suppress(Killed):
            await target.revoke(volume, leaving)
        finished, tgtd.budget = tgtd.budget > 0, math.inf
        await target.revoke(volume, leaving)
        assert await target.exports() == {volume: {staying.username, same_host.username}}
        await target.remove(volume)
        assert await tgt_rig.leftovers() == []
        if finished:
            break
    assert cut_after > 10


@pytest.mark.real
async def test_tgt_ends_the_open_session_of_a_revoked_grant(
    tgt_rig: TgtRig, volume: VolumeId, device: Path
) -> None:
    leaving, staying = a_grant(HOST_A), a_grant(HOST_B)
    portal = await tgt_rig.target.grant(volume, device, leaving)
    await tgt_rig.target.grant(volume, device, staying)

    def sessions() -> set[str]:
        return {name for listed in tgt_rig.daemon.management.targets() for *_, name in listed.connections}

    work = [asyncio.create_task(qemu_io(portal, grant, "sleep 5000")) for grant in (leaving, staying)]
    async with asyncio.timeout(10):
        while sessions() != {HOST_A, HOST_B}:
            await asyncio.sleep(0.02)
    await tgt_rig.target.revoke(volume, leaving)
    assert sessions() == {HOST_B}
    await tgt_rig.target.remove(volume)
    assert sessions() == set()
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)


@pytest.mark.real
async def test_tgt_lets_a_host_go_on_when_another_of_its_grants_is_revoked(
    tgt_rig: TgtRig, volume: VolumeId, device: Path
) -> None:
    leaving, staying = a_grant(HOST_A), a_grant(HOST_A)
    portal = await tgt_rig.target.grant(volume, device, leaving)
    await tgt_rig.target.grant(volume, device, staying)
    work = asyncio.create_task(
        qemu_io(portal, staying, "read 0 512", "sleep 1500", "write -P 7 512 512", "flush")
    )
    async with asyncio.timeout(10):
        while not any(listed.connections for listed in tgt_rig.daemon.management.targets()):
            await asyncio.sleep(0.02)
    await tgt_rig.target.revoke(volume, leaving)
    code, output = await work
    assert code == 0, output
    written = await asyncio.to_thread(device.read_bytes)
    assert written[512:1024] == b"\7" * 512


@pytest.mark.real
async def test_tgt_shows_the_new_size_and_frees_what_is_discarded(
    tgt_rig: TgtRig, volume: VolumeId, device: Path
) -> None:
    grant = a_grant()
    portal = await tgt_rig.target.grant(volume, device, grant)
    os.truncate(device, 16 * MIB)
    await tgt_rig.target.resize(volume, device)
    code, output = await qemu_io(portal, grant, "length", "write 8M 8M", "flush")
    assert code == 0 and "16 MiB" in output
    assert os.stat(device).st_blocks * 512 >= 8 * MIB
    code, output = await qemu_io(portal, grant, "discard 8M 8M")
    assert code == 0
    assert os.stat(device).st_blocks * 512 < MIB


@pytest.mark.real
async def test_tgt_takes_a_session_over_from_one_disk_to_the_grown_one(
    tgt_rig: TgtRig, volume: VolumeId, device: Path
) -> None:
    grant = a_grant()
    portal = await tgt_rig.target.grant(volume, device, grant)
    work = asyncio.create_task(qemu_io(portal, grant, "read 0 512", "sleep 1500", "truncate 16M", "length"))
    async with asyncio.timeout(10):
        while not any(listed.connections for listed in tgt_rig.daemon.management.targets()):
            await asyncio.sleep(0.02)
    os.truncate(device, 16 * MIB)
    await tgt_rig.target.resize(volume, device)
    code, output = await work
    assert code == 0 and "16 MiB" in output, output


@pytest.mark.real
async def test_tgt_leaves_the_targets_of_others_alone(tgt_rig: TgtRig, volume: VolumeId, device: Path) -> None:
    management = tgt_rig.daemon.management
    management.add_target(1, "iqn.2010-10.org.openstack:volume-of-somebody-else")
    management.add_account("somebody", "a password of theirs")
    grant = a_grant()
    await tgt_rig.target.grant(volume, device, grant)
    assert await tgt_rig.target.exports() == {volume: {grant.username}}
    await tgt_rig.target.revoke(volume, grant)
    assert await tgt_rig.leftovers() == ["iqn.2010-10.org.openstack:volume-of-somebody-else", "somebody"]


@pytest.mark.real
async def test_tgt_says_why_a_device_cannot_be_exported(
    tgt_rig: TgtRig, volume: VolumeId, tmp_path: Path
) -> None:
    with pytest.raises(Trouble, match=r"refused to export .*/absent: invalid request"):
        await tgt_rig.target.grant(volume, tmp_path / "absent", a_grant())
    assert await tgt_rig.target.exports() == {volume: frozenset()}
    await tgt_rig.target.remove(volume)
    assert await tgt_rig.leftovers() == []


@pytest.mark.real
async def test_tgt_starts_its_own_daemon_again_when_that_died(
    tgt_rig: TgtRig, volume: VolumeId, device: Path
) -> None:
    pid = tgt_rig.daemon.pid()
    assert pid
    os.kill(pid, signal.SIGKILL)
    grant = a_grant()
    assert await tgt_rig.admits(await tgt_rig.target.grant(volume, device, grant), grant)
    assert tgt_rig.daemon.pid() not in (None, pid)


async def test_tgt_says_that_the_systems_daemon_is_down(tmp_path: Path) -> None:
    target = TgtTarget("127.0.0.1:3260", ipc_socket=tmp_path / "tgtd")
    with pytest.raises(Trouble, match=r"tgtd does not answer at .*/tgtd\.0: No such file"):
        await target.exports()
