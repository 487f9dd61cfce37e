"""The other actions on a volume: extend, bootable, read-only, image metadata, and an administrator's."""

from typing import Any, Literal

from pydantic import Field

from pumice.api.call import Call, Reply, check
from pumice.api.fields import Body, Boolean, LongText, Text, Uuid
from pumice.api.policy import ADMIN, MEMBER, READER, Rule
from pumice.api.routing import Handler, Route, writes
from pumice.api.volume.fields import Key, Size
from pumice.api.volume.types import VIEW, view
from pumice.api.volume.volume_view import wire_time
from pumice.attachments.release import release
from pumice.model.errors import Conflict, Invalid, InvalidState, NotFound
from pumice.model.scope import Scope
from pumice.model.states import VolumeStatus
from pumice.model.volume import VolumeType
from pumice.store import attachments, types, volumes
from pumice.store.database import Transaction
from pumice.volumes import delete, force_delete, upload
from pumice.volumes.extend import accept as accept_extend
from pumice.volumes.reimage import accept as accept_reimage
from pumice.volumes.retype import retype
from pumice.volumes.revert import accept as accept_revert

ADMIN_RULE = "volume_extension:volume_admin_actions:"
IMAGE_RULE = "volume_extension:volume_image_metadata:"
REIMAGE = Rule("volume:reimage", MEMBER)
REIMAGE_RESERVED = Rule("volume:reimage_reserved", MEMBER)
UPLOAD_PUBLIC = Rule("volume_extension:volume_actions:upload_public", ADMIN)


class Extend(Body):
    """The new size in GiB."""

    new_size: Size


class Revert(Body):
    """The snapshot to go back to."""

    snapshot_id: Uuid


class Retype(Body):
    """The type that it shall have; ``migration_policy`` says whether its bytes may be moved for that."""

    new_type: Text = Field(min_length=1)
    migration_policy: Literal["on-demand", "never"] | None = None


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
    """What the rows shall say."""

    status: str | None = None
    attach_status: str | None = None
    migration_status: str | None = None


class SetImageMetadata(Body):
    """What to remember of an image: as much as an image itself may say."""

    metadata: dict[Key, LongText]


class Completion(Body):
    """Whether what was to be done for it has failed."""

    error: Boolean | None = None


class Reimage(Body):
    """The image whose bytes the volume shall have. ``reimage_reserved``: also if a server has reserved it."""

    image_id: Uuid
    reimage_reserved: Boolean = False


class UnsetImageMetadata(Body):
    """The body that names the key of image metadata to forget."""

    key: Key


async def extend(call: Call) -> Reply:
    """Extend a volume, since 3.42 one in use as well: 202."""
    asked = await call.parse(Extend, "os-extend")
    in_use = call.version >= (3, 42)
    write = call.ctx.db.write
    await write(accept_extend, call.who, call.args["id"], asked.new_size, call.ctx.tunables, in_use=in_use)
    return Reply(status=202)


async def revert(call: Call) -> Reply:
    """Revert a volume to its latest snapshot: 202."""
    asked = await call.parse(Revert, "revert")
    await call.ctx.db.write(accept_revert, call.who, call.args["id"], asked.snapshot_id)
    return Reply(status=202)


async def reimage(call: Call) -> Reply:
    """Give a volume an image's bytes instead of its own: 202."""
    asked = await call.parse(Reimage, "os-reimage")
    await call.ctx.db.write(_reimage, call, asked)
    return Reply(status=202)


def _reimage(tx: Transaction, call: Call, asked: "Reimage") -> None:
    volume_id = call.args["id"]
    if volumes.get(tx, call.who, volume_id).status == VolumeStatus.RESERVED:
        call.policy.require(REIMAGE_RESERVED, call.who)
    accept_reimage(tx, call.who, volume_id, asked.image_id, reserved=asked.reimage_reserved)


async def change_type(call: Call) -> Reply:
    """Give a volume another type, where it is: 202."""
    asked = await call.parse(Retype, "os-retype")
    await call.ctx.db.write(retype, call.who, call.args["id"], asked.new_type, call.ctx.tunables)
    return Reply(status=202)


