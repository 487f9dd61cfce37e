"""Whatever is overdue is settled: by its verb, or without it where this version cannot read it."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from fake_world import FLAVOR, HOST, TENANT, FakeWorld, fake_world

from pumice.app.verbs import VERBS
from pumice.loops.deadlines import Deadlines
from pumice.model.errors import LostLease
from pumice.model.metrics_sink import MetricsSink
from pumice.operations.harness import quiet, working
from pumice.operations.operation import Operation
from pumice.operations.retry import retry
from pumice.operations.state_machine import StateMachine, no_faults
from pumice.servers import boot
from pumice.store import operations, servers, services, tables
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.volumes import create, extend

LATE = {"deadline": 1.0}


class Heard(MetricsSink):
    """What was told."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.ended = 0

    def unread(self, kind: str) -> None:
        self.kinds.append(kind)

    def given_up(self, number: int = 1) -> None:
        self.ended += number


@pytest.fixture
async def world() -> AsyncIterator[FakeWorld]:
    async with fake_world() as world:
        yield world


async def begun(world: FakeWorld, **values: Any) -> tuple[str, str]:
    """A volume whose create nobody carries yet, and its operation, changed."""
    volume = await world.db.write(create.accept, TENANT, create.Wanted(size=1), world.tunables)
    assert volume.operation_id
    await change(world, volume.operation_id, **values)
    return volume.id, volume.operation_id


async def change(world: FakeWorld, operation_id: str, **values: Any) -> None:
    o = tables.operations
    await world.db.write(
        lambda tx: tx.execute(sa.update(o).where(o.c.id == operation_id).values(values)) and None
    )


async def row(world: FakeWorld, operation_id: str) -> operations.Row:
    found = await world.db.read(operations.get, operation_id)
    assert found is not None
    return found


def deadlines(world: FakeWorld, metrics: MetricsSink | None = None) -> Deadlines:
    return Deadlines(world.db, world.runner("here").state_machine, metrics or MetricsSink())


