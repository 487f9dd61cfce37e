"""Every operation passes the harness: straight, twice, failing, undone twice, killed, at each of its steps."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import sqlalchemy as sa
from fake_world import CONNECTOR, FLAVOR, HOST, TENANT, FakeWorld, fake_world
from tests.hook_receiver import LOOPBACK, receiver
from tests.postgres_server import empty

from pumice.app.verbs import VERBS
from pumice.attachments import connect, disconnect, renew, rotate
from pumice.backends.backups.contract import POSIX
from pumice.backends.fake import FakeBackend
from pumice.backends.targets.local import LocalTarget
from pumice.catalog import volume_types
from pumice.hypervisor.contract import Power
from pumice.loops.heartbeats import Heartbeats
from pumice.model.connector import Connector
from pumice.model.errors import PumiceError
from pumice.model.export import IscsiExport
from pumice.model.group import CONSISTENT
from pumice.model.ids import ServerId, VolumeId, new_id
from pumice.model.tunables import Tunables
from pumice.model.volume import host_of, pool_of
from pumice.operations.harness import Faults, Killed, Scenario, Trial, perform, quiet, trials
from pumice.operations.operation import Step, Verb
from pumice.servers import attach_volume, boot, console, detach_volume, power, repair_disks
from pumice.servers import delete as delete_server
from pumice.servers.machine import machine_of
from pumice.store import (
    attachments,
    backups,
    group_snapshots,
    group_types,
    groups,
    image_bases,
    images,
    logged,
    pools,
    quotas,
    recycle_bin,
    servers,
    snapshots,
    tables,
    volumes,
    webhooks,
)
from pumice.store.database import Database, Transaction
from pumice.volumes import (
    create,
    delete,
    delete_when_free,
    delete_with_snapshots,
    extend,
    flatten,
    manage,
    manageable,
    migrate,
    migrate_in_use,
    recrypt,
    reimage,
    revert,
    unmanage,
    upload,
    vacate,
)
from pumice.volumes.backups import create as create_backup
from pumice.volumes.backups import delete as delete_backup
from pumice.volumes.backups import imports, records, restore, restore_new
from pumice.volumes.bases import evict, make
from pumice.volumes.groups import copy as copy_group
from pumice.volumes.groups import create as create_group
from pumice.volumes.groups import delete as delete_group
from pumice.volumes.groups import delete_snapshot as delete_group_snapshot
from pumice.volumes.groups import snapshot as group_snapshot
from pumice.volumes.recycle_bin import keep, purge
from pumice.volumes.retype import retype
from pumice.volumes.snapshots import create as create_snapshot
from pumice.volumes.snapshots import delete as delete_snapshot
from pumice.volumes.snapshots import manage as manage_snapshot
from pumice.volumes.snapshots import unmanage as unmanage_snapshot
from pumice.webhooks import deliver
from pumice.webhooks import manage as manage_webhooks
from pumice.webhooks.deliver import enqueue_events

Stage = dict[str, str]
SCENARIOS: dict[str, Scenario] = {}


async def nothing(world: FakeWorld) -> Stage:
    return {}


def scenario(
    verb: Verb[Any],
    prepare: Callable[[FakeWorld], Awaitable[Stage]],
    begin: Callable[[FakeWorld, Stage], Awaitable[str]],
    check: Callable[[FakeWorld, Stage, bool], Awaitable[None]],
    name: str = "",
    world: Callable[..., AbstractAsyncContextManager[FakeWorld]] = fake_world,
) -> None:
    SCENARIOS[name or verb.kind] = Scenario(verb, world, prepare, begin, check)


async def running(world: FakeWorld, subject: str) -> str:
    """The operation that was enqueued last on ``subject``."""
    return await world.running(subject)


# --- volumes ------------------------------------------------------------------------------------


def creates(
    name: str,
    source: Callable[[FakeWorld], Awaitable[dict[str, Any]]],
    world: Callable[..., AbstractAsyncContextManager[FakeWorld]] = fake_world,
) -> None:
    async def prepare(world: FakeWorld) -> Stage:
        return await source(world)

    async def begin(world: FakeWorld, stage: Stage) -> str:
        volume = await world.db.write(create.accept, TENANT, create.Wanted(size=1, **stage), world.tunables)
        stage["made"] = volume.id
        return volume.operation_id or ""

    async def check(world: FakeWorld, stage: Stage, well: bool) -> None:
        assert await world.volume_status(stage["made"]) == ("available" if well else "error")

    scenario(create.CREATE, prepare, begin, check, name, world)


async def from_nothing(world: FakeWorld) -> dict[str, Any]:
    return {}


async def from_image(world: FakeWorld) -> dict[str, Any]:
    return {"image_id": await world.an_image()}


async def from_volume(world: FakeWorld) -> dict[str, Any]:
    return {"source_volid": await world.a_volume()}


async def from_snapshot(world: FakeWorld) -> dict[str, Any]:
    return {"snapshot_id": (await a_snapshot(world))["snapshot"]}


creates("volume.create blank", from_nothing)
creates("volume.create from an image", from_image)
creates("volume.create from a volume", from_volume)
creates("volume.create from a snapshot", from_snapshot)


def caching(**more: Any) -> AbstractAsyncContextManager[FakeWorld]:
    """A world whose pools keep bases of images."""
    return fake_world(tunables=Tunables(image_cache=True), **more)


async def from_cached_image(world: FakeWorld) -> dict[str, Any]:
    image_id = await world.an_image()
    await world.a_volume(image_id=image_id)
    return {"image_id": image_id}


creates("volume.create from a new image", from_image, caching)
creates("volume.create from a cached image", from_cached_image, caching)


async def begin_base(world: FakeWorld, stage: Stage) -> str:
    image_id = await world.an_image()

    def begin(tx: Transaction) -> str:
        image = images.get(tx, TENANT, image_id)
        return make.begin(tx, image, f"{HOST}@one#a").operation_id or ""

    return await world.db.write(begin)


async def check_base(world: FakeWorld, stage: Stage, well: bool) -> None:
    [base] = await world.db.read(image_bases.every)
    assert base.status == ("available" if well else "error")


async def a_base(world: FakeWorld) -> Stage:
    await from_cached_image(world)
    [base] = await world.db.read(image_bases.every)
    return {"base": base.id}


async def begin_evict(world: FakeWorld, stage: Stage) -> str:
    return await world.db.write(evict.accept, stage["base"])


async def check_evicted(world: FakeWorld, stage: Stage, well: bool) -> None:
    found = await world.db.read(image_bases.every)
    assert [base.status for base in found] == ([] if well else ["error_deleting"])


scenario(make.MAKE, nothing, begin_base, check_base, world=caching)
scenario(evict.EVICT, a_base, begin_evict, check_evicted, world=caching)


async def a_volume(world: FakeWorld) -> Stage:
    return {"volume": await world.a_volume()}


async def begin_delete(world: FakeWorld, stage: Stage) -> str:
    await world.db.write(delete.accept, TENANT, stage["volume"])
    return await running(world, stage["volume"])


async def check_delete(world: FakeWorld, stage: Stage, well: bool) -> None:
    assert await world.volume_status(stage["volume"]) == (None if well else "error_deleting")


scenario(delete.DELETE, a_volume, begin_delete, check_delete)


async def begin_delete_when_free(world: FakeWorld, stage: Stage) -> str:
    await world.db.write(delete_when_free.accept, stage["volume"])
    return await running(world, stage["volume"])


async def check_delete_when_free(world: FakeWorld, stage: Stage, well: bool) -> None:
    assert await world.volume_status(stage["volume"]) == (None if well else "available")


scenario(delete_when_free.DELETE_WHEN_FREE, a_volume, begin_delete_when_free, check_delete_when_free)


async def begin_extend(world: FakeWorld, stage: Stage) -> str:
    await world.db.write(extend.accept, TENANT, stage["volume"], 3, world.tunables)
    return await running(world, stage["volume"])


async def check_extend(world: FakeWorld, stage: Stage, well: bool) -> None:
    volume = await world.db.read(volumes.find, stage["volume"])
    assert volume is not None
    assert (volume.status, volume.size) == ("available", 3 if well else 1)


UNUSED = replace(
    extend.EXTEND,
    steps=tuple(step for step in extend.EXTEND.steps if isinstance(step, Step) and step.when is None),
)
"""The steps that an operation on a volume which nobody uses has."""
scenario(UNUSED, a_volume, begin_extend, check_extend)


async def a_volume_in_use(world: FakeWorld) -> Stage:
    root = await world.a_volume()
    return {"volume": root, "server": await world.a_server(root)}


async def begin_extend_in_use(world: FakeWorld, stage: Stage) -> str:
    await world.db.write(lambda tx: extend.accept(tx, TENANT, stage["volume"], 3, world.tunables, in_use=True))
    return await running(world, stage["volume"])


async def check_extend_in_use(world: FakeWorld, stage: Stage, well: bool) -> None:
    volume = await world.db.read(volumes.find, stage["volume"])
    assert volume is not None
    assert (volume.status, volume.size) == ("in-use", 3 if well else 1)
    assert await world.machines.power(ServerId(stage["server"])) == Power.RUNNING


SCENARIOS["volume.extend in use"] = Scenario(
    extend.EXTEND,
    partial(fake_world, grows_in_use=False),
    a_volume_in_use,
    begin_extend_in_use,
    check_extend_in_use,
)


async def begin_revert(world: FakeWorld, stage: Stage) -> str:
    await world.db.write(revert.accept, TENANT, stage["volume"], stage["snapshot"])
    return await running(world, stage["volume"])


async def check_revert(world: FakeWorld, stage: Stage, well: bool) -> None:
    assert await world.volume_status(stage["volume"]) == "available"
    snapshot = await world.db.read(snapshots.find, stage["snapshot"])
    assert snapshot is not None
    assert snapshot.status == "available"


async def a_volume_and_an_image(world: FakeWorld) -> Stage:
    return await a_volume(world) | {"image": await world.an_image()}


async def begin_reimage(world: FakeWorld, stage: Stage) -> str:
    image = stage["image"]
    await world.db.write(lambda tx: reimage.accept(tx, TENANT, stage["volume"], image, reserved=False))
    return await running(world, stage["volume"])


async def check_reimage(world: FakeWorld, stage: Stage, well: bool) -> None:
    volume = await world.db.read(volumes.find, stage["volume"])
    assert volume is not None and volume.pool is not None
    assert (volume.status, volume.bootable) == (("available", True) if well else ("error", False))
    assert (volume.image_metadata or {}).get("image_id") == (stage["image"] if well else None)
    backend, _, pool = volume.pool.partition("#")
    found = {one.name for one in await world.backends[backend].manageable(pool)}
    assert found == {"stranger"}
    held = (await world.backends[backend].inventory()).volumes
    assert held == {stage["volume"]}


scenario(reimage.REIMAGE, a_volume_and_an_image, begin_reimage, check_reimage)


async def begin_retype(world: FakeWorld, stage: Stage, *, encrypted: bool = True, **specs: str) -> str:
    """Have another type, with these specs, and of another encryption."""
    stage["type"] = f"{'encrypted' if encrypted else 'plain'} for {stage['volume']}"
    volume = await world.db.read(volumes.find, stage["volume"])
    stage["key"] = (volume and volume.encryption_key_id) or ""

    def begin(tx: Transaction) -> None:
        kind = volume_types.create(tx, stage["type"], None, is_public=True, extra_specs=specs)
        if encrypted:
            volume_types.encrypt(tx, kind.id, LUKS)
        retype(tx, TENANT, stage["volume"], stage["type"], world.tunables, may_move=True)

    await world.db.write(begin)
    return await running(world, stage["volume"])


LUKS = {"provider": "luks", "control_location": "front-end", "cipher": "aes-xts-plain64", "key_size": 512}


async def an_encrypted_volume(world: FakeWorld) -> Stage:
    stage = await a_volume(world)
    await world.ended(await begin_retype(world, stage))
    await quiet(world)
    return {"volume": stage["volume"], "was": stage["type"]}


async def check_recrypt(world: FakeWorld, stage: Stage, well: bool) -> None:
    volume = await world.db.read(volumes.find, stage["volume"])
    assert volume is not None and volume.pool is not None
    kind = await world.db.read(volume_types.get, volume.type_id or "")
    assert kind is not None
    was = stage.get("was", "__DEFAULT__")
    assert (volume.status, kind.name) == ("available", stage["type"] if well else was)
    keys = list(await world.db.read(lambda tx: tx.execute(sa.select(tables.volume_keys.c.id)).scalars().all()))
    assert keys == ([volume.encryption_key_id] if kind.encryption else [])
    assert stage["key"] not in keys or not well, "the old key is forgotten with the bytes that it opened"
    assert await holders(world, stage["volume"]) == [host_of(volume.pool)]
    assert (await world.backends[host_of(volume.pool)].inventory()).volumes == {stage["volume"]}


scenario(recrypt.RECRYPT, a_volume, begin_retype, check_recrypt)
scenario(
    recrypt.RECRYPT,
    an_encrypted_volume,
    partial(begin_retype, encrypted=False),
    check_recrypt,
    "volume.recrypt to plain",
)


async def begin_migrate(world: FakeWorld, stage: Stage) -> str:
    await mean_the_other_pool(world, stage)
    return await move(world, stage, lock=False)


async def mean_the_other_pool(world: FakeWorld, stage: Stage) -> None:
    stage["from"] = await the_pool(world, stage["volume"])
    stage["to"] = next(place for place in (f"{HOST}@one#a", f"{HOST}@two#b") if place != stage["from"])


async def move(world: FakeWorld, stage: Stage, *, cluster: bool = False, lock: bool = True) -> str:
    accept = partial(migrate.accept, tunables=world.tunables, cluster=cluster, lock=lock)
    await world.db.write(lambda tx: accept(tx, TENANT, stage["volume"], stage["to"]))
    return await running(world, stage["volume"])


async def check_migrate(world: FakeWorld, stage: Stage, well: bool) -> None:
    volume = await world.db.read(volumes.find, stage["volume"])
    assert volume is not None
    assert (volume.status, volume.migration_status) == ("available", "success" if well else "error")
    assert volume.pool == stage["to" if well else "from"]
    assert await holders(world, stage["volume"]) == [host_of(volume.pool)]


async def the_pool(world: FakeWorld, volume_id: str) -> str:
    volume = await world.db.read(volumes.find, volume_id)
    assert volume is not None and volume.pool is not None
    return volume.pool


async def holders(world: FakeWorld, volume_id: str) -> list[str]:
    """The backends that hold bytes by the volume's id, when nothing is under way any more."""
    await quiet(world)
    return [name for name, one in world.backends.items() if volume_id in (await one.inventory()).volumes]


