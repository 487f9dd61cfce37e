"""A whole installation on the shipped fakes, for the harness: two backends, one hypervisor, one image."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from tests.hook_receiver import LOOPBACK

from databases import new_sqlite
from pumice.app.verbs import VERBS
from pumice.backends.backups.contract import POSIX, BackupStore, Found, Progress, Record, Written
from pumice.backends.fake import FakeBackend
from pumice.backends.targets.contract import Target
from pumice.backends.targets.fake import FakeTarget
from pumice.backends.targets.two_names import TwoNames
from pumice.catalog import group_types as catalog
from pumice.catalog import volume_types
from pumice.host.qemu_img import IscsiDisk
from pumice.hypervisor.fake import FakeHypervisor
from pumice.images import from_volume
from pumice.images.files import ImageFiles
from pumice.loops.audit import violations
from pumice.loops.heartbeats import Heartbeats
from pumice.model.errors import NotFound
from pumice.model.group import Group
from pumice.model.ids import ProjectId, UserId, VolumeId, new_id
from pumice.model.scope import Scope
from pumice.model.server import Flavor
from pumice.model.tunables import RetryPolicy, Tunables
from pumice.model.volume import Volume
from pumice.operations.drivers import Drivers
from pumice.operations.harness import eventually
from pumice.operations.places import SCHEDULER, WEBHOOKS, compute_host, volume_host
from pumice.operations.runner import Runner
from pumice.operations.state_machine import FaultPoint, no_faults
from pumice.servers import boot
from pumice.store import attachments, group_types, operations, servers, tombstones, volumes
from pumice.store.columns import now
from pumice.store.database import Database
from pumice.store.open import open_database
from pumice.store.tables import images
from pumice.store.tombstones import Kind
from pumice.store.witness import Witness, Witnesses
from pumice.volumes import create
from pumice.volumes.groups import create as create_group

TENANT = Scope(UserId("tenant"), ProjectId("project"), frozenset({"member"}), request_id="req-test")
FLAVOR = Flavor("1", "tiny", 1, 128, 1, 0, 0, True, False, None, {})
CONNECTOR = {"initiator": "iqn.2026-11.org.example:client", "host": "client", "ip": "127.0.0.1"}
HOST = "here"


@dataclass(slots=True)
class FakeWorld:
    """The harness's world."""

    db: Database
    drivers: Drivers
    tunables: Tunables
    backends: dict[str, FakeBackend]
    target: FakeTarget
    machines: FakeHypervisor
    directory: Path
    witness: Path | None = None
    """Where its workers note what they have done, if they do."""
    beside: Path | None = None
    """Where they note it beside the bytes of the backends."""

    def witnesses(self, boot: str) -> Witnesses | None:
        beside = {
            volume_host(name): [Witness(self.beside / name, boot)] if self.beside else []
            for name in self.backends
        }
        return Witnesses(Witness(self.witness, boot), beside) if self.witness else None

    def runner(self, boot: str, faults: FaultPoint = no_faults) -> Runner:
        places = [SCHEDULER, WEBHOOKS, *map(volume_host, self.backends), compute_host(HOST)]
        return Runner(
            self.db,
            VERBS,
            self.drivers,
            host=HOST,
            boot=boot,
            places=places,
            tunables=replace(self.tunables, retry_policy=RetryPolicy(first=0.001)),
            faults=faults,
            witnesses=self.witnesses(boot),
        )

    async def violations(self) -> list[str]:
        return await violations(self.drivers)

    async def ended(self, operation_id: str) -> None:
        async def look() -> tuple[bool, str | None] | None:
            return (await self.db.read(operations.completions, [operation_id])).get(operation_id)

        well, error = await eventually(self.db, look)
        assert well, error

    async def running(self, subject: str) -> str:
        """The operation that was enqueued last on ``subject``."""
        rows = await self.db.read(operations.page, states=None, kind=None, subject=subject, limit=1)
        return str(rows[0]["id"])

    async def a_volume_begins(self, **wanted: Any) -> Volume:
        """A volume that is being created."""
        asked = create.Wanted(**{"size": 1, **wanted})
        return await self.db.write(create.accept, TENANT, asked, self.tunables)

    async def a_volume(self, **wanted: Any) -> str:
        """An available volume."""
        volume = await self.a_volume_begins(**wanted)
        await self.ended(volume.operation_id or "")
        return volume.id

    async def a_group_begins(self) -> Group:
        """A group that is being created; its type is made with the first."""
        if await self.db.read(group_types.named, "steady") is None:
            make = partial(catalog.create, name="steady", description=None, is_public=True, specs={})
            await self.db.write(make)
        asked = create_group.Wanted("steady", ["__DEFAULT__"])
        return await self.db.write(create_group.accept, TENANT, asked, self.tunables)

    async def a_group(self) -> str:
        """An available group without volumes."""
        group = await self.a_group_begins()
        await self.ended(group.operation_id or "")
        return group.id

    async def a_server(self, volume_id: str) -> str:
        """An active server that boots from the volume."""
        disk = boot.DiskWanted(boot_index=0, volume_id=volume_id)
        asked = boot.ServerWanted(name="server", flavor=FLAVOR, disks=[disk])
        server = await self.db.write(boot.accept, TENANT, asked, self.tunables)
        await self.ended(server.operation_id or "")
        return server.id

    def image_path(self, image_id: str) -> Path:
        """The file of an image's bytes."""
        return self.directory / "images" / image_id

    async def an_image(self) -> str:
        """An active image of 1 MiB of zeroes."""
        image_id = new_id()
        self.image_path(image_id).write_bytes(b"\0" * 1024**2)
        row = {
            "id": image_id,
            "owner": TENANT.project,
            "name": "image",
            "status": "active",
            "visibility": "private",
            "disk_format": "raw",
            "container_format": "bare",
            "size": 1024**2,
            "virtual_size": 1024**2,
            "checksum": "0" * 32,
            "min_disk": 0,
            "min_ram": 0,
            "protected": False,
            "os_hidden": False,
            "tags": [],
            "properties": {},
            "created_at": now(),
        }
        await self.db.write(lambda tx: tx.execute(images.insert(), row) and None)
        return image_id

    async def fetch(self, disk: IscsiDisk, _device: Path, progress: Progress, _seconds: float) -> None:
        """As if QEMU's initiator had logged in: the word of the volume, in its empty copy."""
        assert self.target.admits(disk.iqn, disk.initiator, disk.username, disk.password)
        volume = VolumeId(disk.iqn.partition(":volume-")[2])
        holding = [one for one in self.backends.values() if volume in one.contents()]
        word = next(filter(None, (one.contents()[volume] for one in holding)), "")
        for one in holding:
            one.write(volume, word)
        progress(1.0)

    def copy(self, serial: str) -> None:
        """As if QEMU had copied what a volume holds to its new disk."""
        holding = [one for one in self.backends.values() if serial in one.contents()]
        word = next(filter(None, (one.contents()[serial] for one in holding)), "")
        for one in holding:
            one.write(VolumeId(serial), word)

    async def bury(self, kind: Kind, id: str, place: str = "") -> None:  # noqa: A002 - the column's name
        """As if this installation had let go of it."""
        await self.db.write(tombstones.bury_one, kind, id, place)

    async def volume_status(self, volume_id: str) -> str | None:
        volume = await self.db.read(volumes.find, volume_id)
        return volume.status if volume else None

    async def server_status(self, server_id: str) -> str | None:
        server = await self.db.read(servers.find, server_id)
        return server.status if server else None

    async def links(self, volume_id: str) -> int:
        return len(await self.db.read(attachments.of_volume, volume_id))