async def upload_image(call: Call) -> Reply:
    """Make an image of a volume: 202, and the image."""
    name = "os-volume_upload_image"
    asked = await call.parse(UploadFor if call.version >= (3, 1) else Upload, name)
    if (asked.container_format or "bare") != "bare" or asked.disk_format == "ploop":
        formats = f"{asked.disk_format} in {asked.container_format or 'bare'}"
        raise Invalid(f"Invalid input received: images in the format {formats} cannot be made.")
    extra: dict[str, Any] = {}
    if isinstance(asked, UploadFor):
        extra = {"visibility": asked.visibility, "protected": asked.protected}
        if asked.visibility == "public":
            call.policy.require(UPLOAD_PUBLIC, call.who)
    wanted = upload.Wanted(asked.image_name, asked.disk_format, **extra)
    return Reply({name: await call.ctx.db.write(_upload, call, wanted, asked.force) | extra}, 202)


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


async def set_bootable(call: Call) -> Reply:
    """Say whether a server may boot from the volume: 200."""
    asked = await call.parse(Bootable, "os-set_bootable")
    await call.ctx.db.write(_set_bootable, call.who, call.args["id"], asked.bootable)
    return Reply(status=200)


async def set_read_only(call: Call) -> Reply:
    """Say whether the volume may only be read: 202."""
    asked = await call.parse(ReadOnly, "os-update_readonly_flag")
    await call.ctx.db.write(_set_read_only, call.who, call.args["id"], asked.readonly)
    return Reply(status=202)


def _set_bootable(tx: Transaction, who: Scope, volume_id: str, bootable: bool) -> None:
    volumes.change(tx, volumes.get(tx, who, volume_id).id, bootable=bootable)


def _set_read_only(tx: Transaction, who: Scope, volume_id: str, read_only: bool) -> None:
    volume = volumes.get(tx, who, volume_id)
    links = attachments.of_volume(tx, volume.id)
    if volume.status != VolumeStatus.AVAILABLE or links:
        raise InvalidState(
            f"Invalid volume: Volume {volume.id} status must be available to update readonly flag, but current "
            f"status is: {volume.status}{f', with attachment {links[0].id}' if links else ''}."
        )
    volumes.change(tx, volume.id, read_only=read_only, read_only_told=True)


async def show_image_metadata(call: Call) -> Reply:
    """What the volume remembers of its image."""
    volume = await call.ctx.db.read(volumes.get, call.who, call.args["id"])
    return Reply({"metadata": volume.image_metadata or {}})


async def set_image_metadata(call: Call) -> Reply:
    """Remember more."""
    asked = await call.parse(SetImageMetadata, "os-set_image_metadata")
    metadata = await call.ctx.db.write(_set_image_metadata, call.who, call.args["id"], asked.metadata)
    return Reply({"metadata": metadata})


def _set_image_metadata(tx: Transaction, who: Scope, volume_id: str, more: dict[str, str]) -> dict[str, Any]:
    metadata = (volumes.get(tx, who, volume_id).image_metadata or {}) | more
    volumes.change(tx, volume_id, image_metadata=metadata)
    return metadata


async def unset_image_metadata(call: Call) -> Reply:
    """Forget one key of image metadata: 200."""
    asked = await call.parse(UnsetImageMetadata, "os-unset_image_metadata")
    await call.ctx.db.write(_unset_image_metadata, call.who, call.args["id"], asked.key)
    return Reply(status=200)


def _unset_image_metadata(tx: Transaction, who: Scope, volume_id: str, key: str) -> None:
    metadata = volumes.get(tx, who, volume_id).image_metadata or {}
    if key not in metadata:
        raise NotFound("Glance metadata for volume/snapshot", volume_id)
    left = {name: value for name, value in metadata.items() if name != key}
    volumes.change(tx, volume_id, image_metadata=left or None)


