"""Events of the log in the words of Cinder's notifications, for what has listened to Cinder.

Names and payloads are those of Cinder 29 (``cinder/volume/volume_utils.py``, ``_usage_from_…``). They tell of
the row; or, where that is gone, of what the operation has kept of it (``store/told.py``). The status is that of
the moment. Cinder tells most failures by a status alone; here an ``error`` follows a ``start``, with the fault.

What is done at once has an end and no start. What comes into the recycle bin is deleted for who listens to
Cinder, and what is had back is created: nothing is told of what is purged there.

Who is a tenant is told of no host.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from pumice.operations.at_once import AtOnce
from pumice.store import hosts, told
from pumice.store.database import Transaction
from pumice.store.logged import END, ERROR, START

Row = Mapping[str, Any]
ENVELOPE = "2.0"
"""The version of oslo.messaging's envelope."""


@dataclass(frozen=True, slots=True)
class Words:
    """How Cinder tells of a kind of operation."""

    thing: str
    """The table of what it is about, and the first word of the event."""
    action: str
    begins: str | None = None
    """The status at its beginning, where that follows from what it does; so for the others."""
    ends: str | None = None
    fails: str | None = None
    about: str | None = None
    """The parameter that names the thing; None: it is the subject."""
    only_end: bool = False


_MADE = ("creating", "available", "error")
_GONE = ("deleting", "deleted", "error_deleting")
_WORDS: Mapping[str, tuple[Words, ...]] = {
    "volume.create": (Words("volume", "create", *_MADE),),
    "volume.create_from_backup": (Words("volume", "create", *_MADE),),
    "volume.delete": (Words("volume", "delete", *_GONE),),
    "volume.delete_with_snapshots": (Words("volume", "delete", *_GONE),),
    "volume.unmanage": (Words("volume", "delete", "unmanaging", "deleted", "error"),),
    "volume.manage": (Words("volume", "manage_existing", "managing", "available", "error_managing"),),
    "volume.extend": (Words("volume", "resize", "extending"),),
    "volume.migrate": (Words("volume", "retype", only_end=True),),
    "volume.recrypt": (Words("volume", "retype", only_end=True),),
    "volume.migrate_in_use": (Words("volume", "retype", only_end=True),),
    "volume.revert": (
        Words("volume", "revert", "reverting"),
        Words("snapshot", "revert", "restoring", about="snapshot_id"),
    ),
    "attachment.connect": (Words("volume", "attach", "attaching", "in-use", about="volume_id"),),
    "attachment.disconnect": (Words("volume", "detach", "detaching", about="volume_id"),),
    "snapshot.create": (Words("snapshot", "create", *_MADE),),
    "snapshot.delete": (Words("snapshot", "delete", *_GONE),),
    "snapshot.unmanage": (Words("snapshot", "delete", "unmanaging", "deleted", "error"),),
    "snapshot.manage": (Words("snapshot", "manage_existing_snapshot", "managing", "available", "error"),),
    "backup.create": (Words("backup", "create", *_MADE),),
    "backup.delete": (Words("backup", "delete", *_GONE),),
    "backup.restore": (Words("backup", "restore", "restoring", "available", about="backup_id"),),
    "group.create": (Words("group", "create", *_MADE),),
    "group.create_from_source": (Words("group", "create", *_MADE),),
    "group.delete": (Words("group", "delete", "deleting", "deleted", "error"),),
    "group_snapshot.create": (Words("group_snapshot", "create", *_MADE),),
    "group_snapshot.delete": (Words("group_snapshot", "delete", "deleting", "deleted", "error"),),
    AtOnce.BACKUP_RESET_STATUS: (Words("backup", "reset_status"),),
    AtOnce.GROUP_UPDATE: (Words("group", "update"),),
    AtOnce.SNAPSHOT_RECYCLE: (Words("snapshot", "delete", *_GONE),),
    AtOnce.SNAPSHOT_RESET_STATUS: (Words("snapshot", "reset_status"),),
    AtOnce.SNAPSHOT_RESTORE: (Words("snapshot", "create", *_MADE),),
    AtOnce.SNAPSHOT_UPDATE: (Words("snapshot", "update"),),
    AtOnce.TRANSFER_ACCEPT: (Words("volume", "transfer.accept", ends="available"),),
    AtOnce.TRANSFER_CREATE: (Words("volume", "transfer.create", ends="awaiting-transfer"),),
    AtOnce.TRANSFER_DELETE: (Words("volume", "transfer.delete", ends="available"),),
    AtOnce.VOLUME_ATTACH: (Words("volume", "attach", ends="in-use"),),
    AtOnce.VOLUME_DETACH: (Words("volume", "detach"),),
    AtOnce.VOLUME_RECYCLE: (Words("volume", "delete", *_GONE),),
    AtOnce.VOLUME_RESET_STATUS: (Words("volume", "reset_status"),),
    AtOnce.VOLUME_RESTORE: (Words("volume", "create", *_MADE),),
    AtOnce.VOLUME_RETYPE: (Words("volume", "retype", only_end=True),),
    AtOnce.VOLUME_UPDATE: (Words("volume", "update"),),
}
_INTO_BIN = (AtOnce.SNAPSHOT_RECYCLE, AtOnce.VOLUME_RECYCLE)
KINDS = frozenset(_WORDS)
"""The kinds of operations of which Cinder's words tell."""


