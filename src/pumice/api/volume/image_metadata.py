"""What a volume remembers of the image that it was made of (api-ref, "Volume actions")."""

from typing import Any

from pumice.api.call import Call, Reply
from pumice.api.fields import Body, Key, LongText
from pumice.api.policy import MEMBER, READER, Rule
from pumice.api.routing import Handler, Route, writes
from pumice.api.volume.metadata import refuse_too_much
from pumice.model.errors import NotFound
from pumice.model.scope import Scope
from pumice.operations.at_once import AtOnce, record
from pumice.store import volumes
from pumice.store.database import Transaction


class SetImageMetadata(Body):
    """What to remember of an image: as much as an image itself may say."""

    metadata: dict[Key, LongText]


class UnsetImageMetadata(Body):
    """The body that names the key of image metadata to forget."""

    key: Key


async def show(call: Call) -> Reply:
    """Show what the volume remembers of its image."""
    volume = await call.ctx.db.read(volumes.get, call.who, call.args["id"])
    return Reply({"metadata": volume.image_metadata or {}})


async def add(call: Call) -> Reply:
    """Add to what the volume remembers of its image, or change it."""
    asked = await call.parse(SetImageMetadata)
    most = call.ctx.tunables.api_max_metadata
    metadata = await call.ctx.db.write(_add, call.who, call.args["id"], asked.metadata, most)
    return Reply({"metadata": metadata})


def _add(tx: Transaction, who: Scope, volume_id: str, more: dict[str, str], most: int) -> dict[str, Any]:
    volume = volumes.get(tx, who, volume_id)
    known = volume.image_metadata or {}
    metadata = known | more
    refuse_too_much(known, metadata, most)
    volumes.change(tx, volume_id, image_metadata=metadata)
    record(tx, AtOnce.VOLUME_UPDATE, volume, who)
    return metadata


def _forget(tx: Transaction, who: Scope, volume_id: str, key: str) -> None:
    volume = volumes.get(tx, who, volume_id)
    metadata = volume.image_metadata or {}
    if key not in metadata:
        raise NotFound("Glance metadata for volume/snapshot", volume_id)
    left = {name: value for name, value in metadata.items() if name != key}
    volumes.change(tx, volume_id, image_metadata=left or None)
    record(tx, AtOnce.VOLUME_UPDATE, volume, who)


def _action(name: str, handler: Handler, verb: str, check: str) -> Route:
    rule = Rule(f"volume_extension:volume_image_metadata:{verb}", check)
    return Route("POST", "/volumes/{id}/action", handler, rule, action=name)


ROUTES = (
    _action("os-show_image_metadata", show, "show", READER),
    _action("os-set_image_metadata", add, "set", MEMBER),
    _action("os-unset_image_metadata", writes(_forget, 200, body=UnsetImageMetadata), "remove", MEMBER),
)