async def reset_status(call: Call) -> Reply:
    """An administrator's word on a volume that nothing holds: 202."""
    asked = check(ResetStatus, (await call.json())["os-reset_status"], "os-reset_status")
    if not asked.model_fields_set:
        raise Invalid("Invalid input: status, attach_status or migration_status is a required property.")
    if (asked.attach_status or "").lower() not in ("", "attached", "detached"):
        raise Invalid(f"Invalid input for field/attribute attach_status. Value: {asked.attach_status}.")
    if asked.migration_status and asked.migration_status.lower() != "none":
        raise Invalid(
            "Migration of volumes is not part of this version of Pumice: the only migration_status is 'none'."
        )
    status = _status(asked.status) if asked.status is not None else None
    attach_status = (asked.attach_status or "").lower()
    await call.ctx.db.write(_reset_status, call.who, call.args["id"], status, attach_status)
    return Reply(status=202)


def _status(word: str) -> VolumeStatus:
    try:
        status = VolumeStatus(word.lower())
    except ValueError:
        raise Invalid(f"Invalid input for field/attribute status. Value: {word[:100]}.") from None
    if status == VolumeStatus.DELETING:
        raise Invalid(f"Cannot reset-state to {status}")
    return status


def _reset_status(
    tx: Transaction, who: Scope, volume_id: str, status: VolumeStatus | None, attach_status: str
) -> None:
    volume = volumes.get(tx, who, volume_id)
    found = attachments.of_volume(tx, volume.id)
    if status == VolumeStatus.IN_USE and not found:
        raise Invalid("Cannot reset-state to in-use because volume does not have any attachments.")
    if attach_status == "attached" and not found:
        raise Invalid("Cannot reset attach_status to attached: the volume does not have any attachments.")
    if attach_status == "detached":
        for attachment in found:
            release(tx, who, attachment)
    if status is not None and not volumes.put(tx, volume.id, status):
        raise Conflict(f"Volume {volume.id} is {volume.status}: an operation holds it, and ends by itself.")


async def complete_extension(call: Call) -> Reply:
    """Raises ``Invalid``: an extension ends by itself, and waits for nobody's word."""
    await call.parse(Completion, "os-extend_volume_completion")
    volume = await call.ctx.db.read(volumes.get, call.who, call.args["id"])
    if volume.status != VolumeStatus.EXTENDING:
        raise InvalidState("Invalid volume: Volume is not being extended.")
    raise InvalidState("Invalid volume: Required volume admin metadata is malformed or missing.")


def _delete_by_force(tx: Transaction, who: Scope, volume_id: str) -> None:
    force_delete.prepare(tx, who, volume_id)
    delete.accept(tx, who, volume_id)


def _action(name: str, handler: Handler, rule: str, check: str = MEMBER, also: tuple[Rule, ...] = ()) -> Route:
    return Route("POST", "/volumes/{id}/action", handler, Rule(rule, check), action=name, also=also)


ROUTES = (
    Route(
        "POST",
        "/volumes/{id}/action",
        revert,
        Rule("volume:revert_to_snapshot", MEMBER),
        since=(3, 40),
        action="revert",
    ),
    Route(
        "POST",
        "/volumes/{id}/action",
        reimage,
        REIMAGE,
        since=(3, 68),
        action="os-reimage",
        also=(REIMAGE_RESERVED,),
    ),
    _action("os-extend", extend, "volume:extend"),
    _action("os-retype", change_type, "volume:retype"),
    _action(
        "os-volume_upload_image",
        upload_image,
        "volume_extension:volume_actions:upload_image",
        also=(UPLOAD_PUBLIC, *VIEW),
    ),
    _action("os-set_bootable", set_bootable, "volume:update"),
    _action("os-update_readonly_flag", set_read_only, "volume:update_readonly_flag"),
    _action("os-show_image_metadata", show_image_metadata, f"{IMAGE_RULE}show", READER),
    _action("os-set_image_metadata", set_image_metadata, f"{IMAGE_RULE}set"),
    _action("os-unset_image_metadata", unset_image_metadata, f"{IMAGE_RULE}remove"),
    _action("os-reset_status", reset_status, f"{ADMIN_RULE}reset_status", ADMIN),
    _action(
        "os-extend_volume_completion",
        complete_extension,
        f"{ADMIN_RULE}extend_volume_completion",
        ADMIN,
    ),
    _action("os-force_delete", writes(_delete_by_force), f"{ADMIN_RULE}force_delete", ADMIN),
)
