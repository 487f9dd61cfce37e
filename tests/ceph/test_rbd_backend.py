"""What only images of Ceph have: chains of clones, origins in the trash, a pool that several hosts serve."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from tests.ceph.conftest import User
from tests.ceph_cluster import CephPool
from tests.patience import patience

from pumice.backends import aside, rbd_images
from pumice.backends.contract import no_progress
from pumice.backends.rbd import DEEP, MOST_DEEP, RbdBackend
from pumice.backends.rbd_images import Cluster, RbdImages
from pumice.backends.rbd_settings import RbdSettings
from pumice.model.errors import Misconfigured, NotFound, Retryable, TryAnotherBackend
from pumice.model.finding import Finding, Verdict
from pumice.model.ids import SnapshotId, VolumeId, new_id
from pumice.model.stored import StoredObject
from pumice.model.units import GIB

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


WORDS = b"the first"


def a_volume() -> VolumeId:
    return VolumeId(new_id())


def backend_of(user: User, directory: Path, program: Path | None = None) -> RbdBackend:
    """A process's, which speaks to the cluster by the usual program or by this one."""
    cluster = Cluster(user.pool.cluster.conf, user.pool.name, user.keyring)
    cluster = replace(cluster, program=program) if program else cluster
    return RbdBackend(cluster, {"one": user.pool.name}, directory)


def images_of(pool: CephPool) -> RbdImages:
    """The images as an administrator sees them."""
    return RbdImages(Cluster(pool.cluster.conf, "admin", pool.cluster.keyring), pool.name)


def meddled(directory: Path, call: str, *, name: str = "", before: str = "", after: str = "") -> Path:
    """The usual program, with something done around this call, about this image or any."""
    program = directory / "meddled.py"
    program.write_text(
        _MEDDLED.format(usual=str(rbd_images.PROGRAM), call=call, name=name, before=before, after=after)
    )
    return program


_MEDDLED = """\
import importlib.util, json, subprocess, sys

spec = importlib.util.spec_from_file_location("rbd_calls", {usual!r})
rbd_calls = importlib.util.module_from_spec(spec)
spec.loader.exec_module(rbd_calls)
usual = rbd_calls.answer


def answer(calls, line):
    call, arguments = json.loads(line)
    meddles = call == {call!r} and arguments.get("name", "").startswith({name!r})
    if meddles:
        subprocess.run(["sh", "-c", {before!r}], check=True)
    told = usual(calls, line)
    if meddles:
        subprocess.run(["sh", "-c", {after!r}], check=True)
    return told


rbd_calls.answer = answer
rbd_calls.serve(rbd_calls.Calls(*sys.argv[1:5]), float(sys.argv[5]))
"""


def meanwhile(directory: Path, call: str, pool: CephPool, does: str, *, name: str = "") -> Path:
    """The usual program, but another host does something with ``rbd`` right before this call."""
    there = f"--conf {pool.cluster.conf} --keyring {pool.cluster.keyring} --id admin"
    return meddled(directory, call, name=name, before=f"rbd {there} {does}")


def in_trash(pool: CephPool) -> int:
    return len(pool.cluster.rbd("trash", "ls", "--all", pool.name).splitlines())


def write(file: Path, data: bytes) -> None:
    with file.open("r+b") as opened:
        opened.write(data)


def read(file: Path, length: int) -> bytes:
    with file.open("rb") as opened:
        return opened.read(length)


async def depth_of(images: RbdImages, volume: VolumeId) -> int:
    depth, image = 0, await images.image(f"volume-{volume}")
    while above := image.parent:
        depth += 1
        image = await images.image_of_id(above.id)
    return depth