NEAR = replace(
    migrate.MIGRATE,
    steps=tuple(step for step in migrate.MIGRATE.steps if isinstance(step, Step) and step.when is None),
)
"""The steps between pools of one host."""
scenario(NEAR, a_volume, begin_migrate, check_migrate)


async def begin_retype_elsewhere(world: FakeWorld, stage: Stage) -> str:
    await mean_the_other_pool(world, stage)
    specs = {"volume_backend_name": stage["to"].partition("@")[2].partition("#")[0]}
    stage["type"] = f"there for {stage['volume']}"
    make = partial(volume_types.create, name=stage["type"], description=None, is_public=True, extra_specs=specs)
    await world.db.write(make)
    await world.db.write(
        lambda tx: retype(tx, TENANT, stage["volume"], stage["type"], world.tunables, may_move=True)
    )
    return await running(world, stage["volume"])


async def check_retype_elsewhere(world: FakeWorld, stage: Stage, well: bool) -> None:
    await check_migrate(world, stage, well)
    await has_its_type(world, stage, well)


async def has_its_type(world: FakeWorld, stage: Stage, well: bool) -> None:
    volume = await world.db.read(volumes.find, stage["volume"])
    assert volume is not None
    kind = await world.db.read(volume_types.get, volume.type_id or "")
    assert kind is not None and kind.name == (stage["type"] if well else "__DEFAULT__")


