"""``/domains``."""

from typing import Annotated, Any

from pumice.api.call import Call
from pumice.api.identity.checks import ADMIN, IN_DOMAIN, READER_INSIDE
from pumice.api.identity.lists import (
    Changes,
    Description,
    Kept,
    Options,
    ShortName,
    link,
    listing,
)
from pumice.api.identity.resource import creating, routes, updating
from pumice.api.routing import showing
from pumice.identity import options, projects
from pumice.store.domains import Row


class Create(Kept):
    """What a new domain may have; other keys are kept."""

    name: Annotated[str, ShortName]
    description: Description = ""
    enabled: bool = True
    options: Options = Options()


class Update(Changes):
    """What of a domain may change; other keys are kept."""

    name: Annotated[str, ShortName] = ""
    description: Description = ""
    enabled: bool = True
    options: Options = Options()


def view(call: Call, row: Row) -> dict[str, Any]:
    """A domain as the API shows it."""
    return {
        "tags": [],
        **row["extra"],
        "options": options.of(row),
        "id": row["id"],
        "name": row["name"],
        "description": row["description"],
        "enabled": row["enabled"],
        "links": {"self": link(call, "domains", row["id"])},
    }


ROUTES = routes(
    "domain",
    arg="domain_id",
    list=listing("domains", projects.matching_domains, view, "name", "enabled", within="id"),
    create=creating("domain", Create, projects.add_domain, view),
    show=showing("domain", projects.show_domain, view, scoped=False),
    update=updating("domain", Update, projects.change_domain, view),
    remove=projects.remove_domain,
    readers=READER_INSIDE,
    getters=IN_DOMAIN,
    writers=ADMIN,
)
