"""How volumes and their types are encrypted (api-ref, "Volume type encryption"; Compute asks it of volumes).

LUKS at the front end is what there is: the host that runs the guest opens the volume, and storage sees nothing.
A type may say something else, as with Cinder; a volume of it is refused (``volumes/encrypted.py``).
"""

from typing import Any, Literal

from pydantic import ConfigDict

from pumice.api.call import Call, Reply
from pumice.api.faults import HttpError
from pumice.api.fields import Body, Size, Text
from pumice.api.policy import ADMIN, READER, Rule
from pumice.api.routing import Route, writes
from pumice.catalog import volume_types
from pumice.host import luks
from pumice.model.scope import Scope
from pumice.model.volume import Volume
from pumice.store import types, volumes
from pumice.store.database import Transaction

UNENCRYPTED: dict[str, Any] = {"encryption_key_id": None}
_SPECS = ("provider", "control_location", "cipher", "key_size")


class Encryption(Body):
    """What may be asked of a type's encryption."""

    model_config = ConfigDict(extra="allow")

    provider: Text | None = None
    control_location: Literal["front-end", "back-end"] | None = None
    cipher: Text | None = None
    key_size: Size | None = None


class NewEncryption(Encryption):
    """What a new encryption of a type must say."""

    provider: Text
    control_location: Literal["front-end", "back-end"]


async def of_volume(call: Call) -> Reply:
    """Show all that is known of a volume's encryption, except its key."""
    return Reply(await call.ctx.db.read(_of_volume, call.who, call.args["id"]))


async def one_of_volume(call: Call) -> Reply:
    """Show one value of a volume's encryption."""
    known = await call.ctx.db.read(_of_volume, call.who, call.args["id"])
    if call.args["key"] not in known:
        raise HttpError(404, f"The volume's encryption has no {call.args['key']}.")
    return Reply(known[call.args["key"]])


def _of_volume(tx: Transaction, who: Scope, volume_id: str) -> dict[str, Any]:
    volume: Volume = volumes.get(tx, who, volume_id)
    kind = types.get(tx, volume.type_id) if volume.type_id else None
    if volume.encryption_key_id is None or kind is None or kind.encryption is None:
        return UNENCRYPTED
    return {"encryption_key_id": volume.encryption_key_id} | {key: kind.encryption[key] for key in _SPECS}


async def of_type(call: Call) -> Reply:
    """How volumes of a type are encrypted; nothing where they are not."""
    return Reply(await _view(call))


async def one_of_type(call: Call) -> Reply:
    """Show one value of a type's encryption."""
    known = await _view(call)
    if call.args["key"] not in known:
        raise HttpError(404, f"Volume type encryption for type {call.args['id']} does not exist.")
    return Reply({call.args["key"]: known[call.args["key"]]})


async def _view(call: Call) -> dict[str, Any]:
    kind = await call.ctx.db.read(volume_types.by_id, call.who, call.args["id"])
    if kind.encryption is None:
        return {}
    times = {"updated_at": None, "deleted_at": None, "deleted": False}
    return times | kind.encryption | {"volume_type_id": kind.id}


async def create(call: Call) -> Reply:
    """Have volumes of a type encrypted."""
    asked = await call.parse_only(NewEncryption, "encryption")
    specs = {"cipher": luks.CIPHER, "key_size": luks.KEY_SIZE} | _known(asked)
    made = await call.ctx.db.write(volume_types.encrypt, call.args["id"], specs)
    shown = {key: made[key] for key in ("encryption_id", *_SPECS)}
    return Reply({"encryption": shown | {"volume_type_id": call.args["id"]}})


def _known(asked: Encryption) -> dict[str, Any]:
    return asked.model_dump(include=set(_SPECS), exclude_none=True)


async def update(call: Call) -> Reply:
    """Encrypt otherwise, while there are no volumes of the type. The path's last part names nothing."""
    asked = _known(await call.parse_only(Encryption, "encryption"))
    await call.ctx.db.write(volume_types.change_encryption, call.args["id"], asked)
    return Reply({"encryption": asked})


def _decrypt(tx: Transaction, type_id: str, _key: str) -> None:
    volume_types.decrypt(tx, type_id)


_RULE = "volume_extension:volume_encryption_metadata"
_TYPE_RULE = "volume_extension:volume_type_encryption"
_TYPE = "/types/{id}/encryption"

ROUTES = (
    Route("GET", "/volumes/{id}/encryption", of_volume, Rule(_RULE, READER)),
    Route("GET", "/volumes/{id}/encryption/{key}", one_of_volume, Rule(_RULE, READER)),
    Route("GET", _TYPE, of_type, Rule(f"{_TYPE_RULE}:get", ADMIN)),
    Route("POST", _TYPE, create, Rule(f"{_TYPE_RULE}:create", ADMIN)),
    Route("GET", f"{_TYPE}/{{key}}", one_of_type, Rule(f"{_TYPE_RULE}:get", ADMIN)),
    Route("PUT", f"{_TYPE}/{{key}}", update, Rule(f"{_TYPE_RULE}:update", ADMIN)),
    Route("DELETE", f"{_TYPE}/{{key}}", writes(_decrypt, scoped=False), Rule(f"{_TYPE_RULE}:delete", ADMIN)),
)
