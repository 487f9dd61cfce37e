"""What a list of volume types leaves out."""

from collections.abc import Mapping

from pumice.api import booleans
from pumice.api.call import Call
from pumice.api.volume.filters import literal
from pumice.model.volume import VolumeType


def is_public(call: Call) -> bool | None:
    """Which visibility an administrator asks for; None is any. Tenants get all that they may use."""
    if not call.who.is_admin:
        return None
    return booleans.is_public(call)


def passes(call: Call, kind: VolumeType, readable: Mapping[str, str]) -> bool:
    """Whether the type has the extra specs asked for (3.52) among those the caller may read."""
    text = call.query.get("extra_specs")
    if text is None or call.version < (3, 52):
        return True
    return all(readable.get(key) == value for key, value in literal(text).items())
