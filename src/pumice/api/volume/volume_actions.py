"""The other actions on a volume: extend, upload, bootable, read-only, and an administrator's."""

from typing import Any, Literal

from pydantic import Field

from pumice.api.call import Call, Reply, Version
from pumice.api.fields import Body, Boolean, Size, Text, Uuid
from pumice.api.policy import ADMIN, MEMBER, Rule
from pumice.api.routing import Handler, Route, acts, writes
from pumice.api.volume.rules import EXTEND_ATTACHED
from pumice.api.volume.types import VIEW, view
from pumice.api.volume.volume_view import wire_time
from pumice.attachments.release import release
from pumice.model.errors import Conflict, Invalid, InvalidState
from pumice.model.scope import Scope
from pumice.model.states import VolumeStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import MigrationStatus, VolumeType
from pumice.operations.at_once import AtOnce, record
from pumice.store import attachments, types, volumes
from pumice.store.database import Transaction
from pumice.volumes import force_delete, upload
from pumice.volumes.extend import accept as accept_extend
from pumice.volumes.recycle_bin import keep
from pumice.volumes.reimage import accept as accept_reimage
from pumice.volumes.revert import accept as accept_revert

REIMAGE_RESERVED = Rule("volume:reimage_reserved", MEMBER)
UPLOAD_PUBLIC = Rule("volume_extension:volume_actions:upload_public", ADMIN)


class Extend(Body):
    """The new size in GiB."""

    new_size: Size


class Revert(Body):
    """The snapshot to go back to."""

    snapshot_id: Uuid


class Upload(Body):
    """The image to make."""

    image_name: Text = Field(min_length=1)
    force: Boolean = False
    disk_format: Literal["raw", "vmdk", "vdi", "qcow2", "vhd", "vhdx", "ploop"] = "raw"
    container_format: Text | None = None


class UploadFor(Upload):
    """The body of an upload since 3.1: also says who may see the image."""

    visibility: Literal["community", "public", "private", "shared"] = "private"
    protected: Boolean = False


class Bootable(Body):
    """Whether a server may boot from it."""

    bootable: Boolean


class ReadOnly(Body):
    """Whether it may only be read."""

    readonly: Boolean


class ResetStatus(Body):
    """The statuses that a volume and its attachments are to have."""

    status: str | None = None
    attach_status: str | None = None
    migration_status: str | None = None


class Completion(Body):
    """Whether what was to be done for it has failed."""

    error: Boolean | None = None


class Reimage(Body):
    """The image whose bytes the volume shall have. ``reimage_reserved``: also if a server has reserved it."""

    image_id: Uuid
    reimage_reserved: Boolean = False


def _extend(tx: Transaction, call: Call, asked: Extend) -> None:
    """Extend a volume, since 3.42 one in use as well."""
    in_use = call.version >= (3, 42)
    is_limited = in_use and not call.policy.allows(EXTEND_ATTACHED, call.who)
    if is_limited and volumes.get(tx, call.who, call.args["id"]).status == VolumeStatus.IN_USE:
        call.policy.require(EXTEND_ATTACHED, call.who)
    accept_extend(tx, call.who, call.args["id"], asked.new_size, call.ctx.tunables, in_use=in_use)


def _reimage(tx: Transaction, call: Call, asked: Reimage) -> None:
    volume_id = call.args["id"]
    if volumes.get(tx, call.who, volume_id).status == VolumeStatus.RESERVED:
        call.policy.require(REIMAGE_RESERVED, call.who)
    accept_reimage(tx, call.who, volume_id, asked.image_id, reserved=asked.reimage_reserved)


async def upload_image(call: Call) -> Reply:
    """Make an image of a volume: 202, and the image."""
    asked = await call.parse(UploadFor if call.version >= (3, 1) else Upload)
    if (asked.container_format or "bare") != "bare" or asked.disk_format == "ploop":
        formats = f"{asked.disk_format} in {asked.container_format or 'bare'}"
        raise Invalid(f"Invalid input received: images in the format {formats} cannot be made.")
    extra: dict[str, Any] = {}
    if isinstance(asked, UploadFor):
        extra = {"visibility": asked.visibility, "protected": asked.protected}
        if asked.visibility == "public":
            call.policy.require(UPLOAD_PUBLIC, call.who)
    wanted = upload.Wanted(asked.image_name, asked.disk_format, **extra)
    return Reply({call.action: await call.ctx.db.write(_upload, call, wanted, asked.force) | extra}, 202)


def _upload(tx: Transaction, call: Call, wanted: upload.Wanted, force: bool) -> dict[str, Any]:
    volume, image = upload.accept(tx, call.who, call.args["id"], wanted, in_use=force)
    kind = types.get(tx, volume.type_id) if volume.type_id else None
    return {
        "id": volume.id,
        "updated_at": wire_time(volume.updated_at),
        "status": VolumeStatus.UPLOADING,
        "display_description": volume.description,
        "size": volume.size,
        "volume_type": _type_in_full(call, kind) if kind else None,
        "image_id": image.id,
        "container_format": image.container_format,
        "disk_format": image.disk_format,
        "image_name": image.name,
    }


def _type_in_full(call: Call, kind: VolumeType) -> dict[str, Any]:
    """The volume's type as only this answer has it: its row, as far as the caller may read that."""
    shown = view(call, kind)
    return {
        "id": kind.id,
        "name": kind.name,
        "description": kind.description,
        "is_public": kind.is_public,
        "extra_specs": shown.get("extra_specs"),
        "qos_specs_id": shown.get("qos_specs_id"),
        "created_at": wire_time(kind.created_at),
        "updated_at": wire_time(kind.updated_at),
        "deleted": False,
        "deleted_at": None,
    }


