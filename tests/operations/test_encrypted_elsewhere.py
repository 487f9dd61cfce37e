"""The bytes of a volume go to another backend, encrypted as its new type says, and come back."""

from pathlib import Path

import pytest
from fake_world import HOST, TENANT, FakeWorld, fake_world

from pumice.backends.fake import FakeBackend
from pumice.catalog import volume_types
from pumice.model.units import GIB, MIB
from pumice.operations.harness import quiet, working
from pumice.operations.state_machine import no_faults
from pumice.store import volumes
from pumice.store.database import Transaction
from pumice.volumes.retype import retype

LUKS = {"provider": "luks", "control_location": "front-end", "cipher": "aes-xts-plain64", "key_size": 256}
WORD, PLACES = b"what nobody may read", (0, 700 * MIB, GIB - 2 * MIB - 20)


def words(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        return [(file.seek(at), file.read(len(WORD)))[1] for at in PLACES]


def magic(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(6)


async def of_type(world: FakeWorld, volume: str, name: str, *, backend: str, encrypted: bool) -> None:
    def work(tx: Transaction) -> None:
        kind = volume_types.create(tx, name, None, is_public=True, extra_specs={"volume_backend_name": backend})
        if encrypted:
            volume_types.encrypt(tx, kind.id, LUKS)
        retype(tx, TENANT, volume, name, world.tunables, may_move=True)

    await world.db.write(work)
    await quiet(world)


@pytest.mark.long
async def test_bytes_go_through_a_key_to_another_backend_and_come_back(tmp_path: Path) -> None:
    places = {
        f"{HOST}@{name}": FakeBackend((name,), directory=tmp_path / name, capacity_gb=room)
        for name, room in (("one", 50), ("two", 5))
    }
    for backend in places.values():
        await backend.start()
    async with fake_world(places) as world, working(world, "1", no_faults):
        volume = await world.a_volume()
        here, there = [tmp_path / name / name / "volumes" / volume for name in ("one", "two")]
        with here.open("r+b") as file:
            for at in PLACES:
                file.seek(at)
                file.write(WORD)
        await of_type(world, volume, "secret", backend="two", encrypted=True)
        assert not here.exists()
        assert magic(there) == b"LUKS\xba\xbe"
        assert WORD not in words(there)
        await of_type(world, volume, "open", backend="one", encrypted=False)
        assert not there.exists()
        assert words(here) == [WORD] * len(PLACES)
        now = await world.db.read(volumes.find, volume)
        assert now is not None
        assert (now.status, now.migration_status, now.encryption_key_id) == ("available", "success", None)
        assert await world.violations() == []
