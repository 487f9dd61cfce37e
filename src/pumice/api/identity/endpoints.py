"""``/endpoints``: where the services of the catalog are."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from pumice.api.call import Call, Reply
from pumice.api.identity.catalog import address
from pumice.api.identity.checks import ADMIN, READER
from pumice.api.identity.lists import Changes, Kept, collection, link, must_stay, wanted
from pumice.api.identity.resource import routes
from pumice.api.routing import showing
from pumice.identity import places
from pumice.model.errors import Invalid
from pumice.model.ids import new_id
from pumice.store.resources import ENDPOINTS, Row

_WORD = re.compile(r"[%$]\((\w*)\)s?")
_KNOWN = ("project_id", "tenant_id", "user_id")


def _can_be_filled_in(url: str) -> str:
    unknown = [word for word in _WORD.findall(url) if word not in _KNOWN]
    if unknown or url.count("%") != len(_WORD.findall(url.replace("$(", "("))):
        raise ValueError(f"What is to be filled into it must be one of {', '.join(f'%({w})s' for w in _KNOWN)}")
    return url


Url = Annotated[
    str,
    Field(max_length=225, pattern=r"^([a-zA-Z0-9+.-]+:.+|/.*)$"),
    AfterValidator(_can_be_filled_in),
]
"""An address, or a path alone: at the address by which the client comes."""
Interface = Literal["admin", "internal", "public"]
Region = Annotated[str, Field(min_length=1, max_length=255)]


class Create(Kept):
    """What a new endpoint may have; other keys are kept."""

    interface: Interface
    service_id: str
    url: Url
    region_id: Region | None = None
    region: Region | None = None
    enabled: bool = True


class Update(Changes):
    """What of an endpoint may change; other keys are kept."""

    interface: Interface = "public"
    service_id: str = ""
    url: Url = ""
    region_id: Region | None = None
    region: Region | None = None
    enabled: bool = True


async def list_(call: Call) -> Reply:
    """``GET /endpoints``."""
    filters = wanted(call, ("service_id", "interface", "region_id"))
    if filters.get("interface", "public") not in ("admin", "internal", "public"):
        raise Invalid(f"There is no interface '{filters['interface']}': known are admin, internal, public.")
    rows = await call.ctx.db.read(ENDPOINTS.matching, filters)
    return collection(call, "endpoints", [view(call, row) for row in rows])


async def create(call: Call) -> Reply:
    """``POST /endpoints``. A ``region`` that is not there is made, as the older form asks."""
    body = await call.parse(Create, "endpoint")
    row = {
        "id": new_id(),
        "service_id": body.service_id,
        "interface": body.interface,
        "region_id": body.region_id or body.region,
        "url": body.url,
        "enabled": body.enabled,
        "extra": {key: value for key, value in body.extra().items() if key != "id"},
    }
    made = await call.ctx.db.write(places.add_endpoint, row, makes_region=body.region_id is None)
    return Reply({"endpoint": view(call, made)}, 201)


async def update(call: Call) -> Reply:
    """``PATCH /endpoints/{id}``."""
    body = await call.parse(Update, "endpoint")
    values, extra = body.given(), body.extra()
    must_stay("an endpoint", "id", call.args["id"], extra)
    older = values.pop("region", None)
    if makes_region := older is not None and values.get("region_id") is None:
        values["region_id"] = older
    row = await call.ctx.db.write(
        places.change_endpoint, call.args["id"], values, extra, makes_region=makes_region
    )
    return Reply({"endpoint": view(call, row)})


def view(call: Call, row: Row) -> dict[str, Any]:
    """An endpoint as the API shows it."""
    return {
        **row["extra"],
        "id": row["id"],
        "service_id": row["service_id"],
        "interface": row["interface"],
        "region": row["region_id"],
        "region_id": row["region_id"],
        "url": address(call, row["url"]),
        "enabled": row["enabled"],
        "links": {"self": link(call, "endpoints", row["id"])},
    }


ROUTES = routes(
    "endpoint",
    list=list_,
    create=create,
    show=showing("endpoint", ENDPOINTS.show, view, scoped=False),
    update=update,
    remove=ENDPOINTS.remove,
    readers=READER,
    writers=ADMIN,
)
