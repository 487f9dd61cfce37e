"""Every kind of violation is found and repaired. Each is made by hand, in the rows or outside."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
from fake_world import CONNECTOR, HOST, TENANT, FakeWorld, fake_world
from tests.postgres_server import empty

from pumice.attachments import reserve
from pumice.backends.contract import no_progress
from pumice.backends.fake import FakeBackend
from pumice.backends.targets.contract import Grant
from pumice.hypervisor.contract import Disk, FileSource, Machine
from pumice.hypervisor.fake import FakeHypervisor
from pumice.loops.audit import repair, violations
from pumice.model.errors import Retryable
from pumice.model.ids import AttachmentId, ServerId, SnapshotId, VolumeId, new_id
from pumice.operations.harness import quiet, working
from pumice.operations.state_machine import no_faults
from pumice.servers import attach_volume
from pumice.servers import delete as delete_server
from pumice.store import attachments, tables, volumes
from pumice.store.columns import now
from pumice.store.database import Database, Transaction
from pumice.store.tombstones import Kind
from pumice.volumes import create
from pumice.volumes import delete as delete_volume
from pumice.volumes.backups import create as create_backup
from pumice.volumes.groups import snapshot as group_snapshot
from pumice.volumes.snapshots import create as create_snapshot

pytestmark = pytest.mark.asyncio(loop_scope="module")

STRAY = new_id()


@dataclass
class Scene:
    """A server that runs from one volume and has another, a free volume, and a snapshot of it. All is well."""

    world: FakeWorld
    root: str
    second: str
    free: str
    snapshot: str
    server: str

    async def update(self, table: sa.Table, id: str, **values: Any) -> None:  # noqa: A002
        change = sa.update(table).where(table.c.id == id).values(**values)
        await self.world.db.write(lambda tx: tx.execute(change) and None)

    async def remove(self, table: sa.Table, *where: sa.ColumnElement[bool]) -> None:
        await self.world.db.write(lambda tx: tx.execute(sa.delete(table).where(*where)) and None)

    async def forget_attachments(self, volume: str) -> None:
        for link in await self.world.db.read(attachments.of_volume, volume):
            await self.world.db.write(attachments.delete, link.id)

    async def place(self, volume: str) -> tuple[str, str]:
        """``host@backend`` and pool of a volume."""
        v = tables.volumes.c
        pool = await self.world.db.read(lambda tx: tx.execute(sa.select(v.pool).where(v.id == volume)).scalar())
        host, _, name = str(pool).partition("#")
        return host, name


@pytest_asyncio.fixture(loop_scope="module")
async def scene(database: Database | None, tmp_path: Path) -> AsyncIterator[Scene]:
    if database:
        await empty(database)
    backends = {f"{HOST}@{name}": FakeBackend((name,), directory=tmp_path / name) for name in ("one", "two")}
    for backend in backends.values():
        await backend.start()
    machines = FakeHypervisor(tmp_path / "machines", host=HOST)
    async with fake_world(backends, db=database, machines=machines) as world:
        async with working(world, "at-work", no_faults):
            root, second, free = [await world.a_volume() for _ in range(3)]
            server = await world.a_server(root)
            await world.db.write(attach_volume.accept, TENANT, server, second)
            snapshot = await world.db.write(
                lambda tx: create_snapshot.accept(
                    tx,
                    TENANT,
                    free,
                    name=None,
                    description=None,
                    metadata={},
                    in_use=False,
                    tunables=world.tunables,
                )
            )
            await quiet(world)
        assert await violations(world.drivers) == []
        yield Scene(world, root, second, free, snapshot.id, server)


# --- in the rows ------------------------------------------------------------------------------------


async def quota_that_does_not_count(scene: Scene) -> str:
    u = tables.quota_usage.c
    more = sa.update(tables.quota_usage).where(u.resource == "volumes").values(in_use=u.in_use + 1)
    await scene.world.db.write(lambda tx: tx.execute(more) and None)
    return "quota: project project uses 4 volumes by count, 3 by its rows"


async def quota_that_was_never_counted(scene: Scene) -> str:
    await scene.remove(tables.quota_usage, tables.quota_usage.c.resource == "gigabytes")
    return "quota: project project uses 0 gigabytes by count, 4 by its rows"


async def claim_that_no_volume_makes(scene: Scene) -> str:
    p = tables.pools.c
    more = sa.update(tables.pools).where(p.name == f"{HOST}@one#one").values(claimed_gb=99)
    await scene.world.db.write(lambda tx: tx.execute(more) and None)
    return f"pool {HOST}@one#one: claimed are 99 GiB by "


async def volume_in_use_by_nobody(scene: Scene) -> str:
    await scene.update(tables.volumes, scene.free, status="in-use")
    return f"volume {scene.free} is in-use without an attachment that is attached"


async def free_volume_that_is_attached(scene: Scene) -> str:
    await scene.update(tables.volumes, scene.second, status="available")
    return f"volume {scene.second} is available although it has an attachment"


async def used_volume_put_to_a_backup_that_nobody_makes(scene: Scene) -> str:
    await scene.update(tables.volumes, scene.second, status="backing-up")
    return f"volume {scene.second} is backing-up and no operation is at work on it"


async def used_volume_put_to_creating(scene: Scene) -> str:
    await scene.update(tables.volumes, scene.second, status="creating")
    return f"volume {scene.second} is creating and no operation is at work on it"


async def used_volume_put_to_attaching(scene: Scene) -> str:
    await scene.update(tables.volumes, scene.second, status="attaching", moved_at=None)
    return f"volume {scene.second} was put to attaching, and nobody holds it"


async def attachment_put_to_detaching(scene: Scene) -> str:
    [link] = await scene.world.db.read(attachments.of_volume, scene.second)
    await scene.update(tables.attachments, link.id, status="detaching", operation_id=None)
    return f"attachment {link.id} is detaching and no operation is at work on it"


async def snapshot_put_to_a_backup_that_nobody_makes(scene: Scene) -> str:
    await scene.update(tables.snapshots, scene.snapshot, status="backing-up")
    return f"snapshot {scene.snapshot} is backing-up and no operation is at work on it"


async def attachment_without_disk(scene: Scene) -> str:
    await scene.remove(tables.server_disks, tables.server_disks.c.volume_id == scene.second)
    return "is to a server that has no disk for it"


async def disk_without_attachment(scene: Scene) -> str:
    await scene.forget_attachments(scene.second)
    return f"(volume {scene.second}) has no attachment"


async def root_disk_without_attachment(scene: Scene) -> str:
    await scene.forget_attachments(scene.root)
    return f"(volume {scene.root}) has no attachment"


async def operation_that_waits_for_nobody(scene: Scene) -> str:
    wanted = create.Wanted(size=1)
    volume = await scene.world.db.write(create.accept, TENANT, wanted, scene.world.tunables)
    await scene.update(tables.operations, volume.operation_id or "", state="waiting")
    return f"operation {volume.operation_id} (volume.create) waits for children that have all ended"


async def _leased(scene: Scene, until: float) -> str:
    volume = await scene.world.db.write(create.accept, TENANT, create.Wanted(size=1), scene.world.tunables)
    await scene.update(tables.operations, volume.operation_id or "", owner="ghost:1", lease_until=until)
    return (
        f"operation {volume.operation_id} (volume.create) is held by ghost:1, which has not renewed its lease"
    )


async def lease_that_ended_long_ago(scene: Scene) -> str:
    return await _leased(scene, time.time() - 3600)


async def lease_by_a_clock_that_was_wrong(scene: Scene) -> str:
    return await _leased(scene, time.time() + 10 * 365 * 86400)


async def hold_of_an_operation_that_has_ended(scene: Scene) -> str:
    ended = {"thing": scene.free, "operation_id": new_id(), "mode": "read"}
    await scene.world.db.write(lambda tx: tx.execute(sa.insert(tables.operation_holds), ended) and None)
    return f"operation {ended['operation_id']} has ended and still holds something"


async def operation_that_holds_nothing(scene: Scene) -> str:
    volume = await scene.world.db.write(create.accept, TENANT, create.Wanted(size=1), scene.world.tunables)
    await scene.update(tables.operations, volume.operation_id or "", hold=None)
    return f"volume {volume.id} is not held by the operation at work on it (volume.create)"


# --- outside ----------------------------------------------------------------------------------------


async def bytes_without_volume(scene: Scene) -> str:
    host, pool = await scene.place(scene.free)
    await scene.world.backends[host].create(VolumeId(STRAY), pool, 1)
    await scene.world.bury(Kind.VOLUME, STRAY, f"{host}#{pool}")
    return f"volume {STRAY} on {host}#{pool} is an orphan"


async def bytes_of_nobody_known(scene: Scene) -> str:
    host, pool = await scene.place(scene.free)
    await scene.world.backends[host].create(VolumeId(STRAY), pool, 1)
    return f"volume {STRAY} on {host}#{pool} is unknown"


async def bytes_in_another_pool(scene: Scene) -> str:
    host, _ = await scene.place(scene.free)
    other = "two" if host.endswith("one") else "one"
    await scene.world.backends[f"{HOST}@{other}"].create(VolumeId(scene.free), other, 1)
    return f"volume {scene.free} on {HOST}@{other}#{other} is unknown"


async def bytes_without_snapshot(scene: Scene) -> str:
    host, pool = await scene.place(scene.free)
    backend = scene.world.backends[host]
    await backend.create_snapshot(SnapshotId(STRAY), VolumeId(scene.free), pool, no_progress)
    await scene.world.bury(Kind.SNAPSHOT, STRAY, f"{host}#{pool}")
    return f"snapshot {STRAY} on {host}#{pool} is an orphan"


async def unfinished_bytes(scene: Scene) -> str:
    host, pool = await scene.place(scene.free)
    device = await scene.world.backends[host].device(VolumeId(scene.free), pool)
    device.with_name(f".{scene.free}.0.part").touch()
    return f"unfinished volume {scene.free} on {host}#{pool} is an orphan"


async def export_without_attachment(scene: Scene) -> str:
    grant = Grant(AttachmentId(STRAY), CONNECTOR["initiator"], "stranger", "secret")
    await scene.world.bury(Kind.ACCOUNT, "stranger")
    await scene.world.target.grant(VolumeId(scene.free), Path("/dev/zero"), grant)
    return f"export {scene.free} to stranger on {HOST}@one is an orphan"


async def attachment_without_export(scene: Scene) -> str:
    await scene.world.target.remove(VolumeId(scene.second))
    return f"volume {scene.second} is not exported to its attachment "


async def machine_without_server(scene: Scene) -> str:
    await scene.world.machines.define(Machine(ServerId(STRAY), "stray", 1, 64, ()))
    await scene.world.bury(Kind.SERVER, STRAY, HOST)
    return f"machine {STRAY} on {HOST} is an orphan"


async def files_without_server(scene: Scene) -> str:
    await scene.world.machines.make_local_disk(
        ServerId(STRAY), Path("/dev/zero"), "raw", virtual_size=1, size_gib=0
    )
    await scene.world.bury(Kind.SERVER, STRAY, HOST)
    return f"files of server {STRAY} on {HOST} is an orphan"


async def secret_without_attachment(scene: Scene) -> str:
    scene.world.machines.told.add(AttachmentId(STRAY))
    await scene.world.bury(Kind.ATTACHMENT, STRAY)
    return f"secret {STRAY} on {HOST} is an orphan"


async def machine_that_is_off(scene: Scene) -> str:
    await scene.world.machines.stop(ServerId(scene.server), 0)
    return f"server {scene.server} is ACTIVE and its machine is shutdown"


async def machine_that_is_on(scene: Scene) -> str:
    await scene.update(tables.servers, scene.server, status="SHUTOFF")
    return f"server {scene.server} is SHUTOFF and its machine is running"


async def machine_that_vanished(scene: Scene) -> str:
    await scene.world.machines.delete(ServerId(scene.server))
    return f"server {scene.server} is ACTIVE and its machine is not defined"


async def disk_that_was_pulled(scene: Scene) -> str:
    disk = Disk(scene.second, "vdb", FileSource(Path("/dev/zero")))
    await scene.world.machines.detach(ServerId(scene.server), disk, 1)
    return f"the machine of server {scene.server} lacks disks: {scene.second}; and has too many: none"


async def disk_that_was_left_in(scene: Scene) -> str:
    disk = Disk(STRAY, "vdc", FileSource(Path("/dev/zero")))
    await scene.world.bury(Kind.DISK, STRAY, scene.server)
    await scene.world.machines.attach(ServerId(scene.server), disk)
    return f"the machine of server {scene.server} lacks disks: none; and has too many: {STRAY}"


Violation = Callable[[Scene], Awaitable[str]]
REPAIRED: list[Violation] = [
    quota_that_does_not_count,
    quota_that_was_never_counted,
    claim_that_no_volume_makes,
    volume_in_use_by_nobody,
    free_volume_that_is_attached,
    used_volume_put_to_a_backup_that_nobody_makes,
    used_volume_put_to_creating,
    used_volume_put_to_attaching,
    attachment_put_to_detaching,
    snapshot_put_to_a_backup_that_nobody_makes,
    attachment_without_disk,
    disk_without_attachment,
    root_disk_without_attachment,
    operation_that_waits_for_nobody,
    lease_that_ended_long_ago,
    lease_by_a_clock_that_was_wrong,
    hold_of_an_operation_that_has_ended,
    operation_that_holds_nothing,
    bytes_without_volume,
    bytes_in_another_pool,
    bytes_of_nobody_known,
    bytes_without_snapshot,
    unfinished_bytes,
    export_without_attachment,
    attachment_without_export,
    machine_without_server,
    files_without_server,
    secret_without_attachment,
    machine_that_is_off,
    machine_that_is_on,
    machine_that_vanished,
    disk_that_was_pulled,
    disk_that_was_left_in,
]


async def repaired(scene: Scene) -> list[str]:
    """What the repair said. All is well once a worker has carried out what it began, and it looked again."""
    said: list[str] = []
    await repair(scene.world.drivers, said.append)
    async with working(scene.world, "at-work", no_faults):
        await quiet(scene.world)
        left = await repair(scene.world.drivers, said.append)
        await quiet(scene.world)
    assert not left
    assert await violations(scene.world.drivers) == []
    return said


@pytest.mark.parametrize("violation", REPAIRED, ids=lambda violation: violation.__name__)
async def test_the_audit_says_so_in_one_sentence_and_the_repair_mends_it(
    scene: Scene, violation: Violation
) -> None:
    sentence = await violation(scene)
    assert [found for found in await violations(scene.world.drivers) if sentence in found]
    said = await repaired(scene)
    assert [line for line in said if sentence in line]


@pytest.mark.parametrize("word", ["error", "error_extending", "maintenance", "awaiting-transfer"])
async def test_a_state_that_hides_who_uses_the_volume_is_told_and_left_to_a_person(
    scene: Scene, word: str
) -> None:
    await scene.update(tables.volumes, scene.second, status=word)
    [link] = await scene.world.db.read(attachments.of_volume, scene.second)
    [found] = await violations(scene.world.drivers)
    assert found.startswith(f"volume {scene.second} is {word} although its attachment {link.id} is attached")
    await repair(scene.world.drivers, lambda _: None)
    assert await status(scene, tables.volumes, scene.second) == word
    await scene.update(tables.volumes, scene.second, status="in-use")
    assert await violations(scene.world.drivers) == []


# --- what passes, without an operation --------------------------------------------------------------


async def status(scene: Scene, table: sa.Table, id: str) -> str | None:  # noqa: A002
    found: str | None = await scene.world.db.read(
        lambda tx: tx.execute(sa.select(table.c.status).where(table.c.id == id)).scalar()
    )
    return found


@pytest.mark.parametrize(
    ("stuck", "settled"),
    [
        ("creating", "error"),
        ("deleting", "error_deleting"),
        ("extending", "available"),
        ("uploading", "available"),
        ("reverting", "available"),
        ("managing", "error_managing"),
        ("unmanaging", "error"),
        ("backing-up", "available"),
        ("retyping", "available"),
        ("restoring-backup", "error_restoring"),
    ],
)
async def test_a_volume_that_is_stuck_is_settled(scene: Scene, stuck: str, settled: str) -> None:
    await scene.update(tables.volumes, scene.free, status=stuck, operation_id=STRAY)
    assert await violations(scene.world.drivers) == [
        f"volume {scene.free} is {stuck} and no operation is at work on it"
    ]
    await repaired(scene)
    assert await status(scene, tables.volumes, scene.free) == settled


async def test_a_move_that_nobody_carries_on_is_ended_and_its_volume_is_free(scene: Scene) -> None:
    lost = {"status": "maintenance", "migration_status": "migrating", "operation_id": STRAY}
    await scene.update(tables.volumes, scene.free, **lost)
    assert await violations(scene.world.drivers) == [
        f"volume {scene.free} is migrating to another pool and no operation is at work on it"
    ]
    await repaired(scene)
    volume = await scene.world.db.read(volumes.find, scene.free)
    assert volume is not None
    assert (volume.status, volume.migration_status, volume.operation_id) == ("available", "error", None)
    assert await violations(scene.world.drivers) == []


async def test_a_volume_that_is_stuck_while_it_is_deleted_is_deleted(scene: Scene) -> None:
    async with working(scene.world, "at-work", no_faults):
        lonely = await scene.world.a_volume()
    await scene.update(tables.volumes, lonely, status="deleting", operation_id=STRAY)
    await repaired(scene)
    assert await status(scene, tables.volumes, lonely) is None


@pytest.mark.parametrize(
    ("stuck", "settled"), [("creating", "error"), ("restoring", "available"), ("deleting", None)]
)
async def test_a_snapshot_that_is_stuck_is_settled(scene: Scene, stuck: str, settled: str | None) -> None:
    await scene.update(tables.snapshots, scene.snapshot, status=stuck, operation_id=STRAY)
    assert f"snapshot {scene.snapshot} is {stuck} and no operation is at work on it" in await violations(
        scene.world.drivers
    )
    await repaired(scene)
    assert await status(scene, tables.snapshots, scene.snapshot) == settled


@pytest.mark.parametrize(
    ("stuck", "settled"), [("creating", "error"), ("restoring", "available"), ("deleting", None)]
)
async def test_a_backup_that_is_stuck_is_settled(scene: Scene, stuck: str, settled: str | None) -> None:
    wanted = create_backup.Wanted(scene.free)
    backup = await scene.world.db.write(create_backup.accept, TENANT, wanted, scene.world.tunables)
    async with working(scene.world, "at-work", no_faults):
        await quiet(scene.world)
    await scene.update(tables.backups, backup.id, status=stuck, operation_id=STRAY)
    assert f"backup {backup.id} is {stuck} and no operation is at work on it" in await violations(
        scene.world.drivers
    )
    await repaired(scene)
    assert await status(scene, tables.backups, backup.id) == settled


@pytest.mark.parametrize(
    ("stuck", "settled"), [("creating", "error"), ("updating", "available"), ("deleting", "error")]
)
async def test_a_group_that_is_stuck_is_settled(scene: Scene, stuck: str, settled: str) -> None:
    async with working(scene.world, "at-work", no_faults):
        group = await scene.world.a_group()
        await scene.world.a_volume(group_id=group, volume_type="__DEFAULT__")
        words: dict[str, Any] = {"name": None, "description": None, "tunables": scene.world.tunables}
        made = (await scene.world.db.write(lambda tx: group_snapshot.accept(tx, TENANT, group, **words))).id
        await quiet(scene.world)
    for what, table, thing in (
        ("group", tables.groups, group),
        ("group snapshot", tables.group_snapshots, made),
    ):
        await scene.update(table, thing, status=stuck, operation_id=STRAY)
        told = f"{what} {thing} is {stuck} and no operation is at work on it"
        assert told in await violations(scene.world.drivers)
        await repaired(scene)
        assert await status(scene, table, thing) == settled


@pytest.mark.parametrize(
    ("stuck", "settled"), [("attaching", "available"), ("detaching", "available"), ("attached", "in-use")]
)
async def test_an_attachment_that_is_stuck_is_settled_and_its_volume_with_it(
    scene: Scene, stuck: str, settled: str
) -> None:
    def break_it(tx: Transaction) -> None:
        a = tables.attachments
        held = {"status": stuck, "operation_id": STRAY}
        tx.execute(sa.update(a).where(a.c.volume_id == scene.second).values(held))
        attachments.let_volume_follow(tx, scene.second)

    await scene.world.db.write(break_it)
    [words] = await violations(scene.world.drivers)
    assert f"is {stuck} and no operation is at work on it" in words
    await repaired(scene)
    assert await status(scene, tables.volumes, scene.second) == settled
    assert (scene.second in await scene.world.machines.disks(ServerId(scene.server))) == (settled == "in-use")


@pytest.mark.parametrize(
    ("stuck", "task", "settled"),
    [
        ("ACTIVE", "powering-off", "ACTIVE"),
        ("HARD_REBOOT", "rebooting_hard", "ACTIVE"),
        ("REBOOT", None, "ACTIVE"),
        ("BUILD", "spawning", "ERROR"),
        ("ACTIVE", "deleting", None),
    ],
)
async def test_a_server_that_is_stuck_is_settled(
    scene: Scene, stuck: str, task: str | None, settled: str | None
) -> None:
    await scene.update(tables.servers, scene.server, status=stuck, task=task, operation_id=STRAY)
    assert f"server {scene.server} is {stuck} ({task}) and no operation is at work on it" in await violations(
        scene.world.drivers
    )
    await repaired(scene)
    assert await status(scene, tables.servers, scene.server) == settled


# --- what nobody but a person can repair --------------------------------------------------------------


async def volume_without_bytes(scene: Scene) -> str:
    host, pool = await scene.place(scene.free)
    await scene.world.backends[host].delete(VolumeId(scene.free), pool)
    return f"volume {scene.free} has no bytes on {host}"


async def snapshot_without_bytes(scene: Scene) -> str:
    host, pool = await scene.place(scene.free)
    await scene.world.backends[host].delete_snapshot(SnapshotId(scene.snapshot), pool)
    return f"snapshot {scene.snapshot} has no bytes on {host}"


async def volume_of_two_that_is_for_one(scene: Scene) -> str:
    await scene.update(tables.volumes, scene.second, multiattach=True)
    await scene.world.db.write(
        lambda tx: reserve.reserve(tx, TENANT, scene.second, server_id=None, attached_at=now()) and None
    )
    await scene.update(tables.volumes, scene.second, multiattach=False)
    first, second = await scene.world.db.read(attachments.of_volume, scene.second)
    users = f"{first.id} of {scene.server}, {second.id} of no server"
    return f"volume {scene.second} is not multiattach and has 2 attachments: {users}"


@pytest.mark.parametrize(
    "violation",
    [volume_without_bytes, snapshot_without_bytes, volume_of_two_that_is_for_one],
    ids=lambda it: it.__name__,
)
async def test_what_is_lost_is_said_and_nothing_is_made_up_for_it(scene: Scene, violation: Violation) -> None:
    sentence = await violation(scene)
    said: list[str] = []
    left = await repair(scene.world.drivers, said.append)
    assert [found.words for found in left] == [sentence]
    assert said == [f"{sentence}: only a person can repair it"]
    assert await status(scene, tables.volumes, scene.free) == "available"


@pytest.mark.parametrize(
    ("driver", "call", "sentence"),
    [
        ("backend", "inventory", f"backend {HOST}@one does not answer: It is down."),
        ("target", "exports", f"target fake of {HOST}@one does not answer: It is down."),
        ("machines", "powers", f"hypervisor {HOST} does not answer: It is down."),
        ("machines", "secrets", f"hypervisor {HOST} does not answer: It is down."),
    ],
)
async def test_a_driver_that_is_silent_is_a_breach_and_hides_no_other(
    scene: Scene, driver: str, call: str, sentence: str
) -> None:
    world = scene.world
    silent = {"backend": world.backends[f"{HOST}@one"], "target": world.target, "machines": world.machines}
    silent[driver].fail_next = Stays({call: Retryable("It is down.")})
    await quota_that_does_not_count(scene)
    assert set(await violations(world.drivers)) >= {
        sentence,
        "quota: project project uses 4 volumes by count, 3 by its rows",
    }


class Stays(dict[str, Exception]):
    """What fails goes on failing."""

    def pop(self, key: str, default: Any = None) -> Any:
        return self.get(key, default)


class Meanwhile:
    """A driver whose answers are old when they come: something else has happened since it looked."""

    def __init__(self, driver: Any, call: str, happens: list[Callable[[], Awaitable[Any]]]) -> None:
        self._driver, self._call, self._happens = driver, call, happens

    def __getattr__(self, name: str) -> Any:
        return self._late if name == self._call else getattr(self._driver, name)

    async def _late(self) -> Any:
        found = await getattr(self._driver, self._call)()
        if self._happens:
            await self._happens.pop(0)()
        return found


async def test_what_is_deleted_while_the_audit_looks_is_no_violation(scene: Scene) -> None:
    world = scene.world

    async def delete() -> None:
        """Delete a volume to its end, between a look at the backend and the next at the rows."""
        await world.ended(await world.db.write(delete_volume.accept, TENANT, doomed.pop()) or "")

    async with working(world, "at-work", no_faults):
        at = dict[str, list[str]]()
        for _ in range(5):
            volume = await world.a_volume()
            at.setdefault((await scene.place(volume))[0], []).append(volume)
        place, doomed = max(at.items(), key=lambda one: len(one[1]))
        number = len(doomed)
        slow = Meanwhile(world.backends[place], "inventory", [delete] * number)
        drivers = replace(world.drivers, backends={**world.backends, place: slow})
        assert await violations(drivers) == []
        assert not doomed, "each of the first looks saw something that went"
        assert number >= 3


async def test_a_server_that_is_deleted_while_the_audit_looks_is_no_violation(scene: Scene) -> None:
    world = scene.world

    async def delete() -> None:
        await world.db.write(delete_server.accept, TENANT, scene.server)
        await quiet(world)

    async with working(world, "at-work", no_faults):
        machines = Meanwhile(world.machines, "machines", [delete])
        assert await violations(replace(world.drivers, hypervisors={HOST: machines})) == []


async def test_what_is_wrong_is_found_however_a_driver_is_silent_for_a_moment(scene: Scene) -> None:
    sentence = await bytes_of_nobody_known(scene)
    scene.world.backends[f"{HOST}@one"].fail_next["inventory"] = Retryable("It is down.")
    assert [words for words in await violations(scene.world.drivers) if words.startswith(sentence)]


async def test_missing_bytes_are_told_first(scene: Scene) -> None:
    await quota_that_does_not_count(scene)
    sentence = await volume_without_bytes(scene)
    assert (await violations(scene.world.drivers))[0] == sentence