scenario(NEAR, a_volume, begin_retype_elsewhere, check_retype_elsewhere, "volume.migrate for a new type")


async def begin_recrypt_elsewhere(world: FakeWorld, stage: Stage) -> str:
    await mean_the_other_pool(world, stage)
    backend = stage["to"].partition("@")[2].partition("#")[0]
    return await begin_retype(world, stage, volume_backend_name=backend)


async def check_recrypt_elsewhere(world: FakeWorld, stage: Stage, well: bool) -> None:
    await check_migrate(world, stage, well)
    await check_recrypt(world, stage, well)


scenario(NEAR, a_volume, begin_recrypt_elsewhere, check_recrypt_elsewhere, "volume.migrate and encrypt")


FAR = "there@far"


def two_hosts(**more: Any) -> AbstractAsyncContextManager[FakeWorld]:
    """Two places that reach each other over the network alone."""
    return fake_world({f"{HOST}@one": FakeBackend(("a",)), FAR: FakeBackend(("b",))}, **more)


async def a_volume_with_a_word(world: FakeWorld) -> Stage:
    stage = await a_volume(world)
    stage["from"] = await the_pool(world, stage["volume"])
    stage["to"] = f"{FAR}#b" if host_of(stage["from"]) != FAR else f"{HOST}@one#a"
    world.backends[host_of(stage["from"])].write(VolumeId(stage["volume"]), "word")
    return stage


async def check_migrate_afar(world: FakeWorld, stage: Stage, well: bool) -> None:
    await check_migrate(world, stage, well)
    assert world.backends[host_of(stage["to" if well else "from"])].contents()[stage["volume"]] == "word"
    assert await world.target.exports() == {}
    assert await world.db.read(lambda tx: tx.execute(tables.move_accounts.select()).all()) == []


scenario(
    migrate.MIGRATE,
    a_volume_with_a_word,
    partial(move, cluster=True),
    check_migrate_afar,
    "volume.migrate to another host",
    two_hosts,
)


async def a_volume_in_use_with_a_word(world: FakeWorld) -> Stage:
    stage = await a_volume_in_use(world)
    await mean_the_other_pool(world, stage)
    world.backends[host_of(stage["from"])].write(VolumeId(stage["volume"]), "word")
    return stage


async def check_migrate_in_use(world: FakeWorld, stage: Stage, well: bool) -> None:
    """Whoever fails after the guest has gone over has moved the volume all the same."""
    volume = await world.db.read(volumes.find, stage["volume"])
    assert volume is not None and volume.pool is not None
    moved = volume.pool == stage["to"]
    assert moved or (not well and volume.pool == stage["from"])
    assert (volume.status, volume.migration_status) == ("in-use", "success" if moved else "error")
    assert await holders(world, stage["volume"]) == [host_of(volume.pool)]
    assert world.backends[host_of(volume.pool)].contents()[stage["volume"]] == "word"
    await has_its_disk(world, stage)
    assert await world.db.read(lambda tx: tx.execute(tables.move_accounts.select()).all()) == []


async def has_its_disk(world: FakeWorld, stage: Stage) -> None:
    """The machine has the volume where its attachment says, and is let in there and nowhere else."""
    [link] = await world.db.read(attachments.of_volume, stage["volume"])
    assert isinstance(link.portal, IscsiExport) and link.chap_username and link.chap_password
    machine = await machine_of(world.drivers, stage["server"])
    [disk] = [one for one in machine.disks if one.serial == stage["volume"]]
    assert await world.machines.end_mirror(ServerId(stage["server"]), disk), "it is at another place"
    words = link.connector.initiator if link.connector else "", link.chap_username, link.chap_password
    assert world.target.admits(link.portal.iqn, *words)
    exported = await world.drivers.targets[host_of(stage["to"])].exports()
    assert exported is not None and exported[VolumeId(stage["volume"])] == {link.chap_username}


scenario(migrate_in_use.MIGRATE_IN_USE, a_volume_in_use_with_a_word, move, check_migrate_in_use)


async def check_retype_in_use(world: FakeWorld, stage: Stage, well: bool) -> None:
    await check_migrate_in_use(world, stage, well)
    await has_its_type(world, stage, well)


