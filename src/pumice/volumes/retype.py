"""Give a volume another type. Where it lies, if that fits: its bytes stay, so all of it is one transaction.

The quota of its project moves from one type to the other. A type that the volume's pool does not fit takes
moving it (``migrate.py``), if that may be; one that is encrypted otherwise takes writing its bytes anew, on the
way there or in its pool (``recrypt.py``), if that may be and nobody uses it. For what a guest would have to be
told of a volume must not be in use (the rules of Cinder's ``os-retype``).
"""

from pumice.catalog import volume_types
from pumice.model import qos
from pumice.model.errors import Invalid, InvalidState, NotFound
from pumice.model.scope import Scope
from pumice.model.states import VolumeStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import Volume, VolumeType
from pumice.operations.at_once import AtOnce, record
from pumice.operations.holds import Thing, change, require
from pumice.scheduler.filters import capabilities
from pumice.scheduler.request import Request
from pumice.store import pools, qos_specs, quotas, types, volumes
from pumice.store.database import Transaction
from pumice.store.serialize import serialized
from pumice.volumes import encrypted, migrate, recrypt
from pumice.volumes.encrypted import Keys
from pumice.volumes.grouped import refuse_in_group

V = VolumeStatus


@serialized(quotas.turn)
def retype(
    tx: Transaction, who: Scope, volume_id: str, name_or_id: str, tunables: Tunables, *, may_move: bool = False
) -> bool:
    """Change the type, or with ``may_move`` begin to, where the volume has to be elsewhere for that.

    Whether it may be attached more than once from then on, and could not be before.
    Raises ``NotFound``, ``Invalid``, ``InvalidState`` or ``OverQuota``.
    """
    volume = volumes.get(tx, who, volume_id)
    try:
        kind = volume_types.for_new_volume(tx, who, name_or_id, tunables)
    except NotFound:
        raise Invalid(f"Invalid input received: Invalid volume_type passed: {name_or_id}.") from None
    if volume.status not in (V.AVAILABLE, V.IN_USE):
        raise InvalidState(
            f"Invalid volume: Retype needs volume {volume.id} to be available or in-use, and it is "
            f"{volume.status}."
        )
    refuse_in_group(volume, "be available or in-use and must not belong to a group")
    require(tx, change(Thing.VOLUME, volume.id))
    before = types.get(tx, volume.type_id) if volume.type_id else None
    if before and before.id == kind.id:
        raise InvalidState(f"Invalid volume: volume {volume.id} has the type {kind.name} already.")
    volume_types.refuse_size(kind, volume.size)
    fits = _fits(tx, volume, kind, may_move=may_move)
    opened_by = _how_to_rewrite(tx, volume, before, kind, may_move=may_move)
    if volume.status == V.IN_USE:
        _must_not_concern_a_guest(tx, volume, before, kind)
    quotas.take(
        tx, volume.project_id, quotas.limits(tx, volume.project_id, tunables.quotas), _amounts(volume, kind)
    )
    for_many = volume_types.is_multiattach(kind)
    if not fits:
        migrate.accept_for_type(tx, who, volume, kind, opened_by)
        return for_many and not volume.multiattach
    if opened_by:
        recrypt.accept(tx, who, volume, kind, opened_by)
        return for_many and not volume.multiattach
    if before:
        quotas.give_back(tx, volume.project_id, _amounts(volume, before))
    volumes.change(tx, volume.id, type_id=kind.id, multiattach=for_many)
    record(tx, AtOnce.VOLUME_RETYPE, volume, who)
    return for_many and not volume.multiattach


def _amounts(volume: Volume, kind: VolumeType) -> dict[str, int]:
    return quotas.amounts_of_type("volumes", 1, volume.size, kind.name)


def _fits(tx: Transaction, volume: Volume, kind: VolumeType, *, may_move: bool) -> bool:
    """Whether the pool is one that a new volume of the type could come to, but for room, which it has.

    Raises ``Invalid`` where it is not, and the volume may not be moved.
    """
    pool = pools.find(tx, volume.pool) if volume.pool else None
    if pool is None:
        raise InvalidState(f"Invalid volume: the pool of volume {volume.id} is not known at the moment.")
    in_zone = volume.availability_zone in volume_types.zones_for(kind, None, volume.availability_zone)
    if in_zone and capabilities(pool, Request(volume.size, volume.availability_zone, kind.extra_specs)):
        return True
    if not may_move:
        raise Invalid(
            f"Invalid input received: volume type {kind.name} asks for what the volume's pool cannot: with the "
            "migration policy 'on-demand' it is moved to one that can."
        )
    return False


def _how_to_rewrite(
    tx: Transaction, volume: Volume, before: VolumeType | None, kind: VolumeType, *, may_move: bool
) -> Keys | None:
    """The keys of bytes that have to be written anew, because the type is encrypted otherwise; else None.

    Raises ``Invalid`` or ``InvalidState`` where that cannot be.
    """
    if kind.encryption:
        volume_types.refuse_encrypted_for_many(kind)
    if encrypted.opens_alike(volume, before, kind):
        return None
    if not may_move:
        raise Invalid(
            f"Invalid input received: volume type {kind.name} is encrypted otherwise: with the migration "
            "policy 'on-demand' the volume's bytes are written anew."
        )
    if volume.status != V.AVAILABLE:
        raise InvalidState(
            f"Invalid volume: volume {volume.id} is {volume.status}, and its bytes cannot be encrypted "
            "otherwise under a guest: detach it first."
        )
    if volumes.has_snapshots(tx, volume.id):
        raise InvalidState(
            f"Invalid volume: Volume {volume.id} has snapshots, perhaps in the recycle bin, which are "
            f"encrypted as it is, and type {kind.name} is not."
        )
    if kind.encryption and not volume.encryption_key_id and not volumes.is_end_unseen(tx, volume.id):
        raise InvalidState(
            f"Invalid volume: the header of an encrypted volume takes 2 MiB of its {volume.size} GiB, and "
            f"guests may have used all of volume {volume.id}: extend it by 1 GiB while nobody uses it, then "
            "retype it."
        )
    return encrypted.keys_of_new_bytes(tx, volume, before, kind)


def _must_not_concern_a_guest(
    tx: Transaction, volume: Volume, before: VolumeType | None, kind: VolumeType
) -> None:
    if volume.multiattach != volume_types.is_multiattach(kind):
        raise Invalid(
            "Invalid input received: retypes affecting multiattach are only allowed on available volumes; "
            f"volume {volume.id} is {volume.status}."
        )
    if _front_end(tx, before) != _front_end(tx, kind):
        raise InvalidState(
            "Invalid volume: for in-use volumes front-end qos specs cannot change: detach volume "
            f"{volume.id} first."
        )


def _front_end(tx: Transaction, kind: VolumeType | None) -> qos.QosSpecs | None:
    """The QoS specs of a type that a hypervisor keeps to."""
    specs = qos_specs.get(tx, kind.qos_specs_id) if kind and kind.qos_specs_id else None
    return specs if specs and specs.consumer in qos.FRONT_END else None
