"""What a target daemon lost comes back; what belongs to nobody goes, but nothing that is just being made."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from clock import Clock
from fake_world import CONNECTOR, HOST, TENANT, FakeWorld, fake_world

from pumice.attachments import connect, disconnect
from pumice.backends.targets.contract import Grant
from pumice.loops import audit, exports
from pumice.loops.violation import Repair
from pumice.model.connector import Connector
from pumice.model.errors import Retryable
from pumice.model.ids import AttachmentId, VolumeId, new_id
from pumice.model.volume import Attachment
from pumice.operations.harness import quiet, working
from pumice.operations.state_machine import no_faults
from pumice.store import attachments, tables
from pumice.store.database import Transaction
from pumice.store.part import DIGITS
from pumice.store.tombstones import Kind

DEVICE = Path("/dev/zero")
GRACE = 300.0


@pytest.fixture
async def world() -> AsyncIterator[FakeWorld]:
    async with fake_world() as world:
        yield world


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def loop(world: FakeWorld, clock: Clock) -> Repair:
    return Repair(audit.EXPORTS.in_a_loop(), world.drivers, grace=GRACE, clock=clock)


async def connected(world: FakeWorld) -> Attachment:
    """A volume that the client may log in to."""
    async with working(world, "at-work", no_faults):
        link, operation_id = await begin(world, await world.a_volume())
        await world.ended(operation_id)
    found = await world.db.read(attachments.find, link.id)
    assert found is not None
    return found


async def begin(world: FakeWorld, volume_id: str) -> tuple[Attachment, str]:
    def accept(tx: Transaction) -> tuple[Attachment, str]:
        return connect.accept_new(
            tx, TENANT, volume_id, server_id=None, mode="rw", connector=Connector.parse(CONNECTOR)
        )

    return await world.db.write(accept)


def admitted(world: FakeWorld, link: Attachment) -> bool:
    assert link.portal is not None
    words = CONNECTOR["initiator"], link.chap_username or "", link.chap_password or ""
    return world.target.admits(link.portal.name, *words)


async def a_grant(world: FakeWorld, *, known: bool = True) -> tuple[VolumeId, Grant]:
    """Of an attachment that was let go of, if it is ``known``."""
    if known:
        await world.bury(Kind.ACCOUNT, "stranger")
    return VolumeId(new_id()), Grant(AttachmentId(new_id()), CONNECTOR["initiator"], "stranger", "secret")


async def test_what_a_restarted_daemon_forgot_is_exported_again_with_the_same_words(
    world: FakeWorld, loop: Repair
) -> None:
    links = [await connected(world), await connected(world)]
    world.target.forget()
    assert not any(admitted(world, link) for link in links)
    await loop.run()
    assert all(admitted(world, link) for link in links)
    assert not await world.violations()


async def test_an_export_that_was_made_and_forgotten_between_two_looks_comes_back_at_the_next(
    world: FakeWorld, loop: Repair
) -> None:
    await loop.run()
    links = [await connected(world) for _ in range(4)]
    world.target.forget()
    await loop.run()
    assert all(admitted(world, link) for link in links)
    await loop.run()
    assert not any(world.drivers.let_in.values())


async def test_one_export_that_cannot_be_restored_keeps_no_other_from_it(
    world: FakeWorld, loop: Repair
) -> None:
    links = [await connected(world), await connected(world), await connected(world)]
    world.target.forget()
    world.target.fail_next["grant"] = Retryable("The daemon stumbles.")
    await loop.run()
    assert sum(admitted(world, link) for link in links) == 2
    await loop.run()
    assert all(admitted(world, link) for link in links)


async def test_a_daemon_that_does_not_answer_is_looked_at_again(world: FakeWorld, loop: Repair) -> None:
    link = await connected(world)
    world.target.forget()
    world.target.fail_next["exports"] = Retryable("The daemon is down.")
    await loop.run()
    assert not admitted(world, link)
    await loop.run()
    assert admitted(world, link)


async def test_what_is_in_order_is_left_alone(world: FakeWorld, loop: Repair, clock: Clock) -> None:
    link = await connected(world)
    world.target.fail_next = {call: Retryable("Nobody should call.") for call in ("grant", "revoke", "remove")}
    for _ in range(3):
        await loop.run()
        clock.goes_on(GRACE)
    assert admitted(world, link)
    assert set(world.target.fail_next) == {"grant", "revoke", "remove"}


async def test_an_export_that_belongs_to_nobody_is_removed_once_it_has_lasted(
    world: FakeWorld, loop: Repair, clock: Clock
) -> None:
    volume, grant = await a_grant(world)
    await world.target.grant(volume, DEVICE, grant)
    for _ in range(3):
        await loop.run()
        assert volume in world.target.devices
        clock.goes_on(GRACE / 3)
    await loop.run()
    assert volume not in world.target.devices


async def test_an_export_of_which_nothing_is_known_is_told_and_stays(
    world: FakeWorld, loop: Repair, clock: Clock
) -> None:
    volume, grant = await a_grant(world, known=False)
    await world.target.grant(volume, DEVICE, grant)
    for _ in range(3):
        await loop.run()
        clock.goes_on(GRACE)
    assert volume in world.target.devices
    [words] = await world.violations()
    assert words.startswith(f"export {volume} to stranger on {HOST}@one is unknown")


async def test_an_export_that_came_while_the_loop_looked_is_not_missing(world: FakeWorld) -> None:
    link = await connected(world)
    there = world.target.exports

    async def before_it_came() -> dict[VolumeId, frozenset[str]]:
        await world.db.write(attachments.change, link.id, operation_id=None)
        world.target.exports = there  # type: ignore[method-assign]
        return {}

    await world.db.write(attachments.change, link.id, operation_id=link.id)
    world.target.exports = before_it_came  # type: ignore[method-assign]
    assert await exports.check(world.drivers) == []


async def test_what_was_never_exported_is_found_within_sixteen_looks(world: FakeWorld, loop: Repair) -> None:
    await loop.run()
    link = await connected(world)
    await loop.run()  # it came: it is seen now
    world.target.forget()
    await world.db.write(attachments.change, link.id, operation_id=link.id)
    await loop.run()  # an operation has it: it need not be there
    await world.db.write(attachments.change, link.id, operation_id=None)
    for _ in DIGITS:
        await loop.run()
    assert admitted(world, link)


async def test_an_account_that_belongs_to_nobody_is_removed_and_the_others_of_the_volume_stay(
    world: FakeWorld, loop: Repair, clock: Clock
) -> None:
    link = await connected(world)
    volume = VolumeId(link.volume_id)
    await world.target.grant(volume, DEVICE, (await a_grant(world))[1])
    await loop.run()
    clock.goes_on(GRACE)
    await loop.run()
    assert await world.target.exports() == {volume: frozenset({link.chap_username})}


async def test_an_orphan_that_cannot_be_removed_is_tried_again(
    world: FakeWorld, loop: Repair, clock: Clock
) -> None:
    volume, grant = await a_grant(world)
    await world.target.grant(volume, DEVICE, grant)
    world.target.fail_next["revoke"] = Retryable("The daemon stumbles.")
    await loop.run()
    clock.goes_on(GRACE)
    await loop.run()
    assert volume in world.target.devices
    await loop.run()
    assert volume not in world.target.devices


async def test_an_orphan_that_went_by_itself_and_came_back_has_its_grace_anew(
    world: FakeWorld, loop: Repair, clock: Clock
) -> None:
    volume, grant = await a_grant(world)
    await world.target.grant(volume, DEVICE, grant)
    await loop.run()
    await world.target.remove(volume)
    clock.goes_on(GRACE)
    await loop.run()
    await world.target.grant(volume, DEVICE, grant)
    await loop.run()
    assert volume in world.target.devices


async def test_an_export_that_is_just_being_made_is_neither_made_nor_removed_by_the_loop(
    world: FakeWorld, loop: Repair, clock: Clock
) -> None:
    async with working(world, "at-work", no_faults):
        volume_id = await world.a_volume()
    link, operation_id = await begin(world, volume_id)
    await loop.run()
    assert not await world.target.exports()
    grant = Grant(AttachmentId(link.id), CONNECTOR["initiator"], link.chap_username or "", "secret")
    await world.target.grant(VolumeId(volume_id), DEVICE, grant)  # as the operation's step does
    for _ in range(3):
        await loop.run()
        clock.goes_on(GRACE)
    assert await world.target.exports() == {volume_id: frozenset({link.chap_username})}
    async with working(world, "at-work", no_faults):
        await world.ended(operation_id)


async def test_an_export_that_is_being_removed_is_not_restored(world: FakeWorld, loop: Repair) -> None:
    link = await connected(world)

    def accept(tx: Transaction) -> str | None:
        return disconnect.accept(tx, TENANT, attachments.get(tx, TENANT, link.id))

    await world.db.write(accept)
    world.target.forget()
    await loop.run()
    assert not admitted(world, link)
    async with working(world, "at-work", no_faults):
        await quiet(world)
    assert not await world.violations()


async def test_one_whose_detaching_failed_halfway_is_neither_restored_nor_removed(
    world: FakeWorld, loop: Repair, clock: Clock
) -> None:
    link = await connected(world)
    gone_wrong = sa.update(tables.attachments).values(status="error_detaching", operation_id=None)
    await world.db.write(lambda tx: tx.execute(gone_wrong) and None)
    await loop.run()
    clock.goes_on(GRACE)
    await loop.run()
    assert admitted(world, link)
    world.target.forget()
    await loop.run()
    assert not admitted(world, link)


async def test_the_volumes_of_another_host_are_not_exported_here(world: FakeWorld, loop: Repair) -> None:
    link = await connected(world)
    world.target.forget()
    place = await world.db.read(lambda tx: attachments.exported_at(tx, [f"{HOST}@one"]))
    world.drivers.targets.pop(f"{HOST}@one" if place else f"{HOST}@two")
    await loop.run()
    assert not admitted(world, link)


async def test_where_a_daemon_has_another_address_its_attachments_are_told(
    world: FakeWorld, loop: Repair
) -> None:
    link = await connected(world)
    world.target.portals = ("192.0.2.7:3270", "192.0.2.8:3270")
    await loop.run()
    told = await world.db.read(attachments.find, link.id)
    assert told is not None
    assert told.portal is not None
    assert told.portal.portals == ("192.0.2.7:3270", "192.0.2.8:3270")
    assert admitted(world, told)
    assert await exports.check(world.drivers) == []


async def test_a_daemon_that_was_restarted_under_another_name_is_told_with_what_it_exports(
    world: FakeWorld, loop: Repair
) -> None:
    link = await connected(world)
    world.target.forget()
    world.target.prefix = "iqn.2031-01.org.moved"
    await loop.run()
    told = await world.db.read(attachments.find, link.id)
    assert told is not None
    assert told.portal is not None
    assert told.portal.name == f"iqn.2031-01.org.moved:volume-{link.volume_id}"
    assert admitted(world, told)
