"""Create a volume: empty, or with the bytes of an image, a snapshot or another volume.

The story, in order:

1. ``accept``, in the request's transaction: what it begins with, its type, quota, the row in ``creating``
2. ``claim_space``: the scheduler chooses a pool and claims its space there, in one transaction; if an image is
   to be copied, its base in that pool is found or begun (``bases/use.py``)
3. ``wait_for_makers``: until the base is there, woken and not polled, or nothing comes of it
4. ``make_bytes``: the pool's backend makes the volume, of the base if there is one; encrypted where its type
   says so
5. ``publish``: ``available``

A pool that fails is left out and the next best is tried. When all have failed the volume is in ``error``, a
message tells the tenant why, and neither bytes nor claimed space are left.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from pumice.catalog import volume_types
from pumice.host import luks
from pumice.images.for_volume import image_for_volume, refuse_signed
from pumice.model.errors import Invalid, InvalidState, NotFound, NoValidBackend, Retryable
from pumice.model.group import Group
from pumice.model.ids import SnapshotId, VolumeId, new_id
from pumice.model.scope import Scope
from pumice.model.states import GroupStatus, SnapshotStatus, VolumeStatus
from pumice.model.tunables import Tunables
from pumice.model.units import GIB, gib_to_hold
from pumice.model.volume import Pool, Volume, VolumeType, host_of, pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Hold, Thing, make, read, use
from pumice.operations.operation import Operation, Step, Verb, Wait, enqueue, on_backend, scheduler, since
from pumice.scheduler.choose import choose, choose_among_the_roomiest
from pumice.scheduler.request import Request
from pumice.scheduler.weighers import by_free_space_alone
from pumice.store import (
    groups,
    keys,
    messages,
    pools,
    quotas,
    servers,
    services,
    snapshots,
    tombstones,
    volumes,
)
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.messages import Event
from pumice.volumes import encrypted, flatten
from pumice.volumes.bases import evict
from pumice.volumes.bases import use as bases
from pumice.volumes.image_bytes import inspected, make_volume

V = VolumeStatus


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the tenant asks for. ``size`` in GiB; at most one of the three sources."""

    size: int | None = None
    name: str | None = None
    description: str | None = None
    volume_type: str | None = None
    availability_zone: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    image_id: str | None = None
    snapshot_id: str | None = None
    source_volid: str | None = None
    near: Sequence[str] = ()
    """Volumes: it shall be on a backend of one of them."""
    apart: Sequence[str] = ()
    """Volumes: it shall be on none of their backends."""
    beside: str | None = None
    """A server: it shall be on that one's host."""
    query: str | None = None
    """What shall hold for its pool, in JSON."""
    group_id: str | None = None
    """The group that it shall be in: its type and its zone are the group's."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a volume's first bytes."""

    kind: str
    """``blank``, ``image``, ``snapshot``, ``volume`` or ``backup``"""
    id: str | None = None
    pool: str | None = None
    """The pool of the bytes, for a snapshot or volume."""
    least: int = 1
    """The smallest size that holds them, in GiB."""
    type_id: str | None = None
    """The type that the volume has unless another is asked for; an image may name it instead."""
    bootable: bool = False
    image_metadata: dict[str, Any] | None = None
    key_id: str | None = None
    """The key that opens the bytes, if they are encrypted."""
    virtual_size: int = 0
    """Bytes of the disk inside an image."""

    @property
    def is_copied(self) -> bool:
        """Whether the volume begins with the very bytes of another: encrypted if those are."""
        return self.kind in ("snapshot", "volume", "backup")


@dataclass(frozen=True, slots=True)
class CreateParams:
    """The parameters of the operation."""

    volume_id: VolumeId
    size: int
    availability_zone: str
    type_id: str
    origin: str
    origin_id: str | None
    origin_pool: str | None
    key_id: str | None = None
    """The key to encrypt the bytes with. A copy of encrypted bytes is encrypted as they are."""
    key_size: int | None = None
    near: list[str] = field(default_factory=list, metadata=since(2))
    apart: list[str] = field(default_factory=list, metadata=since(2))
    beside: str | None = field(default=None, metadata=since(3))
    query: str | None = field(default=None, metadata=since(3))
    zones: list[str] = field(default_factory=list, metadata=since(3))
    group_id: str | None = field(default=None, metadata=since(4))