scenario(
    migrate_in_use.MIGRATE_IN_USE,
    a_volume_in_use_with_a_word,
    begin_retype_elsewhere,
    check_retype_in_use,
    "volume.migrate_in_use for a new type",
)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", [it.name for it in migrate_in_use.MIGRATE_IN_USE.steps if it.undo])
async def test_a_move_that_turns_back_before_its_guest_goes_over_is_undone_though_killed(
    step: str, when: str
) -> None:
    kind = migrate_in_use.MIGRATE_IN_USE.kind

    def faults() -> Faults:
        fails = Faults(("do", "note_copied", "after"), PumiceError("It fails."), kind=kind)
        return Faults(("undo", step, when), Killed(), kind=kind, also=fails)

    async def check(world: FakeWorld, stage: Stage, well: bool) -> None:
        assert await the_pool(world, stage["volume"]) == stage["from"]
        await check_migrate_in_use(world, stage, well)

    passed = await perform(replace(SCENARIOS[kind], check=check), Trial("back", faults, False))
    assert ("undo", step, when) in passed


async def a_moved_volume(world: FakeWorld) -> Stage:
    """A volume that is in one pool, and has bytes in another too."""
    stage = await a_volume(world)
    stage["from"] = await the_pool(world, stage["volume"])
    stage["to"] = next(place for place in (f"{HOST}@one#a", f"{HOST}@two#b") if place != stage["from"])
    await world.backends[host_of(stage["to"])].create(VolumeId(stage["volume"]), pool_of(stage["to"]), 1)
    return stage


async def begin_vacate(world: FakeWorld, stage: Stage) -> str:
    def move(tx: Transaction) -> None:
        vacate.begin(tx, VolumeId(stage["volume"]), stage["from"], 1, "its-user")
        pools.claim(tx, stage["to"], stage["volume"], 1)
        volumes.place(tx, stage["volume"], stage["to"])

    await world.db.write(move)
    return await running(world, stage["volume"])


async def check_vacate(world: FakeWorld, stage: Stage, well: bool) -> None:
    assert await world.volume_status(stage["volume"]) == "available"
    assert await holders(world, stage["volume"]) == [host_of(stage["to"])]


scenario(vacate.VACATE, a_moved_volume, begin_vacate, check_vacate)


async def begin_manage(world: FakeWorld, stage: Stage) -> str:
    existing = manage.Existing(pool=f"{HOST}@one#a", name="stranger")
    volume = await world.db.write(manage.accept, TENANT, existing, world.tunables)
    stage["volume"] = volume.id
    return volume.operation_id or ""


async def check_manage(world: FakeWorld, stage: Stage, well: bool) -> None:
    volume = await world.db.read(volumes.find, stage["volume"])
    assert volume is not None
    wanted = ("available", 1, f"{HOST}@one#a") if well else ("error_managing", 0, None)
    assert (volume.status, volume.size, volume.pool) == wanted
    left = await world.backends[f"{HOST}@one"].manageable("a")
    assert [one.name for one in left] == ([] if well else ["stranger"])


scenario(manage.MANAGE, nothing, begin_manage, check_manage)


async def begin_unmanage(world: FakeWorld, stage: Stage) -> str:
    await world.db.write(unmanage.accept, TENANT, stage["volume"])
    return await running(world, stage["volume"])


async def check_unmanage(world: FakeWorld, stage: Stage, well: bool) -> None:
    assert await world.volume_status(stage["volume"]) == (None if well else "available")
    kept = [
        one.name
        for name, pool in (("one", "a"), ("two", "b"))
        for one in await world.backends[f"{HOST}@{name}"].manageable(pool)
    ]
    assert not well or f"unmanaged-{stage['volume']}" in kept


scenario(unmanage.UNMANAGE, a_volume, begin_unmanage, check_unmanage)


@asynccontextmanager
async def world_of_bytes(db: Database | None = None) -> AsyncIterator[FakeWorld]:
    """One whose backend holds real bytes."""
    with TemporaryDirectory(prefix="pumice-") as directory:
        backends = {f"{HOST}@one": FakeBackend(("a",), directory=Path(directory))}
        await backends[f"{HOST}@one"].start()
        async with fake_world(backends, db=db) as world:
            yield world


async def begin_upload(world: FakeWorld, stage: Stage) -> str:
    wanted = upload.Wanted("image", "qcow2")
    _, image = await world.db.write(lambda tx: upload.accept(tx, TENANT, stage["volume"], wanted, in_use=False))
    stage["image"] = image.id
    return await running(world, stage["volume"])


async def check_upload(world: FakeWorld, stage: Stage, well: bool) -> None:
    assert await world.volume_status(stage["volume"]) == "available"
    assert await world.db.read(images.status, stage["image"]) == ("active" if well else None)
    assert world.image_path(stage["image"]).exists() is well


SCENARIOS[upload.UPLOAD.kind] = Scenario(upload.UPLOAD, world_of_bytes, a_volume, begin_upload, check_upload)


async def begin_to_list_manageable(world: FakeWorld, stage: Stage) -> str:
    return await world.db.write(manageable.accept, TENANT, f"{HOST}@one")


async def check_list_of_manageable(world: FakeWorld, stage: Stage, well: bool) -> None:
    pass


scenario(manageable.MANAGEABLE, nothing, begin_to_list_manageable, check_list_of_manageable)


# --- snapshots ----------------------------------------------------------------------------------


async def begin_snapshot(world: FakeWorld, stage: Stage) -> str:
    def accept(tx: Any) -> Any:
        return create_snapshot.accept(
            tx,
            TENANT,
            stage["volume"],
            name="snapshot",
            description=None,
            metadata={},
            in_use=False,
            tunables=world.tunables,
        )

    snapshot = await world.db.write(accept)
    stage["snapshot"] = snapshot.id
    return str(snapshot.operation_id)


async def check_snapshot(world: FakeWorld, stage: Stage, well: bool) -> None:
    from pumice.store import snapshots

    snapshot = await world.db.read(snapshots.find, stage["snapshot"])
    assert snapshot is not None
    assert snapshot.status == ("available" if well else "error")


async def a_snapshot(world: FakeWorld) -> Stage:
    stage = await a_volume(world)
    await world.ended(await begin_snapshot(world, stage))
    return stage


scenario(revert.REVERT, a_snapshot, begin_revert, check_revert)


async def a_copy(world: FakeWorld) -> Stage:
    """A volume that shares its bytes with another."""
    return {"volume": await world.a_volume(source_volid=await world.a_volume())}


async def begin_flatten(world: FakeWorld, stage: Stage) -> str:
    return await world.db.write(flatten.accept, TENANT, stage["volume"])


async def check_flatten(world: FakeWorld, stage: Stage, well: bool) -> None:
    assert await world.volume_status(stage["volume"]) == "available"


scenario(flatten.FLATTEN, a_copy, begin_flatten, check_flatten)


async def begin_delete_with_snapshots(world: FakeWorld, stage: Stage) -> str:
    asked = partial(keep.delete_volume, tunables=world.tunables, with_snapshots=True)
    await world.db.write(asked, TENANT, stage["volume"])
    return await running(world, stage["volume"])


scenario(delete_with_snapshots.DELETE_WITH_SNAPSHOTS, a_snapshot, begin_delete_with_snapshots, check_delete)