@pytest.mark.long
async def test_a_chain_of_clones_ends_and_goes_whole_with_its_last(ceph_user: User, tmp_path: Path) -> None:
    backend = backend_of(ceph_user, tmp_path)
    images = images_of(ceph_user.pool)
    chain = [a_volume() for _ in range(MOST_DEEP + 2)]
    await backend.create(chain[0], "one", 1)
    async with backend.opened(chain[0], "one") as file:
        await asyncio.to_thread(write, file, WORDS)
    for origin, clone in pairwise(chain):
        await backend.create_from_volume(clone, "one", 1, origin, "one", no_progress)
    assert [await depth_of(images, it) for it in chain] == [*range(MOST_DEEP + 1), 0]
    assert [it for it in chain if await backend.is_deep(it, "one")] == chain[DEEP + 1 : -1]
    for volume in chain[:-2]:
        await backend.delete(volume, "one")
    assert in_trash(ceph_user.pool) == MOST_DEEP, "whoever has clones waits for them"
    for volume in chain[-2:]:
        async with backend.opened(volume, "one") as file:
            assert await asyncio.to_thread(read, file, len(WORDS)) == WORDS
    await backend.delete(chain[-2], "one")
    assert in_trash(ceph_user.pool) == 0, "the last clone takes them all along"
    await backend.delete(chain[-1], "one")


async def a_large_clone(backend: RbdBackend, megabytes: int) -> tuple[VolumeId, VolumeId]:
    """A volume with so much in it, and a clone of it."""
    origin, clone = a_volume(), a_volume()
    await backend.create(origin, "one", 1)
    async with backend.opened(origin, "one") as file:
        await asyncio.to_thread(write, file, WORDS + bytes(range(1, 256)) * 4112 * megabytes)
    await backend.create_from_volume(clone, "one", 1, origin, "one", no_progress)
    return origin, clone


async def test_flattening_goes_on_from_where_another_was_killed(ceph_user: User, tmp_path: Path) -> None:
    backend, pool = backend_of(ceph_user, tmp_path / "one"), ceph_user.pool
    origin, clone = await a_large_clone(backend, 128)
    assert 0 < await backend.flatten(clone, "one", 0.0) < 1
    before = pool.allocated(f"volume-{clone}")
    assert 0 < before < pool.allocated(f"volume-{origin}")
    other, seconds, done = backend_of(ceph_user, tmp_path / "two"), 0.0, 0.0
    while done < 1:
        seconds += 0.05
        done = await other.flatten(clone, "one", seconds)
        assert pool.allocated(f"volume-{clone}") >= before
    assert await other.flatten(clone, "one", 1.0) == 1
    await backend.delete(origin, "one")
    assert in_trash(pool) == 0
    async with backend.opened(clone, "one") as file:
        assert await asyncio.to_thread(read, file, len(WORDS)) == WORDS
    await backend.delete(clone, "one")


async def test_a_volume_in_use_is_flattened_by_who_uses_it(ceph_user: User, tmp_path: Path) -> None:
    backend, pool = backend_of(ceph_user, tmp_path), ceph_user.pool
    origin, clone = await a_large_clone(backend, 64)
    async with backend.opened(clone, "one") as file:
        await asyncio.to_thread(write, file, b"changed")
        while await backend.flatten(clone, "one", 1.0) < 1:
            pass
        await backend.delete(origin, "one")
        assert in_trash(pool) == 0
        assert await asyncio.to_thread(read, file, len(WORDS)) == b"changed" + WORDS[7:]
    await backend.delete(clone, "one")


async def test_beside_flattening_a_volume_is_copied_extended_and_deleted(
    ceph_user: User, tmp_path: Path
) -> None:
    backend, other = (backend_of(ceph_user, tmp_path / host) for host in ("one", "two"))
    origin, clone = await a_large_clone(backend, 256)
    snapshot, copy = SnapshotId(new_id()), a_volume()

    async def whole() -> None:
        with suppress(NotFound):
            while await backend.flatten(clone, "one", 0.2) < 1:
                pass

    flattening = asyncio.create_task(whole())
    await other.create_snapshot(snapshot, clone, "one", no_progress)
    await other.create_from_volume(copy, "one", 1, clone, "one", no_progress)
    await other.extend(clone, "one", 2)
    async with patience():
        while True:
            with suppress(Retryable):
                await other.delete(clone, "one")
                break
    await flattening
    for volume in (origin, copy):
        async with other.opened(volume, "one") as file:
            assert await asyncio.to_thread(read, file, len(WORDS)) == WORDS
        await other.delete(volume, "one")
    await other.delete_snapshot(snapshot, "one")
    assert in_trash(ceph_user.pool) == 0
    assert not (await other.inventory()).pieces


