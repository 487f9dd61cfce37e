"""What Cinder has written is restored here, and what is written here is restored by Cinder's own code.

``written_by_cinder`` holds a full backup and an incremental one as Cinder 29 wrote them. The long test installs
Cinder in an environment of its own, or takes the Python that ``PUMICE_CINDER_PYTHON`` names.
"""

import hashlib
import json
import os
import shutil
import subprocess
import venv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.s3_server import REAL_STORE, S3Store

from pumice.backends.backups import layout
from pumice.backends.backups.chunked import ChunkedBackups
from pumice.backends.backups.chunks import BLOCK
from pumice.backends.backups.contract import POSIX, S3, Record
from pumice.backends.backups.posix import PosixObjects
from pumice.model.ids import new_id
from pumice.model.units import MIB

HERE = Path(__file__).parent
SIZE = 2 * MIB
SHA256 = "479bb55026875f1c16be663ce23af4860196ce9f72c265f6bf0f0503f9a8c176"
"""Of the volume as the incremental one has it."""


def store_in(directory: Path, compression: str = "zstd") -> ChunkedBackups:
    directory.mkdir(exist_ok=True)
    objects = PosixObjects(directory)
    return ChunkedBackups(objects, driver="posix", service="s", chunk_size=MIB, compression=compression)


def of_cinder(told: dict[str, Any]) -> Record:
    """Cinder's row as a record."""
    return Record(
        id=told["id"],
        volume_id=told["volume_id"],
        size=SIZE,
        container=told["container"],
        prefix=told["service_metadata"],
        created_at=datetime(2026, 1, 1),
        parent_id=told["parent_id"],
    )


def of_ours(parent: Record | None = None, bucket: str | None = None) -> Record:
    backup, volume, at = new_id(), parent.volume_id if parent else new_id(), datetime(2026, 1, 2)
    prefix = layout.prefix_of(volume, backup, at, zone="nova" if bucket else None)
    container = layout.container_for(backup, None, bucket)
    return Record(backup, volume, SIZE, container, prefix, at, parent.id if parent else None)


def to_cinder(record: Record) -> dict[str, Any]:
    return {
        "id": record.id,
        "volume_id": record.volume_id,
        "container": record.container,
        "service_metadata": record.prefix,
        "parent_id": record.parent_id,
        "size": 1,
        "display_name": record.name,
        "display_description": record.description,
    }


def a_file(path: Path, fill: bytes = b"") -> Path:
    path.write_bytes(fill)
    os.truncate(path, SIZE)
    return path


def change(path: Path, *written: tuple[int, bytes]) -> None:
    with path.open("r+b") as file:
        for offset, data in written:
            file.seek(offset)
            file.write(data)


async def restore(store: ChunkedBackups, chain: Sequence[Record], target: Path, *, is_new: bool) -> str:
    await store.restore(chain, target, is_new=is_new, progress=lambda _: None)
    return hashlib.sha256(target.read_bytes()).hexdigest()


@pytest.mark.parametrize("is_new", [True, False])
async def test_a_chain_that_cinder_wrote_is_restored(tmp_path: Path, is_new: bool) -> None:
    shutil.copytree(HERE / "written_by_cinder", tmp_path / "store")
    store = store_in(tmp_path / "store")
    chain = [of_cinder(told) for told in json.loads((tmp_path / "store/records.json").read_text())]
    for record in chain:
        await store.check(record)
    target = a_file(tmp_path / "target", b"" if is_new else os.urandom(SIZE))
    assert await restore(store, chain, target, is_new=is_new) == SHA256