def _set_bootable(tx: Transaction, who: Scope, volume_id: str, bootable: bool) -> None:
    volume = volumes.get(tx, who, volume_id)
    volumes.change(tx, volume.id, bootable=bootable)
    record(tx, AtOnce.VOLUME_UPDATE, volume, who)


def _set_read_only(tx: Transaction, who: Scope, volume_id: str, readonly: bool) -> None:
    volume = volumes.get(tx, who, volume_id)
    links = attachments.of_volume(tx, volume.id)
    if volume.status != VolumeStatus.AVAILABLE or links:
        raise InvalidState(
            f"Invalid volume: Volume {volume.id} status must be available to update readonly flag, but current "
            f"status is: {volume.status}{f', with attachment {links[0].id}' if links else ''}."
        )
    volumes.change(tx, volume.id, read_only=readonly, read_only_told=True)
    record(tx, AtOnce.VOLUME_UPDATE, volume, who)


def _status(word: str) -> VolumeStatus:
    try:
        status = VolumeStatus(word.lower())
    except ValueError:
        status = VolumeStatus.RECYCLED
    if status == VolumeStatus.RECYCLED:  # is no status of this API
        raise Invalid(f"Invalid input for field/attribute status. Value: {word[:100]}.")
    if status == VolumeStatus.DELETING:
        raise Invalid(f"Cannot reset-state to {status}")
    return status


_NONE = "none"


def _migration_status(word: str) -> str:
    """A word on how the last migration ended: how far one is says its operation alone."""
    status = word.lower()
    if status not in (_NONE, MigrationStatus.SUCCESS, MigrationStatus.ERROR):
        raise Invalid(
            f"Invalid input for field/attribute migration_status. Value: {word[:100]}. It can be reset to "
            "'none', 'success' or 'error'."
        )
    return status


def _reset_status(tx: Transaction, call: Call, asked: ResetStatus) -> None:
    """An administrator's word on a volume that nothing holds."""
    if not asked.model_fields_set:
        raise Invalid("Invalid input: status, attach_status or migration_status is a required property.")
    attach_status = (asked.attach_status or "").lower()
    if attach_status not in ("", "attached", "detached"):
        raise Invalid(f"Invalid input for field/attribute attach_status. Value: {asked.attach_status}.")
    migration = _migration_status(asked.migration_status) if asked.migration_status else None
    status = _status(asked.status) if asked.status is not None else None
    volume = volumes.get(tx, call.who, call.args["id"])
    if migration is not None:
        if volume.is_moving:
            raise Conflict(f"Volume {volume.id} is being moved: an operation holds it, and ends by itself.")
        volumes.change(tx, volume.id, migration_status=None if migration == _NONE else migration)
    found = attachments.of_volume(tx, volume.id)
    if status == VolumeStatus.IN_USE and not found:
        raise Invalid("Cannot reset-state to in-use because volume does not have any attachments.")
    if attach_status == "attached" and not found:
        raise Invalid("Cannot reset attach_status to attached: the volume does not have any attachments.")
    if attach_status == "detached":
        for attachment in found:
            release(tx, call.who, attachment)
    if status is not None and not volumes.put(tx, volume.id, status):
        raise Conflict(f"Volume {volume.id} is {volume.status}: an operation holds it, and ends by itself.")
    record(tx, AtOnce.VOLUME_RESET_STATUS, volume, call.who)


async def complete_extension(call: Call) -> Reply:
    """Raises ``Invalid``: an extension ends by itself, and waits for nobody's word."""
    await call.parse(Completion)
    volume = await call.ctx.db.read(volumes.get, call.who, call.args["id"])
    if volume.status != VolumeStatus.EXTENDING:
        raise InvalidState("Invalid volume: Volume is not being extended.")
    raise InvalidState("Invalid volume: Required volume admin metadata is malformed or missing.")


def _delete_by_force(tx: Transaction, who: Scope, volume_id: str, tunables: Tunables) -> None:
    force_delete.prepare(tx, who, volume_id)
    keep.delete_volume(tx, who, volume_id, tunables, for_good=True)


_ADMIN = "volume_extension:volume_admin_actions:"
_ACTION = "volume_extension:volume_actions:"


def _action(
    name: str,
    handler: Handler,
    rule: str,
    check: str = MEMBER,
    also: tuple[Rule, ...] = (),
    since: Version = (0, 0),
) -> Route:
    path = "/volumes/{id}/action"
    return Route("POST", path, handler, Rule(rule, check), action=name, also=also, since=since)


ROUTES = (
    _action("revert", writes(accept_revert, body=Revert), "volume:revert_to_snapshot", since=(3, 40)),
    _action("os-reimage", acts(_reimage, Reimage), "volume:reimage", also=(REIMAGE_RESERVED,), since=(3, 68)),
    _action("os-extend", acts(_extend, Extend), "volume:extend", also=(EXTEND_ATTACHED,)),
    _action("os-volume_upload_image", upload_image, f"{_ACTION}upload_image", also=(UPLOAD_PUBLIC, *VIEW)),
    _action("os-set_bootable", writes(_set_bootable, 200, body=Bootable), "volume:update"),
    _action("os-update_readonly_flag", writes(_set_read_only, body=ReadOnly), "volume:update_readonly_flag"),
    _action("os-reset_status", acts(_reset_status, ResetStatus), f"{_ADMIN}reset_status", ADMIN),
    _action("os-extend_volume_completion", complete_extension, f"{_ADMIN}extend_volume_completion", ADMIN),
    _action("os-force_delete", writes(_delete_by_force, tuned=True), f"{_ADMIN}force_delete", ADMIN),
)