@dataclass(frozen=True, slots=True)
class Plan:
    """What a request comes to, once it was found to make sense."""

    origin: Origin
    size: int
    kind: VolumeType
    zones: list[str]

    def params(self, volume_id: VolumeId, wanted: Wanted) -> CreateParams:
        """The parameters of the operation that makes it."""
        origin, zones = self.origin, self.zones
        return replace(
            CreateParams(volume_id, self.size, zones[0], self.kind.id, origin.kind, origin.id, origin.pool),
            near=list(wanted.near),
            apart=list(wanted.apart),
            zones=zones[1:] and zones,
            beside=wanted.beside,
            query=wanted.query,
            group_id=wanted.group_id,
        )


def plan(tx: Transaction, who: Scope, wanted: Wanted, tunables: Tunables, origin: Origin | None = None) -> Plan:
    """What is asked for: origin, size, type, zones. Raises ``Invalid``, ``InvalidState`` or ``NotFound``."""
    origin = origin or _origin(tx, who, wanted)
    size = wanted.size or (origin.least if origin.is_copied else None)
    if size is None:
        raise Invalid(
            "Invalid volume size provided for create request: it must be an integer of at least 1 (GiB)."
        )
    group = groups.get(tx, who, wanted.group_id) if wanted.group_id else None
    kind = _type(tx, who, wanted, origin, tunables)
    if group:
        _must_suit(who, group, wanted, kind)
    require_room(origin, size, encrypts=bool(kind.encryption and origin.key_id is None))
    if kind.encryption or origin.key_id:
        volume_types.refuse_encrypted_for_many(kind)
    volume_types.refuse_size(kind, size)
    asked_zone = (group and group.availability_zone) or wanted.availability_zone or _zone_of(tx, origin)
    zones = volume_types.zones_for(kind, asked_zone, tunables.availability_zone)
    if not asked_zone and zones != [tunables.availability_zone]:
        zones = _that_are_there(tx, zones)
    if wanted.availability_zone and not pools.has_zone(tx, wanted.availability_zone):
        raise Invalid(f"Invalid input received: Availability zone '{wanted.availability_zone}' is invalid.")
    return Plan(origin, size, kind, zones)


def accept(
    tx: Transaction,
    who: Scope,
    wanted: Wanted,
    tunables: Tunables,
    parent: Operation[Any] | None = None,
    *,
    origin: Origin | None = None,
    verb: "Verb[CreateParams] | None" = None,
) -> Volume:
    """Answer the request: the volume in ``creating``, or the reason why not.

    What another verb begins it with is ``origin``. Raises ``Invalid``, ``InvalidState``, ``NotFound`` or
    ``OverQuota``.
    """
    planned = plan(tx, who, wanted, tunables, origin)
    origin, size, kind = planned.origin, planned.size, planned.kind
    limits = quotas.limits(tx, who.project, tunables.quotas)
    quotas.refuse_larger(limits, size)
    quotas.take(tx, who.project, limits, quotas.amounts_of("volumes", 1, size, kind.name))
    key_id = _key(tx, kind, origin)
    volume = Volume(
        id=VolumeId(new_id()),
        project_id=who.project,
        user_id=who.user_id,
        name=wanted.name,
        description=wanted.description,
        size=size,
        status=V.CREATING,
        type_id=kind.id,
        availability_zone=planned.zones[0],
        pool=None,
        snapshot_id=SnapshotId(wanted.snapshot_id) if wanted.snapshot_id else None,
        source_volid=VolumeId(wanted.source_volid) if wanted.source_volid else None,
        bootable=origin.bootable,
        multiattach=volume_types.is_multiattach(kind),
        read_only=False,
        metadata=dict(wanted.metadata),
        image_metadata=origin.image_metadata,
        encryption_key_id=key_id,
        operation_id=new_id(),
        created_at=now(),
        updated_at=None,
        group_id=wanted.group_id,
    )
    volumes.insert(tx, volume)
    params = planned.params(volume.id, wanted)
    if key_id and kind.encryption and origin.key_id is None:
        params = replace(params, key_id=key_id, key_size=kind.encryption["key_size"])
    enqueue(tx, verb or CREATE, params, subject=volume.id, who=who, parent=parent, id=volume.operation_id)
    return volume


