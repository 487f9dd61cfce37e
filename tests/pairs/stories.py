"""For each verb: how a tenant begins it on the stage, and what it makes of the bytes.

A new verb joins by a line in ``STORIES``. Two meet if they touch one thing; a story that makes something is met
by every story that could touch what it makes.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from fake_world import CONNECTOR, FLAVOR, HOST, TENANT, FakeWorld, MemoryBackups
from tests.hook_receiver import LOOPBACK, receiver
from tests.pairs.stage import FAR, ONE, Stage, begin_backup, begin_base, begin_group_snapshot, begin_snapshot

from pumice.attachments import connect, disconnect, renew, rotate
from pumice.backends.backups import layout
from pumice.backends.backups.contract import POSIX
from pumice.backends.contract import no_progress
from pumice.catalog import volume_types
from pumice.model.connector import Connector
from pumice.model.errors import InvalidState
from pumice.model.ids import BackupId, VolumeId, new_id
from pumice.model.scope import INTERNAL
from pumice.model.states import VolumeStatus
from pumice.model.volume import host_of, pool_of
from pumice.operations.holds import Thing as Kind
from pumice.operations.holds import change, require
from pumice.servers import attach_volume, boot, console, detach_volume, power, repair_disks
from pumice.servers import delete as delete_server
from pumice.store import attachments, backups, pools, volumes
from pumice.store.database import Transaction
from pumice.volumes import (
    create,
    delete,
    delete_when_free,
    extend,
    flatten,
    manage,
    manageable,
    migrate,
    reimage,
    revert,
    unmanage,
    upload,
    vacate,
)
from pumice.volumes.backups import create as create_backup
from pumice.volumes.backups import delete as delete_backup
from pumice.volumes.backups import imports, records, restore, restore_new
from pumice.volumes.bases import evict
from pumice.volumes.groups import copy as copy_group
from pumice.volumes.groups import delete as delete_group
from pumice.volumes.groups import delete_snapshot as delete_group_snapshot
from pumice.volumes.recycle_bin import keep
from pumice.volumes.retype import retype
from pumice.volumes.snapshots import delete as delete_snapshot
from pumice.volumes.snapshots import manage as manage_snapshot
from pumice.volumes.snapshots import unmanage as unmanage_snapshot
from pumice.webhooks import manage as webhooks

Words = dict[str, str]
"""What the volumes, snapshots and images hold, by id; and what is manageable, by name."""


@dataclass(frozen=True, slots=True)
class Story:
    """One verb on one thing of the stage."""

    kind: str
    on: str
    """The thing that it is about, by its name on the stage."""
    begin: Callable[[FakeWorld, Stage, str], Awaitable[str | None]]
    """Told the thing's id. The id of the other thing that it is about: what it makes, say."""
    bytes_become: Callable[[Words, str, str], None] = lambda *_: None
    """What is in ``words`` afterwards; told the ids of the thing and of the other."""
    makes: str = ""
    """The name on the stage of a thing that is like the one it makes."""
    also: frozenset[str] = frozenset()
    """What else it touches."""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.kind} ({self.on})"

    def of(self, thing: str) -> "Story":
        """The same story of another thing."""
        return replace(self, on=thing)


def asks(accept: Callable[..., Any], *args: Any) -> Callable[[FakeWorld, Stage, str], Awaitable[None]]:
    """A verb that is asked for by a thing's id and nothing else."""

    async def begin(world: FakeWorld, stage: Stage, thing: str) -> None:
        await world.db.write(accept, TENANT, thing, *args)

    return begin


def creates(**wanted: Any) -> Callable[[FakeWorld, Stage, str], Awaitable[str]]:
    async def begin(world: FakeWorld, stage: Stage, thing: str) -> str:
        asked = create.Wanted(**{name: value or thing for name, value in wanted.items()})
        return (await world.db.write(create.accept, TENANT, asked, world.tunables)).id

    return begin


async def snapshots(world: FakeWorld, stage: Stage, thing: str) -> str:
    return await begin_snapshot(world, thing)


async def backs_up(world: FakeWorld, stage: Stage, thing: str) -> str:
    return await begin_backup(world, thing)


