"""Attachments, from 3.27: reserve, connect, complete, delete (api-ref, "Attachments")."""

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any, Literal

from pumice.api.call import Call, Reply
from pumice.api.collection import Collection
from pumice.api.fields import Body, Host, SomeHost, Uuid
from pumice.api.policy import MEMBER, READER, Rule
from pumice.api.routing import Route, writes
from pumice.api.volume import filters
from pumice.api.volume.connection_info import Qos, flat
from pumice.api.volume.filters import Filters
from pumice.api.volume.rules import BOOTABLE_FOR_MANY
from pumice.api.volume.volume_view import wire_time
from pumice.api.volume.waiting import ended
from pumice.attachments import connect, reserve
from pumice.attachments.release import release
from pumice.model.errors import Forbidden
from pumice.model.scope import Scope
from pumice.model.states import VolumeStatus
from pumice.model.volume import Attachment, Volume
from pumice.operations.at_once import AtOnce, record
from pumice.operations.holds import Thing, require, use
from pumice.store import attachments, qos_specs, volumes
from pumice.store.conditions import ATTACHMENTS
from pumice.store.database import Transaction
from pumice.store.serialize import row_by_row


class NewAttachment(Body):
    """What may be asked of a new attachment."""

    volume_uuid: Uuid
    instance_uuid: Uuid | None = None
    connector: SomeHost = None


class NewAttachmentWithMode(NewAttachment):
    """A new attachment, from 3.54: also says whether it may be written to."""

    mode: Literal["rw", "ro"] | None = None


class Connection(Body):
    """The host that a reserved attachment is connected to."""

    connector: Host


COLUMNS = MappingProxyType(
    {key: key for key in ("id", "volume_id", "status", "created_at", "updated_at", "device", "host")}
    | {"attach_status": "status", "instance_id": "server_id", "instance_uuid": "server_id"}
)
"""What attachments can be sorted and filtered by, and the columns that stand for it."""

FILTERS = Filters(
    "attachment",
    ATTACHMENTS,
    filters.plain(ATTACHMENTS, COLUMNS),
)
LIST = Collection(COLUMNS, FILTERS.parse_query, attachments.page, everywhere=filters.asks_for_all)

SINCE = (3, 27)
CREATE = Rule("volume:attachment_create", MEMBER)
UPDATE = Rule("volume:attachment_update", MEMBER)


async def create(call: Call) -> Reply:
    """Reserve a volume; with a connector also connect it."""
    kind = NewAttachmentWithMode if call.version >= (3, 54) else NewAttachment
    asked: NewAttachment = await call.parse_only(kind, "attachment")
    for_many = call.policy.allows(BOOTABLE_FOR_MANY, call.who)
    attachment, operation = await call.ctx.db.write(_create, call.who, asked, for_many)
    await ended(call, operation, "create attachment for volume")
    return await _answer(call, attachment.id)


@row_by_row
def _create(
    tx: Transaction, who: Scope, asked: NewAttachment, bootable_for_many: bool
) -> tuple[Attachment, str | None]:
    if not bootable_for_many:
        _refuse_bootable_for_many(volumes.get(tx, who, asked.volume_uuid))
    mode = _mode(asked)
    if asked.connector:
        return connect.accept_new(
            tx,
            who,
            asked.volume_uuid,
            server_id=asked.instance_uuid,
            mode=mode,
            connector=asked.connector,
        )
    made = reserve.reserve(tx, who, asked.volume_uuid, server_id=asked.instance_uuid, mode=mode)
    record(tx, AtOnce.ATTACHMENT_RESERVE, made, who)
    return made, None


def _refuse_bootable_for_many(volume: Volume) -> None:
    if volume.multiattach and volume.bootable and volume.status == VolumeStatus.IN_USE:
        raise Forbidden(f"Policy doesn't allow {BOOTABLE_FOR_MANY.name} to be performed.")