async def test_who_is_cancelled_leaves_no_lock_behind(ceph_user: User, tmp_path: Path) -> None:
    backend = backend_of(ceph_user, tmp_path)
    origin, clone = await a_large_clone(backend, 256)
    flattening = asyncio.create_task(backend.flatten(clone, "one", 0.3))
    await asyncio.sleep(0.1)
    flattening.cancel()
    with suppress(asyncio.CancelledError):
        await flattening
    await backend.delete(clone, "one")  # who was killed would be waited for
    await backend.delete(origin, "one")
    assert in_trash(ceph_user.pool) == 0


async def test_a_copy_in_another_pool_holds_everything_itself(ceph_user: User, tmp_path: Path) -> None:
    pool = ceph_user.pool
    pool.cluster.make_pool(other := f"{pool.name}-other")
    elsewhere = images_of(CephPool(pool.cluster, other))
    backend = RbdBackend(elsewhere.cluster, {"one": pool.name, "other": other}, tmp_path)
    volume = a_volume()
    await backend.create(volume, "one", 1)
    await backend.create_from_volume(volume, "other", 1, volume, "one", no_progress)
    assert (await elsewhere.image(f"volume-{volume}")).parent is None
    await backend.delete(volume, "one")
    assert in_trash(pool) == 0
    assert (await backend.inventory()).pieces == {StoredObject("volume", volume, "other")}
    await backend.delete(volume, "other")


async def test_a_revert_that_was_cut_short_between_its_moves_is_completed(
    ceph_user: User, tmp_path: Path
) -> None:
    backend, pool = backend_of(ceph_user, tmp_path), ceph_user.pool
    volume, snapshot = a_volume(), SnapshotId(new_id())
    await backend.create(volume, "one", 1)
    await backend.create_snapshot(snapshot, volume, "one", no_progress)
    name = f"{pool.name}/volume-{volume}"
    pool.cluster.rbd("cp", "--no-progress", f"{pool.name}/snapshot-{snapshot}", f"{name}.back")
    pool.cluster.rbd("trash", "mv", name)
    piece = StoredObject("volume", volume, "one")
    assert piece in (await backend.inventory()).pieces, "it is whole, whatever its image is called"
    await backend.discard(replace(piece, whole=False))
    await backend.put_aside(piece, "aside")
    assert piece not in (await backend.inventory()).pieces
    await backend.put_back(piece, "aside")
    await backend.extend(volume, "one", 2)
    assert (await backend.inventory()).leftovers == frozenset()
    await backend.delete(volume, "one")
    await backend.delete_snapshot(snapshot, "one")
    assert in_trash(pool) == 0


async def test_a_revert_that_is_cancelled_when_its_volume_is_away_loses_nothing(
    ceph_user: User, tmp_path: Path
) -> None:
    backend, moved = backend_of(ceph_user, tmp_path / "state"), tmp_path / "moved"
    volume, snapshot = a_volume(), SnapshotId(new_id())
    await backend.create(volume, "one", 1)
    async with backend.opened(volume, "one") as file:
        await asyncio.to_thread(write, file, WORDS)
    await backend.create_snapshot(snapshot, volume, "one", no_progress)
    # It does not come back once the volume is in the trash.
    hangs = backend_of(
        ceph_user, tmp_path / "other", meddled(tmp_path, "discard", after=f"touch {moved}; sleep 600")
    )
    reverting = asyncio.create_task(hangs.revert(volume, "one", snapshot, no_progress))
    async with patience():
        while not moved.exists():
            assert not reverting.done(), reverting
            await asyncio.sleep(0.05)
    reverting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reverting
    async with backend.opened(volume, "one") as file:
        assert await asyncio.to_thread(read, file, len(WORDS)) == WORDS
    await backend.revert(volume, "one", snapshot, no_progress)
    assert not (await backend.inventory()).leftovers
    await backend.delete(volume, "one")
    await backend.delete_snapshot(snapshot, "one")
    assert in_trash(ceph_user.pool) == 0


