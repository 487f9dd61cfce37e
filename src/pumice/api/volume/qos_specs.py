"""QoS specs: how fast the volumes of a type may be (api-ref, "Quality of service (QoS) specs")."""

from collections.abc import Mapping
from operator import attrgetter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from pumice.api.booleans import flag
from pumice.api.call import Call, Reply, check
from pumice.api.collection import Collection
from pumice.api.fields import Body, Key, NotBlank, Text, Unique
from pumice.api.policy import ADMIN, Rule
from pumice.api.routing import Route, acts, writes
from pumice.api.short_lists import equals, read_whole, texts
from pumice.api.volume.links import Links
from pumice.catalog import qos_specs as catalog
from pumice.model.errors import Invalid
from pumice.model.qos import QosSpecs
from pumice.store import qos_specs
from pumice.store.database import Transaction

RULE = "volume_extension:qos_specs_manage:"
Consumer = Literal["front-end", "back-end", "both"]


def _spread_specs(schema: dict[str, Any]) -> None:
    """A schema as the body has the specs: not under a key of their own."""
    specs = schema["properties"].pop("specs")
    schema["required"].remove("specs")
    schema["additionalProperties"] = specs["additionalProperties"]


class NewQosSpecs(Body):
    """New QoS specs: every key beside the name and the consumer is a spec."""

    model_config = ConfigDict(json_schema_extra=_spread_specs)
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


class UpdateBody(Body):
    """The body of an update."""

    qos_specs: dict[Key, Text | None]


class Keys(Body):
    """The keys that are to go."""

    keys: Annotated[list[Annotated[Text, Field(min_length=1)]], Unique]


class OtherConsumer(Body):
    """A new consumer of QoS specs: who keeps the volumes to them."""

    consumer: Consumer


FILTERED_BY = {name: attrgetter(name) for name in ("id", "name", "consumer")}
LIST = Collection(
    texts(attrgetter, "id", "name", "consumer", "created_at", "updated_at"),
    lambda call: equals(call.query, FILTERED_BY),
    read_whole("QoS specs", lambda tx, _who: qos_specs.every(tx)),
)


async def show(call: Call) -> Reply:
    """Show one of the QoS specs."""
    return _shown(call, await call.ctx.db.read(qos_specs.get, call.args["id"]))


async def create(call: Call) -> Reply:
    """Create QoS specs: 200."""
    asked = await call.parse_only(NewQosSpecs, "qos_specs")
    return _shown(call, await call.ctx.db.write(catalog.create, asked.name, asked.consumer, asked.specs))


async def update(call: Call) -> Reply:
    """Add keys to QoS specs, change some, or give them another consumer: 200, with what was asked."""
    asked = check(UpdateBody, await call.json()).qos_specs
    specs = {key: value for key, value in asked.items() if key != "consumer"}
    consumer = check(OtherConsumer, {"consumer": asked["consumer"]}).consumer if "consumer" in asked else None
    await call.ctx.db.write(catalog.update, call.args["id"], consumer, specs)
    return Reply({"qos_specs": asked})


async def associations(call: Call) -> Reply:
    """List the volume types that have QoS specs."""

    def names(tx: Transaction) -> Mapping[str, str]:
        return qos_specs.types_of(tx, qos_specs.get(tx, call.args["id"]).id)

    found = sorted((await call.ctx.db.read(names)).items(), key=lambda pair: pair[1])
    rows = [{"association_type": "volume_type", "name": name, "id": type_id} for type_id, name in found]
    return Reply({"qos_associations": rows})


def _remove(tx: Transaction, call: Call) -> None:
    """Forget QoS specs, with ``force`` also where volume types have them."""
    catalog.delete(tx, call.args["id"], force=flag(call, "force"))


def _associate(tx: Transaction, call: Call) -> None:
    catalog.associate(tx, call.args["id"], _type(call))


def _disassociate(tx: Transaction, call: Call) -> None:
    catalog.disassociate(tx, call.args["id"], _type(call))


def _type(call: Call) -> str:
    if not call.query.get("vol_type_id"):
        raise Invalid("Volume Type id must not be None: say which by vol_type_id.")
    return call.query["vol_type_id"]


def _view(_: Call, one: QosSpecs) -> dict[str, Any]:
    return {"id": one.id, "name": one.name, "consumer": one.consumer, "specs": one.specs}


def _shown(call: Call, one: QosSpecs) -> Reply:
    return Reply({"qos_specs": _view(call, one), "links": Links(call, "qos-specs").to(one.id)})


_ONE = "/qos-specs/{id}"
_GET_ALL, _UPDATE, _DELETE = (Rule(f"{RULE}{verb}", ADMIN) for verb in ("get_all", "update", "delete"))
ROUTES = (
    Route("GET", "/qos-specs", LIST.answers("qos_specs", _view), _GET_ALL),
    Route("POST", "/qos-specs", create, Rule(f"{RULE}create", ADMIN)),
    Route("GET", _ONE, show, Rule(f"{RULE}get", ADMIN)),
    Route("PUT", _ONE, update, _UPDATE),
    Route("DELETE", _ONE, acts(_remove), _DELETE),
    Route("PUT", f"{_ONE}/delete_keys", writes(catalog.delete_keys, scoped=False, body=Keys), _DELETE),
    Route("GET", f"{_ONE}/associations", associations, _GET_ALL),
    Route("GET", f"{_ONE}/associate", acts(_associate), _UPDATE),
    Route("GET", f"{_ONE}/disassociate", acts(_disassociate), _UPDATE),
    Route("GET", f"{_ONE}/disassociate_all", writes(catalog.disassociate, scoped=False), _UPDATE),
)
