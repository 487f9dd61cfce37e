"""Flavors: the sizes a server can have, and their extra specs (api-ref, "Flavors")."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from pumice.api import booleans
from pumice.api.call import Call, Reply, check
from pumice.api.collection import Collection
from pumice.api.compute import hardware_words
from pumice.api.compute.links import VERSION, Links
from pumice.api.compute.queries import only_query, without_query
from pumice.api.fields import Body, Boolean, LongText, NotNegative, Positive, ServerName, Text
from pumice.api.policy import ADMIN, ANYBODY, READER, Rule
from pumice.api.routing import Route, showing, writes
from pumice.catalog.flavors import new
from pumice.model.errors import Invalid, NotFound
from pumice.model.ids import new_id
from pumice.model.server import Flavor
from pumice.store import flavors
from pumice.store.conditions import Condition
from pumice.store.database import Transaction

SORT_KEYS = {
    "flavorid": "id",
    "id": "id",
    "name": "name",
    "memory_mb": "ram",
    "root_gb": "disk",
    "vcpus": "vcpus",
    "swap": "swap",
    "ephemeral_gb": "ephemeral",
    "is_public": "is_public",
    "disabled": "disabled",
    "description": "description",
}
"""Sort keys on the wire, and the columns they stand for."""
_ID = re.compile(r"(?! )[a-zA-Z0-9. _-]{1,255}(?<! )")
_KEY = re.compile(r"[a-zA-Z0-9\-_:. ]{1,255}")

SPECS = Rule("os_compute_api:os-flavor-extra-specs:index", READER)


def _flavor_id(value: str) -> str:
    if not _ID.fullmatch(value):
        raise ValueError("An id has 1 to 255 of the characters a-z, A-Z, 0-9, '.', ' ', '_' and '-'")
    return value


def _key(value: str) -> str:
    if not _KEY.fullmatch(value):
        raise ValueError("A key has 1 to 255 of the characters a-z, A-Z, 0-9, '-', '_', ':', '.' and space")
    return value


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Specs = dict[Annotated[str, AfterValidator(_key)], Annotated[Text, BeforeValidator(_number_as_text)]]


class FlavorBody(Body):
    """``POST /flavors``."""

    name: ServerName
    ram: Positive
    vcpus: Positive
    disk: NotNegative
    id: Annotated[str, BeforeValidator(_number_as_text), AfterValidator(_flavor_id)] | None = None
    ephemeral: NotNegative = Field(0, alias="OS-FLV-EXT-DATA:ephemeral")
    swap: NotNegative = 0
    rxtx_factor: Annotated[float, Field(gt=0, le=3.4e38)] = 1.0
    is_public: Boolean = Field(True, alias="os-flavor-access:is_public")
    description: LongText | None = None


class DescriptionBody(Body):
    """``PUT /flavors/{id}``."""

    description: LongText | None


class SpecsBody(Body):
    """``POST /flavors/{id}/os-extra_specs``."""

    extra_specs: Specs


def summary(call: Call, flavor: Flavor) -> dict[str, Any]:
    """A flavor in the plain list."""
    view: dict[str, Any] = {
        "id": flavor.id,
        "name": flavor.name,
        "links": Links(call).to("flavors", flavor.id),
    }
    if call.version >= (2, 55):
        view["description"] = flavor.description
    return view


def detail(call: Call, flavor: Flavor) -> dict[str, Any]:
    """A flavor in full."""
    view = summary(call, flavor) | {
        "ram": flavor.ram,
        "disk": flavor.disk,
        "vcpus": flavor.vcpus,
        "swap": flavor.swap or (0 if call.version >= (2, 75) else ""),
        "OS-FLV-EXT-DATA:ephemeral": flavor.ephemeral,
        "os-flavor-access:is_public": flavor.is_public,
    }
    if call.version < (2, 102):
        view |= {"OS-FLV-DISABLED:disabled": flavor.disabled, "rxtx_factor": flavor.rxtx_factor or 1.0}
    if call.version >= (2, 61) and call.policy.allows(SPECS, call.who):
        view["extra_specs"] = flavor.extra_specs
    return view


def _conditions(call: Call) -> list[Condition]:
    by_name = call.version >= (2, 102)
    names = ("name",) if by_name else ()
    only_query(call, "limit", "marker", "sort_key", "sort_dir", "is_public", "minRam", "minDisk", *names)
    found = [
        flavors.at_least(column, _number(call, name))
        for name, column in (("minRam", "ram"), ("minDisk", "disk"))
        if name in call.query
    ]
    if by_name and "name" in call.query:
        found.append(flavors.named(call.query["name"]))
    if (is_public := booleans.is_public(call) if call.who.is_admin else True) is not None:
        found.append(flavors.of_public(is_public))
    return found


def _number(call: Call, name: str) -> int:
    try:
        return int(call.query[name])
    except ValueError:
        raise Invalid(f"Invalid {name} filter [{call.query[name]}]") from None


LIST = Collection(SORT_KEYS, _conditions, flavors.page, by="flavorid", ascends=True, is_novas=True)


async def create(call: Call) -> Reply:
    """``POST /flavors``: 200, as Nova has it."""
    body = await call.parse_only(FlavorBody, "flavor")
    body.only_since(call.version, {"description": (2, 55)})
    flavor = new(
        body.id or new_id(),
        body.name,
        vcpus=body.vcpus,
        ram=body.ram,
        disk=body.disk,
        ephemeral=body.ephemeral,
        swap=body.swap,
        is_public=body.is_public,
        description=body.description,
        rxtx_factor=body.rxtx_factor,
    )
    await call.ctx.db.write(flavors.insert, flavor)
    return Reply({"flavor": detail(call, flavor)})


async def update(call: Call) -> Reply:
    """``PUT /flavors/{id}``: the description."""
    body = await call.parse_only(DescriptionBody, "flavor")

    def work(tx: Transaction) -> Flavor:
        flavors.get(tx, call.who, call.args["id"])
        flavors.change(tx, call.args["id"], description=body.description)
        return flavors.get(tx, call.who, call.args["id"])

    return Reply({"flavor": detail(call, await call.ctx.db.write(work))})


async def specs(call: Call) -> Reply:
    """``GET /flavors/{id}/os-extra_specs``."""
    flavor = await call.ctx.db.read(flavors.get, call.who, call.args["id"])
    return Reply({"extra_specs": flavor.extra_specs})


async def one_spec(call: Call) -> Reply:
    """``GET /flavors/{id}/os-extra_specs/{key}``."""
    flavor = await call.ctx.db.read(flavors.get, call.who, call.args["id"])
    return Reply({call.args["key"]: _spec(flavor, call.args["key"])})


async def add_specs(call: Call) -> Reply:
    """``POST /flavors/{id}/os-extra_specs``."""
    body = await call.parse(SpecsBody)
    await _add(call, body)
    return Reply({"extra_specs": body.extra_specs})


async def set_spec(call: Call) -> Reply:
    """``PUT /flavors/{id}/os-extra_specs/{key}``: the key stands in the body again."""
    body = check(SpecsBody, {"extra_specs": await call.json()})
    if body.extra_specs.keys() != {call.args["key"]}:
        raise Invalid("Request body and URI mismatch")
    await _add(call, body)
    return Reply(body.extra_specs)


async def _add(call: Call, body: SpecsBody) -> None:
    for key, value in body.extra_specs.items() if call.version >= (2, 86) else ():
        word = hardware_words.of_flavor(key)
        if word is hardware_words.UNKNOWN:
            raise Invalid(f"Validation failed; extra spec '{key}' does not appear to be a valid extra spec.")
        if word and word in hardware_words.DONE.values() and not word.takes(value):
            raise Invalid(f"Validation failed; '{value[:50]}' is no value of extra spec '{key}': {word.why}.")
    if any(key.startswith("quota:disk_") for key in body.extra_specs):
        raise Invalid(
            "Limits of disks are no part of a flavor in this version of Pumice: give volume types QoS specs."
        )

    def work(tx: Transaction) -> None:
        flavor = flavors.get(tx, call.who, call.args["id"])
        flavors.change(tx, flavor.id, extra_specs=flavor.extra_specs | body.extra_specs)

    await call.ctx.db.write(work)


async def remove_spec(call: Call) -> Reply:
    """``DELETE /flavors/{id}/os-extra_specs/{key}``: 200, as Nova has it."""
    key = call.args["key"]

    def work(tx: Transaction) -> None:
        flavor = flavors.get(tx, call.who, call.args["id"])
        _spec(flavor, key)
        kept = {name: value for name, value in flavor.extra_specs.items() if name != key}
        flavors.change(tx, flavor.id, extra_specs=kept)

    await call.ctx.db.write(work)
    return Reply()


def _spec(flavor: Flavor, key: str) -> str:
    try:
        return flavor.extra_specs[key]
    except KeyError:
        raise NotFound(f"Flavor {flavor.id}'s extra spec", key) from None


_PATH = f"{VERSION}/flavors"
_READ, _MANAGE = "os_compute_api:flavors", "os_compute_api:os-flavor-manage"
_SPECS = "os_compute_api:os-flavor-extra-specs"
ROUTES = (
    Route("GET", _PATH, LIST.answers("flavors", summary), Rule(_READ, ANYBODY)),
    Route("POST", _PATH, create, Rule(f"{_MANAGE}:create", ADMIN), also=(SPECS,)),
    Route("GET", f"{_PATH}/detail", LIST.answers("flavors", detail), Rule(_READ, ANYBODY), also=(SPECS,)),
    Route(
        "GET",
        f"{_PATH}/{{id}}",
        without_query(showing("flavor", flavors.get, detail)),
        Rule(_READ, ANYBODY),
        also=(SPECS,),
    ),
    Route("PUT", f"{_PATH}/{{id}}", update, Rule(f"{_MANAGE}:update", ADMIN), also=(SPECS,), since=(2, 55)),
    Route("DELETE", f"{_PATH}/{{id}}", writes(flavors.delete, scoped=False), Rule(f"{_MANAGE}:delete", ADMIN)),
    Route("GET", f"{_PATH}/{{id}}/os-extra_specs", without_query(specs), SPECS),
    Route("POST", f"{_PATH}/{{id}}/os-extra_specs", add_specs, Rule(f"{_SPECS}:create", ADMIN)),
    Route(
        "GET", f"{_PATH}/{{id}}/os-extra_specs/{{key}}", without_query(one_spec), Rule(f"{_SPECS}:show", READER)
    ),
    Route("PUT", f"{_PATH}/{{id}}/os-extra_specs/{{key}}", set_spec, Rule(f"{_SPECS}:update", ADMIN)),
    Route("DELETE", f"{_PATH}/{{id}}/os-extra_specs/{{key}}", remove_spec, Rule(f"{_SPECS}:delete", ADMIN)),
)
