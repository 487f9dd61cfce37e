"""Every target driver keeps every rule of ``backends/targets/contract.py``: this suite calls each method.

A new driver joins by one more rig in ``target_rigs.py``. What is claimed about logins is seen in logins: who
gets in reads the volume's bytes, who does not gets nothing.
"""

import asyncio
import contextlib
import dataclasses
import os
from pathlib import Path

import pytest
from target_rigs import CLAIMS, HOST_A, HOST_B, KINDS, FakeRig, Rig, a_grant, a_session, qemu_io
from tests.in_full import says

from pumice.backends.targets.contract import Grant, Target
from pumice.model.errors import Invalid, Retryable
from pumice.model.ids import VolumeId, new_id
from pumice.model.units import MIB

pytestmark = pytest.mark.claims(CLAIMS)


@pytest.fixture(params=KINDS)
def rig(request: pytest.FixtureRequest) -> Rig:
    if request.param == "fake":
        return FakeRig()
    found: Rig = request.getfixturevalue(f"{request.param}_rig")
    return found


@pytest.fixture
def target(rig: Rig) -> Target:
    return rig.target


# --- the contract, call by call -------------------------------------------------------------------------


@pytest.mark.short
@pytest.mark.rule("names")
async def test_a_granted_initiator_gets_in_and_nobody_else(
    rig: Rig, target: Target, volume: VolumeId, device: Path
) -> None:
    grant = a_grant()
    portal = await target.grant(volume, device, grant)
    assert volume in portal.name
    assert await rig.admits(portal, grant)
    assert await rig.shuts_out(portal, Grant(grant.attachment, HOST_B, grant.username, grant.password))


@pytest.mark.short
@pytest.mark.rule("passwords")
async def test_a_password_or_a_user_that_was_not_granted_is_refused(
    rig: Rig, target: Target, volume: VolumeId, device: Path
) -> None:
    grant = a_grant()
    portal = await target.grant(volume, device, grant)
    for impostor in (
        Grant(grant.attachment, HOST_A, grant.username, "wrong battery"),
        Grant(grant.attachment, HOST_A, "somebody", grant.password),
    ):
        assert await rig.shuts_out(portal, impostor)


@pytest.mark.short
@pytest.mark.rule("idempotent")
async def test_every_call_may_be_made_twice(rig: Rig, target: Target, volume: VolumeId, device: Path) -> None:
    await target.start()
    await target.start()
    grant = a_grant()
    first = await target.grant(volume, device, grant)
    assert await target.grant(volume, device, grant) == first
    assert await target.exports() in ({volume: {grant.username}}, None)
    for _ in range(2):
        await target.resize(volume, device)
    assert await rig.admits(first, grant)
    for _ in range(2):
        await target.revoke(volume, grant)
        assert await target.exports() in ({}, None)
    await target.grant(volume, device, grant)
    for _ in range(2):
        await target.remove(volume)
        assert await target.exports() in ({}, None)
    assert await rig.leftovers() == []


@pytest.mark.short
@pytest.mark.rule("absent")
async def test_what_is_absent_is_revoked_removed_and_resized(
    rig: Rig, target: Target, volume: VolumeId, device: Path
) -> None:
    await target.revoke(volume, a_grant())
    await target.remove(volume)
    await target.resize(volume, device)
    assert await rig.leftovers() == []


@pytest.mark.rule("exactly_one")
async def test_revoking_an_unknown_grant_leaves_the_others(
    rig: Rig, target: Target, volume: VolumeId, device: Path
) -> None:
    grant = a_grant()
    portal = await target.grant(volume, device, grant)
    await target.revoke(volume, a_grant())
    assert await rig.admits(portal, grant)