async def in_the_bin(world: FakeWorld) -> Stage:
    """A volume and its snapshot, deleted where a recycle bin is in force."""
    stage, keeps = await a_snapshot(world), replace(world.tunables, recycle_days=7)

    def work(tx: Transaction) -> None:
        keep.delete_volume(tx, TENANT, stage["volume"], keeps, with_snapshots=True)

    await world.db.write(work)
    return stage


async def begin_purge(world: FakeWorld, stage: Stage) -> str:
    return await world.db.write(purge.accept, TENANT, stage["volume"]) or ""


async def check_purge(world: FakeWorld, stage: Stage, well: bool) -> None:
    assert await world.volume_status(stage["volume"]) == (None if well else "error_deleting")
    left = await world.db.read(recycle_bin.find, stage["volume"])
    assert (left is None) is well, "what could not be deleted stays where it can be deleted again"


scenario(
    delete_with_snapshots.DELETE_WITH_SNAPSHOTS,
    in_the_bin,
    begin_purge,
    check_purge,
    "volume.delete_with_snapshots from the recycle bin",
)


async def begin_delete_snapshot(world: FakeWorld, stage: Stage) -> str:
    await world.db.write(delete_snapshot.accept, TENANT, stage["snapshot"])
    return await running(world, stage["snapshot"])


async def check_delete_snapshot(world: FakeWorld, stage: Stage, well: bool) -> None:
    from pumice.store import snapshots

    snapshot = await world.db.read(snapshots.find, stage["snapshot"])
    assert (snapshot.status if snapshot else None) == (None if well else "error_deleting")


async def begin_unmanage_snapshot(world: FakeWorld, stage: Stage) -> str:
    await world.db.write(unmanage_snapshot.accept, TENANT, stage["snapshot"])
    return await running(world, stage["snapshot"])


async def check_unmanage_snapshot(world: FakeWorld, stage: Stage, well: bool) -> None:
    snapshot = await world.db.read(snapshots.find, stage["snapshot"])
    assert (snapshot.status if snapshot else None) == (None if well else "available")
    kept = [
        one.name
        for name, pool in (("one", "a"), ("two", "b"))
        for one in await world.backends[f"{HOST}@{name}"].manageable(pool)
    ]
    assert (f"unmanaged-{stage['snapshot']}" in kept) is well


async def begin_manage_snapshot(world: FakeWorld, stage: Stage) -> str:
    existing = manage_snapshot.Existing(stage["volume"], "stranger")
    snapshot = await world.db.write(manage_snapshot.accept, TENANT, existing, world.tunables)
    stage["snapshot"] = snapshot.id
    return snapshot.operation_id or ""


async def check_manage_snapshot(world: FakeWorld, stage: Stage, well: bool) -> None:
    snapshot = await world.db.read(snapshots.find, stage["snapshot"])
    volume = await world.db.read(volumes.find, stage["volume"])
    assert snapshot is not None and volume is not None and volume.pool is not None
    assert (snapshot.status, snapshot.size) == (("available", 1) if well else ("error", 2))
    host, _, pool = volume.pool.partition("#")
    left = await world.backends[host].manageable(pool)
    assert [one.name for one in left] == ([] if well else ["stranger"])


async def a_larger_volume(world: FakeWorld) -> Stage:
    return {"volume": await world.a_volume(size=2)}


scenario(manage_snapshot.MANAGE_SNAPSHOT, a_larger_volume, begin_manage_snapshot, check_manage_snapshot)
scenario(unmanage_snapshot.UNMANAGE_SNAPSHOT, a_snapshot, begin_unmanage_snapshot, check_unmanage_snapshot)
scenario(create_snapshot.CREATE_SNAPSHOT, a_volume, begin_snapshot, check_snapshot)
scenario(delete_snapshot.DELETE_SNAPSHOT, a_snapshot, begin_delete_snapshot, check_delete_snapshot)


# --- backups ------------------------------------------------------------------------------------


def begins_backup(**wanted: Any) -> Callable[[FakeWorld, Stage], Awaitable[str]]:
    async def begin(world: FakeWorld, stage: Stage) -> str:
        snapshot = stage.get("snapshot") if wanted.get("snapshot_id") else None
        asked = create_backup.Wanted(stage["volume"], **{**wanted, "snapshot_id": snapshot})
        backup = await world.db.write(create_backup.accept, TENANT, asked, world.tunables)
        stage["backup"] = backup.id
        return backup.operation_id or ""

    return begin


async def check_backup(world: FakeWorld, stage: Stage, well: bool) -> None:
    backup = await world.db.read(backups.find, stage["backup"])
    assert backup is not None
    assert (backup.status, backup.object_count) == (("available", 4) if well else ("error", 0))
    assert bool(backup.fail_reason) is not well
    in_use = "server" in stage and "snapshot" not in stage
    assert await world.volume_status(stage["volume"]) == ("in-use" if in_use else "available")
    if "snapshot" in stage:
        snapshot = await world.db.read(snapshots.find, stage["snapshot"])
        assert snapshot is not None and snapshot.status == "available"


async def a_backup(world: FakeWorld) -> Stage:
    stage = await a_volume(world)
    await world.ended(await begins_backup()(world, stage))
    return stage


async def check_delete_backup(world: FakeWorld, stage: Stage, well: bool) -> None:
    backup = await world.db.read(backups.find, stage["backup"])
    assert (backup.status if backup else None) == (None if well else "error_deleting")
    assert world.drivers.backups is not None
    assert not well or await world.drivers.backups.inventory() == []


async def begin_delete_backup(world: FakeWorld, stage: Stage) -> str:
    await world.db.write(delete_backup.accept, TENANT, stage["backup"], world.tunables)
    return await running(world, stage["backup"])


async def begin_restore(world: FakeWorld, stage: Stage) -> str:
    await world.db.write(restore.accept, TENANT, stage["backup"], stage["volume"])
    return await running(world, stage["volume"])


async def check_restore(world: FakeWorld, stage: Stage, well: bool) -> None:
    assert await world.volume_status(stage["volume"]) == ("available" if well else "error_restoring")
    backup = await world.db.read(backups.find, stage["backup"])
    assert backup is not None and backup.status == "available"


async def begin_restore_new(world: FakeWorld, stage: Stage) -> str:
    wanted = create.Wanted(name="from a backup")
    volume = await world.db.write(restore_new.accept, TENANT, stage["backup"], wanted, world.tunables)
    stage["made"] = volume.id
    return volume.operation_id or ""


async def check_restore_new(world: FakeWorld, stage: Stage, well: bool) -> None:
    assert await world.volume_status(stage["made"]) == ("available" if well else "error")
    backup = await world.db.read(backups.find, stage["backup"])
    assert backup is not None and backup.status == "available"


async def a_record(world: FakeWorld) -> Stage:
    """Of a backup whose objects are there, and which has no row any more."""
    stage = await a_backup(world)
    backup = await world.db.read(backups.find, stage["backup"])
    assert backup is not None
    stage["record"] = records.export(backup)

    def forget(tx: Any) -> None:
        backups.delete(tx, backup.id)
        quotas.give_back(tx, backup.project_id, quotas.amounts_of_backups(1, backup.size))

    await world.db.write(forget)
    return stage


