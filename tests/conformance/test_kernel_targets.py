"""What the kernel's targets promise beyond the contract: kill -9 at any change, who is who."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from initiators import initiators, said
from target_rigs import HOST_A, HOST_B, LioRig, NvmetRig, a_grant, qemu_io
from tests.patience import patience

from pumice.backends.targets.lio import LioTarget
from pumice.model.errors import Misconfigured
from pumice.model.ids import VolumeId
from pumice.model.units import MIB

pytestmark = [
    pytest.mark.long,
    pytest.mark.kernel,
    pytest.mark.timeout(900),
]

KernelRig = LioRig | NvmetRig
CHANGES = {"os.mkdir", "os.rmdir", "os.symlink", "os.remove"}


@pytest.fixture(params=["lio", "nvmet"])
def rig(request: pytest.FixtureRequest) -> KernelRig:
    found: KernelRig = request.getfixturevalue(f"{request.param}_rig")
    return found


def killed_before(change: int, story: Callable[[], Awaitable[None]]) -> bool:
    """Run the story in a process that kills itself before the given change of configfs; whether it did."""
    child = os.fork()
    if child == 0:
        left = itertools.count(change, -1)

        def hook(event: str, words: tuple[object, ...]) -> None:
            path = next((str(word) for word in words if "/kernel/config/" in str(word)), None)
            if path and (event in CHANGES or (event == "open" and words[1] in ("w", "r+"))) and next(left) <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        asyncio.run(story())  # type: ignore[arg-type]  # a coroutine, as an awaitable
        os._exit(0)
    return os.waitpid(child, 0)[1] != 0


def test_what_a_killed_process_left_at_any_change_the_next_calls_complete(
    rig: KernelRig, volume: VolumeId, device: Path
) -> None:
    """Two grants, a revoke and a removal, killed before each change in turn; the next calls finish all."""
    grant, other, again = a_grant(HOST_A), a_grant(HOST_B), a_grant(HOST_A)
    make = type(rig)

    async def story() -> None:
        target = make().target
        await target.grant(volume, device, grant)
        await target.grant(volume, device, again)
        await target.revoke(volume, grant)
        await target.remove(volume)

    async def finish() -> None:
        target = make().target
        await target.grant(volume, device, grant)
        await target.grant(volume, device, other)
        assert (await target.exports())[volume] >= {grant.username, other.username}
        for leaving in (grant, again):
            await target.revoke(volume, leaving)
        assert await target.exports() == {volume: {other.username}}
        await target.revoke(volume, other)

    for change in itertools.count():
        if not killed_before(change, story):
            break
        asyncio.run(finish())
        assert asyncio.run(rig.leftovers()) == [], change
    assert change > 15


async def test_lio_ends_the_session_of_a_revoked_grant_and_no_other(
    lio_rig: LioRig, volume: VolumeId, device: Path
) -> None:
    leaving, staying = a_grant(HOST_A), a_grant(HOST_A)
    portal = await lio_rig.target.grant(volume, device, leaving)
    portal_staying = await lio_rig.target.grant(volume, device, staying)
    cut = asyncio.create_task(qemu_io(portal, leaving, told=asyncio.Event()))
    revoked, writes = asyncio.Event(), ["write -P 7 512 512", "flush"]
    work = asyncio.create_task(qemu_io(portal_staying, staying, told=revoked, then=writes))
    async with patience():
        while sum(portal.name in line for line in sessions()) < 2:
            await asyncio.sleep(0.1)
    await lio_rig.target.revoke(volume, leaving)
    assert [line for line in sessions() if portal_staying.name in line] == sessions()
    revoked.set()
    code, output = await work
    assert code == 0, output
    assert device.read_bytes()[512:1024] == b"\7" * 512
    cut.cancel()
    await asyncio.gather(cut, return_exceptions=True)


def sessions() -> list[str]:
    """The target and initiator of each session that this kernel's iSCSI target serves."""
    rules = Path("/sys/kernel/config/target/iscsi").glob("iqn.*/tpgt_1/acls/*/info")
    return [str(rule) for rule in rules if "No active" not in rule.read_text()]


