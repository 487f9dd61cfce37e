"""Manage a disk that is in a pool already: make it a volume, with the bytes it has.

1. ``accept``: the type, quota for one volume, the row in ``managing``
2. ``adopt_bytes``: the backend makes them the volume's, and learns their size
3. ``count_bytes``: the size is written down, taken from the quota and claimed in the pool
4. ``publish``: ``available``

If it fails the disk has its old name again, and the volume is in ``error_managing`` without any bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pumice.catalog import volume_types
from pumice.model.errors import Invalid, NotFound
from pumice.model.ids import VolumeId, new_id
from pumice.model.scope import Scope
from pumice.model.states import VolumeStatus
from pumice.model.stored import StoredObject
from pumice.model.tunables import Tunables
from pumice.model.volume import Volume, pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Thing, make
from pumice.operations.operation import Operation, Step, Verb, enqueue, on_backend
from pumice.store import messages, pools, quotas, volumes
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.messages import Event

V = VolumeStatus


@dataclass(frozen=True, slots=True)
class Existing:
    """What is to be managed: the disk ``name`` in the pool ``host@backend#pool``."""

    pool: str
    name: str
    display_name: str | None = None
    description: str | None = None
    volume_type: str | None = None
    availability_zone: str | None = None
    bootable: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ManageParams:
    """The parameters of the operation."""

    volume_id: VolumeId
    pool: str
    name: str
    type_name: str


def accept(tx: Transaction, who: Scope, asked: Existing, tunables: Tunables) -> Volume:
    """Answer the request: the volume in ``managing``.

    Raises ``Invalid`` or ``OverQuota``.
    """
    pool = pool_named(tx, asked.pool)
    try:
        kind = volume_types.for_new_volume(tx, who, asked.volume_type, tunables)
    except NotFound:
        raise Invalid(f"Cannot find requested '{asked.volume_type}' volume type.") from None
    if kind.encryption:
        raise Invalid("Managing to an encrypted volume type is not supported.")
    limits = quotas.limits(tx, who.project, tunables.quotas)
    quotas.take(tx, who.project, limits, quotas.amounts_of("volumes", 1, 0, kind.name))
    volume = Volume(
        id=VolumeId(new_id()),
        project_id=who.project,
        user_id=who.user_id,
        name=asked.display_name,
        description=asked.description,
        size=0,
        status=V.MANAGING,
        type_id=kind.id,
        availability_zone=asked.availability_zone or tunables.availability_zone,
        pool=None,
        snapshot_id=None,
        source_volid=None,
        bootable=asked.bootable,
        multiattach=volume_types.is_multiattach(kind),
        read_only=False,
        metadata=dict(asked.metadata),
        image_metadata=None,
        encryption_key_id=None,
        operation_id=new_id(),
        created_at=now(),
        updated_at=None,
    )
    volumes.insert(tx, volume)
    params = ManageParams(volume.id, pool, asked.name, kind.name)
    enqueue(tx, MANAGE, params, subject=volume.id, who=who, id=volume.operation_id)
    return volume


def pool_named(tx: Transaction, name: str) -> str:
    """The pool that ``host@backend#pool`` names; where the backend has only one, ``host@backend`` will do.

    Raises ``Invalid`` when there is none.
    """
    found = [pool.name for pool in pools.every(tx) if name in (pool.name, pool.host)]
    if len(found) != 1:
        raise Invalid(f"Host '{name}' not found. 'openstack volume backend pool list' names the pools.")
    return found[0]


async def adopt_bytes(op: Operation[ManageParams], drivers: Drivers) -> None:
    """Have the backend make the bytes the volume's."""
    asked = op.params
    backend = drivers.backend_of(asked.pool)
    op.notes["size"] = await backend.adopt(_piece(op), asked.name)


async def release_bytes(op: Operation[ManageParams], drivers: Drivers) -> None:
    """Give the bytes their old name again."""
    asked = op.params
    backend = drivers.backend_of(asked.pool)
    await backend.put_aside(_piece(op), asked.name)


def _piece(op: Operation[ManageParams]) -> StoredObject:
    return StoredObject("volume", op.params.volume_id, pool_of(op.params.pool))


def count_bytes(tx: Transaction, op: Operation[ManageParams], tunables: Tunables) -> None:
    """Write down their size. Raises ``OverQuota``."""
    asked, size = op.params, op.notes["size"]
    assert op.project_id is not None
    limits = quotas.limits(tx, op.project_id, tunables.quotas)
    quotas.take(tx, op.project_id, limits, _gigabytes(op))
    pools.claim(tx, asked.pool, asked.volume_id, size)
    volumes.place(tx, asked.volume_id, asked.pool)
    volumes.change(tx, asked.volume_id, size=size)
    op.notes["counted"] = True


def discount_bytes(tx: Transaction, op: Operation[ManageParams], tunables: Tunables) -> None:
    """The volume has no bytes any more. One that was deleted meanwhile was discounted by that."""
    if op.notes.pop("counted", False) and volumes.find(tx, op.params.volume_id):
        assert op.project_id is not None
        quotas.give_back(tx, op.project_id, _gigabytes(op))
        pools.give_back(tx, op.params.pool, op.params.volume_id)
        volumes.place(tx, op.params.volume_id, None)
        volumes.change(tx, op.params.volume_id, size=0)


def _gigabytes(op: Operation[ManageParams]) -> dict[str, int]:
    amounts = quotas.amounts_of("volumes", 0, op.notes["size"], op.params.type_name)
    return {resource: amount for resource, amount in amounts.items() if amount}


def publish(tx: Transaction, op: Operation[ManageParams], tunables: Tunables) -> None:
    """The volume is ready."""
    volumes.move(tx, op.params.volume_id, {V.MANAGING}, V.AVAILABLE, must="be managing", operation_id=None)


def explain(tx: Transaction, op: Operation[ManageParams], error: str) -> None:
    """The volume is in ``error_managing``, and its owner can read why."""
    volumes.reset(tx, op.params.volume_id, V.ERROR_MANAGING, op.id)
    if op.project_id:
        messages.tell(tx, op.project_id, Event.MANAGE_VOLUME, op.params.volume_id, error, op.request_id)


MANAGE = Verb(
    kind="volume.manage",
    params=ManageParams,
    holds=lambda op: (make(Thing.VOLUME, op.params.volume_id),),
    steps=(
        Step(adopt_bytes, undo=release_bytes, at=on_backend),
        Step(count_bytes, undo=discount_bytes, at=on_backend),
        Step(publish, at=on_backend),
    ),
    failed=explain,
    deadline=600,
)
