"""``/services``: what the catalog names."""

from typing import Annotated, Any

from pydantic import Field

from pumice.api.call import Call
from pumice.api.identity.checks import ADMIN, READER
from pumice.api.identity.lists import Changes, Kept, link, listing
from pumice.api.identity.resource import creating, routes, updating
from pumice.api.routing import showing
from pumice.store.resources import SERVICES, Row

Word = Annotated[str, Field(min_length=1, max_length=255)]


class Create(Kept):
    """What a new service may have; other keys are kept."""

    type: Word
    name: Word = ""
    enabled: bool = True


class Update(Changes):
    """What of a service may change; other keys are kept."""

    type: Word = ""
    name: Word = ""
    enabled: bool = True


def view(call: Call, row: Row) -> dict[str, Any]:
    """A service as the API shows it."""
    return {
        **row["extra"],
        "id": row["id"],
        "type": row["type"],
        "name": row["name"],
        "enabled": row["enabled"],
        "links": {"self": link(call, "services", row["id"])},
    }


ROUTES = routes(
    "service",
    list=listing("services", SERVICES.matching, view, "type", "name"),
    create=creating("service", Create, SERVICES.add, view),
    show=showing("service", SERVICES.show, view, scoped=False),
    update=updating("service", Update, SERVICES.change, view),
    remove=SERVICES.remove,
    readers=READER,
    writers=ADMIN,
)
