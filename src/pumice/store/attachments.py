"""Attachments: every read and write of their rows, and what a volume's state follows from them."""

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from pumice.model import qos
from pumice.model.errors import InvalidState
from pumice.model.export import IscsiExport
from pumice.model.qos import Resolved
from pumice.model.scope import Scope
from pumice.model.states import ATTACHMENT, GETS_IN, KEEPS_IN_USE, AttachStatus, VolumeStatus
from pumice.model.volume import Attachment, Volume
from pumice.store import tombstones
from pumice.store import volumes as volume_rows
from pumice.store.any_of import any_of
from pumice.store.beginning import begins_with
from pumice.store.columns import ID, TIME, WORD, is_unread, now
from pumice.store.database import Transaction
from pumice.store.part import Part, conditions
from pumice.store.stateful import StatefulRows
from pumice.store.tables import attachments, qos_specs, server_disks, volume_types, volumes

A, V = AttachStatus, VolumeStatus
_a = attachments.c
_rows = StatefulRows(attachments, Attachment, "Volume attachment", ATTACHMENT)

get = _rows.visible
page = _rows.page
change = _rows.change
settle = _rows.settle

_has_none = ~sa.exists().where(_a.volume_id == sa.bindparam("volume_id", type_=ID)).correlate(None)
_is_multiattach = sa.exists().where(volumes.c.id == sa.bindparam("volume_id", type_=ID), volumes.c.multiattach)
_row = [sa.bindparam(column.name, type_=column.type) for column in _rows.columns]
_insert = sa.insert(attachments).from_select(
    _rows.columns, sa.select(*_row).where(sa.or_(_has_none, _is_multiattach))
)
_below_volumes = _rows.below(volumes, _a.volume_id).order_by(_a.created_at)
_of_volume = _below_volumes.where(_a.volume_id == sa.bindparam("b_volume"))
_of_volumes = _below_volumes.where(any_of(_a.volume_id, "ids"))
_volume_with = (
    sa.select(*volume_rows.COLUMNS_OF_ONE, *_rows.columns)
    .select_from(
        volumes.outerjoin(
            attachments, sa.and_(_a.volume_id == volumes.c.id, _a.project_id == volumes.c.project_id)
        )
    )
    .where(volumes.c.id == sa.bindparam("b_volume"))
    .order_by(_a.created_at)
)
_with_qos = (
    _rows.select.add_columns(volumes.c.size, qos_specs.c.specs)
    .outerjoin(volumes, volumes.c.id == _a.volume_id)
    .outerjoin(volume_types, volume_types.c.id == volumes.c.type_id)
    .outerjoin(
        qos_specs,
        sa.and_(qos_specs.c.id == volume_types.c.qos_specs_id, any_of(qos_specs.c.consumer, qos.FRONT_END)),
    )
    .where(_a.id == sa.bindparam("b_id"))
)
_with_key = (
    _rows.select.add_columns(volumes.c.encryption_key_id)
    .join(volumes, volumes.c.id == sa.bindparam("b_volume"))
    .where(_a.id == sa.bindparam("b_id"))
)
_delete = sa.delete(attachments).where(_a.id == sa.bindparam("b_id"))
_account = tombstones.grave(tombstones.Kind.ACCOUNT, _a.chap_username, None, _a.id == sa.bindparam("b_id"))
_bury_account = tombstones.burial(_account)
_bury = tombstones.burial(
    tombstones.grave(tombstones.Kind.ATTACHMENT, _a.id, None, _a.id == sa.bindparam("b_id")), _account
)
_user = sa.select(server_disks.c.server_id).where(server_disks.c.attachment_id == sa.bindparam("b_id"))


def insert(tx: Transaction, attachment: Attachment) -> None:
    """Add an attachment: to a volume that is not multiattach the only one, whatever its status says.

    Raises ``InvalidState``.
    """
    if tx.execute(_insert, _rows.row(attachment)).rowcount == 0:
        refuse_another(tx, attachment.volume_id)


def refuse_another(tx: Transaction, volume_id: str) -> None:
    """Raises ``InvalidState`` where a volume that is not multiattach has an attachment."""
    for other in of_volume(tx, volume_id):
        user = (
            f"server {other.server_id}" if other.server_id else f"host {other.host}" if other.host else "a host"
        )
        raise InvalidState(
            f"Invalid volume: Volume {volume_id} is not multiattach, and {user} has it: attachment "
            f"{other.id} ({other.status}): detach it there first."
        )


def get_locked(tx: Transaction, who: Scope, attachment_id: str) -> Attachment:
    """An attachment that the caller may see, its volume locked before it is read. Raises ``NotFound``."""
    volume_rows.lock_attached(tx, attachment_id)
    attachment = get(tx, who, attachment_id)
    volume_rows.is_locked(tx, attachment.volume_id)
    return attachment


def find(tx: Transaction, attachment_id: str) -> Attachment | None:
    """An attachment for Pumice's own work, if it still exists."""
    return _rows.get(tx, attachment_id)


def with_its_volume(tx: Transaction, who: Scope, volume_id: str) -> tuple[Volume, list[Attachment]]:
    """A volume that the caller may see, with its attachments, the oldest first. Raises ``NotFound``."""
    rows = tx.execute(_volume_with, {"b_volume": volume_id}).all()
    number = len(volume_rows.COLUMNS_OF_ONE)
    volume = volume_rows.shown(who, volume_id, Volume(*rows[0][:number]) if rows else None)
    return volume, [_rows.kind(*row[number:]) for row in rows if row[number] is not None]


