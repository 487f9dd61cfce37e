"""The six older actions of attaching and detaching, by which clients without the attachments API do it.

::

    available --reserve--> attaching --attach--> in-use --begin_detaching--> detaching --detach--> available
        ^                      |                   ^                             |
        `------unreserve-------'                   `-------roll_detaching--------'

In between, ``initialize`` lets an initiator in and ``terminate`` shuts it out. Neither moves the volume: the
first leaves an attachment that nobody has completed yet (``attaching``, without a server), which ``attach``
completes. Of two ``attach`` at once one wins, because it moves the volume in the same transaction.
"""

from collections.abc import Sequence
from typing import Any

from pumice.attachments import connect, renew
from pumice.attachments.release import (
    is_used,
    refuse_if_any_is_a_servers,
    refuse_if_server_uses,
    refuse_unknown,
    release,
    the_only_one,
)
from pumice.attachments.reserve import link, take_volume
from pumice.model.connector import Connector
from pumice.model.errors import Invalid, InvalidState, NotFound
from pumice.model.scope import Scope
from pumice.model.states import AttachStatus, VolumeStatus
from pumice.model.volume import Attachment, Volume
from pumice.operations.at_once import AtOnce, record
from pumice.operations.holds import Thing, require, use
from pumice.store import attachments, volumes
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.serialize import row_by_row

A, V = AttachStatus, VolumeStatus

PENDING = frozenset({A.RESERVED, A.ATTACHING})
CONNECTABLE = frozenset({V.AVAILABLE, V.ATTACHING, V.IN_USE, V.DETACHING})


@row_by_row
def reserve(tx: Transaction, who: Scope, volume_id: str) -> None:
    """``os-reserve``: the volume is taken, by somebody who will attach it."""
    volume = take_volume(tx, who, volume_id, V.ATTACHING)
    if not volume.multiattach:
        attachments.refuse_another(tx, volume.id)
    record(tx, AtOnce.VOLUME_RESERVE, volume, who)


@row_by_row
def unreserve(tx: Transaction, who: Scope, volume_id: str) -> list[str]:
    """``os-unreserve``: it is not, after all, and who was let in for it is shut out.

    The operations to wait for. Nothing to do when it was not taken, or where a server may have it.
    """
    volumes.lock(tx, volume_id)
    volume = volumes.get(tx, who, volume_id)
    if volume.status not in (V.ATTACHING, V.RESERVED):
        return []
    pending = _pending(attachments.of_volume(tx, volume.id))
    begun = [release(tx, who, one) for one in pending if one.server_id is None or not is_used(tx, one)]
    _free_if_nobodys(tx, who, volume)
    return [operation for operation in begun if operation]


@row_by_row
def initialize(
    tx: Transaction, who: Scope, volume_id: str, connector: Connector
) -> tuple[Attachment, str | None]:
    """``os-initialize_connection``: let the connector's initiator in.

    The attachment, and the operation to wait for unless the same initiator is in already. Raises ``NotFound``,
    ``Invalid`` or ``InvalidState``: a volume that is not multiattach has one initiator at a time.
    """
    volumes.lock(tx, volume_id)
    volume = volumes.get(tx, who, volume_id)
    _refuse_in_maintenance(volume, "The volume connection cannot be initialized in maintenance mode.")
    if volume.status not in CONNECTABLE:
        raise InvalidState(
            f"Invalid volume: Volume status must be available, attaching, in-use or detaching to initialize a "
            f"connection, but it is {volume.status}."
        )
    found = attachments.of_volume(tx, volume.id)
    connected = [one for one in found if one.connector is not None]
    for one in connected:
        if connector.is_same_host(one.connector) and one.status != A.DETACHING:
            return one, renew.accept(tx, who, one, connector)
    if connected and not volume.multiattach:
        raise InvalidState(f"Invalid volume: Volume {volume.id} is connected to another initiator.")
    attached = [one for one in found if one.status == A.ATTACHED and one.connector is None]
    return connect.accept_unmoved(tx, who, volume, attached[0] if len(attached) == 1 else None, connector)


def attach(
    tx: Transaction,
    who: Scope,
    volume_id: str,
    *,
    server_id: str | None,
    host: str | None,
    device: str,
    mode: str,
) -> None:
    """``os-attach``: the volume is in use by a server or a host, from now on and by nobody else.

    Raises ``NotFound``, ``Invalid`` or ``InvalidState``.
    """
    volumes.lock(tx, volume_id)
    volume = volumes.get(tx, who, volume_id)
    _refuse_in_maintenance(volume, "The volume cannot be attached in maintenance mode.")
    if volume.read_only and mode != "ro":
        raise Invalid(f"Invalid attaching mode '{mode}' for volume {volume.id}.")
    pending = _pending(attachments.of_volume(tx, volume.id))
    mine = _mine(pending, server_id, host)
    if pending and mine is None and not volume.multiattach:
        raise InvalidState(f"Invalid volume: Volume {volume.id} is being attached to another server or host.")
    if mine:
        require(tx, use(Thing.ATTACHMENT, mine.id))
    if not (volume.multiattach and volume.status == V.IN_USE):
        must = "be available or attaching to attach"
        volumes.move(tx, volume.id, {V.AVAILABLE, V.ATTACHING}, V.IN_USE, must=must)
    volumes.change(tx, volume.id, read_only_told=True)
    columns: dict[str, Any] = {
        "server_id": server_id,
        "device": device,
        "mode": mode,
        "attached_at": now(),
    }
    if mine:
        columns["host"] = host or mine.host
        attachments.move(tx, mine.id, {A.ATTACHING}, A.ATTACHED, operation_id=None, **columns)
    else:
        link(tx, volume, host=host, status=A.ATTACHED, older=True, **columns)
    record(tx, AtOnce.VOLUME_ATTACH, volume, who)