async def delivers(world: FakeWorld, stage: Stage, thing: str) -> None:
    asked = {"url": receiver().url("/pairs"), "secret": None}
    made = await world.db.write(lambda tx: webhooks.create(tx, TENANT, LOOPBACK, 100, **asked))
    await world.db.write(webhooks.try_out, TENANT, made.id)


async def backs_a_snapshot_up(world: FakeWorld, stage: Stage, thing: str) -> str:
    return await begin_backup(world, stage["volume"], thing)


async def backs_up_what_changed(world: FakeWorld, stage: Stage, thing: str) -> str:
    wanted = create_backup.Wanted(stage["plain"], incremental=True)
    return (await world.db.write(create_backup.accept, TENANT, wanted, world.tunables)).id


async def restores(world: FakeWorld, stage: Stage, thing: str) -> str:
    await world.db.write(restore.accept, TENANT, stage["backup"], thing)
    return stage["backup"]


async def restores_anew(world: FakeWorld, stage: Stage, thing: str) -> str:
    wanted = create.Wanted()
    return (await world.db.write(restore_new.accept, TENANT, thing, wanted, world.tunables)).id


async def deletes_backup(world: FakeWorld, stage: Stage, thing: str) -> None:
    await world.db.write(delete_backup.accept, TENANT, thing, world.tunables)


async def imports_one(world: FakeWorld, stage: Stage, thing: str) -> str:
    """A record of objects that are there, under another name."""
    backup = await world.db.read(backups.find, stage["backup"])
    store = world.drivers.backups
    assert backup is not None and isinstance(store, MemoryBackups)
    other = replace(backup, id=BackupId(new_id()), prefix=None)
    other = replace(other, prefix=layout.prefix_of(other.volume_id, other.id, other.created_at))
    store.kept[other.id] = replace(store.kept[backup.id], id=other.id, prefix=other.prefix or "")
    url = records.export(other)
    return (await world.db.write(imports.accept, TENANT, POSIX, url, world.tunables)).id


async def makes_a_base(world: FakeWorld, stage: Stage, thing: str) -> str:
    return await begin_base(world, thing, f"{ONE}#a")


async def evicts(world: FakeWorld, stage: Stage, thing: str) -> None:
    await world.db.write(evict.accept, thing)


def is_of_image(words: Words, thing: str, made: str) -> None:
    words[made] = thing


async def makes_a_group(world: FakeWorld, stage: Stage, thing: str) -> str:
    return (await world.a_group_begins()).id


async def deletes_group(world: FakeWorld, stage: Stage, thing: str) -> str:
    await world.db.write(lambda tx: delete_group.accept(tx, TENANT, thing, world.tunables, with_volumes=True))
    return stage["member"]


async def pictures_a_group(world: FakeWorld, stage: Stage, thing: str) -> str:
    return (await begin_group_snapshot(world, thing))[0]


async def deletes_picture(world: FakeWorld, stage: Stage, thing: str) -> str:
    await world.db.write(delete_group_snapshot.accept, TENANT, thing, world.tunables)
    return stage["part"]


def copies_a_group(source: str) -> Callable[[FakeWorld, Stage, str], Awaitable[str]]:
    async def begin(world: FakeWorld, stage: Stage, thing: str) -> str:
        wanted = copy_group.Wanted(**{source: thing})
        return (await world.db.write(copy_group.accept, TENANT, wanted, world.tunables)).id

    return begin


async def extends(world: FakeWorld, stage: Stage, thing: str) -> None:
    await world.db.write(lambda tx: extend.accept(tx, TENANT, thing, 3, world.tunables, in_use=True))


async def flattens(world: FakeWorld, stage: Stage, thing: str) -> None:
    await world.db.write(flatten.accept, INTERNAL, thing)


async def reverts(world: FakeWorld, stage: Stage, thing: str) -> str:
    await world.db.write(revert.accept, TENANT, thing, stage["snapshot"])
    return stage["snapshot"]


async def uploads(world: FakeWorld, stage: Stage, thing: str) -> str:
    wanted = upload.Wanted("image", "raw")
    return (await world.db.write(lambda tx: upload.accept(tx, TENANT, thing, wanted, in_use=True)))[1].id


async def reimages(world: FakeWorld, stage: Stage, thing: str) -> str:
    image = stage["image"]
    await world.db.write(lambda tx: reimage.accept(tx, TENANT, thing, image, reserved=True))
    return image