@pytest.mark.parametrize("kind", ["file", "device"])
async def test_lio_grows_under_a_session_without_an_error(
    lio_rig: LioRig, volume: VolumeId, device: Path, kind: str
) -> None:
    loop = said("losetup", "--find", "--show", str(device)).strip() if kind == "device" else ""
    exported = Path(loop or device)
    grant = a_grant()
    portal = await lio_rig.target.grant(volume, exported, grant)
    grown, steps = asyncio.Event(), ("truncate 16M", "write -P 7 512 512", "flush", "read 12M 512")
    work = asyncio.create_task(qemu_io(portal, grant, "read 0 512", told=grown, then=steps))
    async with patience():
        while not sessions():
            await asyncio.sleep(0.05)
    os.truncate(device, 16 * MIB)
    if loop:
        said("losetup", "--set-capacity", loop)
    await lio_rig.target.resize(volume, exported)
    grown.set()
    code, output = await work
    assert code == 0, output
    assert device.read_bytes()[512:1024] == b"\7" * 512
    await lio_rig.target.remove(volume)
    if loop:
        said("losetup", "--detach", loop)


async def test_lio_frees_what_is_discarded(lio_rig: LioRig, volume: VolumeId, device: Path) -> None:
    grant = a_grant()
    portal = await lio_rig.target.grant(volume, device, grant)
    code, output = await qemu_io(portal, grant, "write 0 8M", "flush")
    assert code == 0, output
    assert os.stat(device).st_blocks * 512 >= 8 * MIB
    code, output = await qemu_io(portal, grant, "discard 0 8M")
    assert code == 0, output
    assert os.stat(device).st_blocks * 512 < MIB


async def test_a_target_proves_who_it_is_to_an_initiator_that_asks(volume: VolumeId, device: Path) -> None:
    target = LioTarget(["127.0.0.1:3260"], mutual_account=("the-target", "it-is-really-me"))
    await target.start()
    with initiators(multipath=False):
        grant = a_grant("iqn.1993-08.org.debian:guest")
        portal = await target.grant(volume, device, grant)
        node = ["iscsiadm", "-m", "node", "-T", portal.name, "-p", portal.portals[0]]
        said(*node, "-o", "new")
        for word, value in {
            "authmethod": "CHAP",
            "username": grant.username,
            "password": grant.password,
            "username_in": "the-target",
            "password_in": "it-is-not-me-at-all",
        }.items():
            said(*node, "-o", "update", "-n", f"node.session.auth.{word}", "-v", value)
        said(*node, "-o", "update", "-n", "node.session.initial_login_retry_max", "-v", "1")
        assert login(node) != 0
        said(*node, "-o", "update", "-n", "node.session.auth.password_in", "-v", "it-is-really-me")
        assert login(node) == 0
        said(*node, "--logout")
        said(*node, "-o", "delete")
    await target.remove(volume)


def login(node: list[str]) -> int:
    return subprocess.run([*node, "--login"], capture_output=True, timeout=60).returncode


async def test_the_targets_of_others_are_left_alone(lio_rig: LioRig, volume: VolumeId, device: Path) -> None:
    theirs = Path("/sys/kernel/config/target/iscsi/iqn.2010-10.org.openstack:volume-of-somebody-else")
    foreign = Path("/sys/kernel/config/target/iscsi/iqn.2001-04.com.example:disk")
    for target in (theirs, foreign):
        target.mkdir(parents=True)
    grant = a_grant()
    await lio_rig.target.grant(volume, device, grant)
    await lio_rig.target.remove(volume)
    assert theirs.is_dir() and foreign.is_dir()
    for target in (theirs, foreign):
        target.rmdir()


async def test_a_portal_that_is_not_this_hosts_is_refused_at_the_start() -> None:
    with pytest.raises(Misconfigured, match=r"192\.0\.2\.1:3260"):
        await LioTarget(["192.0.2.1:3260"]).start()
