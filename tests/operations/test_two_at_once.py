"""Who attaches and detaches runs row by row on PostgreSQL: of any two transactions it is as if one came first.

Two are let meet, on a volume in each of its states: the second begins when the first has done all but its
COMMIT; or it has begun, and seen how all was, before the first. What comes of both, and of the volume, must be
what comes of them one after the other. Where both are SERIALIZABLE PostgreSQL sees to it: those are left out.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from tests.postgres_server import empty

from patience import patience
from pumice.api.volume import attachments as api
from pumice.api.volume import volume_actions
from pumice.app.verbs import VERBS
from pumice.attachments import connect, legacy, rotate
from pumice.catalog import volume_types
from pumice.model.connector import Connector
from pumice.model.errors import PumiceError
from pumice.model.export import IscsiExport
from pumice.model.ids import ProjectId, UserId, VolumeId, new_id
from pumice.model.scope import Scope
from pumice.model.states import VolumeStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import Volume
from pumice.operations.operation import Operation, from_row
from pumice.operations.state_machine import StateMachine, Stopwatch
from pumice.store import clock, operations, volumes
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.postgres import PostgresDatabase
from pumice.store.serialize import is_row_by_row, row_by_row
from pumice.store.tables import attachments as attachment_rows
from pumice.store.tables import operation_holds
from pumice.store.tables import operations as operation_rows
from pumice.volumes import create, delete, extend

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

TENANT = Scope(UserId("tenant"), ProjectId("project"), frozenset({"member"}), request_id="req-test")
HOST = Connector("host", "192.0.2.9", "iqn.1993-08.org.debian:host")
OTHER = Connector("other", "192.0.2.8", "iqn.1993-08.org.debian:other")
PORTAL = IscsiExport("iqn.2010-10.org.openstack:volume-1", ("192.0.2.1:3260",), 1)
SHUT = "SELECT pg_advisory_xact_lock(7)"
SEE_AND_WAIT = "SELECT count(*), pg_advisory_xact_lock_shared(7) FROM volumes"
"""The gate at which a transaction is stopped."""
STATES = ("creating", "available", "reserved", "connecting", "connected", "attached", "detaching")
MACHINE = StateMachine({verb.kind: verb for verb in VERBS}, "worker", {"volume:here@fake"})


@dataclass(frozen=True, slots=True)
class Scene:
    """A volume, an attachment of it and the operation under way, if there are any."""

    volume_id: str
    attachment_id: str = ""
    operation: Operation[Any] | None = None


def _actions(scene: Scene) -> dict[str, Callable[..., Any]]:
    """What can happen to it, each a transaction."""
    volume, attachment = scene.volume_id, scene.attachment_id
    reserved = api.NewAttachment.model_construct(volume_uuid=volume, instance_uuid=None, connector=None)
    connected = api.NewAttachment.model_construct(volume_uuid=volume, instance_uuid=None, connector=OTHER)
    found = {
        "reserve": partial(api._create, who=TENANT, asked=reserved, bootable_for_many=False),
        "reserve and connect": partial(api._create, who=TENANT, asked=connected, bootable_for_many=False),
        "initialize": partial(legacy.initialize, who=TENANT, volume_id=volume, connector=OTHER),
        "extend": partial(
            extend.accept, who=TENANT, volume_id=volume, new_size=2, tunables=Tunables(), in_use=True
        ),
        "delete": partial(delete.accept, who=TENANT, volume_id=volume),
        "reset": partial(
            volume_actions._reset_status,
            call=SimpleNamespace(who=TENANT, args={"id": volume}),
            asked=volume_actions.ResetStatus(status="error"),
        ),
        "rotate": partial(rotate.accept, attachment_id=attachment),
    }
    if attachment:
        found |= {
            "connect": partial(connect.accept_known, who=TENANT, attachment_id=attachment, connector=HOST),
            "complete": partial(api._complete, who=TENANT, attachment_id=attachment),
            "remove": partial(api._remove, who=TENANT, attachment_id=attachment),
            "detach": partial(legacy.detach, who=TENANT, volume_id=volume, attachment_id=attachment),
        }
    if scene.operation:
        found["end"] = row_by_row(partial(_end, op=scene.operation))
        found["give up"] = partial(
            MACHINE.give_up, operation_id=scene.operation.id, at=clock.time() + 3600, why="too late"
        )
    return found


def _end(tx: Transaction, op: Operation[Any]) -> None:
    """What the runner does with what it has in hand, once the step outside is done: the others, and the end."""
    MACHINE.advance(tx, op, Stopwatch(op, op.steps[op.position]).record())


async def _stage(db: PostgresDatabase, state: str, multiattach: bool) -> Scene:
    """A volume in a state, in an empty database."""
    await empty(db)
    volume = Volume(
        id=VolumeId(new_id()), project_id="project", user_id="tenant", name=None, description=None, size=1,
        status=VolumeStatus.AVAILABLE, type_id=None, availability_zone="nova", pool="here@fake#fake",
        snapshot_id=None, source_volid=None, bootable=False, multiattach=multiattach, read_only=False,
        metadata={}, image_metadata=None, encryption_key_id=None, operation_id=None, created_at=now(),
        updated_at=None,
    )  # fmt: skip
    if state == "creating":
        return await _created(db)
    await db.write(volumes.insert, volume)
    if state == "available":
        return Scene(volume.id)
    reserved = api.NewAttachment.model_construct(volume_uuid=volume.id, instance_uuid=None, connector=None)
    link, _ = await db.write(api._create, TENANT, reserved, bootable_for_many=False)
    scene = Scene(volume.id, link.id)
    if state == "reserved":
        return scene
    connecting = await db.write(connect.accept_known, TENANT, link.id, HOST)
    op = await db.write(_claim, connecting)
    if state == "connecting":
        return replace(scene, operation=op)
    await db.write(_end, op)
    if state == "connected":
        return scene
    await db.write(api._complete, TENANT, link.id)
    if state == "attached":
        return scene
    _, detaching = await db.write(api._remove, TENANT, link.id)
    return replace(scene, operation=await db.write(_claim, detaching))


async def _created(db: PostgresDatabase) -> Scene:
    """A volume whose bytes are about to be made."""
    await db.write(volume_types.make_default, Tunables())
    volume = await db.write(create.accept, TENANT, create.Wanted(size=1), Tunables())
    there = {"position": 2, "place": "volume:here@fake", "notes": {"pool": "here@fake#fake"}}
    this = operation_rows.c.id == volume.operation_id
    await db.write(lambda tx: tx.execute(sa.update(operation_rows).where(this).values(there)) and None)
    return Scene(volume.id, operation=await db.write(_claim, volume.operation_id))


def _claim(tx: Transaction, operation_id: str | None) -> Operation[Any]:
    claimed = {"owner": "worker", "attempt": 1, "lease_until": clock.time() + 60}
    tx.execute(sa.update(operation_rows).where(operation_rows.c.id == operation_id).values(claimed))
    row = operations.get(tx, operation_id or "")
    assert row is not None
    op = from_row(MACHINE.verbs[row["kind"]], row)
    op.notes["portal"] = PORTAL.to_row()
    return op


def _picture(tx: Transaction, scene: Scene) -> tuple[object, ...]:
    """How all is, without names that are chosen anew."""
    volume = volumes.find(tx, scene.volume_id)
    links = tx.execute(sa.select(attachment_rows.c.status, attachment_rows.c.host)).all()
    o = operation_rows.c
    under_way = tx.execute(sa.select(o.kind, o.state, o.settled, o.hold, o.position)).all()
    held = tx.execute(sa.select(operation_holds.c.mode)).scalars()
    status = volume and (volume.status, volume.size)
    return status, sorted(map(str, links)), sorted(map(str, under_way)), sorted(held)


async def _outcome(db: PostgresDatabase, work: Callable[..., Any]) -> str:
    try:
        await db.write(work)
    except PumiceError as error:
        return type(error).__name__
    return "done"


def _stopped(work: Callable[..., Any], *, at_end: bool) -> Callable[..., Any]:
    """The same, and it stops at the gate: when it has begun and seen the rows, or before its COMMIT."""

    def stopped(tx: Transaction) -> None:
        if at_end:
            work(tx)
        tx.connection.exec_driver_sql(SEE_AND_WAIT)
        if not at_end:
            work(tx)

    return row_by_row(stopped) if is_row_by_row(work) else stopped


async def _meet(db: PostgresDatabase, one: Callable[..., Any], other: Callable[..., Any]) -> tuple[str, str]:
    """``one`` waits at the gate; ``other`` goes as far as it comes; then the gate opens."""
    async with db._writing.connect() as keeper:
        await keeper.exec_driver_sql(SHUT)
        first = asyncio.create_task(_outcome(db, one))
        await _until_waiting(db, 1, first)
        second = asyncio.create_task(_outcome(db, other))
        await _until_waiting(db, 2, second)
        await keeper.rollback()
    return await first, await second


async def _until_waiting(db: PostgresDatabase, number: int, or_done: asyncio.Task[str]) -> None:
    """Until so many wait for the gate or for one another, unless this one has ended."""

    def waiting(tx: Transaction) -> Any:
        return tx.connection.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").scalar()

    async with patience():
        while not or_done.done() and await db.read(waiting) < number:
            await asyncio.sleep(0.002)


def _pairs(
    actions: Mapping[str, Callable[..., Any]], multiattach: bool, one_in: int
) -> Iterator[tuple[str, str, bool]]:
    """Two that meet, and whether the first stops at its end."""
    for number, (one, other, at_end) in enumerate(product(actions, actions, (True, False))):
        ours, theirs = is_row_by_row(actions[one]), is_row_by_row(actions[other])
        # what runs row by row sees nothing before its lock: to stop it there is to let the other go first
        if (ours or theirs) and (at_end or not ours) and (number + multiattach) % one_in == 0:
            yield one, other, at_end


async def _in_order(
    db: PostgresDatabase, state: str, multiattach: bool, *names: str
) -> tuple[dict[str, str], tuple[object, ...]]:
    scene = await _stage(db, state, multiattach)
    told = {name: await _outcome(db, _actions(scene)[name]) for name in names}
    return told, await db.read(_picture, scene)


@pytest.mark.parametrize("multiattach", [False, True])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("one_in", [16, pytest.param(1, marks=pytest.mark.long)])
async def test_of_two_at_once_it_is_as_if_one_came_first(
    on_postgres: PostgresDatabase, state: str, multiattach: bool, one_in: int
) -> None:
    db = on_postgres
    known = _actions(await _stage(db, state, multiattach))
    for one, other, at_end in _pairs(known, multiattach, one_in):
        scene = await _stage(db, state, multiattach)
        actions = _actions(scene)
        told = await _meet(db, _stopped(actions[one], at_end=at_end), actions[other])
        met = {one: told[0]} | ({other: told[1]} if other != one else {}), await db.read(_picture, scene)
        if one == other:
            first = await _stage(db, state, multiattach)
            twice = sorted([await _outcome(db, _actions(first)[one]) for _ in range(2)])
            assert (sorted(told), met[1]) == (twice, await db.read(_picture, first)), (one, other, at_end)
        else:
            orders = [await _in_order(db, state, multiattach, *names) for names in ((one, other), (other, one))]
            assert met in orders, (one, other, at_end)