async def recrypts(world: FakeWorld, stage: Stage, thing: str) -> None:
    name = f"encrypted for {thing}"
    specs = {"provider": "luks", "control_location": "front-end", "cipher": "aes-xts-plain64", "key_size": 512}

    def work(tx: Transaction) -> None:
        kind = volume_types.create(tx, name, None, is_public=True, extra_specs={})
        volume_types.encrypt(tx, kind.id, specs)
        retype(tx, TENANT, thing, name, world.tunables, may_move=True)

    await world.db.write(work)


async def moves(world: FakeWorld, stage: Stage, thing: str) -> None:
    move = partial(migrate.accept, tunables=world.tunables, cluster=False, lock=False)
    await world.db.write(lambda tx: move(tx, TENANT, thing, ONE))


async def moves_afar(world: FakeWorld, stage: Stage, thing: str) -> None:
    move = partial(migrate.accept, tunables=world.tunables, cluster=True, lock=False)
    await world.db.write(lambda tx: move(tx, TENANT, thing, FAR))


async def vacates(world: FakeWorld, stage: Stage, thing: str) -> None:
    """As if the volume had just been moved, where it could have been."""

    def move(tx: Transaction) -> tuple[str, str]:
        volume = volumes.find(tx, thing)
        if volume is None or volume.status != VolumeStatus.AVAILABLE or volumes.has_snapshots(tx, thing):
            raise InvalidState("It cannot have been moved.")
        require(tx, change(Kind.VOLUME, thing))
        if host_of(volume.pool or "") != ONE:
            raise InvalidState("It has been moved to another host.")
        here = pool_of(volume.pool or "")
        there = "b" if here == "a" else "a"
        if f"{ONE}#{there}" in migrate.being_vacated(tx, thing):
            raise InvalidState("It cannot have been moved to there.")
        vacate.begin(tx, volume.id, f"{ONE}#{here}", volume.size)
        pools.claim(tx, f"{ONE}#{there}", volume.id, volume.size)
        volumes.place(tx, thing, f"{ONE}#{there}")
        return here, there

    here, there = await world.db.write(move)
    source = VolumeId(thing)
    await world.backends[ONE].create_from_volume(source, there, 1, source, here, no_progress)


async def manages(world: FakeWorld, stage: Stage, thing: str) -> str:
    asked = manage.Existing(pool=f"{HOST}@one#a", name="stranger")
    return (await world.db.write(manage.accept, TENANT, asked, world.tunables)).id


async def manages_snapshot(world: FakeWorld, stage: Stage, thing: str) -> str:
    asked = manage_snapshot.Existing(thing, "stranger")
    return (await world.db.write(manage_snapshot.accept, TENANT, asked, world.tunables)).id


async def lists_manageable(world: FakeWorld, stage: Stage, thing: str) -> None:
    await world.db.write(manageable.accept, TENANT, f"{HOST}@one#a")


async def deletes_with_snapshots(world: FakeWorld, stage: Stage, thing: str) -> None:
    asked = partial(keep.delete_volume, tunables=world.tunables, with_snapshots=True)
    await world.db.write(asked, TENANT, thing)


async def deletes_when_free(world: FakeWorld, stage: Stage, thing: str) -> None:
    await world.db.write(delete_when_free.accept, thing)


async def connects(world: FakeWorld, stage: Stage, thing: str) -> None:
    def work(tx: Transaction) -> None:
        connect.accept_new(tx, TENANT, thing, server_id=None, mode="rw", connector=Connector.parse(CONNECTOR))

    await world.db.write(work)


async def disconnects(world: FakeWorld, stage: Stage, thing: str) -> None:
    def work(tx: Transaction) -> None:
        disconnect.accept(tx, INTERNAL, attachments.get(tx, TENANT, stage["link"]))

    await world.db.write(work)


async def renews(world: FakeWorld, stage: Stage, thing: str) -> None:
    def work(tx: Transaction) -> None:
        for link in attachments.of_volume(tx, thing):
            renew.accept(tx, INTERNAL, link, Connector.parse(CONNECTOR))

    await world.db.write(work)