async def test_a_chain_that_cinder_began_goes_on_here(tmp_path: Path) -> None:
    shutil.copytree(HERE / "written_by_cinder", tmp_path / "store")
    store = store_in(tmp_path / "store")
    chain = [of_cinder(told) for told in json.loads((tmp_path / "store/records.json").read_text())]
    volume = a_file(tmp_path / "volume")
    await restore(store, chain, volume, is_new=True)
    change(volume, (BLOCK * 3, b"ours"))
    mine = of_ours(chain[-1])
    assert (await store.write(mine, volume, chain[-1], lambda _: None)).objects == 1
    found = await restore(store, [*chain, mine], a_file(tmp_path / "target"), is_new=True)
    assert found == hashlib.sha256(volume.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def cinder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Python that has Cinder."""
    if named := os.environ.get("PUMICE_CINDER_PYTHON"):
        yield named
        return
    environment = tmp_path_factory.mktemp("cinder")
    venv.create(environment, with_pip=True)
    python = str(environment / "bin/python")
    subprocess.run([python, "-m", "pip", "install", "-q", "cinder==29.0.0", "boto3"], check=True, timeout=900)
    yield python
    shutil.rmtree(environment)


@dataclass
class Shared:
    """A store that both see."""

    ours: ChunkedBackups
    options: dict[str, str]
    """What Cinder is told of it."""


@pytest.fixture(params=["posix", "moto", REAL_STORE])
def shared(request: pytest.FixtureRequest, tmp_path: Path, compression: str) -> Shared:
    if request.param == "posix":
        return Shared(store_in(tmp_path / "store", compression), {"backup_posix_path": str(tmp_path / "store")})
    server: S3Store = request.getfixturevalue(request.param)
    objects = server.objects()
    ours = ChunkedBackups(
        objects,
        driver="s3",
        service=S3,
        bucket=objects.access.bucket,
        chunk_size=MIB,
        compression=compression,
    )
    said = {"endpoint_url": server.endpoint, "store_bucket": objects.access.bucket}
    said |= {f"store_{name}": value for name, value in server.keys.items()}
    return Shared(ours, {f"backup_s3_{name}": value for name, value in said.items()})


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("compression", ["zstd", "zlib", "none"])
async def test_cinder_restores_what_is_written_here_and_adds_to_it(
    cinder: str, tmp_path: Path, shared: Shared, compression: str
) -> None:
    book = tmp_path / "book"

    def run(what: str, file: Path, told: dict[str, Any]) -> dict[str, Any]:
        script = [cinder, str(HERE / "cinder_chunks.py"), what, str(book), json.dumps(shared.options)]
        said = subprocess.run(
            [*script, str(file), json.dumps(told), compression], check=True, timeout=60, stdout=subprocess.PIPE
        )
        answer: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
        return answer

    store = shared.ours
    volume = a_file(tmp_path / "volume")
    change(volume, (5, b"full"), (MIB + 7 * BLOCK, os.urandom(4000)))
    full = of_ours(bucket=store.bucket)
    await store.write(full, volume, None, lambda _: None)
    change(volume, (MIB + 7 * BLOCK, bytes(4000)), (2 * BLOCK, b"second"))
    second = of_ours(full, store.bucket)
    await store.write(second, volume, full, lambda _: None)
    book.write_text(json.dumps({record.id: to_cinder(record) for record in (full, second)}))
    for what, fill in (("restore-new", b""), ("restore", os.urandom(SIZE))):
        target = a_file(tmp_path / what, fill)
        run(what, target, to_cinder(second))
        assert target.read_bytes() == volume.read_bytes(), what
    change(volume, (9 * BLOCK, b"third"))
    third = run(
        "write", volume, to_cinder(second) | {"id": new_id(), "parent_id": second.id, "container": None}
    )
    assert third["object_count"] == 1
    assert layout.service_of(third["service_metadata"]) == (S3 if store.bucket else POSIX)
    theirs = of_cinder(third)
    chain = [full, second, theirs]
    assert {it.id for it in await store.inventory([])} == {it.id for it in chain}, "names are not alike"
    found = await restore(store, chain, a_file(tmp_path / "target"), is_new=True)
    assert found == hashlib.sha256(volume.read_bytes()).hexdigest()
    await store.delete(theirs)
    run("delete", volume, to_cinder(second))
    assert {it.id for it in await store.inventory([])} == {full.id}