async def begin_import(world: FakeWorld, stage: Stage) -> str:
    backup = await world.db.write(imports.accept, TENANT, POSIX, stage["record"], world.tunables)
    return backup.operation_id or ""


async def check_import(world: FakeWorld, stage: Stage, well: bool) -> None:
    backup = await world.db.read(backups.find, stage["backup"])
    assert backup is not None
    assert (backup.status, backup.object_count) == (("available", 4) if well else ("error", 0))
    assert (backup.prefix is not None) is well


DIRECT = replace(
    create_backup.CREATE_BACKUP,
    steps=tuple(
        step for step in create_backup.CREATE_BACKUP.steps if not (isinstance(step, Step) and step.when)
    ),
)
"""The steps where nothing has to be copied first."""
scenario(DIRECT, a_volume, begins_backup(), check_backup)
scenario(
    create_backup.CREATE_BACKUP,
    a_snapshot,
    begins_backup(snapshot_id=True),
    check_backup,
    "backup.create of a snapshot",
)
scenario(
    create_backup.CREATE_BACKUP,
    a_volume_in_use,
    begins_backup(force=True),
    check_backup,
    "backup.create in use",
)
scenario(DIRECT, a_backup, begins_backup(incremental=True), check_backup, "backup.create incremental")
scenario(delete_backup.DELETE_BACKUP, a_backup, begin_delete_backup, check_delete_backup)
scenario(restore.RESTORE, a_backup, begin_restore, check_restore)
scenario(restore_new.CREATE_FROM_BACKUP, a_backup, begin_restore_new, check_restore_new)
scenario(imports.IMPORT, a_record, begin_import, check_import)


# --- attachments --------------------------------------------------------------------------------


async def begin_connect(world: FakeWorld, stage: Stage) -> str:
    def accept(tx: Any) -> Any:
        return connect.accept_new(
            tx, TENANT, stage["volume"], server_id=None, mode="rw", connector=Connector.parse(CONNECTOR)
        )

    link, operation_id = await world.db.write(accept)
    stage["link"] = link.id
    return str(operation_id)


async def check_connect(world: FakeWorld, stage: Stage, well: bool) -> None:
    assert await world.volume_status(stage["volume"]) == ("attaching" if well else "available")
    link = await world.db.read(attachments.find, stage["link"])
    assert bool(link and link.portal) == well
    assert bool(await world.target.exports()) == well


async def a_connection(world: FakeWorld) -> Stage:
    stage = await a_volume(world)
    await world.ended(await begin_connect(world, stage))
    return stage


async def begin_disconnect(world: FakeWorld, stage: Stage) -> str:
    def accept(tx: Any) -> Any:
        return disconnect.accept(tx, TENANT, attachments.get(tx, TENANT, stage["link"]))

    return str(await world.db.write(accept))


async def check_disconnect(world: FakeWorld, stage: Stage, well: bool) -> None:
    assert await world.volume_status(stage["volume"]) == ("available" if well else "in-use")


scenario(connect.CONNECT, a_volume, begin_connect, check_connect)
scenario(disconnect.DISCONNECT, a_connection, begin_disconnect, check_disconnect)


async def begin_renew(world: FakeWorld, stage: Stage) -> str:
    def accept(tx: Any) -> Any:
        return renew.accept(tx, TENANT, attachments.get(tx, TENANT, stage["link"]), Connector.parse(CONNECTOR))

    return str(await world.db.write(accept))


async def check_renew(world: FakeWorld, stage: Stage, well: bool) -> None:
    link = await world.db.read(attachments.find, stage["link"])
    assert link is not None
    assert link.portal is not None
    assert link.portal.portals == world.target.portals
    assert await world.volume_status(stage["volume"]) == "attaching"


scenario(renew.RENEW, a_connection, begin_renew, check_renew)


async def begin_rotate(world: FakeWorld, stage: Stage) -> str:
    link = await world.db.read(attachments.find, stage["link"])
    assert link is not None
    stage["password"] = link.chap_password or ""
    return await world.db.write(rotate.accept, stage["link"])


async def check_rotate(world: FakeWorld, stage: Stage, well: bool) -> None:
    link = await world.db.read(attachments.find, stage["link"])
    assert link is not None
    assert link.portal is not None
    assert (link.chap_password != stage["password"], link.next_chap_password) == (well, None)
    words = CONNECTOR["initiator"], link.chap_username or "", link.chap_password or ""
    assert world.target.admits(link.portal.name, *words)


scenario(rotate.ROTATE, a_connection, begin_rotate, check_rotate)


# --- servers ------------------------------------------------------------------------------------


async def begin_boot(world: FakeWorld, stage: Stage) -> str:
    disk = boot.DiskWanted(boot_index=0, volume_id=stage["volume"])
    asked = boot.ServerWanted(name="server", flavor=FLAVOR, disks=[disk])
    server = await world.db.write(boot.accept, TENANT, asked, world.tunables)
    stage["server"] = server.id
    return server.operation_id or ""


async def check_boot(world: FakeWorld, stage: Stage, well: bool) -> None:
    assert await world.server_status(stage["server"]) == ("ACTIVE" if well else "ERROR")
    assert await world.volume_status(stage["volume"]) == ("in-use" if well else "available")
    assert len(await world.machines.machines()) == well


async def begin_boot_with_new_volume(world: FakeWorld, stage: Stage) -> str:
    new = create.Wanted(size=1, image_id=stage["image"])
    disk = boot.DiskWanted(boot_index=0, new_volume=new, delete_on_termination=True)
    asked = boot.ServerWanted(name="server", flavor=FLAVOR, disks=[disk])
    server = await world.db.write(boot.accept, TENANT, asked, world.tunables)
    stage["server"] = server.id
    return server.operation_id or ""


async def check_boot_with_new_volume(world: FakeWorld, stage: Stage, well: bool) -> None:
    assert await world.server_status(stage["server"]) == ("ACTIVE" if well else "ERROR")


async def an_image(world: FakeWorld) -> Stage:
    return {"image": await world.an_image()}


async def a_server(world: FakeWorld) -> Stage:
    root, data = await world.a_volume(), await world.a_volume()
    return {"root": root, "volume": data, "server": await world.a_server(root)}


async def begin_attach(world: FakeWorld, stage: Stage) -> str:
    await world.db.write(attach_volume.accept, TENANT, stage["server"], stage["volume"])
    return await running(world, stage["server"])


async def check_attach(world: FakeWorld, stage: Stage, well: bool) -> None:
    assert await world.volume_status(stage["volume"]) == ("in-use" if well else "available")
    disks = await world.db.read(servers.disks, stage["server"])
    assert [disk.device for disk in disks] == (["vda", "vdb"] if well else ["vda"])


async def a_server_with_two_disks(world: FakeWorld) -> Stage:
    stage = await a_server(world)
    await world.ended(await begin_attach(world, stage))
    return stage