@dataclass(frozen=True, slots=True)
class Notification:
    """A message as oslo.messaging's notifiers make it, and by which of them it goes."""

    number: int
    """The event's, in the log."""
    message: Mapping[str, Any]
    context: Mapping[str, Any]

    @property
    def priority(self) -> str:
        """``info`` or ``error``: with the topic it is the name of a queue."""
        return str(self.message["priority"]).lower()

    def envelope(self) -> dict[str, str]:
        """The message as it is on the wire."""
        words = {f"_context_{name}": value for name, value in self.context.items()}
        return {"oslo.version": ENVELOPE, "oslo.message": orjson.dumps({**self.message, **words}).decode()}


def notifications(tx: Transaction, events: Iterable[Row], *, inside: bool) -> Sequence[Notification]:
    """What these events are in Cinder's words, in their order; with names of hosts only ``inside``.

    Every table that is needed is read once for all of them.
    """
    wanted = [event for event in events if event["kind"] in KINDS and event["outcome"] in (START, END, ERROR)]
    if not wanted:
        return ()
    operations = told.operations(tx, {event["operation_id"] for event in wanted})
    things = [
        (event, words, _id(event, words, operations.get(event["operation_id"], {})))
        for event in wanted
        for words in _WORDS[event["kind"]]
    ]
    rows = {
        thing: told.rows(tx, thing, {key for _, words, key in things if words.thing == thing})
        for thing in {words.thing for _, words, _ in things}
    }
    beside = told.beside(tx, rows)
    made = (
        _notification(
            tx, event, words, key, operations.get(event["operation_id"], {}), rows[words.thing], beside, inside
        )
        for event, words, key in things
    )
    return [one for one in made if one is not None]


def _id(event: Row, words: Words, operation: Row) -> str:
    return str(operation.get("params", {}).get(words.about) if words.about else event["subject"])


def _notification(
    tx: Transaction,
    event: Row,
    words: Words,
    key: str,
    operation: Row,
    rows: Mapping[str, Row],
    beside: told.Beside,
    inside: bool,
) -> Notification | None:
    outcome, params = event["outcome"], operation.get("params", {})
    retypes = event["kind"] == AtOnce.VOLUME_RETYPE or params.get("new_type")
    if words.only_end and not (outcome == END and retypes):
        return None
    row: dict[str, Any] = {"id": key, "project_id": event["project_id"], "created_at": event["started_at"]}
    row |= operation.get("notes", {}).get(told.KEPT) or {}
    row |= rows.get(key, {})
    if words.action == "delete" and row.get("recycled_at") and event["kind"] not in _INTO_BIN:
        return None  # it was told to be deleted when it came into the recycle bin
    status = {START: words.begins, END: words.ends, ERROR: words.fails}[outcome]
    row["status"] = status or row.get("status")
    if words.action == "resize":
        row["size"] = params.get("new_size" if outcome == END else "size", row.get("size"))
    payload = _PAYLOADS[words.thing](row, beside)
    host = row.get("pool") or row.get("host")
    if inside:
        payload |= {"host": host} if "host" in payload else {}
    if outcome == ERROR:
        error = event["error"] or "It failed."
        payload["error"] = error if inside else hosts.hidden(tx, error)
    suffix = words.action if words.only_end else f"{words.action}.{outcome}"
    name = f"{words.thing}.{suffix}"
    message = {
        "message_id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{event['operation_id']}:{event['number']}:{name}")),
        "publisher_id": f"{words.thing}.{host if inside and host else 'pumice'}",
        "event_type": name,
        "priority": "ERROR" if outcome == ERROR else "INFO",
        "payload": payload,
        "timestamp": f"{event['started_at']:%Y-%m-%d %H:%M:%S.%f}",
    }
    context = {
        "request_id": operation.get("request_id"),
        "project_id": event["project_id"],
        "tenant": event["project_id"],
        "user_id": row.get("user_id"),
        "is_admin": False,
    }
    return Notification(event["number"], message, context)