def with_qos(tx: Transaction, who: Scope, attachment_id: str) -> tuple[Attachment, Resolved | None]:
    """An attachment, and what the hypervisor is to hold its volume to. Raises ``NotFound``."""
    row = tx.execute(_with_qos, {"b_id": attachment_id}).first()
    attachment = _rows.shown(who, attachment_id, _rows.kind(*row[:-2]) if row else None)
    if row is None or row.specs is None or is_unread(row.specs):
        return attachment, None
    return attachment, qos.for_size(row.specs, row.size)


def with_key(tx: Transaction, attachment_id: str, volume_id: str) -> tuple[Attachment, str | None] | None:
    """An attachment and the key of its volume, if it has one; None where either is gone."""
    row = tx.execute(_with_key, {"b_id": attachment_id, "b_volume": volume_id}).first()
    return (_rows.kind(*row[:-1]), row.encryption_key_id) if row else None


def of_volume(tx: Transaction, volume_id: str) -> Sequence[Attachment]:
    """The volume's attachments, the oldest first."""
    return _rows.all(tx.execute(_of_volume, {"b_volume": volume_id}))


def of_volumes(tx: Transaction, ids: Collection[str]) -> dict[str, list[Attachment]]:
    """The attachments of several volumes in one statement; those without any are missing."""
    found: dict[str, list[Attachment]] = {}
    if ids:
        for attachment in _rows.all(tx.execute(_of_volumes, {"ids": list(ids)})):
            found.setdefault(attachment.volume_id, []).append(attachment)
    return found


def of_server(tx: Transaction, server_id: str) -> Sequence[Attachment]:
    """The server's attachments, the oldest first."""
    return _rows.all(tx.execute(_rows.select.where(_a.server_id == server_id).order_by(_a.created_at)))


def exported_at(
    tx: Transaction, hosts: Collection[str], part: Part | None = None
) -> Sequence[tuple[Attachment, str]]:
    """Every attachment with a connector to a volume of these ``host@backend``, with the volume's pool.

    To all of its volumes, or to a part of them. None is told twice.
    """
    there = sa.or_(*(begins_with(volumes.c.pool, f"{host}#") for host in hosts))
    query = (
        _rows.select.add_columns(volumes.c.pool)
        .join(volumes, volumes.c.id == _a.volume_id)
        .where(there, _a.chap_username.is_not(None))
    )
    found = [row for some in conditions(part, volumes.c.id) for row in tx.execute(query.where(some))]
    return list({row.id: (_rows.kind(*row[:-1]), row[-1]) for row in found}.values())


def of_our_servers(tx: Transaction) -> list[str]:
    """The ids of the attachments by which the Compute API's servers are connected with a password."""
    connected = _a.portal.is_not(None), _a.chap_password.is_not(None), _a.status.in_(GETS_IN)
    query = sa.select(_a.id, _a.portal).join(server_disks, server_disks.c.attachment_id == _a.id)
    rows = tx.execute(query.where(*connected).order_by(_a.id))
    return [row.id for row in rows if isinstance(row.portal, IscsiExport)]


def used_by_server(tx: Transaction, attachment_id: str) -> str | None:
    """The server of the Compute API that uses the attachment (OSSA-2023-003), if one does."""
    return tx.execute(_user, {"b_id": attachment_id}).scalar()


def move(
    tx: Transaction, attachment_id: str, start: Collection[AttachStatus], end: AttachStatus, **changes: Any
) -> None:
    """Move an attachment from one of the states ``start`` to ``end``, or raise ``InvalidState``."""

    def refusal(attachment: Attachment) -> InvalidState:
        words = " or ".join(sorted(start))
        return InvalidState(f"Invalid attachment: its status must be {words}, but it is {attachment.status}.")

    _rows.move(tx, attachment_id, start, end, refusal, **changes)


def delete(tx: Transaction, attachment_id: str) -> None:
    """Forget an attachment, and bury it with its account; nothing to do when it is gone already."""
    tombstones.bury(tx, _bury, b_id=attachment_id)
    tx.send(_delete, {"b_id": attachment_id})


def bury_account(tx: Transaction, attachment_id: str) -> None:
    """Bury the account that an attachment is about to lose: its initiator may have logged in with it."""
    tombstones.bury(tx, _bury_account, b_id=attachment_id)


_FOLLOWS = (
    (KEEPS_IN_USE, V.IN_USE),
    ((A.DETACHING,), V.DETACHING),
    ((A.ATTACHING, A.ERROR_ATTACHING), V.ATTACHING),
    ((A.RESERVED,), V.RESERVED),
)
_FOLLOWERS = sorted({V.AVAILABLE, V.RESERVED, V.ATTACHING, V.IN_USE, V.DETACHING})
_FREED = sorted({*_FOLLOWERS, *(word for word in V if word.startswith("error"))})
_now = sa.bindparam("b_now", type_=TIME)
_new: sa.ColumnElement[str] = sa.case(
    *(
        (sa.exists().where(_a.volume_id == volumes.c.id, any_of(_a.status, states)), sa.literal(word, WORD))
        for states, word in _FOLLOWS
    ),
    else_=sa.literal(V.AVAILABLE, WORD),
)
_follow = (
    sa.update(volumes)
    .where(volumes.c.id == sa.bindparam("b_id"), any_of(volumes.c.status, "start"))
    .values(
        status=_new,
        moved_at=sa.case((volumes.c.status != _new, _now), else_=volumes.c.moved_at),
        updated_at=_now,
    )
)


def let_volume_follow(tx: Transaction, volume_id: str, *, freed: bool = False) -> None:
    """Give the volume the state that follows from its attachments: ``available`` when none is left.

    The most binding one counts: in use by one server, it stays ``in-use`` while another's comes and goes. Once
    it was ``freed`` of one, a volume that an administrator put in error follows too.
    """
    tx.send(_follow, {"b_id": volume_id, "b_now": now(), "start": _FREED if freed else _FOLLOWERS})
