"""Hand a volume to another project: one offers it, and whoever is told the key takes it.

    offer -> awaiting-transfer -> withdraw -> available, as before
                               -> take     -> available, of the taker's project

No bytes move, so each verb is one transaction: the volume, its snapshots and both quotas change together or not
at all. The key is told once, to whom offers; what is kept is its digest.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import replace

from pumice.catalog import volume_types
from pumice.model.errors import Forbidden, Invalid, InvalidState
from pumice.model.ids import new_id
from pumice.model.scope import Scope
from pumice.model.states import SnapshotStatus, VolumeStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import Snapshot, Transfer, Volume
from pumice.operations.at_once import AtOnce, record
from pumice.operations.holds import Thing, require, use
from pumice.store import attachments, quotas, snapshots, transfers, volumes
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.volumes.grouped import refuse_in_group, refuse_in_group_snapshot

V = VolumeStatus


def offer(
    tx: Transaction, who: Scope, volume_id: str, name: str | None, *, no_snapshots: bool
) -> tuple[Transfer, str]:
    """Offer a volume. Returns the offer and its key. Raises ``NotFound`` or ``InvalidState``."""
    volume = volumes.get(tx, who, volume_id)
    refuse_in_group(volume, "be available and must not belong to a group")
    for snapshot in () if no_snapshots else snapshots.of_volume(tx, volume_id):
        refuse_in_group_snapshot(snapshot)
        if snapshot.status != SnapshotStatus.AVAILABLE:
            raise InvalidState(f"Invalid snapshot: snapshot: {snapshot.id} status must be available")
    _refuse_recycled_snapshots(tx, volume_id)
    if attachments.of_volume(tx, volume_id):
        raise InvalidState(f"Invalid volume: Volume {volume_id} is attached: detach it first.")
    volumes.move(tx, volume_id, {V.AVAILABLE}, V.AWAITING_TRANSFER, must="be available")
    require(tx, use(Thing.VOLUME, volume_id))
    key = secrets.token_hex(8)
    transfer = Transfer(new_id(), volume.id, volume.project_id, name, _digest(key), no_snapshots, now())
    transfers.insert(tx, transfer)
    record(tx, AtOnce.TRANSFER_CREATE, volume, who)
    return transfer, key


def withdraw(tx: Transaction, who: Scope, transfer_id: str) -> None:
    """Take an offer back. Raises ``NotFound``."""
    transfer = transfers.get(tx, who, transfer_id)
    volume = volumes.find(tx, transfer.volume_id)
    if volume is not None and volume.status == V.AWAITING_TRANSFER:
        volumes.move(tx, volume.id, {V.AWAITING_TRANSFER}, V.AVAILABLE, must="be awaiting a transfer")
    transfers.delete(tx, transfer_id)
    if volume is not None:
        record(tx, AtOnce.TRANSFER_DELETE, volume, who)


def take(tx: Transaction, who: Scope, transfer_id: str, key: str, tunables: Tunables) -> Transfer:
    """Make an offered volume the caller's project's. Raises ``NotFound``, ``Invalid`` or ``OverQuota``."""
    transfer = transfers.find(tx, transfer_id)
    if who.project_id is None:
        raise Forbidden("A volume is a project's: a token scoped to one is needed.")
    if not hmac.compare_digest(_digest(key), transfer.digest):
        transfers.get(tx, who, transfer_id)  # who cannot see the offer is not told that there is one
        raise Invalid(f"Invalid auth key: Attempt to transfer {transfer_id} with invalid auth key.")
    volume = volumes.find(tx, transfer.volume_id)
    assert volume is not None, "an offer goes with its volume"
    limits = quotas.limits(tx, who.project_id, tunables.quotas)
    quotas.refuse_larger(limits, volume.size)
    _refuse_recycled_snapshots(tx, volume.id)
    given = () if transfer.no_snapshots else snapshots.of_volume(tx, volume.id)
    volumes.move(tx, volume.id, {V.AWAITING_TRANSFER}, V.AVAILABLE, must="be awaiting-transfer")
    volumes.change(tx, volume.id, project_id=who.project_id, user_id=who.user_id)
    _move_quota(tx, "volumes", volume, who.project_id, limits)
    for snapshot in given:
        _move_quota(tx, "snapshots", snapshot, who.project_id, limits)
        snapshots.change(tx, snapshot.id, project_id=who.project_id, user_id=who.user_id)
    transfers.delete(tx, transfer_id)
    record(tx, AtOnce.TRANSFER_TAKEN, volume, who)
    record(tx, AtOnce.TRANSFER_ACCEPT, replace(volume, project_id=who.project_id), who)
    return transfer


def _move_quota(
    tx: Transaction, things: str, thing: Volume | Snapshot, taker: str, limits: Mapping[str, int]
) -> None:
    """Count a volume or a snapshot against the taker's quota, not its project's any more."""
    kind = volume_types.get(tx, thing.type_id) if thing.type_id else None
    amounts = quotas.amounts_of(things, 1, thing.size, kind.name if kind else None)
    quotas.give_back(tx, thing.project_id, amounts)
    quotas.take(tx, taker, limits, amounts)


def _refuse_recycled_snapshots(tx: Transaction, volume_id: str) -> None:
    """Raises ``InvalidState``: what a project has deleted is not for another to have back, or to wait for."""
    if len(snapshots.of_volume(tx, volume_id, in_bin=True)) > len(snapshots.of_volume(tx, volume_id)):
        raise InvalidState(
            f"Invalid volume: Volume {volume_id} has snapshots in the recycle bin: they have to be "
            "restored, or deleted for good, first."
        )


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