@row_by_row
def begin_detaching(tx: Transaction, who: Scope, volume_id: str) -> None:
    """``os-begin_detaching``: nobody else may act on the volume until it is detached."""
    volumes.lock(tx, volume_id)
    volume = volumes.get(tx, who, volume_id)
    volumes.move(
        tx,
        volume.id,
        {V.IN_USE},
        V.DETACHING,
        must="be 'in-use' and attach_status must be 'attached' to detach",
    )
    record(tx, AtOnce.VOLUME_BEGIN_DETACHING, volume, who)


@row_by_row
def roll_detaching(tx: Transaction, who: Scope, volume_id: str) -> None:
    """``os-roll_detaching``: it stays attached. Nothing to do when nobody began to detach it."""
    volumes.lock(tx, volume_id)
    volume = volumes.get(tx, who, volume_id)
    if volume.status == V.DETACHING:
        attachments.let_volume_follow(tx, volume.id)
        record(tx, AtOnce.VOLUME_ROLL_DETACHING, volume, who)


@row_by_row
def terminate(tx: Transaction, who: Scope, volume_id: str, connector: Connector | None) -> list[str]:
    """``os-terminate_connection``: shut the connector's initiator out, or every one.

    The operations to wait for. What was never attached is gone with its connection, and the volume free.
    """
    volumes.lock(tx, volume_id)
    volume = volumes.get(tx, who, volume_id)
    found = attachments.of_volume(tx, volume.id)
    _refuse_if_server_uses_any(tx, who, found)
    if connector:
        found = [one for one in found if connector.is_same_host(one.connector)]
    begun = [release(tx, who, one, keep=one.attached_at is not None) for one in found if one.connector]
    if not begun:
        _free_if_nobodys(tx, who, volume)
    return [operation for operation in begun if operation]


@row_by_row
def detach(tx: Transaction, who: Scope, volume_id: str, attachment_id: str | None) -> str | None:
    """``os-detach``: the volume is free of an attachment. The operation to wait for, if there is one.

    Without an id it is the only attachment; one that a service does not know any more was detached already.
    """
    volumes.lock(tx, volume_id)
    volume = volumes.get(tx, who, volume_id)
    _refuse_in_maintenance(volume, "The volume cannot be detached in maintenance mode.")
    found = attachments.of_volume(tx, volume.id)
    if attachment_id is None:
        meant = the_only_one(who, found)
    elif not (meant := next((one for one in found if one.id == attachment_id), None)):
        _refuse_of_other_volume(tx, who, attachment_id)
        refuse_unknown(who)
    if meant is None:
        attachments.let_volume_follow(tx, volume.id)
        record(tx, AtOnce.VOLUME_DETACH, volume, who)
        return None
    return release(tx, who, meant)


@row_by_row
def force_detach(tx: Transaction, who: Scope, volume_id: str, attachment_id: str | None) -> str | None:
    """``os-force_detach``: as ``terminate`` and then ``detach``, each with what it refuses."""
    volumes.lock(tx, volume_id)
    _refuse_if_server_uses_any(tx, who, attachments.of_volume(tx, volume_id))
    return detach(tx, who, volume_id, attachment_id)


def _refuse_if_server_uses_any(tx: Transaction, who: Scope, found: Sequence[Attachment]) -> None:
    for one in found:
        refuse_if_server_uses(tx, who, one)
    refuse_if_any_is_a_servers(who, found)


def _free_if_nobodys(tx: Transaction, who: Scope, volume: Volume) -> None:
    """Free a volume that was taken, and that nobody is about to attach."""
    if volume.status in (V.ATTACHING, V.RESERVED) and not _pending(attachments.of_volume(tx, volume.id)):
        attachments.let_volume_follow(tx, volume.id)
        record(tx, AtOnce.VOLUME_UNRESERVE, volume, who)


def _refuse_of_other_volume(tx: Transaction, who: Scope, attachment_id: str) -> None:
    try:
        attachments.get(tx, who, attachment_id)
    except NotFound:
        return
    raise Invalid("Invalid input received: Mismatched volume and attachment")


def _refuse_in_maintenance(volume: Volume, message: str) -> None:
    if volume.status == V.MAINTENANCE:
        raise InvalidState(f"Invalid volume: {message}")


def _pending(found: Sequence[Attachment]) -> list[Attachment]:
    return [one for one in found if one.status in PENDING]


def _mine(pending: Sequence[Attachment], server_id: str | None, host: str | None) -> Attachment | None:
    """The pending attachment that this server or host is to complete."""
    for one in pending:
        if one.server_id in (None, server_id) and (host is None or one.host in (None, host)):
            return one
    return None