@pytest.mark.rule("exactly_one")
@pytest.mark.parametrize("revoked", [0, 1, 2])
@pytest.mark.parametrize("hosts", [(HOST_A, HOST_B, HOST_A), (HOST_A, HOST_A, HOST_A)], ids=["two", "one"])
async def test_revoking_one_of_three_grants_shuts_out_exactly_that_one(
    rig: Rig, target: Target, volume: VolumeId, device: Path, revoked: int, hosts: tuple[str, ...]
) -> None:
    grants = [a_grant(host, f"correct {number}") for number, host in enumerate(hosts)]
    portals = [await target.grant(volume, device, grant) for grant in grants]
    await target.revoke(volume, grants[revoked])
    for number, grant in enumerate(grants):
        gets_its_due = rig.shuts_out if number == revoked else rig.admits
        assert await gets_its_due(portals[number], grant)
    del grants[revoked]
    assert await target.exports() in ({volume: {grant.username for grant in grants}}, None)
    for grant in grants:
        await target.revoke(volume, grant)
    assert await rig.leftovers() == []


@pytest.mark.short
@pytest.mark.rule("replaced")
async def test_a_grant_made_again_has_the_new_password_and_initiator_only(
    rig: Rig, target: Target, volume: VolumeId, device: Path
) -> None:
    other = a_grant(HOST_A)
    before = a_grant(HOST_A)
    after = Grant(before.attachment, HOST_B, before.username, "quite another")
    portal_before = await target.grant(volume, device, before)
    portal_other = await target.grant(volume, device, other)
    portal = await target.grant(volume, device, after)
    assert await rig.shuts_out(portal_before, before)
    assert await rig.admits(portal, after)
    assert await rig.admits(portal_other, other)
    await target.remove(volume)
    assert await rig.leftovers() == []


@pytest.mark.rule("sessions")
async def test_another_password_ends_no_session_and_is_asked_for_at_the_next_login(
    rig: Rig, target: Target, volume: VolumeId, device: Path
) -> None:
    before = a_grant()
    after = dataclasses.replace(before, password="quite another")
    portal = await target.grant(volume, device, before)
    async with a_session(portal, before) as reads:
        assert await reads()
        assert await target.grant(volume, device, after) == portal
        assert await rig.shuts_out(portal, before)
        assert await rig.admits(portal, after)
        assert await reads()


@pytest.mark.rule("replaced")
async def test_a_grant_on_another_device_exports_that_device(
    rig: Rig, target: Target, volume: VolumeId, device: Path, shelf: Path
) -> None:
    grant, elsewhere = a_grant(), shelf / "elsewhere"
    elsewhere.write_bytes(b"not what was asked for".ljust(MIB))
    await target.grant(volume, elsewhere, grant)
    assert await rig.admits(await target.grant(volume, device, grant), grant)


@pytest.mark.rule("at_once")
async def test_twenty_grants_at_once_do_not_disturb_one_another(rig: Rig, target: Target, device: Path) -> None:
    wanted = {VolumeId(new_id()): a_grant() for _ in range(20)}
    await asyncio.gather(*(target.grant(volume, device, grant) for volume, grant in wanted.items()))
    assert await target.exports() in ({volume: {grant.username} for volume, grant in wanted.items()}, None)
    await asyncio.gather(*(target.revoke(volume, grant) for volume, grant in wanted.items()))
    assert await rig.leftovers() == []


@pytest.mark.rule("at_once")
async def test_grants_at_once_on_one_volume_all_get_in(
    rig: Rig, target: Target, volume: VolumeId, device: Path
) -> None:
    grants = [a_grant() for _ in range(20)]
    portals = await asyncio.gather(*(target.grant(volume, device, grant) for grant in grants))
    assert await target.exports() in ({volume: {grant.username for grant in grants}}, None)
    await asyncio.gather(*(target.revoke(volume, grant) for grant in grants[1:]))
    assert await rig.admits(portals[0], grants[0])


@pytest.mark.rule("many")
@pytest.mark.timeout(400)  # 50 s in an emulated guest that has two cores to itself
async def test_200_exports_come_and_go_and_leave_nothing(rig: Rig, target: Target, device: Path) -> None:
    volumes = [VolumeId(new_id()) for _ in range(200)]
    grants = [a_grant(HOST_A) for _ in volumes]
    for volume, grant in zip(volumes, grants, strict=True):
        await target.grant(volume, device, grant)
    assert set(await target.exports() or volumes) == set(volumes)
    for volume, grant in zip(volumes[:100], grants[:100], strict=True):
        await target.revoke(volume, grant)
    for volume in volumes[100:]:
        await target.remove(volume)
    assert await rig.leftovers() == []