def _at(value: datetime | str | None) -> str:
    """A time as Cinder's objects tell it."""
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return at.replace(tzinfo=UTC, microsecond=0).isoformat() if at else ""


def _pairs(metadata: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    return [{"key": key, "value": value} for key, value in (metadata or {}).items()]


def _of_volume(row: Row, beside: told.Beside) -> dict[str, Any]:
    payload = {
        "tenant_id": row["project_id"],
        "host": None,
        "user_id": row.get("user_id"),
        "availability_zone": row.get("availability_zone"),
        "volume_id": row["id"],
        "volume_type": row.get("type_id"),
        "display_name": row.get("name"),
        "launched_at": _at(row["created_at"]),
        "created_at": _at(row["created_at"]),
        "status": row["status"],
        "snapshot_id": row.get("snapshot_id"),
        "size": row.get("size"),
        "replication_status": None,
        "replication_extended_status": None,
        "replication_driver_data": None,
        "metadata": _pairs(row.get("metadata")),
        "volume_attachment": [_attachment(one) for one in beside.attachments.get(row["id"], ())],
    }
    if row.get("image_metadata"):
        payload["glance_metadata"] = _pairs(row["image_metadata"])
    return payload


def _attachment(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "volume_id": row["volume_id"],
        "instance_uuid": row["server_id"],
        "mountpoint": row["device"],
        "attach_status": row["status"],
        "attach_mode": row["mode"],
        "attach_time": _at(row["attached_at"]) or None,
    }


def _of_snapshot(row: Row, beside: told.Beside) -> dict[str, Any]:
    return {
        "tenant_id": row["project_id"],
        "user_id": row.get("user_id"),
        "availability_zone": beside.zones.get(row.get("volume_id", "")),
        "volume_id": row.get("volume_id"),
        "volume_size": row.get("size"),
        "snapshot_id": row["id"],
        "display_name": row.get("name"),
        "created_at": _at(row["created_at"]),
        "status": row["status"],
        "deleted": "True" if row["status"] == "deleted" else "",
        "metadata": str(row["metadata"]) if row.get("metadata") else "",
    }


def _of_backup(row: Row, beside: told.Beside) -> dict[str, Any]:
    return {
        "tenant_id": row["project_id"],
        "user_id": row.get("user_id"),
        "availability_zone": row.get("availability_zone"),
        "backup_id": row["id"],
        "host": None,
        "display_name": row.get("name"),
        "created_at": _at(row["created_at"]),
        "status": row["status"],
        "volume_id": row.get("volume_id"),
        "size": row.get("size"),
        "service_metadata": row.get("prefix"),
        "service": None,
        "fail_reason": row.get("fail_reason"),
        "parent_id": row.get("parent_id"),
        "num_dependent_backups": beside.dependent.get(row["id"], 0),
        "snapshot_id": row.get("snapshot_id"),
    }


def _of_group(row: Row, _: told.Beside) -> dict[str, Any]:
    return {
        "tenant_id": row["project_id"],
        "user_id": row.get("user_id"),
        "availability_zone": row.get("availability_zone"),
        "group_id": row["id"],
        "group_type": row.get("group_type_id"),
        "name": row.get("name"),
        "created_at": _at(row["created_at"]),
        "status": row["status"],
    }


def _of_group_snapshot(row: Row, _: told.Beside) -> dict[str, Any]:
    return {
        "tenant_id": row["project_id"],
        "user_id": row.get("user_id"),
        "group_snapshot_id": row["id"],
        "name": row.get("name"),
        "group_id": row.get("group_id"),
        "group_type": row.get("group_type_id"),
        "created_at": _at(row["created_at"]),
        "status": row["status"],
    }


_PAYLOADS: Mapping[str, Callable[[Row, told.Beside], dict[str, Any]]] = {
    "volume": _of_volume,
    "snapshot": _of_snapshot,
    "backup": _of_backup,
    "group": _of_group,
    "group_snapshot": _of_group_snapshot,
}