def _must_suit(who: Scope, group: Group, wanted: Wanted, kind: VolumeType) -> None:
    """Raise ``Invalid`` or ``InvalidState`` where a group cannot have such a volume, or not now."""
    if group.project_id != who.project_id:
        raise Invalid(
            "Invalid input received: A volume and the group that it is in belong to the same project."
        )
    if group.status not in (GroupStatus.AVAILABLE, GroupStatus.CREATING):
        raise InvalidState(
            "Invalid Group: Originating group status must be one of 'available, creating' values"
        )
    if not wanted.volume_type:
        raise Invalid("Invalid input received: volume_type must be provided when creating a volume in a group.")
    if kind.id not in group.volume_types:
        raise Invalid(
            f"Invalid input received: Invalid volume_type provided: {kind.name} (requested type must be "
            "supported by this group)."
        )


def _type(tx: Transaction, who: Scope, wanted: Wanted, origin: Origin, tunables: Tunables) -> VolumeType:
    """The type asked for, else the origin's, else the default. Raises ``Invalid`` for one that nobody named."""
    try:
        return volume_types.for_new_volume(tx, who, wanted.volume_type or origin.type_id, tunables)
    except NotFound:
        if wanted.volume_type:
            raise
        whose = f"The {origin.kind}'s" if origin.type_id else "The default"
        raise Invalid(
            f"Invalid input received: {whose} volume type is not one of this project's: name another."
        ) from None


def require_room(origin: Origin, size: int, *, encrypts: bool) -> None:
    """Raise ``Invalid`` where the bytes will not fit into ``size`` GiB, as their row tells already.

    ``encrypts``: a header of LUKS shall lie before them.
    """
    if size < origin.least:
        raise Invalid(
            f"Invalid input received: Volume size {size} GiB cannot be smaller than the {origin.kind}'s "
            f"{origin.least} GiB."
        )
    header = luks.HEADER_BYTES if encrypts else 0
    needed = origin.virtual_size + header
    if origin.virtual_size and needed > size * GIB:
        beside = f" beside the {header} bytes of an encrypted volume's header" if header else ""
        raise Invalid(
            f"Invalid input received: The image's virtual size, {origin.virtual_size} bytes, does not fit into "
            f"a volume of {size} GiB{beside}: it needs {gib_to_hold(needed)} GiB."
        )


def _key(tx: Transaction, kind: VolumeType, origin: Origin) -> str | None:
    """The new volume's key: its own, or what opens a copy's bytes. Raises ``Invalid``."""
    if origin.key_id is None and not (kind.encryption and origin.is_copied):
        if kind.encryption is None:
            return None
        encrypted.require_possible(kind.encryption)
        return keys.make(tx)
    if origin.key_id is None or not kind.encryption:
        raise Invalid(
            f"Invalid input received: Volume type {kind.name} does not fit: a copy is encrypted exactly if its "
            f"{origin.kind} is. Match the {origin.kind}'s type, or omit it."
        )
    return keys.copy(tx, origin.key_id)


def from_image(tx: Transaction, who: Scope, image_id: str) -> Origin:
    """The image's bytes as what a volume begins with. Raises ``NotFound`` or ``Invalid``."""
    image = image_for_volume(tx, who, image_id)
    refuse_signed(image)
    return Origin(
        "image",
        image.id,
        least=max(image.min_disk, gib_to_hold(image.size), 1),
        type_id=image.properties.get("cinder_img_volume_type"),
        bootable=True,
        image_metadata=image.metadata(),
        virtual_size=image.virtual_size,
    )