def nothing_to_copy(_serial: str) -> None:
    pass


class MemoryBackups:
    """A store of backups that has names alone: for what does not look at bytes."""

    driver, bucket = "memory", None
    service = POSIX

    def __init__(self) -> None:
        self.kept: dict[str, Found] = {}

    async def look(self) -> None:
        pass

    async def write(self, record: Record, device: Path, parent: Record | None, progress: Progress) -> Written:
        assert parent is None or parent.id in self.kept
        self.kept[record.id] = Found(record.id, record.volume_id, record.container, record.prefix, whole=True)
        progress(1.0)
        return Written(4, 0)

    async def restore(self, chain: Sequence[Record], device: Path, *, is_new: bool, progress: Progress) -> None:
        for record in chain:
            await self.check(record)
        progress(1.0)

    async def check(self, record: Record) -> tuple[int, dict[str, Any]]:
        if record.id not in self.kept:
            raise NotFound("Object", record.prefix)
        return 4, {}

    async def delete(self, record: Record) -> None:
        self.kept.pop(record.id, None)

    async def free(self, found: Found) -> None:
        self.kept.pop(found.id, None)

    async def inventory(self, containers: Collection[str] = ()) -> Sequence[Found]:
        return list(self.kept.values())


@asynccontextmanager
async def fake_world(
    backends: dict[str, FakeBackend] | None = None,
    tunables: Tunables | None = None,
    database_url: str | None = None,
    db: Database | None = None,
    machines: FakeHypervisor | None = None,
    grows_in_use: bool = True,
    keep_unknown_days: float = 14.0,
    *,
    store: BackupStore | None = None,
) -> AsyncIterator[FakeWorld]:
    """A fresh one; ``backends`` by ``host@backend``. On a database without rows, or on SQLite.

    ``db`` is one that is open, and stays so.
    """
    with TemporaryDirectory(prefix="pumice-") as directory:
        stays, db = db, db or open_database(database_url or new_sqlite(Path(directory, "pumice.db")))
        tunables = tunables or Tunables()
        await db.write(volume_types.make_default, tunables)
        kept = ImageFiles(Path(directory) / "images")
        target, machines = FakeTarget(grows_in_use=grows_in_use), machines or FakeHypervisor(host=HOST)
        backends = backends or {f"{HOST}@one": FakeBackend(("a",)), f"{HOST}@two": FakeBackend(("b",))}
        drivers = Drivers(
            db,
            open_image=kept.opened,
            keep_image=partial(from_volume.keep, db, kept),
            drop_image=partial(from_volume.drop, db, kept),
            backends=backends,
            targets=dict.fromkeys(backends, cast(Target, TwoNames(target))),
            hypervisors={HOST: machines},
            backups=store or MemoryBackups(),
            keep_unknown_days=keep_unknown_days,
            post=LOOPBACK.post,
        )
        world = FakeWorld(db, drivers, tunables, backends, target, machines, Path(directory))
        world.drivers = replace(drivers, fetch=world.fetch)
        machines.copies = world.copy
        await Heartbeats(drivers, HOST, tunables.availability_zone, {}).send()
        try:
            yield world
        finally:
            machines.copies = nothing_to_copy
            if not stays:
                await db.close()