async def begin_detach(world: FakeWorld, stage: Stage) -> str:
    await world.db.write(detach_volume.accept, TENANT, stage["server"], stage["volume"])
    return await running(world, stage["server"])


async def check_detach(world: FakeWorld, stage: Stage, well: bool) -> None:
    assert await world.volume_status(stage["volume"]) == ("available" if well else "in-use")
    assert await world.links(stage["volume"]) == (0 if well else 1)


async def begin_delete_server(world: FakeWorld, stage: Stage) -> str:
    await world.db.write(delete_server.accept, TENANT, stage["server"])
    return await running(world, stage["server"])


async def check_delete_server(world: FakeWorld, stage: Stage, well: bool) -> None:
    assert await world.server_status(stage["server"]) == (None if well else "ERROR")
    if well:
        assert await world.volume_status(stage["root"]) == "available"
        assert await world.volume_status(stage["volume"]) == "available"


async def begin_stop(world: FakeWorld, stage: Stage) -> str:
    await world.db.write(power.accept_stop, TENANT, stage["server"])
    return await running(world, stage["server"])


async def a_stopped_server(world: FakeWorld) -> Stage:
    stage = await a_server(world)
    await world.ended(await begin_stop(world, stage))
    return stage


async def begin_start(world: FakeWorld, stage: Stage) -> str:
    await world.db.write(power.accept_start, TENANT, stage["server"])
    return await running(world, stage["server"])


async def begin_soft_reboot(world: FakeWorld, stage: Stage) -> str:
    await world.db.write(lambda tx: power.accept_reboot(tx, TENANT, stage["server"], hard=False))
    return await running(world, stage["server"])


async def begin_hard_reboot(world: FakeWorld, stage: Stage) -> str:
    await world.db.write(lambda tx: power.accept_reboot(tx, TENANT, stage["server"], hard=True))
    return await running(world, stage["server"])


async def begin_console(world: FakeWorld, stage: Stage) -> str:
    return str(await world.db.write(console.accept, TENANT, stage["server"], 10))


async def begin_repair_disks(world: FakeWorld, stage: Stage) -> str:
    assert await world.db.write(repair_disks.accept, stage["server"])
    return await running(world, stage["server"])


def status_follows_power(well_status: str) -> Callable[[FakeWorld, Stage, bool], Awaitable[None]]:
    """A machine that a failed operation left on or off is said to be so."""

    async def check(world: FakeWorld, stage: Stage, well: bool) -> None:
        power = await world.machines.power(ServerId(stage["server"]))
        seen = "ACTIVE" if power is Power.RUNNING else "SHUTOFF"
        assert await world.server_status(stage["server"]) == (well_status if well else seen)

    return check


def status_is(well_status: str, failed_status: str) -> Callable[[FakeWorld, Stage, bool], Awaitable[None]]:
    async def check(world: FakeWorld, stage: Stage, well: bool) -> None:
        assert await world.server_status(stage["server"]) == (well_status if well else failed_status)

    return check


scenario(boot.BOOT, a_volume, begin_boot, check_boot, "server.boot from a volume")
scenario(
    boot.BOOT, an_image, begin_boot_with_new_volume, check_boot_with_new_volume, "server.boot with a new volume"
)
scenario(delete_server.DELETE_SERVER, a_server_with_two_disks, begin_delete_server, check_delete_server)
scenario(attach_volume.ATTACH_VOLUME, a_server, begin_attach, check_attach)
scenario(detach_volume.DETACH_VOLUME, a_server_with_two_disks, begin_detach, check_detach)
scenario(power.STOP, a_server, begin_stop, status_follows_power("SHUTOFF"))


@asynccontextmanager
async def world_without_exports(db: Database | None = None) -> AsyncIterator[FakeWorld]:
    """One whose servers open the files of their volumes themselves."""
    async with world_of_bytes(db) as world:
        world.drivers = replace(world.drivers, targets=dict.fromkeys(world.backends, LocalTarget()))
        await Heartbeats(world.drivers, HOST, world.tunables.availability_zone, {}).send()
        yield world


for verb, prepare, begin, check in (
    (boot.BOOT, a_volume, begin_boot, check_boot),
    (attach_volume.ATTACH_VOLUME, a_server, begin_attach, check_attach),
    (detach_volume.DETACH_VOLUME, a_server_with_two_disks, begin_detach, check_detach),
    (delete_server.DELETE_SERVER, a_server_with_two_disks, begin_delete_server, check_delete_server),
    (power.HARD_REBOOT, a_server, begin_hard_reboot, status_follows_power("ACTIVE")),
):
    scenario(verb, prepare, begin, check, f"{verb.kind} without exports", world_without_exports)
scenario(power.START, a_stopped_server, begin_start, status_follows_power("ACTIVE"))
scenario(power.SOFT_REBOOT, a_server, begin_soft_reboot, status_is("ACTIVE", "ACTIVE"))
scenario(power.HARD_REBOOT, a_server, begin_hard_reboot, status_follows_power("ACTIVE"))
scenario(repair_disks.REPAIR_DISKS, a_server_with_two_disks, begin_repair_disks, status_is("ACTIVE", "ACTIVE"))
scenario(console.CONSOLE, a_server, begin_console, status_is("ACTIVE", "ACTIVE"))


# --- webhooks -----------------------------------------------------------------------------------


async def a_webhook(world: FakeWorld) -> Stage:
    path = f"/{new_id()}"
    asked = {"url": receiver().url(path), "secret": None}
    made = await world.db.write(lambda tx: manage_webhooks.create(tx, TENANT, LOOPBACK, 1, **asked))
    return {"webhook": made.id, "path": path}


async def begin_to_deliver(world: FakeWorld, stage: Stage) -> str:
    """What a volume's create had to tell."""
    before = await world.db.read(logged.last_line)
    volume = await world.a_volume_begins()
    events = await world.db.read(logged.lines_after, before, 100)
    told = [event for event in events if event["subject"] == volume.id][:1]  # its steps may be done by now
    _, [operation_id] = await world.db.write(enqueue_events, stage["webhook"], told, told[-1]["number"])
    return operation_id


async def check_delivery(world: FakeWorld, stage: Stage, well: bool) -> None:
    if well:
        ids = {headers["webhook-id"] for _, headers, _ in receiver().at(stage["path"])}
        assert len(ids) == 1, "at least once, and each time the same"
        assert {one["type"] for one in receiver().messages(stage["path"])} == {"volume.create.start"}
    webhook = await world.db.read(webhooks.find, stage["webhook"])
    assert webhook is not None and webhook.enabled


scenario(deliver.DELIVER, a_webhook, begin_to_deliver, check_delivery)


# --- groups -------------------------------------------------------------------------------------


async def begin_group(world: FakeWorld, stage: Stage) -> str:
    group = await world.a_group_begins()
    stage["group"] = group.id
    return str(group.operation_id)


async def check_group(world: FakeWorld, stage: Stage, well: bool) -> None:
    group = await world.db.read(groups.find, stage["group"])
    assert group is not None
    assert group.status == ("available" if well else "error")


