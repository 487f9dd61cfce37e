"""A state directory that was copied is not served beside its original, wherever the pools are."""

import asyncio
import json
import shutil
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.patience import PATIENCE

from databases import new_sqlite
from pumice.app import driver_setup, rename
from pumice.app.settings import Settings
from pumice.backends.files_settings import FilesSettings
from pumice.images.files import ImageFiles
from pumice.model.errors import Misconfigured
from pumice.model.ids import new_id
from pumice.operations.drivers import Drivers
from pumice.store import tables
from pumice.store.columns import now
from pumice.store.sqlite import SqliteDatabase
from pumice_installation import Installation, state_directory

WHO = {"id": new_id(), "made_at": now()}
BESIDE = "is not served beside its original"


@pytest.fixture
def pumice() -> Iterator[Installation]:
    with state_directory() as state:
        pool = state.parent / "pool"
        pool.mkdir()
        backend = {"driver": "files", "target": "fake", "pools": {"pool": str(pool)}}
        settings = {"PUMICE_COMPUTE__DRIVER": "fake", "PUMICE_BACKENDS": json.dumps({"files": backend})}
        pumice = Installation(state, **settings)
        try:
            yield pumice
        finally:
            pumice.close()


def test_a_copy_starts_when_its_original_has_stopped_and_not_before(pumice: Installation) -> None:
    original = pumice.launch("serve")
    pumice.log_in()
    pumice.wait(lambda: pumice.is_up("serve"), "its services are not up")
    copy = pumice.state_dir.parent / "copy"
    shutil.copytree(pumice.state_dir, copy, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
    elsewhere = {"PUMICE_STATE_DIR": str(copy), "PUMICE_API__PORT": "0"}
    assert pumice.launch("serve", **elsewhere).wait(PATIENCE) == 1
    assert f"process {original.pid}" in pumice.log("serve") and BESIDE in pumice.log("serve")
    assert pumice.command("audit").returncode == 0  # which looks on, and serves nothing

    original.send_signal(signal.SIGKILL)
    original.wait()
    opened = pumice.log("serve").count("place.opened")
    pumice.launch("serve", **elsewhere)
    pumice.wait(lambda: pumice.log("serve").count("place.opened") > opened, "the copy does not serve")


async def of_two_machines(
    tmp_path: Path, then: Callable[[list[Settings], list[Drivers]], Awaitable[None]], **backend: str
) -> None:
    """An installation and its copy, which share a pool and nothing else."""
    (tmp_path / "pool").mkdir()
    pools = {"pool": str(tmp_path / "pool")}
    every, drivers = [], []
    for name in ("original", "copy"):
        state = tmp_path / name
        state.mkdir()
        new_sqlite(state / "pumice.db")
        chosen = FilesSettings(pools=pools, **backend)
        every.append(Settings(state_dir=state, host="here", backends={"files": chosen}))
        db = SqliteDatabase(state / "pumice.db")
        await db.write(lambda tx: tx.execute(sa.insert(tables.installation), WHO))
        drivers.append(driver_setup.build(every[-1], db, ImageFiles(state / "images"), serves=True).drivers)
        if name == "original":
            await drivers[0].backends[every[0].place("files")].start()
    try:
        await then(every, drivers)
    finally:
        for one in drivers:
            await one.db.close()


async def test_one_pool_is_served_by_one_process_and_the_other_by_none(tmp_path: Path) -> None:
    async def then(_: list[Settings], drivers: list[Drivers]) -> None:
        original, copy = (one.backends["here@files"] for one in drivers)
        for call in (copy.start, copy.pools, copy.inventory):
            with pytest.raises(Misconfigured, match=BESIDE):
                await call()
        await original.pools()

    await of_two_machines(tmp_path, then)


async def test_what_is_served_is_neither_renamed_nor_taken_by_a_copy(tmp_path: Path) -> None:
    mark = tmp_path / "pool" / ".pumice-mark"

    async def then(settings: list[Settings], _: list[Drivers]) -> None:
        before = mark.read_text()
        for change in (
            lambda: rename.rename_backend(settings[1], "here@files", "quick", yes=True),
            lambda: rename.rename_host(settings[1], "here", "there", yes=True),
            lambda: rename.take_pool(settings[1], "here@files#pool", yes=True),
        ):
            with pytest.raises(Misconfigured, match=BESIDE):
                await asyncio.to_thread(change)
        assert mark.read_text() == before

    await of_two_machines(tmp_path, then)


async def test_the_members_of_a_cluster_serve_one_pool(tmp_path: Path) -> None:
    async def then(_: list[Settings], drivers: list[Drivers]) -> None:
        for one in drivers:
            await one.backends["both@files"].pools()

    await of_two_machines(tmp_path, then, cluster="both", target="lio")
