"""The audit finds every kind of breach: each is made by hand, in the rows or outside, where all was well."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fake_world import CONNECTOR, HOST, TENANT, FakeWorld, fake_world

from pumice.backends.contract import no_progress
from pumice.backends.targets.contract import Grant
from pumice.hypervisor.contract import Machine
from pumice.loops.audit import breaches
from pumice.model.errors import Trouble
from pumice.model.ids import AttachmentId, ServerId, SnapshotId, VolumeId, new_id
from pumice.operations.course import no_faults
from pumice.operations.harness import quiet, working
from pumice.servers import attach_volume
from pumice.store import tables
from pumice.volumes import create
from pumice.volumes.snapshots import create as create_snapshot

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

    async def place(self, volume: str) -> tuple[str, str]:
        """``host@backend`` and pool of a volume."""
        v = tables.volumes.c
        pool = await self.world.db.read(lambda tx: tx.execute(sa.select(v.pool).where(v.id == volume)).scalar())
        host, _, name = str(pool).partition("#")
        return host, name


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with fake_world() as world:
        async with working(world, "at-work", no_faults):
            root, second, free = [await world.a_volume() for _ in range(3)]
            server = await world.a_server(root)
            await world.db.write(attach_volume.accept, TENANT, server, second)
            snapshot = await world.db.write(
                lambda tx: create_snapshot.accept(
                    tx, TENANT, free, name=None, description=None, metadata={}, in_use=False, rules=world.rules
                )
            )
            await quiet(world)
        assert await breaches(world.hands) == []
        yield Scene(world, root, second, free, snapshot.id, server)


async def volume_without_bytes(scene: Scene) -> str:
    host, pool = await scene.place(scene.free)
    await scene.world.backends[host].delete(VolumeId(scene.free), pool)
    return f"volume {scene.free} has no bytes on {host}"


async def bytes_without_volume(scene: Scene) -> str:
    host, pool = await scene.place(scene.free)
    await scene.world.backends[host].create(VolumeId(STRAY), pool, 1)
    return f"bytes on {host} belong to no volume: {STRAY}"


async def snapshot_without_bytes(scene: Scene) -> str:
    host, pool = await scene.place(scene.free)
    await scene.world.backends[host].delete_snapshot(SnapshotId(scene.snapshot), pool)
    return f"snapshot {scene.snapshot} has no bytes on {host}"


async def bytes_without_snapshot(scene: Scene) -> str:
    host, pool = await scene.place(scene.free)
    backend = scene.world.backends[host]
    await backend.create_snapshot(SnapshotId(STRAY), VolumeId(scene.free), pool, no_progress)
    return f"bytes on {host} belong to no snapshot: {STRAY}"


async def export_without_attachment(scene: Scene) -> str:
    grant = Grant(AttachmentId(STRAY), CONNECTOR["initiator"], "stranger", "secret")
    await scene.world.target.grant(VolumeId(scene.free), Path("/dev/zero"), grant)
    return f"export of volume {scene.free} to stranger belongs to no attachment"


async def machine_without_server(scene: Scene) -> str:
    await scene.world.machines.define(Machine(ServerId(STRAY), "stray", 1, 64, ()))
    return f"machine {STRAY} on {HOST} belongs to no server"


async def quota_that_does_not_count(scene: Scene) -> str:
    u = tables.quota_usage.c
    more = sa.update(tables.quota_usage).where(u.resource == "volumes").values(in_use=u.in_use + 1)
    await scene.world.db.write(lambda tx: tx.execute(more) and None)
    return "quota: project project uses 4 volumes by count, 3 by its rows"


async def claim_that_no_volume_makes(scene: Scene) -> str:
    p = tables.pools.c
    more = sa.update(tables.pools).where(p.name == f"{HOST}@one#a").values(claimed_gb=99)
    await scene.world.db.write(lambda tx: tx.execute(more) and None)
    return f"pool {HOST}@one#a: claimed are 99 GiB by "


async def volume_that_is_stuck(scene: Scene) -> str:
    await scene.update(tables.volumes, scene.free, status="creating", operation_id=STRAY)
    return f"volume {scene.free} is creating and no operation is at work on it"


async def volume_in_use_by_nobody(scene: Scene) -> str:
    await scene.update(tables.volumes, scene.free, status="in-use")
    return f"volume {scene.free} is in-use without an attachment that is attached"


async def free_volume_that_is_attached(scene: Scene) -> str:
    await scene.update(tables.volumes, scene.second, status="available")
    return f"volume {scene.second} is available although it has an attachment"


async def attachment_without_disk(scene: Scene) -> str:
    await scene.remove(tables.server_disks, tables.server_disks.c.volume_id == scene.second)
    return "is to a server that has no disk for it"


async def disk_without_attachment(scene: Scene) -> str:
    await scene.remove(tables.attachments, tables.attachments.c.volume_id == scene.second)
    return f"(volume {scene.second}) has no attachment"


async def server_that_is_stuck(scene: Scene) -> str:
    await scene.update(tables.servers, scene.server, task="powering-off", operation_id=STRAY)
    return f"server {scene.server} is ACTIVE (powering-off) and no operation is at work on it"


async def operation_that_waits_for_nobody(scene: Scene) -> str:
    wanted = create.Wanted(size=1)
    volume = await scene.world.db.write(create.accept, TENANT, wanted, scene.world.rules)
    await scene.update(tables.operations, volume.operation_id or "", state="waiting")
    return f"operation {volume.operation_id} (volume.create) waits for children that have all ended"


async def silent_backend(scene: Scene) -> str:
    scene.world.backends[f"{HOST}@one"].fail_next["inventory"] = Trouble("It is down.")
    return f"backend {HOST}@one does not answer: It is down."


async def silent_target(scene: Scene) -> str:
    scene.world.target.fail_next["exports"] = Trouble("It is down.")
    return "target fake does not answer: It is down."


async def silent_hypervisor(scene: Scene) -> str:
    scene.world.machines.fail_next["machines"] = Trouble("It is down.")
    return f"hypervisor {HOST} does not answer: It is down."


Breach = Callable[[Scene], Awaitable[str]]
BREACHES: list[Breach] = [
    volume_without_bytes,
    bytes_without_volume,
    snapshot_without_bytes,
    bytes_without_snapshot,
    export_without_attachment,
    machine_without_server,
    quota_that_does_not_count,
    claim_that_no_volume_makes,
    volume_that_is_stuck,
    volume_in_use_by_nobody,
    free_volume_that_is_attached,
    attachment_without_disk,
    disk_without_attachment,
    server_that_is_stuck,
    operation_that_waits_for_nobody,
    silent_backend,
    silent_target,
    silent_hypervisor,
]


@pytest.mark.parametrize("breach", BREACHES, ids=lambda breach: breach.__name__)
async def test_the_audit_says_so_in_one_sentence(scene: Scene, breach: Breach) -> None:
    sentence = await breach(scene)
    assert [found for found in await breaches(scene.world.hands) if sentence in found]
