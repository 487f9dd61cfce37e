"""QoS specs: how fast the volumes of a type may be (api-ref, "Quality of service (QoS) specs")."""

from collections.abc import Mapping
from functools import partial
from operator import attrgetter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from pumice.api.booleans import flag
from pumice.api.call import Call, Reply, check
from pumice.api.collection import Collection
from pumice.api.fields import Body, NotBlank, Text
from pumice.api.policy import ADMIN, Rule
from pumice.api.routing import Route, writes
from pumice.api.short_lists import equals, read_whole, texts
from pumice.api.volume.fields import Key
from pumice.api.volume.links import Links
from pumice.catalog import qos_specs as catalog
from pumice.model.errors import Invalid
from pumice.model.qos import QosSpecs
from pumice.store import qos_specs
from pumice.store.database import Transaction

RULE = "volume_extension:qos_specs_manage:"
Consumer = Literal["front-end", "back-end", "both"]


class NewQosSpecs(Body):
    """New QoS specs: every key beside the name and the consumer is a spec."""

    name: Annotated[NotBlank, AfterValidator(str.strip)]
    consumer: Consumer = "back-end"
    specs: dict[Annotated[Text, Field(min_length=1)], Text | None]

    @model_validator(mode="before")
    @classmethod
    def _sort_out(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        own = {key: given[key] for key in ("name", "consumer") if given.get(key) is not None}
        return own | {"specs": {key: value for key, value in given.items() if key not in ("name", "consumer")}}


class CreateBody(Body):
    """The body of a create."""

    qos_specs: NewQosSpecs


class UpdateBody(Body):
    """The body of an update."""

    qos_specs: dict[Key, Text | None]


class Keys(Body):
    """The keys that are to go."""

    keys: list[Annotated[Text, Field(min_length=1)]]


class OtherConsumer(Body):
    """A new consumer of QoS specs: who keeps the volumes to them."""

    consumer: Consumer


_FILTERS = {name: attrgetter(name) for name in ("id", "name", "consumer")}
LIST = Collection(
    texts(attrgetter, "id", "name", "consumer", "created_at", "updated_at"),
    lambda call: equals(call.query, _FILTERS),
    read_whole("QoS specs", lambda tx, _who: qos_specs.every(tx)),
)


async def show(call: Call) -> Reply:
    """Show one of the QoS specs."""
    return _shown(call, await call.ctx.db.read(qos_specs.get, call.args["id"]))


async def create(call: Call) -> Reply:
    """New ones: 200."""
    asked = check(CreateBody, await call.json()).qos_specs
    return _shown(call, await call.ctx.db.write(catalog.create, asked.name, asked.consumer, asked.specs))


async def update(call: Call) -> Reply:
    """Add keys, change some, or have another consumer: 200, with what was asked."""
    asked = check(UpdateBody, await call.json()).qos_specs
    specs = {key: value for key, value in asked.items() if key != "consumer"}
    consumer = check(OtherConsumer, {"consumer": asked["consumer"]}).consumer if "consumer" in asked else None
    await call.ctx.db.write(catalog.update, call.args["id"], consumer, specs)
    return Reply({"qos_specs": asked})


async def delete_keys(call: Call) -> Reply:
    """Forget keys: 202."""
    keys = check(Keys, await call.json()).keys
    if len(set(keys)) < len(keys):
        raise Invalid(f"Invalid input for field/attribute keys. Value: {keys}. It has non-unique elements.")
    await call.ctx.db.write(catalog.delete_keys, call.args["id"], keys)
    return Reply(status=202)


async def remove(call: Call) -> Reply:
    """Forget all of it, with ``force`` also where volume types have it: 202."""
    await call.ctx.db.write(partial(catalog.delete, force=flag(call, "force")), call.args["id"])
    return Reply(status=202)


async def associations(call: Call) -> Reply:
    """List the volume types that have QoS specs."""

    def names(tx: Transaction) -> Mapping[str, str]:
        return qos_specs.types_of(tx, qos_specs.get(tx, call.args["id"]).id)

    found = sorted((await call.ctx.db.read(names)).items(), key=lambda pair: pair[1])
    rows = [{"association_type": "volume_type", "name": name, "id": type_id} for type_id, name in found]
    return Reply({"qos_associations": rows})


async def associate(call: Call) -> Reply:
    """Give QoS specs to a volume type: 202."""
    await call.ctx.db.write(catalog.associate, call.args["id"], _type(call))
    return Reply(status=202)


async def disassociate(call: Call) -> Reply:
    """Take QoS specs from a volume type: 202."""
    await call.ctx.db.write(catalog.disassociate, call.args["id"], _type(call))
    return Reply(status=202)


def _type(call: Call) -> str:
    if not call.query.get("vol_type_id"):
        raise Invalid("Volume Type id must not be None: say which by vol_type_id.")
    return call.query["vol_type_id"]


def _view(_: Call, one: QosSpecs) -> dict[str, Any]:
    return {"id": one.id, "name": one.name, "consumer": one.consumer, "specs": one.specs}


def _shown(call: Call, one: QosSpecs) -> Reply:
    return Reply({"qos_specs": _view(call, one), "links": Links(call, "qos-specs").to(one.id)})


_ONE = "/qos-specs/{id}"

ROUTES = (
    Route("GET", "/qos-specs", LIST.answers("qos_specs", _view), Rule(f"{RULE}get_all", ADMIN)),
    Route("POST", "/qos-specs", create, Rule(f"{RULE}create", ADMIN)),
    Route("GET", _ONE, show, Rule(f"{RULE}get", ADMIN)),
    Route("PUT", _ONE, update, Rule(f"{RULE}update", ADMIN)),
    Route("DELETE", _ONE, remove, Rule(f"{RULE}delete", ADMIN)),
    Route("PUT", f"{_ONE}/delete_keys", delete_keys, Rule(f"{RULE}delete", ADMIN)),
    Route("GET", f"{_ONE}/associations", associations, Rule(f"{RULE}get_all", ADMIN)),
    Route("GET", f"{_ONE}/associate", associate, Rule(f"{RULE}update", ADMIN)),
    Route("GET", f"{_ONE}/disassociate", disassociate, Rule(f"{RULE}update", ADMIN)),
    Route(
        "GET",
        f"{_ONE}/disassociate_all",
        writes(catalog.disassociate, scoped=False),
        Rule(f"{RULE}update", ADMIN),
    ),
)