def _origin(tx: Transaction, who: Scope, wanted: Wanted) -> Origin:
    given = [source for source in (wanted.image_id, wanted.snapshot_id, wanted.source_volid) if source]
    if len(given) > 1:
        raise Invalid("May specify only one of imageRef, snapshot_id and source_volid.")
    if wanted.image_id:
        return from_image(tx, who, wanted.image_id)
    if wanted.snapshot_id:
        snapshot = snapshots.get(tx, who, wanted.snapshot_id)
        if snapshot.status != SnapshotStatus.AVAILABLE:
            raise InvalidState(
                f"Invalid snapshot: Originating snapshot status must be one of 'available' values, "
                f"but it is {snapshot.status}."
            )
        moment = snapshots.of_its_moment(tx, snapshot)
        return Origin(
            "snapshot",
            snapshot.id,
            snapshot.pool,
            snapshot.size,
            snapshot.type_id,
            bool(moment.bootable),
            moment.image_metadata,
            moment.encryption_key_id,
        )
    if wanted.source_volid:
        source = volumes.get(tx, who, wanted.source_volid)
        if source.status not in (V.AVAILABLE, V.IN_USE):
            raise InvalidState(
                "Invalid volume: Source volume status must be 'available' or 'in-use', "
                f"but it is {source.status}."
            )
        assert source.pool is not None
        return Origin(
            "volume",
            source.id,
            source.pool,
            source.size,
            source.type_id,
            source.bootable,
            source.image_metadata,
            source.encryption_key_id,
        )
    return Origin("blank")


def _that_are_there(tx: Transaction, zones: Sequence[str]) -> list[str]:
    """A type's availability zones that have pools. Raises ``Invalid`` where none has."""
    if found := [zone for zone in zones if pools.has_zone(tx, zone)]:
        return found
    told = " or ".join(zones)
    raise Invalid(f"Volume type is only supported in the availability zones {told}, where no pool is.")


def _zone_of(tx: Transaction, origin: Origin) -> str | None:
    """The availability zone of what is copied."""
    pool = pools.find(tx, origin.pool) if origin.pool else None
    return pool.availability_zone if pool else None


def _host_of_server(tx: Transaction, project_id: str | None, server_id: str | None) -> str | None:
    """The host of the tenant's server; empty when there is none, or it has no host."""
    if server_id is None:
        return None
    server = servers.find(tx, server_id)
    return server.host or "" if server and server.project_id == project_id else ""


def _hosts_of_its_server(
    tx: Transaction, op: Operation[CreateParams], tunables: Tunables
) -> frozenset[str] | None:
    """The hosts that may run the server that the volume is made for: one, if that one alone reaches another.

    None where it is made for no server.
    """
    server = servers.booting_from(tx, op.params.volume_id) if op.parent_id else None
    if server is None:
        return None
    up = servers.hosts_up(tx, server.availability_zone, tunables.service_down_seconds)
    others = [it.volume_id for it in servers.disks(tx, server.id) if it.volume_id not in (None, op.subject)]
    bound = pools.reached_from(tx, others)
    return up & bound if bound else up


def _hosts_of(tx: Transaction, project_id: str | None, ids: Sequence[str]) -> frozenset[str]:
    """The backends of those of the volumes that are the tenant's and have a place."""
    found = (volumes.find(tx, each) for each in ids)
    return frozenset(host_of(it.pool) for it in found if it and it.pool and it.project_id == project_id)


