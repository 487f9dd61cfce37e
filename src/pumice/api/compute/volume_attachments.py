"""The volumes of a server (api-ref, "Servers with volume attachments").

An attachment is named by its volume's id. It is there from the moment that it is asked for, with its device.
"""

import re
from typing import Annotated, Any

from pydantic import AfterValidator

from pumice.api.call import Call, Reply
from pumice.api.collection import Collection, Pages, nothing
from pumice.api.compute.links import VERSION
from pumice.api.compute.queries import only_query, without_query
from pumice.api.compute.server_view import attached
from pumice.api.compute.servers import refuse_multiattach
from pumice.api.fields import Body, Boolean, Tag, Uuid
from pumice.api.policy import MEMBER, READER, SERVICE, Rule
from pumice.api.routing import Route, writes
from pumice.api.short_lists import read_whole
from pumice.model.errors import Conflict, Invalid, NotFound
from pumice.model.scope import Scope
from pumice.model.server import ServerDisk
from pumice.operations.at_once import AtOnce, record
from pumice.servers import attach_volume, detach_volume
from pumice.store import servers, volumes
from pumice.store.database import Transaction

_DEVICE = re.compile(r"(/dev/x?[a-z]?d?)([a-z]{1,2})[0-9]*")
UPDATE = Rule("os_compute_api:os-volumes-attachments:update", MEMBER)
SWAP = Rule("os_compute_api:os-volumes-attachments:swap", SERVICE)
SINCE = {"tag": (2, 49), "delete_on_termination": (2, 79)}


def _device(value: str) -> str:
    if not _DEVICE.fullmatch(value):
        raise ValueError("A device looks like /dev/vdb")
    return value


Device = Annotated[str, AfterValidator(_device)]


class AttachBody(Body):
    """``POST …/os-volume_attachments``. The ``device`` is not read, as by Nova's libvirt driver."""

    volumeId: Uuid  # noqa: N815 (the wire's spelling)
    device: Device | None = None
    tag: Tag | None = None
    delete_on_termination: Boolean = False


class UpdateBody(Body):
    """``PUT …/os-volume_attachments/{id}``: all of what show answers, of which one thing can change."""

    volumeId: Uuid  # noqa: N815
    id: Uuid | None = None
    serverId: Uuid | None = None  # noqa: N815
    device: Device | None = None
    tag: Tag | None = None
    delete_on_termination: Boolean | None = None


def view(call: Call, disk: ServerDisk) -> dict[str, Any]:
    """An attachment as list and show have it."""
    shown: dict[str, Any] = {
        "volumeId": disk.volume_id,
        "serverId": disk.server_id,
        "device": f"/dev/{disk.device}",
    }
    if call.version >= (2, 70):
        shown["tag"] = disk.tag
    if call.version >= (2, 79):
        shown["delete_on_termination"] = disk.delete_on_termination
    if call.version >= (2, 89):
        return shown | {"attachment_id": disk.attachment_id, "bdm_uuid": disk.id}
    return {"id": disk.volume_id} | shown


def _of_server(call: Call) -> dict[str, str]:
    only_query(call, "limit", "offset")
    return {"server_id": call.args["id"]}


def _attached(tx: Transaction, who: Scope, server_id: str) -> list[ServerDisk]:
    return attached(servers.disks(tx, servers.get(tx, who, server_id).id))


LIST = Collection[ServerDisk](
    {},
    nothing,
    read_whole("Volume attachment", _attached),
    told=_of_server,
    pages=Pages.LIMITED,
    is_novas=True,
)


async def show(call: Call) -> Reply:
    """``GET …/os-volume_attachments/{volume}``."""
    return Reply({"volumeAttachment": view(call, await call.ctx.db.read(_find, call))})


def _find(tx: Transaction, call: Call) -> ServerDisk:
    server = servers.get(tx, call.who, call.args["id"])
    disk = servers.disk_of_volume(tx, server.id, call.args["volume_id"])
    if disk.attachment_id is None:
        raise NotFound("Volume attachment", call.args["volume_id"])
    return disk


async def create(call: Call) -> Reply:
    """``POST …/os-volume_attachments``: 200 and the attachment; since 2.101, 202 and nothing."""
    body = await call.parse_only(AttachBody, "volumeAttachment")
    body.only_since(call.version, SINCE)
    disk = await call.ctx.db.write(_attach, call, body)
    if call.version >= (2, 101):
        return Reply(status=202)
    shown = view(call, disk)
    if call.version >= (2, 89):  # Nova forgot to change this answer with the others
        shown = {"id": disk.volume_id} | {
            key: value for key, value in shown.items() if key not in ("attachment_id", "bdm_uuid")
        }
    return Reply({"volumeAttachment": shown})


def _attach(tx: Transaction, call: Call, body: AttachBody) -> ServerDisk:
    server = servers.get(tx, call.who, call.args["id"])
    volume = volumes.get(tx, call.who, body.volumeId)
    refuse_multiattach(call, volume.multiattach)
    return attach_volume.accept(
        tx,
        call.who,
        server.id,
        volume.id,
        tag=body.tag,
        delete_on_termination=body.delete_on_termination,
    )


async def update(call: Call) -> Reply:
    """``PUT …/os-volume_attachments/{volume}``: since 2.85 whether the volume ends with the server.

    Another volume in its place (swap) is for Block Storage's migrations, and there are none.
    """
    body = await call.parse_only(UpdateBody, "volumeAttachment")
    if call.version < (2, 85) and body.model_fields_set != {"volumeId"}:
        unknown = sorted(body.model_fields_set - {"volumeId"})
        raise Invalid(f"Additional properties are not allowed ('{unknown[0]}' was unexpected).")
    swap = call.version < (2, 85) or body.volumeId != call.args["volume_id"]
    call.policy.require(SWAP if swap else UPDATE, call.who)
    await call.ctx.db.write(_update, call, body, swap)
    return Reply(status=202)


def _update(tx: Transaction, call: Call, body: UpdateBody, swap: bool) -> None:
    disk = _find(tx, call)
    if swap:
        volume = volumes.get(tx, call.who, call.args["volume_id"])
        raise Conflict(f"volume {volume.id} is not migrating; this API should only be called by Cinder")
    now = {
        "id": disk.volume_id,
        "serverId": disk.server_id,
        "device": f"/dev/{disk.device}",
        "tag": disk.tag,
    }
    for name, value in now.items():
        if name in body.model_fields_set and getattr(body, name) != value:
            raise Invalid(f"The {name} property is not mutable")
    if body.delete_on_termination is not None:
        servers.change_disk(tx, disk.id, delete_on_termination=body.delete_on_termination)
        record(tx, AtOnce.SERVER_UPDATE, servers.get(tx, call.who, disk.server_id), call.who)


_PATH, _RULE = f"{VERSION}/servers/{{id}}/os-volume_attachments", "os_compute_api:os-volumes-attachments"
ROUTES = (
    Route("GET", _PATH, LIST.answers("volumeAttachments", view), Rule(f"{_RULE}:index", READER)),
    Route("POST", _PATH, create, Rule(f"{_RULE}:create", MEMBER)),
    Route("GET", f"{_PATH}/{{volume_id}}", without_query(show), Rule(f"{_RULE}:show", READER), live=True),
    Route("PUT", f"{_PATH}/{{volume_id}}", update, UPDATE, also=(SWAP,)),
    Route("DELETE", f"{_PATH}/{{volume_id}}", writes(detach_volume.accept), Rule(f"{_RULE}:delete", MEMBER)),
)