scenario(create_group.CREATE_GROUP, nothing, begin_group, check_group)


async def a_group(world: FakeWorld) -> Stage:
    group_id = await world.a_group()
    return {"group": group_id, "volume": await world.a_volume(group_id=group_id, volume_type="__DEFAULT__")}


async def begin_delete_group(world: FakeWorld, stage: Stage) -> str:
    await world.db.write(
        lambda tx: delete_group.accept(tx, TENANT, stage["group"], world.tunables, with_volumes=True)
    )
    return await running(world, stage["group"])


async def check_delete_group(world: FakeWorld, stage: Stage, well: bool) -> None:
    group = await world.db.read(groups.find, stage["group"])
    assert (group.status if group else None) == (None if well else "error")
    assert await world.volume_status(stage["volume"]) is None


scenario(delete_group.DELETE_GROUP, a_group, begin_delete_group, check_delete_group)


async def begin_group_snapshot(world: FakeWorld, stage: Stage) -> str:
    made = await world.db.write(
        lambda tx: group_snapshot.accept(
            tx, TENANT, stage["group"], name=None, description=None, tunables=world.tunables
        )
    )
    stage["group snapshot"] = made.id
    return str(made.operation_id)


async def group_snapshot_is(world: FakeWorld, stage: Stage, status: str | None) -> None:
    made = await world.db.read(group_snapshots.find, stage["group snapshot"])
    assert (made.status if made else None) == status


async def check_group_snapshot(world: FakeWorld, stage: Stage, well: bool) -> None:
    await group_snapshot_is(world, stage, "available" if well else "error")


async def a_group_snapshot(world: FakeWorld) -> Stage:
    stage = await a_group(world)
    await world.ended(await begin_group_snapshot(world, stage))
    return stage


async def begin_delete_group_snapshot(world: FakeWorld, stage: Stage) -> str:
    await world.db.write(delete_group_snapshot.accept, TENANT, stage["group snapshot"], world.tunables)
    return await running(world, stage["group snapshot"])


async def check_delete_group_snapshot(world: FakeWorld, stage: Stage, well: bool) -> None:
    await group_snapshot_is(world, stage, None if well else "error")


async def begin_copy_group(world: FakeWorld, stage: Stage) -> str:
    wanted = copy_group.Wanted(group_snapshot_id=stage["group snapshot"])
    group = await world.db.write(copy_group.accept, TENANT, wanted, world.tunables)
    stage["group"] = group.id
    return str(group.operation_id)


FREE = replace(
    group_snapshot.CREATE_GROUP_SNAPSHOT,
    steps=tuple(
        step
        for step in group_snapshot.CREATE_GROUP_SNAPSHOT.steps
        if not isinstance(step, Step) or step.when is None
    ),
)
"""The steps where no volume of the group is in use."""
scenario(FREE, a_group, begin_group_snapshot, check_group_snapshot)


async def a_group_in_use(world: FakeWorld) -> Stage:
    """One of its volumes is a running server's, and the type promises snapshots of one moment."""
    stage = await a_group(world)
    kind = await world.db.read(group_types.named, "steady")
    assert kind is not None
    await world.db.write(lambda tx: group_types.change(tx, kind.id, group_specs={CONSISTENT: "<is> True"}))
    used = await world.a_volume(group_id=stage["group"], volume_type="__DEFAULT__")
    return stage | {"used": used, "server": await world.a_server(used)}


async def check_group_snapshot_in_use(world: FakeWorld, stage: Stage, well: bool) -> None:
    await check_group_snapshot(world, stage, well)
    assert await world.volume_status(stage["used"]) == "in-use"
    assert await world.machines.power(ServerId(stage["server"])) == Power.RUNNING
    parts = await world.db.read(group_snapshots.members, stage["group snapshot"])
    assert [one.status for one in parts] == ["available" if well else "error"] * 2


SCENARIOS["group_snapshot.create in use"] = Scenario(
    replace(
        group_snapshot.CREATE_GROUP_SNAPSHOT,
        steps=tuple(step for step in group_snapshot.CREATE_GROUP_SNAPSHOT.steps if isinstance(step, Step)),
    ),
    fake_world,
    a_group_in_use,
    begin_group_snapshot,
    check_group_snapshot_in_use,
)
scenario(
    delete_group_snapshot.DELETE_GROUP_SNAPSHOT,
    a_group_snapshot,
    begin_delete_group_snapshot,
    check_delete_group_snapshot,
)
scenario(copy_group.COPY_GROUP, a_group_snapshot, begin_copy_group, check_group)


def test_every_verb_has_a_scenario() -> None:
    assert {verb.kind for verb in VERBS} == {scenario.verb.kind for scenario in SCENARIOS.values()}


def every_trial(*, exported: bool, one_in: int) -> pytest.MarkDecorator:
    """Each scenario with each of its trials: of those whose volumes are exported, or the others."""
    return pytest.mark.parametrize(
        ("name", "trial"),
        [
            param
            for name, scenario in SCENARIOS.items()
            if (scenario.world is not world_without_exports) == exported
            for param in shortened(name, trials(scenario.verb), one_in)
        ],
    )


def shortened(name: str, tried: Iterable[Trial], one_in: int) -> Iterator[Any]:
    """A scenario's trials, of which one in so many is not ``long``.

    Those of a step follow one another, five or nine of them, or three without what happens before it. So with
    four each step has one that is not long, with eight, or four of those, one in two; and each way to fail has
    its turn.
    """
    for number, trial in enumerate(tried):
        marks = [pytest.mark.long] if number % one_in else []
        yield pytest.param(name, trial, id=f"{name}: {trial.name}", marks=marks)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_short_form_has_a_trial_of_each_step(name: str) -> None:
    """And a straight one."""
    verb = SCENARIOS[name].verb
    short = [it.values[1].name for it in shortened(name, trials(verb), one_in=4) if not it.marks]
    assert short[0] == "straight"
    for step in verb.steps:
        assert not isinstance(step, Step) or any(step.name in trial.split() for trial in short), step.name


@every_trial(exported=True, one_in=4)
@pytest.mark.asyncio(loop_scope="module")
async def test_it_ends_and_leaves_nothing(name: str, trial: Trial) -> None:
    await perform(SCENARIOS[name], trial)


@pytest.mark.real
@every_trial(exported=True, one_in=8)
@pytest.mark.asyncio(loop_scope="module")
async def test_it_ends_and_leaves_nothing_on_postgresql(name: str, trial: Trial, on_postgres: Database) -> None:
    await empty(on_postgres)
    tried = SCENARIOS[name]
    await perform(replace(tried, world=partial(tried.world, db=on_postgres)), trial)


@every_trial(exported=False, one_in=4)
@pytest.mark.asyncio(loop_scope="module")
async def test_it_ends_and_leaves_nothing_without_exports(name: str, trial: Trial) -> None:
    """On SQLite alone: what is exported makes no difference to a database."""
    await perform(SCENARIOS[name], trial)