PARAMS = {"size": 1, "availability_zone": "nova", "type_id": "t", "origin": "blank"}
PARAMS |= {"origin_id": None, "origin_pool": None}
BAD: dict[str, dict[str, Any]] = {
    "a step that this version lacks": {"steps": ["think", "make_bytes"], "attempt": 1},
    "a kind that this version lacks": {"kind": "volume.imagine"},
    "parameters that lack something": {"params": {"volume_id": "v"}},
    "parameters that say more": {"params": PARAMS | {"volume_id": "v", "mood": "good"}},
    "parameters of a later version": {"version": 9},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_one_bad_row_switches_off_no_deadline_and_leaves_no_volume_creating(
    world: FakeWorld, bad: dict[str, Any]
) -> None:
    bad = dict(bad)
    volume_id, operation_id = await begun(world, **LATE)
    if "params" in bad and "volume_id" in bad["params"]:
        bad["params"] = bad["params"] | {"volume_id": volume_id}
    await change(world, operation_id, **bad)
    good_volume, _ = await begun(world, **LATE)
    heard = Heard()
    loop = deadlines(world, heard)
    await loop.check()
    assert await world.volume_status(good_volume) == "error"
    assert await world.volume_status(volume_id) == "error"
    settled = await row(world, operation_id)
    assert (settled["settled"], settled["state"]) == (True, "undoing")
    assert "did not end in time" in settled["error"]
    assert settled["settled_at"] is not None
    assert heard.ended == 2
    kind = bad.get("kind", "volume.create")
    listed = [words for words in await world.violations() if operation_id in words]
    assert listed == [f"operation {operation_id} ({kind}) cannot be read by this version: {settled['unread']}"]
    await loop.check()
    assert heard.ended == 2


async def test_a_verb_that_fails_to_tell_how_it_ended_stops_nobody_and_is_settled_all_the_same(
    world: FakeWorld,
) -> None:
    def fails(_tx: Transaction, _op: Operation[Any], _error: str) -> None:
        raise ZeroDivisionError("a bug")

    volume_id, operation_id = await begun(world, deadline=1.0)
    snapshotless, _ = await begun(world, deadline=2.0)
    verbs = {verb.kind: verb for verb in VERBS} | {"volume.create": replace(create.CREATE, failed=fails)}
    heard = Heard()
    await Deadlines(world.db, StateMachine(verbs, "here:1", frozenset()), heard).check()
    assert await world.volume_status(volume_id) == await world.volume_status(snapshotless) == "error"
    assert heard.kinds == ["volume.create"] * 2
    assert "ZeroDivisionError: a bug" in (await row(world, operation_id))["unread"]
    async with working(world, "at-work", no_faults):
        await quiet(world)
    assert await world.violations() == []


async def test_a_worker_leaves_alone_what_it_cannot_read_and_says_so(world: FakeWorld) -> None:
    _, strange = await begun(world, kind="volume.imagine")
    _, stepless = await begun(world, steps=["think"])
    async with working(world, "at-work", no_faults):
        assert await world.a_volume()
        while not ((await row(world, strange))["unread"] and (await row(world, stepless))["unread"]):
            await world.a_volume()
    for operation_id in (strange, stepless):
        found = await row(world, operation_id)
        assert (found["owner"], found["state"], found["attempt"]) == (None, "running", 1)
        assert any(operation_id in words for words in await world.violations())


async def test_a_version_that_knows_it_goes_on_and_nothing_is_said_any_more(world: FakeWorld) -> None:
    volume_id, operation_id = await begun(world, unread="This version knows no 'volume.create'.")
    assert len([words for words in await world.violations() if operation_id in words]) == 1
    async with working(world, "newer", no_faults):
        await quiet(world)
    assert await world.volume_status(volume_id) == "available"
    assert await world.violations() == []


async def test_one_whose_holder_is_stuck_is_settled_and_waits_for_its_lease_to_end(world: FakeWorld) -> None:
    until = time.time() + 20
    held = {"owner": "stuck:1", "lease_until": until, "attempt": 1, "place": f"volume:{HOST}@one"}
    held |= {"position": 1, "notes": {"pool": f"{HOST}@one#a"}}
    just_late, _ = await begun(world, **held, deadline=time.time() - 5)
    volume_id, operation_id = await begun(world, **held, deadline=time.time() - 90)
    await deadlines(world).check()
    assert await world.volume_status(just_late) == "creating", "its holder may be about to tell"
    assert await world.volume_status(volume_id) == "error"
    settled = await row(world, operation_id)
    assert (settled["owner"], settled["state"]) == (None, "undoing")
    assert settled["run_at"] >= until
    with pytest.raises(LostLease):
        await world.db.write(operations.save, operation_id, 1, "stuck:1", {"tries": 1})


async def test_the_oldest_are_settled_first_and_only_so_many_in_one_look(
    world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pumice.loops.deadlines.MOST", 2)
    volumes = [(await begun(world, deadline=float(at)))[0] for at in (3, 1, 2)]
    await deadlines(world).check()
    assert [await world.volume_status(each) for each in volumes] == ["creating", "error", "error"]


async def test_an_extend_in_use_that_is_retried_is_one_in_use(world: FakeWorld) -> None:
    async with working(world, "at-work", no_faults):
        volume_id = await world.a_volume()
        await world.a_server(volume_id)
        await quiet(world)
    await world.db.write(partial(extend.accept, in_use=True), TENANT, volume_id, 2, world.tunables)
    [begun] = await world.db.read(operations.page, states=("running",), kind=None, subject=None, limit=2)
    await change(world, begun["id"], **LATE)
    await deadlines(world).check()
    assert await world.volume_status(volume_id) == "in-use"
    async with working(world, "again", no_faults):
        await quiet(world)
        verbs = {verb.kind: verb for verb in VERBS}
        retried = await world.db.write(retry, begun["id"], verbs, world.tunables)
        await world.ended(retried.operation_id or "")
    assert (await row(world, retried.operation_id or ""))["params"]["in_use"]
    assert await world.violations() == []


async def test_a_boot_whose_host_has_gone_ends_in_an_error_that_says_so_within_minutes(
    world: FakeWorld,
) -> None:
    async with working(world, "before", no_faults):
        root = await world.a_volume()
    disk = boot.DiskWanted(boot_index=0, volume_id=root)
    asked = boot.ServerWanted(name="server", flavor=FLAVOR, disks=[disk])
    server = await world.db.write(boot.accept, TENANT, asked, world.tunables)
    at_compute: dict[str, Any] = {
        "place": f"compute:{HOST}",
        "position": 5,
        "notes": {"host": HOST, "made": []},
    }
    await change(world, server.operation_id or "", **at_compute)
    clock = [0.0]
    loop = deadlines(world)
    loop.monotonic = lambda: clock[0]
    await loop.check()
    clock[0] = 1000.0
    await loop.check()
    assert await world.server_status(server.id) == "BUILD"
    await world.db.write(services.silence, [("nova-compute", HOST)])
    await loop.check()
    clock[0] += 119.0
    await loop.check()
    assert await world.server_status(server.id) == "BUILD"
    clock[0] += 1.0
    await loop.check()
    found = await world.db.read(servers.find, server.id)
    assert found is not None
    assert (found.status, found.task) == ("ERROR", None)
    assert found.fault is not None
    assert "No valid host was found" in found.fault["message"]


async def test_the_audit_names_a_cleaning_that_does_not_end_and_what_nobody_was_told(world: FakeWorld) -> None:
    _, old = await begun(world, state="undoing", settled=True, settled_at=now() - timedelta(hours=2))
    _, late = await begun(world, deadline=time.time() - 1000)
    found = await world.violations()
    assert any(f"operation {old} (volume.create) failed, and its cleaning at scheduler" in it for it in found)
    assert any(f"operation {late} (volume.create) is past its deadline" in it for it in found)