def _mode(asked: NewAttachment) -> str:
    """What is asked for itself counts before what the connector says."""
    own = asked.mode if isinstance(asked, NewAttachmentWithMode) else None
    mode = own or (asked.connector and asked.connector.mode)
    return "ro" if mode == "ro" else "rw"


async def update(call: Call) -> Reply:
    """Connect a reserved attachment."""
    asked = await call.parse_only(Connection, "attachment")
    attachment_id = call.args["id"]
    operation = await call.ctx.db.write(connect.accept_known, call.who, attachment_id, asked.connector)
    await ended(call, operation, "update the attachment")
    return await _answer(call, attachment_id)


@row_by_row
def _complete(tx: Transaction, who: Scope, attachment_id: str) -> None:
    attachment = attachments.get_locked(tx, who, attachment_id)
    require(tx, use(Thing.ATTACHMENT, attachment.id))
    reserve.complete_known(tx, attachment)
    record(tx, AtOnce.ATTACHMENT_COMPLETE, attachment, who)


async def remove(call: Call) -> Reply:
    """Delete an attachment: 200 and the volume's remaining ones, once its export is gone."""
    volume_id, operation = await call.ctx.db.write(_remove, call.who, call.args["id"])
    await ended(call, operation, "delete the attachment")
    left = await call.ctx.db.read(attachments.of_volume, volume_id)
    return Reply({"attachments": [plain(call, one) for one in left]})


@row_by_row
def _remove(tx: Transaction, who: Scope, attachment_id: str) -> tuple[str, str | None]:
    attachment = attachments.get_locked(tx, who, attachment_id)
    return attachment.volume_id, release(tx, who, attachment)


async def show(call: Call) -> Reply:
    """Show one attachment in full."""
    return await _answer(call, call.args["id"])


async def _answer(call: Call, attachment_id: str) -> Reply:
    one, qos = await call.ctx.db.read(attachments.with_qos, call.who, attachment_id)
    return Reply({"attachment": detailed(call, one, qos)})


def _viewer(tx: Transaction, call: Call, found: Sequence[Attachment]) -> Callable[[Attachment], dict[str, Any]]:
    """Attachments in full: with what hypervisors are to hold their volumes to."""
    qos = qos_specs.of_volumes(tx, {one.volume_id for one in found})
    return lambda one: detailed(call, one, qos.get(one.volume_id))


def plain(_: Call, one: Attachment) -> dict[str, Any]:
    """An attachment in the plain list."""
    return {"id": one.id, "status": one.status, "instance": one.server_id, "volume_id": one.volume_id}


def detailed(call: Call, one: Attachment, qos: Qos) -> dict[str, Any]:
    """An attachment in full; the account that its host logs in with only for who could have another made."""
    how = flat(one, qos)
    if not call.policy.allows(UPDATE, call.who):
        how = {word: value for word, value in how.items() if not word.startswith("auth_")}
    return plain(call, one) | {
        "attached_at": wire_time(one.attached_at) or "",
        "detached_at": "",
        "attach_mode": one.mode,
        "connection_info": how,
    }


ROUTES = (
    Route("POST", "/attachments", create, CREATE, also=(UPDATE, BOOTABLE_FOR_MANY), since=SINCE),
    Route("GET", "/attachments", LIST.answers("attachments", plain), Rule("volume:get", READER), since=SINCE),
    Route(
        "GET",
        "/attachments/detail",
        LIST.answers_with("attachments", _viewer),
        Rule("volume:get", READER),
        also=(UPDATE,),
        since=SINCE,
    ),
    Route(
        "GET",
        "/attachments/{id}",
        show,
        Rule("volume:get", READER),
        also=(UPDATE,),
        since=SINCE,
        live=True,
    ),
    Route("PUT", "/attachments/{id}", update, UPDATE, since=SINCE),
    Route("DELETE", "/attachments/{id}", remove, Rule("volume:attachment_delete", MEMBER), since=SINCE),
    Route(
        "POST",
        "/attachments/{id}/action",
        writes(_complete, 204),
        Rule("volume:attachment_complete", MEMBER),
        since=(3, 44),
        action="os-complete",
    ),
)
