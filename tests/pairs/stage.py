"""The stage on which two operations meet: set once, and copied for each trial.

volume   free, with two snapshots-worth of history: ``snapshot`` holds "old", it holds "new"
plain    free, nothing was made of it but ``backup``
data     in use by ``server``, which boots from ``root``
pictured free, in a group of which there is a snapshot, ``picture``, with ``part`` of it
member   free, in ``group``
outside  connected to a host that is not ours, by ``link``
base     of ``image``, in the pool ``b``
"""

import copy
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from fake_world import CONNECTOR, HOST, TENANT, FakeWorld, fake_world

from pumice.attachments import connect
from pumice.backends.fake import FakeBackend
from pumice.hypervisor.fake import FakeHypervisor
from pumice.model.connector import Connector
from pumice.model.errors import Conflict
from pumice.model.ids import VolumeId
from pumice.operations.harness import quiet, working
from pumice.operations.state_machine import no_faults
from pumice.servers import attach_volume, power
from pumice.store import group_snapshots, image_bases, images, tables
from pumice.store.database import Transaction
from pumice.volumes.backups import create as create_backup
from pumice.volumes.bases import make
from pumice.volumes.groups import snapshot as group_snapshot
from pumice.volumes.snapshots import create as create_snapshot

Stage = dict[str, str]
ONE, FAR = f"{HOST}@one", "there@far"
"""Where everything is; and another host's, to which nothing comes by itself, because it is small."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A stage that was set, to be copied."""

    file: Path
    stage: Stage
    image: bytes
    backends: dict[str, FakeBackend]
    machines: FakeHypervisor
    target: dict[str, Any]
    backups: Any


async def begin_snapshot(world: FakeWorld, volume_id: str) -> str:
    """Ask for a snapshot, in use or not; its id."""

    def work(tx: Transaction) -> str:
        return create_snapshot.accept(
            tx,
            TENANT,
            volume_id,
            name=None,
            description=None,
            metadata={},
            in_use=True,
            tunables=world.tunables,
        ).id

    return await world.db.write(work)


async def begin_group_snapshot(world: FakeWorld, group_id: str) -> tuple[str, str]:
    """Ask for a snapshot of a group with one volume; its id and that of its part."""

    def work(tx: Transaction) -> tuple[str, str]:
        made = group_snapshot.accept(tx, TENANT, group_id, name=None, description=None, tunables=world.tunables)
        (part,) = group_snapshots.members(tx, made.id)
        return made.id, part.id

    return await world.db.write(work)


async def begin_backup(world: FakeWorld, volume_id: str, snapshot_id: str | None = None) -> str:
    """Ask for a backup, in use or not; its id."""
    wanted = create_backup.Wanted(volume_id, snapshot_id=snapshot_id, force=True)
    return (await world.db.write(create_backup.accept, TENANT, wanted, world.tunables)).id


async def begin_base(world: FakeWorld, image_id: str, pool: str) -> str:
    """Begin a base of an image in a pool, as a create there does where there is none; its id."""

    def begin(tx: Transaction) -> str:
        if image_bases.of_image(tx, pool, image_id):
            raise Conflict("The pool has a base of that image.")
        return make.begin(tx, images.get(tx, TENANT, image_id), pool).id

    return await world.db.write(begin)


async def set_stage(folder: Path) -> Scene:
    """Set it, in a folder that remains."""
    file = folder / "stage.db"
    places = {ONE: FakeBackend(("a", "b")), FAR: FakeBackend(("c",), capacity_gb=4)}
    async with fake_world(places, grows_in_use=False) as world:
        async with working(world, "stage", no_faults):
            names = ("volume", "plain", "root", "data", "outside", "asleep")
            stage = {name: await world.a_volume() for name in names}
            stage["image"] = await world.an_image()
            stage["base"] = await begin_base(world, stage["image"], f"{ONE}#b")
            stage["server"] = await world.a_server(stage["root"])
            stage["off"] = await world.a_server(stage["asleep"])
            await world.db.write(power.accept_stop, TENANT, stage["off"])
            await world.db.write(attach_volume.accept, TENANT, stage["server"], stage["data"])
            world.backends[ONE].write(VolumeId(stage["volume"]), "old")
            stage["group"] = await world.a_group()
            stage["member"] = await world.a_volume(group_id=stage["group"], volume_type="__DEFAULT__")
            kept = await world.a_group()
            stage["pictured"] = await world.a_volume(group_id=kept, volume_type="__DEFAULT__")
            stage["picture"], stage["part"] = await begin_group_snapshot(world, kept)
            stage["snapshot"] = await begin_snapshot(world, stage["volume"])
            stage["backup"] = await begin_backup(world, stage["plain"])
            link, _ = await world.db.write(
                lambda tx: connect.accept_new(
                    tx,
                    TENANT,
                    stage["outside"],
                    server_id=None,
                    mode="rw",
                    connector=Connector.parse(CONNECTOR),
                )
            )
            stage["link"] = link.id
            await quiet(world)
        for name in (*names, "member", "pictured"):
            world.backends[ONE].write(VolumeId(stage[name]), "new" if name == "volume" else name)
        assert await world.violations() == []
        await world.db.write(lambda tx: tx.execute(sa.delete(tables.operations)) and None)
        await world.db.write(lambda tx: tx.execute(sa.delete(tables.operation_lines)) and None)
        await world.db.write(lambda tx: tx.execute(sa.text("SELECT 1")) and None)
        image = world.image_path(stage["image"]).read_bytes()
        kept = world.backends, world.machines, dict(world.target.__dict__), world.drivers.backups
        await world.db.close()
        shutil.copy(world.db.path, file)  # type: ignore[attr-defined]
    return Scene(file, stage, image, *kept)


@asynccontextmanager
async def copied(scene: Scene, folder: Path) -> AsyncIterator[tuple[FakeWorld, Stage]]:
    """A world of its own for one trial. An image that is made of a volume has its word."""
    file = folder / "trial.db"
    for old in folder.glob("trial.db*"):
        old.unlink()
    shutil.copy(scene.file, file)
    backends, machines = copy.deepcopy(scene.backends), copy.deepcopy(scene.machines)
    store = copy.deepcopy(scene.backups)
    async with fake_world(backends, database_url=f"sqlite:///{file}", machines=machines, store=store) as world:
        world.target.__dict__.update(copy.deepcopy(scene.target))
        world.image_path(scene.stage["image"]).write_bytes(scene.image)
        world.drivers = replace(world.drivers, keep_image=_keeper(world), drop_image=_drop)
        yield world, dict(scene.stage)


IMAGES: dict[str, str] = {}
"""The words of the images that were made of volumes."""


def contents(world: FakeWorld) -> dict[str, str]:
    """What each volume and snapshot holds, and what is manageable at ``ONE``, by its name."""
    return world.backends[FAR].contents() | world.backends[ONE].contents()


def _keeper(world: FakeWorld) -> Callable[[str, Any], Awaitable[None]]:
    o = tables.operations.c

    async def keep(image_id: str, _fill: object) -> None:
        query = sa.select(o.params).where(o.kind == "volume.upload")
        asked = await world.db.read(lambda tx: tx.execute(query).scalars().all())
        volume_id = next(one["volume_id"] for one in asked if one["image_id"] == image_id)
        IMAGES[image_id] = contents(world)[volume_id]

    return keep


async def _drop(image_id: str) -> None:
    IMAGES.pop(image_id, None)