@pytest.mark.rule("restart")
async def test_grants_made_again_restore_what_a_killed_daemon_lost(
    rig: Rig, target: Target, volume: VolumeId, device: Path
) -> None:
    grant = a_grant()
    await target.grant(volume, device, grant)
    await rig.lose_everything()
    assert await target.exports() in ({}, None)
    assert await rig.admits(await target.grant(volume, device, grant), grant)


@pytest.mark.short
@pytest.mark.rule("restart")
async def test_each_grant_comes_back_where_its_initiator_waits_for_it(
    rig: Rig, target: Target, volume: VolumeId, device: Path
) -> None:
    grants = [a_grant(HOST_A) for _ in range(4)]
    portals = [await target.grant(volume, device, grant) for grant in grants]
    await target.revoke(volume, grants[1])
    await rig.lose_everything()
    for number in (3, 0, 2):
        again = dataclasses.replace(grants[number], name=portals[number].name)
        assert await target.grant(volume, device, again) == portals[number]
    for number in (3, 0, 2):
        assert await rig.admits(portals[number], grants[number])
    fresh = dataclasses.replace(a_grant(HOST_A), name=portals[0].name)
    assert await rig.admits(await target.grant(volume, device, fresh), fresh)
    assert await rig.admits(portals[0], grants[0])
    for grant in (*grants, fresh):
        await target.revoke(volume, grant)
    assert await rig.leftovers() == []


@pytest.mark.short
@pytest.mark.rule("read_only")
async def test_a_grant_for_reading_cannot_write(
    rig: Rig, target: Target, volume: VolumeId, device: Path
) -> None:
    writer, reader = a_grant(HOST_A), dataclasses.replace(a_grant(HOST_B), read_only=True)
    await target.grant(volume, device, writer)
    portal = await target.grant(volume, device, reader)
    assert await rig.admits(portal, reader)
    pretender = dataclasses.replace(reader, read_only=False)
    code, output = await qemu_io(portal, pretender, "write -P 7 0 512")
    assert code != 0, output
    assert device.read_bytes().startswith(b"volume's own bytes")


@pytest.mark.short
@pytest.mark.rule("read_only_all")
async def test_where_all_only_read_nobody_writes_and_a_writer_never_takes_that_away(
    rig: Rig, target: Target, volume: VolumeId, device: Path
) -> None:
    reader, writer = dataclasses.replace(a_grant(HOST_A), read_only=True), a_grant(HOST_B)
    portal = await target.grant(volume, device, reader)
    pretender = dataclasses.replace(reader, read_only=False)
    with contextlib.suppress(Invalid):
        await target.grant(volume, device, writer)
    code, output = await qemu_io(portal, pretender, "write -P 7 0 512")
    assert code != 0, output
    assert device.read_bytes().startswith(b"volume's own bytes")
    assert await rig.admits(portal, reader)
    await target.resize(volume, device)
    code, output = await qemu_io(portal, pretender, "write -P 7 0 512")
    assert code != 0, output
    await target.remove(volume)
    assert await rig.leftovers() == []


@pytest.mark.short
@pytest.mark.rule("errors")
async def test_a_device_that_cannot_be_exported_is_named_and_leaves_nothing(
    rig: Rig, target: Target, volume: VolumeId, shelf: Path
) -> None:
    with pytest.raises(Retryable, check=says("absent")):
        await target.grant(volume, shelf / "absent", a_grant())
    assert (await target.exports() or {}).get(volume, frozenset()) == frozenset()
    await target.remove(volume)
    assert await rig.leftovers() == []


@pytest.mark.short
@pytest.mark.rule("grows")
async def test_an_initiator_sees_that_the_device_grew(
    rig: Rig, target: Target, volume: VolumeId, device: Path
) -> None:
    grant = a_grant()
    portal = await target.grant(volume, device, grant)
    os.truncate(device, 16 * MIB)
    await target.resize(volume, device)
    assert await rig.size(portal, grant) == "16 MiB"
