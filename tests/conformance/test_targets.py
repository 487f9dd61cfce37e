"""Every target driver keeps every rule of ``backends/targets/contract.py``: this suite calls each method.

A new driver joins by one more rig in ``target_rigs.py``. What is claimed about logins is seen in logins: who
gets in reads the volume's bytes, who does not gets nothing.
"""

import asyncio
from pathlib import Path

import pytest
from target_rigs import HOST_A, HOST_B, FakeRig, NvmetRig, Rig, a_grant

from pumice.backends.targets.contract import Grant, Target
from pumice.model.ids import VolumeId, new_id
from pumice.model.units import MIB

KERNEL = pytest.mark.kernel(modules=["nvme-tcp"])


@pytest.fixture(
    params=[
        "fake",
        pytest.param("tgt", marks=pytest.mark.real),
        pytest.param("lio", marks=KERNEL),
        pytest.param("nvmet", marks=KERNEL),
    ]
)
def rig(request: pytest.FixtureRequest) -> Rig:
    if request.param == "fake":
        return FakeRig()
    found: Rig = request.getfixturevalue(f"{request.param}_rig")
    return found


@pytest.fixture
def target(rig: Rig) -> Target:
    return rig.target


# --- the contract, call by call -------------------------------------------------------------------------


async def test_a_granted_initiator_gets_in_and_nobody_else(
    rig: Rig, target: Target, volume: VolumeId, device: Path
) -> None:
    grant = a_grant()
    portal = await target.grant(volume, device, grant)
    assert volume in portal.iqn
    assert await rig.admits(portal, grant)
    assert not await rig.admits(portal, Grant(grant.attachment, HOST_B, grant.username, grant.password))
    if isinstance(rig, NvmetRig):
        return  # as quality.yaml says: it asks for no password
    for impostor in (
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
    portals = [await target.grant(volume, device, grant) for grant in grants]
    await target.revoke(volume, grants[revoked])
    for number, grant in enumerate(grants):
        assert await rig.admits(portals[number], grant) == (number != revoked)
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
    portal_before = await target.grant(volume, device, before)
    portal_other = await target.grant(volume, device, other)
    portal = await target.grant(volume, device, after)
    assert not await rig.admits(portal_before, before)
    assert await rig.admits(portal, after)
    assert await rig.admits(portal_other, other)
    await target.remove(volume)
    assert await rig.leftovers() == []


async def test_a_grant_on_another_device_exports_that_device(
    rig: Rig, target: Target, volume: VolumeId, device: Path, shelf: Path
) -> None:
    grant, elsewhere = a_grant(), shelf / "elsewhere"
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