async def test_what_is_done_with_one_volume_asks_for_no_other_names(ceph_user: User, tmp_path: Path) -> None:
    backend = backend_of(ceph_user, tmp_path, meddled(tmp_path, "names", before="exit 1"))
    origin, clone, snapshot = a_volume(), a_volume(), SnapshotId(new_id())
    await backend.create(origin, "one", 1)
    await backend.create_from_volume(clone, "one", 1, origin, "one", no_progress)
    await backend.create_snapshot(snapshot, clone, "one", no_progress)
    await backend.revert(clone, "one", snapshot, no_progress)
    piece = StoredObject("volume", clone, "one")
    await backend.put_aside(piece, "aside")
    await backend.put_back(piece, "aside")
    await backend.delete_snapshot(snapshot, "one")
    for volume in (origin, clone):
        await backend.delete(volume, "one")
    with pytest.raises(Retryable):
        await backend.inventory()
    assert in_trash(ceph_user.pool) == 0


async def test_whoever_starts_beside_a_process_leaves_it_what_it_has_open(
    ceph_user: User, tmp_path: Path
) -> None:
    volume, backend = a_volume(), backend_of(ceph_user, tmp_path)
    await backend.create(volume, "one", 1)
    async with backend.opened(volume, "one") as file:
        await asyncio.to_thread(write, file, WORDS)
        await backend_of(ceph_user, tmp_path).start()
        assert await asyncio.to_thread(read, file, len(WORDS)) == WORDS
    await backend.delete(volume, "one")


async def test_two_hosts_serve_one_pool_and_make_one_volume(ceph_user: User, tmp_path: Path) -> None:
    one, two = (backend_of(ceph_user, tmp_path / host) for host in ("one", "two"))
    for host in (one, two):
        await host.occupy("one", shared=True)
    volume = a_volume()
    await asyncio.gather(*(host.create(volume, "one", 1) for host in (one, two)))
    found = await one.inventory()
    assert found == await two.inventory()
    assert found.pieces == {StoredObject("volume", volume, "one")}
    await two.delete(volume, "one")
    with pytest.raises(NotFound):
        await one.device(volume, "one")


@pytest.mark.long
async def test_a_pool_without_space_is_told_as_full(ceph_user: User, tmp_path: Path) -> None:
    backend, pool = backend_of(ceph_user, tmp_path), ceph_user.pool
    volume = a_volume()
    await backend.create(volume, "one", 1)
    pool.cluster.ceph("osd", "pool", "set-quota", pool.name, "max_objects", "1")
    try:
        async with patience():
            while "POOL_FULL" not in await asyncio.to_thread(pool.cluster.ceph, "health", "detail"):
                await asyncio.sleep(0.2)
        [facts] = await backend.pools()
        assert facts.free_gb == 0
        with pytest.raises(TryAnotherBackend, match="full"):
            await backend.create(a_volume(), "one", 1)
        await backend.delete(volume, "one")
    finally:
        pool.cluster.ceph("osd", "pool", "set-quota", pool.name, "max_objects", "0")


async def test_without_its_keyring_it_does_not_start_and_says_which(ceph_user: User, tmp_path: Path) -> None:
    cluster = Cluster(ceph_user.pool.cluster.conf, "pumice", tmp_path / "nowhere")
    with pytest.raises(Misconfigured, match=r"nowhere, the keyring of client\.pumice, cannot be read"):
        await RbdBackend(cluster, {"one": ceph_user.pool.name}, tmp_path).start()


