"""How volumes and their types are encrypted: not at all. Compute asks before it attaches a volume."""

from pumice.api.call import Call, Reply
from pumice.api.faults import HttpError
from pumice.api.routing import Route
from pumice.catalog import volume_types
from pumice.store import volumes

UNENCRYPTED = {"encryption_key_id": None}


async def of_volume(call: Call) -> Reply:
    """All that is known of a volume's encryption."""
    await call.house.db.read(volumes.get, call.who, call.args["id"])
    return Reply(UNENCRYPTED)


async def one_of_volume(call: Call) -> Reply:
    """One word of it."""
    await call.house.db.read(volumes.get, call.who, call.args["id"])
    raise HttpError(404, f"The volume's encryption has no {call.args['key']}.")


async def of_type(call: Call) -> Reply:
    """How volumes of a type are encrypted."""
    await call.house.db.read(volume_types.by_id, call.who, call.args["id"])
    return Reply({})


_RULE = "volume_extension:volume_encryption_metadata"

ROUTES = (
    Route("GET", "/volumes/{id}/encryption", of_volume, _RULE),
    Route("GET", "/volumes/{id}/encryption/{key}", one_of_volume, _RULE),
    Route("GET", "/types/{id}/encryption", of_type, "volume_extension:volume_type_encryption:get"),
)
