"""The verbs of backups on bytes that are there: they come back, and a worker that dies goes on where it was."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_world import HOST, TENANT, FakeWorld, fake_world
from tests.backups.troubled import troubled
from tests.s3_server import REAL_STORE, S3Store

from pumice.backends.backups.chunked import ChunkedBackups
from pumice.backends.backups.contract import POSIX, S3
from pumice.backends.backups.posix import PosixObjects
from pumice.backends.backups.s3 import S3Objects
from pumice.backends.fake import FakeBackend
from pumice.loops import audit
from pumice.model.backup import Backup
from pumice.model.errors import InvalidState, Retryable
from pumice.model.ids import VolumeId, new_id
from pumice.model.units import MIB
from pumice.operations.harness import quiet, working
from pumice.operations.state_machine import no_faults
from pumice.store import backups, snapshots
from pumice.store import operations as log
from pumice.store.services import BACKUP_BINARY
from pumice.volumes import create
from pumice.volumes.backups import create as create_backup
from pumice.volumes.backups import delete as delete_backup
from pumice.volumes.backups import imports, records, restore, restore_new
from pumice.volumes.snapshots import create as create_snapshot

FAR = 900 * MIB


class Dying:
    """Objects of a host whose storage goes away at the put of a name."""

    dies_at = ""
    puts = 0

    def __init__(self, kept: PosixObjects | S3Objects, store: S3Store | None = None) -> None:
        self.kept, self.store = kept, store
        self.before_put: Callable[[str], object] = lambda _: None
        self.driver, self.bucket = (
            ("s3", kept.access.bucket) if isinstance(kept, S3Objects) else ("posix", None)
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self.kept, name)

    def put(self, container: str, name: str, data: bytes) -> None:
        self.before_put(name)
        if self.dies_at and name.endswith(self.dies_at):
            raise Retryable("The storage is gone.")
        self.kept.put(container, name, data)
        self.puts += "_progress-" not in name


@pytest.fixture(params=["posix", "moto", REAL_STORE])
def objects(tmp_path: Path, request: pytest.FixtureRequest) -> Dying:
    if request.param != "posix":
        store: S3Store = request.getfixturevalue(request.param)
        return Dying(store.objects(), store)
    (tmp_path / "backups").mkdir()
    return Dying(PosixObjects(tmp_path / "backups"))


@pytest.fixture
async def world(tmp_path: Path, objects: Dying) -> AsyncIterator[FakeWorld]:
    backend = FakeBackend(("a",), directory=tmp_path / "volumes")
    await backend.start()
    service = S3 if objects.bucket else POSIX
    store = ChunkedBackups(
        objects, driver=objects.driver, service=service, bucket=objects.bucket, chunk_size=64 * MIB
    )
    async with fake_world({f"{HOST}@one": backend}, store=store) as world, working(world, "w", no_faults):
        yield world


async def path_of(world: FakeWorld, volume_id: str) -> Path:
    return await world.backends[f"{HOST}@one"].device(VolumeId(volume_id), "a")


async def write(world: FakeWorld, volume_id: str, word: bytes, offset: int = 0) -> None:
    with (await path_of(world, volume_id)).open("r+b") as file:
        file.seek(offset)
        file.write(word)


async def words(world: FakeWorld, volume_id: str) -> tuple[bytes, bytes]:
    """Four bytes at the beginning, and four far behind."""
    with (await path_of(world, volume_id)).open("rb") as file:
        near = file.read(4)
        file.seek(FAR)
        return near, file.read(4)


async def back_up(world: FakeWorld, volume_id: str, **wanted: object) -> str:
    asked = create_backup.Wanted(volume_id, **wanted)  # type: ignore[arg-type]
    backup = await world.db.write(create_backup.accept, TENANT, asked, world.tunables)
    await world.ended(backup.operation_id or "")
    return backup.id


async def restored_anew(world: FakeWorld, backup_id: str) -> str:
    volume = await world.db.write(restore_new.accept, TENANT, backup_id, create.Wanted(), world.tunables)
    await world.ended(volume.operation_id or "")
    return volume.id


async def test_a_chain_comes_back_over_a_volume_and_in_a_new_one_and_from_its_record(
    world: FakeWorld, objects: Dying
) -> None:
    volume = await world.a_volume()
    await write(world, volume, b"old!")
    full = await back_up(world, volume)
    await write(world, volume, b"far!", FAR)
    await write(world, volume, bytes(4))
    second = await back_up(world, volume, incremental=True)
    assert (await world.db.read(backups.get, TENANT, second)).object_count == 2
    await write(world, volume, b"junk", FAR)
    await world.db.write(restore.accept, TENANT, full, volume)
    await quiet(world)
    assert await words(world, volume) == (b"old!", bytes(4))
    new = await restored_anew(world, second)
    assert await words(world, new) == (bytes(4), b"far!")
    assert (await path_of(world, new)).stat().st_blocks < MIB // 512, "holes were filled"
    record = records.export(await world.db.read(backups.get, TENANT, second))
    await world.db.write(lambda tx: backups.delete(tx, second) and None)
    imported = await world.db.write(
        imports.accept, TENANT, S3 if objects.bucket else POSIX, record, world.tunables
    )
    await world.ended(imported.operation_id or "")
    assert await words(world, await restored_anew(world, imported.id)) == (bytes(4), b"far!")
    assert [words for words in await world.violations() if "quota" not in words] == []


@pytest.mark.parametrize("first", ["the original", "the other"])
async def test_objects_under_two_ids_go_with_the_last_of_them(
    world: FakeWorld, objects: Dying, first: str
) -> None:
    volume = await world.a_volume()
    await write(world, volume, b"kept")
    original = await back_up(world, volume)
    row = await world.db.read(backups.get, TENANT, original)
    at = row.container or "", row.prefix or ""
    told = json.loads(base64.b64decode(records.export(row)))

    async def import_anew() -> Backup:
        record = base64.b64encode(json.dumps(told | {"id": new_id()}).encode()).decode()
        service = S3 if objects.bucket else POSIX
        return await world.db.write(imports.accept, TENANT, service, record, world.tunables)

    imported = await import_anew()
    await world.ended(imported.operation_id or "")
    assert await words(world, await restored_anew(world, imported.id)) == (b"kept", bytes(4))
    pair = [original, imported.id] if first == "the original" else [imported.id, original]
    for number, each in enumerate(pair):
        assert objects.names(*at), "they went with the first"
        if number:
            assert (await words(world, await restored_anew(world, each))) == (b"kept", bytes(4))
        await world.db.write(delete_backup.accept, TENANT, each, world.tunables)
        if number:
            with pytest.raises(InvalidState, match="being deleted"):
                await import_anew()
        await quiet(world)
        await audit.repair(world.drivers, lambda _: None)
        assert await world.violations() == []
    assert not objects.names(*at)


async def test_a_snapshot_and_a_volume_in_use_are_backed_up_as_they_were(world: FakeWorld) -> None:
    volume = await world.a_volume()
    await write(world, volume, b"then")
    snapshot = await world.db.write(
        lambda tx: create_snapshot.accept(
            tx, TENANT, volume, name=None, description=None, metadata={}, in_use=False, tunables=world.tunables
        )
    )
    await world.ended(snapshot.operation_id or "")
    await write(world, volume, b"now!")
    of_snapshot = await back_up(world, volume, snapshot_id=snapshot.id)
    await world.a_server(volume)
    in_use = await back_up(world, volume, force=True)
    assert await words(world, await restored_anew(world, of_snapshot)) == (b"then", bytes(4))
    assert await words(world, await restored_anew(world, in_use)) == (b"now!", bytes(4))
    kept = await world.db.read(snapshots.find, snapshot.id)
    assert kept is not None and kept.status == "available"
    assert await world.violations() == [], "a copy was left"


async def test_a_backup_whose_storage_goes_away_goes_on_where_it_was(world: FakeWorld, objects: Dying) -> None:
    volume = await world.a_volume()
    await write(world, volume, b"near")
    await write(world, volume, b"far!", FAR)
    objects.dies_at = "-00011"
    asked = create_backup.Wanted(volume)
    backup = await world.db.write(create_backup.accept, TENANT, asked, world.tunables)
    operation = backup.operation_id or ""
    while (row := await world.db.read(log.get, operation)) and not row["tries"]:
        pass
    objects.dies_at = ""
    await world.ended(operation)
    row = await world.db.read(log.get, operation)
    assert row is not None and row["notes"]["objects"] == 18 and row["notes"]["kept"] == 10
    assert objects.puts == 18 + 2, "what stood was written again"
    assert await words(world, await restored_anew(world, backup.id)) == (b"near", b"far!")


async def test_objects_without_a_row_and_a_row_without_objects_are_told(
    world: FakeWorld, objects: Dying
) -> None:
    volume = await world.a_volume()
    lost, strange, late = [await back_up(world, volume) for _ in range(3)]
    rows = {each: await world.db.read(backups.get, TENANT, each) for each in (lost, strange, late)}
    gone = rows[lost]
    assert gone.container is not None
    objects.remove(gone.container, objects.names(gone.container, gone.prefix or ""))
    assert f"backup {lost} has no objects in the store of backups, {objects.driver}" in await audit.violations(
        world.drivers
    )
    await world.db.write(delete_backup.accept, TENANT, late, world.tunables)
    await quiet(world)
    objects.put(rows[late].container or "", f"{rows[late].prefix}-00001", b"written by who had been away")
    other = "00000000-0000-4000-8000-000000000000"
    where = objects.bucket or "x"
    name = (rows[strange].prefix or "").replace(strange, other) + "_metadata"
    objects.put(where, name, b"{}")
    found = await audit.violations(world.drivers)
    place = f"the store of backups, {objects.driver}"
    assert f"objects of backup {late} on {place} is an orphan: the backup was deleted here" in found
    assert f"objects of backup {other} on {place} is unknown: nothing here says whose it is or was" in found
    await audit.repair(world.drivers, lambda _: None)
    assert not objects.names(rows[late].container or "", rows[late].prefix or ""), (
        "what was deleted here is left"
    )
    assert objects.get(where, name), "what is not known was destroyed"


@pytest.mark.parametrize("objects", ["moto", REAL_STORE], indirect=True)
async def test_a_bucket_that_goes_away_meanwhile_ends_its_backup_with_the_reason(
    world: FakeWorld, objects: Dying
) -> None:
    s3 = objects.store
    assert s3 is not None
    volume = await world.a_volume()
    bucket = objects.bucket or ""
    objects.before_put = lambda name: s3.drop(bucket) if name.endswith("-00004") else None
    asked = create_backup.Wanted(volume)
    backup = (await world.db.write(create_backup.accept, TENANT, asked, world.tunables)).id
    await quiet(world)
    row = await world.db.read(backups.get, TENANT, backup)
    assert row.status == "error" and row.fail_reason is not None
    assert "is not set up for this" in row.fail_reason and bucket not in row.fail_reason
    assert await world.volume_status(volume) == "available"
    s3.client.create_bucket(Bucket=bucket)
    objects.before_put = lambda _: None
    assert (await world.db.read(backups.get, TENANT, await back_up(world, volume))).status == "available"
    await world.db.write(delete_backup.accept, TENANT, backup, world.tunables)
    await quiet(world)
    assert not [name for name in s3.left(bucket) if backup in name]
    assert await world.violations() == []


async def test_a_store_that_says_nothing_costs_the_backups_under_way_and_nothing_else(
    tmp_path: Path, s3: S3Store
) -> None:
    backend = FakeBackend(("a",), directory=tmp_path / "volumes")
    await backend.start()
    with troubled(s3) as troubles:
        access = s3.access(s3.a_bucket(), endpoint=troubles.endpoint)
        store = ChunkedBackups(
            S3Objects(access), driver="s3", service=S3, bucket=access.bucket, chunk_size=512 * MIB
        )
        async with fake_world({f"{HOST}@one": backend}, store=store) as world:
            walled = world.drivers.bulkheads.at(BACKUP_BINARY).walled(store)
            world.drivers = replace(world.drivers, backups=walled)
            async with working(world, "w", no_faults):
                troubles.wrong = troubles.hang
                asked = [await world.a_volume() for _ in range(3)]
                for volume in asked:
                    wanted = create_backup.Wanted(volume)
                    await world.db.write(create_backup.accept, TENANT, wanted, world.tunables)
                while troubles.asked < len(asked):
                    await asyncio.sleep(0.01)
                assert await world.volume_status(await world.a_volume()) == "available"
                assert [await world.volume_status(one) for one in asked] == ["backing-up"] * 3
                troubles.wrong = None
                troubles.over.set()
                await quiet(world)
                assert [await world.volume_status(one) for one in asked] == ["available"] * 3
                assert await world.violations() == []