async def test_what_others_protected_inside_an_image_goes_with_it(ceph_user: User, tmp_path: Path) -> None:
    backend, pool, volume = backend_of(ceph_user, tmp_path), ceph_user.pool, a_volume()
    pool.cluster.rbd("create", "--size", "1G", f"{pool.name}/old")
    for verb in ("create", "protect"):
        pool.cluster.rbd("snap", verb, f"{pool.name}/old@snapshot-of-cinder")
    await backend.adopt(StoredObject("volume", volume, "one"), "old")
    await backend.delete(volume, "one")
    assert in_trash(pool) == 0


async def test_an_origin_that_is_deleted_while_its_last_clone_is_goes_as_well(
    ceph_user: User, tmp_path: Path
) -> None:
    backend, pool = backend_of(ceph_user, tmp_path), ceph_user.pool
    origin, clone = a_volume(), a_volume()
    await backend.create(origin, "one", 1)
    await backend.create_from_volume(clone, "one", 1, origin, "one", no_progress)
    other = meanwhile(tmp_path, "remove", pool, f"trash mv {pool.name}/volume-{origin}")
    await backend_of(ceph_user, tmp_path, other).delete(clone, "one")
    assert in_trash(pool) == 0


async def test_a_volume_is_copied_while_what_it_is_a_clone_of_is_deleted(
    ceph_user: User, tmp_path: Path
) -> None:
    backend, pool = backend_of(ceph_user, tmp_path), ceph_user.pool
    first, second, third = a_volume(), a_volume(), a_volume()
    await backend.create(first, "one", 1)
    await backend.create_from_volume(second, "one", 1, first, "one", no_progress)
    other = meanwhile(tmp_path, "clone", pool, f"trash mv {pool.name}/volume-{first}")
    await backend_of(ceph_user, tmp_path, other).create_from_volume(third, "one", 1, second, "one", no_progress)
    for volume in (second, third):
        await backend.delete(volume, "one")
    assert in_trash(pool) == 0


async def test_a_copy_whose_snapshot_another_took_for_a_remnant_is_tried_again(
    ceph_user: User, tmp_path: Path
) -> None:
    backend, pool = backend_of(ceph_user, tmp_path), ceph_user.pool
    origin, clone = a_volume(), a_volume()
    await backend.create(origin, "one", 1)
    copying = ("one", 1, origin, "one", no_progress)
    other = meanwhile(tmp_path, "clone", pool, f"snap rm {pool.name}/volume-{origin}@volume-{clone}")
    with pytest.raises(Retryable):
        await backend_of(ceph_user, tmp_path, other).create_from_volume(clone, *copying)
    await backend.create_from_volume(clone, *copying)


async def test_an_extend_that_was_overtaken_by_a_larger_one_cuts_nothing_off(
    ceph_user: User, tmp_path: Path
) -> None:
    backend, pool, volume = backend_of(ceph_user, tmp_path), ceph_user.pool, a_volume()
    await backend.create(volume, "one", 1)
    larger = f"resize --no-progress --size 3G {pool.name}/volume-{volume}"
    with pytest.raises(Retryable):
        await backend_of(ceph_user, tmp_path, meanwhile(tmp_path, "resize", pool, larger)).extend(
            volume, "one", 2
        )
    await backend.extend(volume, "one", 2)
    assert (await images_of(pool).image(f"volume-{volume}")).size == 3 * GIB


async def test_a_start_frees_what_nobody_looked_after_but_nothing_of_others(
    ceph_user: User, tmp_path: Path
) -> None:
    pool = ceph_user.pool
    for name in (f"volume-{a_volume()}", "of-a-stranger"):
        pool.cluster.rbd("create", "--size", "1G", f"{pool.name}/{name}")
        pool.cluster.rbd("trash", "mv", f"{pool.name}/{name}")
    await backend_of(ceph_user, tmp_path).start()
    assert "of-a-stranger" in pool.cluster.rbd("trash", "ls", pool.name)
    assert in_trash(pool) == 1
    pool.cluster.rbd("trash", "purge", "--no-progress", pool.name)