async def rotates(world: FakeWorld, stage: Stage, thing: str) -> None:
    def work(tx: Transaction) -> None:
        for link in attachments.of_volume(tx, thing):
            rotate.accept(tx, link.id)

    await world.db.write(work)


def boots(disk: Callable[[str], boot.DiskWanted]) -> Callable[[FakeWorld, Stage, str], Awaitable[None]]:
    async def begin(world: FakeWorld, stage: Stage, thing: str) -> None:
        asked = boot.ServerWanted(name="other", flavor=FLAVOR, disks=[disk(thing)])
        await world.db.write(boot.accept, TENANT, asked, world.tunables)

    return begin


async def attaches(world: FakeWorld, stage: Stage, thing: str) -> None:
    await world.db.write(attach_volume.accept, TENANT, stage["server"], thing)


async def detaches(world: FakeWorld, stage: Stage, thing: str) -> None:
    await world.db.write(detach_volume.accept, TENANT, stage["server"], thing)


async def repairs(world: FakeWorld, stage: Stage, thing: str) -> None:
    await world.db.write(repair_disks.accept, thing)


def reboots(*, hard: bool) -> Callable[[FakeWorld, Stage, str], Awaitable[None]]:
    async def begin(world: FakeWorld, stage: Stage, thing: str) -> None:
        await world.db.write(lambda tx: power.accept_reboot(tx, TENANT, thing, hard=hard))

    return begin


def copies(words: Words, thing: str, made: str) -> None:
    words[made] = words[thing]


def takes(words: Words, thing: str, source: str) -> None:
    words[thing] = words[source]


def becomes(words: Words, thing: str, image: str) -> None:
    words[thing] = image


def is_unreadable(words: Words, thing: str, other: str) -> None:
    """Nothing is inside a fake's bytes, and nothing is what is made of that."""
    words[thing] = ""


def forgets(words: Words, thing: str, made: str) -> None:
    words.pop(thing, None)


def forgets_other(words: Words, thing: str, other: str) -> None:
    words.pop(other, None)


def lets_go(words: Words, thing: str, made: str) -> None:
    words[f"unmanaged-{thing}"] = words.pop(thing)


