"""What the target driver ``tgt`` promises beyond the contract, and what it does about habits of tgtd."""

import asyncio
import itertools
import math
import os
import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from target_rigs import HOST_A, HOST_B, TgtRig, a_grant, qemu_io
from tests.patience import patience

from pumice.backends.targets.tgt import TgtTarget
from pumice.backends.targets.tgt_management import Management
from pumice.model.errors import Retryable
from pumice.model.ids import VolumeId
from pumice.model.units import MIB


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

    work = [asyncio.create_task(qemu_io(portal, grant, told=asyncio.Event())) for grant in (leaving, staying)]
    async with patience():
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
    revoked, writes = asyncio.Event(), ["write -P 7 512 512", "flush"]
    work = asyncio.create_task(qemu_io(portal, staying, "read 0 512", told=revoked, then=writes))
    async with patience():
        while not any(listed.connections for listed in tgt_rig.daemon.management.targets()):
            await asyncio.sleep(0.02)
    await tgt_rig.target.revoke(volume, leaving)
    revoked.set()
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
    grown, looks = asyncio.Event(), ["truncate 16M", "length"]
    work = asyncio.create_task(qemu_io(portal, grant, "read 0 512", told=grown, then=looks))
    async with patience():
        while not any(listed.connections for listed in tgt_rig.daemon.management.targets()):
            await asyncio.sleep(0.02)
    os.truncate(device, 16 * MIB)
    await tgt_rig.target.resize(volume, device)
    grown.set()
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
    with pytest.raises(Retryable, match="refused") as told:
        await tgt_rig.target.grant(volume, tmp_path / "absent", a_grant())
    assert re.search(r"to export .*/absent: invalid request", told.value.detail)
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
    with pytest.raises(Retryable, match="does not answer") as told:
        await target.exports()
    assert "tgtd.0: No such file" in told.value.detail