def claim_space(tx: Transaction, op: Operation[CreateParams], tunables: Tunables) -> None:
    """Choose a pool and claim the volume's space in it. Raises ``NoValidBackend``.

    What can be made at one host alone waits for it, as all that is done there does, until a pool has failed.
    """
    asked = op.params
    request = replace(
        request_for(tx, asked, op.project_id),
        left_out=frozenset(op.notes.get("left_out", ())),
        reached_from=_hosts_of_its_server(tx, op, tunables),
    )
    op.notes.pop(bases.BASE, None)
    op.notes.pop(bases.MAKERS, None)
    pool = _choose_or_make_room(tx, op, request, tunables)
    if begins_with_image(op):
        bases.take(tx, op, pool, asked.size, asked.origin_id or "", tunables)
    pools.claim(tx, pool.name, asked.volume_id, asked.size)
    volumes.place(tx, asked.volume_id, pool.name)
    if asked.zones:
        volumes.change(tx, asked.volume_id, availability_zone=pool.availability_zone)
    op.notes["pool"] = pool.name


def begins_with_image(op: Operation[CreateParams]) -> bool:
    """Whether the bytes are an image's, as they are: what is encrypted has them by no other's key."""
    return op.params.origin == "image" and op.params.key_id is None


def _choose_or_make_room(
    tx: Transaction, op: Operation[CreateParams], request: Request, tunables: Tunables
) -> Pool:
    """A pool; if none has room, one from which bases of images go for it. Raises ``NoValidBackend``."""
    try:
        return choose_pool(tx, request, tunables)
    except NoValidBackend:
        alive = pools.alive(tx, tunables.service_down_seconds)
        found = evict.for_room(tx, op, alive, request, tunables)
        if found is None:
            raise
        pool, op.notes[bases.MAKERS] = found
        return pool


def request_for(tx: Transaction, asked: CreateParams, project_id: str | None) -> Request:
    """What a pool is chosen for. Raises ``NoValidBackend`` or ``Retryable``."""
    kind = volume_types.get(tx, asked.type_id)
    return Request(
        size=asked.size,
        availability_zone=asked.availability_zone,
        extra_specs=kind.extra_specs if kind else {},
        only_host=_only_host(tx, asked),
        near=_hosts_of(tx, project_id, asked.near),
        apart=_hosts_of(tx, project_id, asked.apart),
        zones=frozenset(asked.zones),
        beside=_host_of_server(tx, project_id, asked.beside),
        query=asked.query,
    )


def _only_host(tx: Transaction, asked: CreateParams) -> str | None:
    """The backend of the bytes to begin with, and of the group. Raises ``NoValidBackend`` or ``Retryable``."""
    host = host_of(asked.origin_pool) if asked.origin_pool else None
    if asked.group_id is None:
        return host
    group = groups.find(tx, asked.group_id)
    if group and group.host is None and group.status == GroupStatus.CREATING:
        raise Retryable(f"Group {group.id} is being created.")
    if group is None or group.host is None or host not in (None, group.host):
        raise NoValidBackend("No valid backend was found: the volume cannot be where its group is.")
    return group.host


def choose_pool(tx: Transaction, request: Request, tunables: Tunables) -> Pool:
    """The pool for a request. Only if none of the roomiest will do are all of them read.

    Raises ``NoValidBackend``.
    """
    if by_free_space_alone(tunables):
        one_zone = "AvailabilityZoneFilter" in tunables.filters and not request.zones
        zone = request.availability_zone if one_zone else None
        few = pools.roomiest(tx, tunables.service_down_seconds, zone=zone, host=request.only_host)
        if pool := choose_among_the_roomiest(few, request, tunables):
            return pool
    awaited = None if request.left_out else request.only_host
    alive = pools.alive(tx, tunables.service_down_seconds, awaited)
    if not alive:
        why = services.why_not(tx, services.VOLUME_BINARY, tunables.service_down_seconds)
        raise NoValidBackend("No valid backend was found: every volume service is down or disabled.", why)
    return choose(alive, request, tunables)


def give_space_back(tx: Transaction, op: Operation[CreateParams], tunables: Tunables) -> None:
    """The pool is free of the volume again; if another is to be tried, this one is left out."""
    if pool := op.notes.pop("pool", None):
        pools.give_back(tx, pool, op.params.volume_id)
        volumes.place(tx, op.params.volume_id, None)
        tombstones.bury_one(tx, tombstones.Kind.VOLUME, op.params.volume_id, pool)
        op.notes["left_out"] = [*op.notes.get("left_out", ()), pool]