SNAPSHOT = frozenset({"snapshot"})
SERVER = frozenset({"server"})
BACKUP = frozenset({"backup"})
ON_A_VOLUME = (
    Story("volume.create", "volume", creates(source_volid=None), copies, makes="plain"),
    Story("volume.delete", "volume", asks(delete.accept), forgets),
    Story("volume.delete_when_free", "volume", deletes_when_free, forgets),
    Story("volume.extend", "volume", extends),
    Story("volume.flatten", "volume", flattens),
    Story("volume.unmanage", "volume", asks(unmanage.accept), lets_go),
    Story("volume.reimage", "volume", reimages, becomes),
    Story("volume.recrypt", "volume", recrypts, is_unreadable),
    Story("volume.migrate", "volume", moves),
    Story("volume.migrate", "volume", moves_afar),
    Story("volume.vacate", "volume", vacates),
    Story("volume.upload", "volume", uploads, copies),
    Story("snapshot.create", "volume", snapshots, copies, makes="snapshot"),
    Story("snapshot.manage", "volume", manages_snapshot, makes="snapshot"),
    Story("backup.create", "volume", backs_up),
    Story("backup.restore", "volume", restores, also=BACKUP),
    Story("attachment.connect", "volume", connects),
    Story("server.attach_volume", "volume", attaches, also=SERVER),
    Story("server.boot", "volume", boots(lambda thing: boot.DiskWanted(boot_index=0, volume_id=thing))),
)
WITH_A_SNAPSHOT = (
    Story("volume.revert", "volume", reverts, takes, also=SNAPSHOT),
    Story("volume.delete_with_snapshots", "volume", deletes_with_snapshots, also=SNAPSHOT),
)
ON_A_SNAPSHOT = (
    Story("snapshot.delete", "snapshot", asks(delete_snapshot.accept), forgets),
    Story("snapshot.unmanage", "snapshot", asks(unmanage_snapshot.accept), lets_go),
    Story("volume.create", "snapshot", creates(snapshot_id=None), copies, makes="plain"),
    Story("backup.create", "snapshot", backs_a_snapshot_up),
)
ON_A_BACKUP = (
    Story("backup.create", "backup", backs_up_what_changed, also=frozenset({"plain"})),
    Story("backup.delete", "backup", deletes_backup),
    Story("volume.create_from_backup", "backup", restores_anew, makes="plain"),
)
IN_A_GROUP = frozenset({"volume.create", "volume.extend", "snapshot.create", "backup.create"})
MEMBER, PART = frozenset({"member"}), frozenset({"part"})
ON_A_GROUP = (
    Story("group_snapshot.create", "group", pictures_a_group, also=MEMBER),
    Story("group.create_from_source", "group", copies_a_group("source_group_id"), also=MEMBER),
    Story("group_snapshot.delete", "picture", deletes_picture, forgets_other, also=PART),
    Story("group.create_from_source", "picture", copies_a_group("group_snapshot_id"), also=PART),
    Story("volume.create", "part", creates(snapshot_id=None), copies, makes="plain"),
    Story("group.delete", "group", deletes_group, forgets_other, also=MEMBER),
    Story("volume.create", "group", creates(size=1, volume_type="__DEFAULT__", group_id=None), makes="plain"),
)
IN_USE = frozenset(
    {"volume.create", "volume.extend", "volume.upload", "snapshot.create", "volume.delete_when_free"}
    | {"backup.create", "volume.flatten"}
)
STORIES: tuple[Story, ...] = (
    *ON_A_VOLUME,
    *(story.of("plain") for story in ON_A_VOLUME),
    *(replace(story.of("data"), also=SERVER) for story in ON_A_VOLUME if story.kind in IN_USE),
    *WITH_A_SNAPSHOT,
    *ON_A_SNAPSHOT,
    *ON_A_BACKUP,
    *ON_A_GROUP,
    *(story.of("member") for story in ON_A_VOLUME if story.kind in IN_A_GROUP),
    Story("group.create", "nothing", makes_a_group),
    Story("backup.import", "backup", imports_one),
    Story("volume.create", "nothing", creates(size=2), makes="plain"),
    Story("server.boot", "image", boots(lambda image: boot.DiskWanted(
        boot_index=0, new_volume=create.Wanted(size=1, image_id=image), delete_on_termination=True
    ))),
    Story("image_base.make", "image", makes_a_base, is_of_image, makes="base"),
    Story("image_base.evict", "base", evicts, forgets),
    Story("volume.manage", "pool", manages, makes="plain"),
    Story("pool.strangers", "pool", lists_manageable),
    Story("attachment.disconnect", "outside", disconnects),
    Story("attachment.renew", "outside", renews),
    Story("attachment.rotate", "outside", rotates),
    Story("attachment.rotate", "data", rotates),
    Story("volume.migrate_in_use", "data", moves, also=SERVER),
    Story("volume.migrate_in_use", "data", moves_afar, also=SERVER),
    Story("volume.extend", "outside", extends),
    Story("attachment.renew", "data", renews),
    Story("server.detach_volume", "data", detaches, also=SERVER),
    Story("server.delete", "server", asks(delete_server.accept), also=frozenset({"data", "root"})),
    Story("server.stop", "server", asks(power.accept_stop)),
    Story("server.start", "server", asks(power.accept_start)),
    Story("server.start", "off", asks(power.accept_start)),
    Story("server.hard_reboot", "off", reboots(hard=True)),
    Story("server.delete", "off", asks(delete_server.accept)),
    Story("server.reboot", "server", reboots(hard=False)),
    Story("server.hard_reboot", "server", reboots(hard=True)),
    Story("server.repair_disks", "server", repairs),
    Story("server.console", "server", asks(console.accept, 10)),
    Story("webhook.deliver", "nothing", delivers),
)  # fmt: skip


def pairs() -> list[tuple[Story, Story]]:
    """Every ordered pair that can meet: on one thing of the stage, or the second on what the first makes."""
    met = [
        (first, second)
        for first in STORIES
        for second in STORIES
        if {first.on, *first.also} & {second.on, *second.also}
    ]
    met += [
        (first, second.of("made"))
        for first in STORIES
        for second in (ON_A_VOLUME if first.makes == "plain" else ON_A_SNAPSHOT if first.makes else ())
    ]
    return met