async def test_an_orphan_that_was_given_up_goes_with_its_last_clone(ceph_user: User, tmp_path: Path) -> None:
    backend, orphan, snapshot = backend_of(ceph_user, tmp_path), a_volume(), SnapshotId(new_id())
    piece = StoredObject("volume", orphan, "one")
    await backend.create(orphan, "one", 1)
    await backend.create_snapshot(snapshot, orphan, "one", no_progress)
    await backend.put_aside(piece, aside.name_of(piece))
    await backend.give_up("one", aside.name_of(piece))
    assert in_trash(ceph_user.pool) == 1
    await backend.delete_snapshot(snapshot, "one")
    assert in_trash(ceph_user.pool) == 0


async def test_an_image_that_goes_while_it_is_looked_at_hides_no_other(ceph_user: User, tmp_path: Path) -> None:
    pool = ceph_user.pool
    for name in ("goes", "stays"):
        pool.cluster.rbd("create", "--size", "1G", f"{pool.name}/{name}")
    other = meanwhile(tmp_path, "image", pool, f"rm --no-progress {pool.name}/goes", name="goes")
    assert [it.name for it in await backend_of(ceph_user, tmp_path, other).manageable("one")] == ["stays"]


async def test_without_its_configuration_that_is_what_it_says(ceph_user: User, tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "nowhere.conf", ceph_user.pool.name, ceph_user.keyring)
    with pytest.raises(Misconfigured, match=r"nowhere\.conf, Ceph's configuration, cannot be read"):
        await RbdBackend(cluster, {"one": ceph_user.pool.name}, tmp_path).start()


async def test_who_attaches_does_not_wait_until_the_monitors_are_named_each_time(
    ceph_user: User, tmp_path: Path
) -> None:
    volume, asked = a_volume(), tmp_path / "asked"
    counted = meddled(tmp_path, "ask_monitors", before=f"echo >> {asked}")
    backend = backend_of(ceph_user, tmp_path, counted)
    await backend.create(volume, "one", 1)
    first, *others = await asyncio.gather(*(backend.device(volume, "one") for _ in range(5)))
    assert first.monitors and {it.monitors for it in others} == {first.monitors}
    await backend.pools()
    assert len(asked.read_text().splitlines()) == 2, "five at once, and the pool's facts, share one answer"


async def findings(settings: dict[str, str], tmp_path: Path) -> list[Finding]:
    probes = RbdSettings.model_validate(settings).probes("ceph", tmp_path)
    looks = [probe.look() for probe in probes]
    return [look if isinstance(look, Finding) else await look for look in looks]


async def test_the_doctor_says_what_the_user_lacks_with_the_command(ceph_user: User, tmp_path: Path) -> None:
    assert {it.verdict for it in await findings(ceph_user.settings, tmp_path)} == {Verdict.OK}
    name, cluster = ceph_user.pool.name, ceph_user.pool.cluster
    caps = f"mon 'profile rbd' mgr 'profile rbd' osd 'profile rbd pool={name}'"
    cluster.ceph("auth", "caps", f"client.{name}", "mon", "profile rbd")
    with pytest.raises(TryAnotherBackend, match=r"^The pool cannot be used\.$") as told:
        await backend_of(ceph_user, tmp_path).create(a_volume(), "one", 1)
    assert f"client.{name} has no key" in told.value.in_full, "operators alone are told the user and the pool"
    *_, pool = await findings(ceph_user.settings, tmp_path)
    assert pool.cure == f"ceph auth caps client.{name} {caps}"
    host, *_ = await findings(ceph_user.settings | {"keyring": f"{tmp_path}/k"}, tmp_path)
    assert host.cure == f"ceph auth get-or-create client.{name} {caps} -o {tmp_path}/k"
    cluster.ceph("auth", "caps", f"client.{name}", "mon", "profile rbd", "osd", "profile rbd")
    *_, pool = await findings(ceph_user.settings | {"pool": "absent"}, tmp_path)
    assert pool.cure == "ceph osd pool create absent && rbd pool init absent"
