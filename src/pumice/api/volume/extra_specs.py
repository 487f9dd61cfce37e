"""A type's extra specs, key by key (api-ref, "Volume types")."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pumice.api.call import Call, Reply, check
from pumice.api.faults import HttpError
from pumice.api.fields import Body, Key, Text
from pumice.api.policy import ADMIN, READER, Rule
from pumice.api.routing import Route
from pumice.api.volume.types import SEES_HIDDEN_SPECS, visible_specs
from pumice.catalog import volume_types
from pumice.model.errors import Invalid
from pumice.model.scope import Scope
from pumice.store.database import Transaction

RULE = "volume_extension:types_extra_specs:"


class CreateBody(Body):
    """The body of a create."""

    extra_specs: dict[Key, Text]


_ONE = TypeAdapter(dict[Key, Text])


async def index(call: Call) -> Reply:
    """Every extra spec that the caller may read."""
    return Reply({"extra_specs": await _readable(call)})


async def show(call: Call) -> Reply:
    """Show one extra spec."""
    specs, key = await _readable(call), call.args["key"]
    if key not in specs:
        raise _missing(call.args["id"], key)
    return Reply({key: specs[key]})


async def create(call: Call) -> Reply:
    """Add extra specs, or change them: 200."""
    specs = check(CreateBody, await call.json()).extra_specs
    await call.ctx.db.write(_rewrite, call.who, call.args["id"], lambda known: {**known, **specs})
    return Reply({"extra_specs": specs})


async def update(call: Call) -> Reply:
    """Change one extra spec: 200."""
    try:
        specs = _ONE.validate_python(await call.json())
    except ValidationError:
        raise Invalid("Malformed request body: it must be an object with one extra spec.") from None
    if call.args["key"] not in specs:
        raise Invalid("Request body and URI mismatch")
    if len(specs) > 1:
        raise Invalid("Request body contains too many items")
    await call.ctx.db.write(_rewrite, call.who, call.args["id"], lambda known: {**known, **specs})
    return Reply(specs)


async def remove(call: Call) -> Reply:
    """Forget one extra spec: 202."""
    type_id, key = call.args["id"], call.args["key"]

    def without(known: Mapping[str, str]) -> dict[str, str]:
        if key not in known:
            raise _missing(type_id, key)
        return {name: value for name, value in known.items() if name != key}

    await call.ctx.db.write(_rewrite, call.who, type_id, without)
    return Reply(status=202)


async def _readable(call: Call) -> dict[str, Any]:
    kind = await call.ctx.db.read(volume_types.by_id, call.who, call.args["id"])
    return dict(visible_specs(call, kind))


def _rewrite(
    tx: Transaction, who: Scope, type_id: str, change: Callable[[Mapping[str, str]], dict[str, str]]
) -> None:
    known = volume_types.by_id(tx, who, type_id).extra_specs
    volume_types.set_extra_specs(tx, type_id, change(known))


def _missing(type_id: str, key: str) -> HttpError:
    return HttpError(404, f"Volume Type {type_id} has no extra specs with key {key}.")


_ALL, _EACH = "/types/{id}/extra_specs", "/types/{id}/extra_specs/{key}"

ROUTES = (
    Route("GET", _ALL, index, Rule(f"{RULE}index", READER), also=(SEES_HIDDEN_SPECS,)),
    Route("POST", _ALL, create, Rule(f"{RULE}create", ADMIN)),
    Route("GET", _EACH, show, Rule(f"{RULE}show", READER), also=(SEES_HIDDEN_SPECS,)),
    Route("PUT", _EACH, update, Rule(f"{RULE}update", ADMIN)),
    Route("DELETE", _EACH, remove, Rule(f"{RULE}delete", ADMIN)),
)