async def make_bytes(op: Operation[CreateParams], drivers: Drivers) -> None:
    """Have the backend make the volume, with the bytes it begins with."""
    asked, pool = op.params, pool_of(op.notes["pool"])
    backend = drivers.backend_of(op.notes["pool"])
    volume = asked.volume_id

    if asked.key_id is not None:
        key = await encrypted.key_of(drivers.db, asked.key_id, asked.key_size)
        async with inspected(drivers, asked.origin_id) if asked.origin_id else nullcontext() as image:
            await encrypted.make(backend, volume, pool, asked.size, key, image, op.note_progress)
        return
    match asked.origin, asked.origin_id, asked.origin_pool:
        case "image", str(image_id), _:
            if not await bases.clone(op, drivers, volume, asked.size):
                where = op.notes["pool"]
                await make_volume(drivers, volume, where, asked.size, image_id, op.note_progress)
        case "snapshot", str(snapshot_id), str(source_pool):
            source = SnapshotId(snapshot_id)
            await backend.create_from_snapshot(
                volume, pool, asked.size, source, pool_of(source_pool), op.note_progress
            )
        case "volume", str(volume_id), str(source_pool):
            origin = VolumeId(volume_id)
            await backend.create_from_volume(
                volume, pool, asked.size, origin, pool_of(source_pool), op.note_progress
            )
        case _:
            await backend.create(volume, pool, asked.size)
            return
    await flatten.note_depth(op, backend, volume, pool)


async def delete_bytes(op: Operation[CreateParams], drivers: Drivers) -> None:
    """Delete whatever of the volume was made."""
    pool = op.notes["pool"]
    await drivers.backend_of(pool).delete(op.params.volume_id, pool_of(pool))


def publish(tx: Transaction, op: Operation[CreateParams], tunables: Tunables) -> None:
    """The volume is ready."""
    end = {"end_unseen": True} if op.params.origin == "blank" else {}
    volumes.move(
        tx, op.params.volume_id, {V.CREATING}, V.AVAILABLE, must="be creating", operation_id=None, **end
    )
    flatten.begin_if_deep(tx, op, op.params.volume_id, op.notes["pool"])


def _source(asked: CreateParams) -> tuple[Hold, ...]:
    """The volume or the snapshot that is copied, if there is one."""
    if asked.origin not in list(Thing) or asked.origin_id is None:
        return ()
    return (read(Thing(asked.origin), asked.origin_id),)


def of_its_group(asked: CreateParams) -> tuple[Hold, ...]:
    """The group that the volume is to be in."""
    return (use(Thing.GROUP, asked.group_id),) if asked.group_id else ()


def explain(tx: Transaction, op: Operation[CreateParams], error: str) -> None:
    """The volume is in ``error``, and its owner can read why."""
    reason = op.notes.get("last_error")
    text = f"{reason} {error}" if reason and reason != error else error
    volumes.reset(tx, op.params.volume_id, V.ERROR, op.id)
    assert op.project_id is not None
    event = Event.COPY_IMAGE if op.params.origin == "image" else Event.CREATE_VOLUME
    messages.tell(tx, op.project_id, event, op.params.volume_id, text, op.request_id)


CREATE = Verb(
    kind="volume.create",
    params=CreateParams,
    version=4,
    holds=lambda op: (
        make(Thing.VOLUME, op.params.volume_id),
        *_source(op.params),
        *of_its_group(op.params),
        *bases.held(op),
    ),
    steps=(
        Step(claim_space, undo=give_space_back, at=scheduler, chooses=True),
        Wait(bases.MAKERS, at=scheduler, whatever=True, when=lambda op: op.params.origin == "image"),
        Step(make_bytes, undo=delete_bytes, at=on_backend, timeout=encrypted.SECONDS, tries=3, long=True),
        Step(publish, at=on_backend),
    ),
    failed=explain,
    locks=lambda tx, op: volumes.lock(tx, op.params.volume_id),
    deadline=2 * 3600,
)
