"""``/projects`` and their tags."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from pumice.api.booleans import is_set
from pumice.api.call import Call, Reply
from pumice.api.identity.checks import ADMIN, MANAGER_INSIDE, READER_INSIDE, READER_INSIDE_OR_PROJECT
from pumice.api.identity.lists import (
    Changes,
    Description,
    Kept,
    Options,
    ShortName,
    collection,
    link,
    must_stay,
    wanted,
)
from pumice.api.identity.reach import within_reach
from pumice.api.identity.resource import routes
from pumice.api.policy import Rule
from pumice.api.routing import Route
from pumice.identity import options, projects, users
from pumice.model.errors import Forbidden, Invalid, NotFound
from pumice.model.ids import new_id
from pumice.store.database import Transaction

Tag = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^,/]*$")]
Tags = Annotated[list[Tag], Field(max_length=80)]

CREATE = Rule("identity:create_project", MANAGER_INSIDE)
CREATE_DOMAIN = Rule("identity:create_domain", ADMIN)


class Create(Kept):
    """What a new project may have; other keys are kept."""

    name: Annotated[str, ShortName]
    domain_id: str | None = None
    parent_id: str | None = None
    description: Description = ""
    enabled: bool = True
    options: Options = Options()
    is_domain: bool = False
    tags: Tags = Field(default_factory=list)


class Update(Changes):
    """What of a project may change; other keys are kept."""

    name: Annotated[str, ShortName] = ""
    description: Description = ""
    enabled: bool = True
    options: Options = Options()
    is_domain: bool = False
    tags: Tags = Field(default_factory=list)


class SetTags(BaseModel):
    """The body that replaces all tags of a project."""

    model_config = ConfigDict(extra="forbid", strict=True)

    tags: Tags


async def list_(call: Call) -> Reply:
    """``GET /projects``: with ``?is_domain`` the domains."""
    db, filters = call.ctx.db, wanted(call, ("name", "domain_id", "parent_id", "enabled"))
    domains = is_set(call, "is_domain")
    rows: list[Mapping[str, Any]] = []
    reached = within_reach(call, filters, "id" if domains else "domain_id")
    if reached is not None and not domains:
        rows += map(dict, await db.read(projects.matching, reached))
    elif reached is not None and not filters.keys() & {"domain_id", "parent_id"}:
        rows += map(projects.as_project, await db.read(projects.matching_domains, reached))
    return collection(call, "projects", [view(call, row) for row in rows if _has_tags(call, row)])


async def show(call: Call) -> Reply:
    """``GET /projects/{project_id}``, with what is above and below it where that is asked for."""
    return Reply({"project": await call.ctx.db.read(_shown, call)})


def _shown(tx: Transaction, call: Call) -> dict[str, Any]:
    project_id = call.args["project_id"]
    shown = view(call, projects.show_any(tx, project_id))
    for kin in ("parents", "subtree"):
        as_list, as_ids = is_set(call, f"{kin}_as_list"), is_set(call, f"{kin}_as_ids")
        if as_list and as_ids:
            raise Invalid(f"Cannot use {kin}_as_list and {kin}_as_ids query params at the same time.")
        if as_list or as_ids:
            above = kin == "parents"
            ids = _ids_above(tx, project_id) if above else _ids_below(tx, project_id)
            shown[kin] = ids if as_ids else _mine(tx, call, ids or {})
    return shown


def _ids_above(tx: Transaction, project_id: str) -> dict[str, Any] | None:
    nested: dict[str, Any] | None = None
    for project in reversed(projects.parents(tx, project_id)):
        nested = {project["id"]: nested}
    return nested


def _ids_below(tx: Transaction, project_id: str) -> dict[str, Any] | None:
    below = [child["id"] for child in projects.children(tx, project_id)]
    return {child: _ids_below(tx, child) for child in below} or None


def _mine(tx: Transaction, call: Call, nested: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The projects among these ids on which the caller has a role, as lists show them."""
    found = []
    mine = {row["id"] for row in users.projects_of(tx, call.who.user_id, {})}
    for project_id, others in nested.items():
        if project_id in mine:
            found.append({"project": view(call, projects.show_any(tx, project_id))})
        found += _mine(tx, call, others or {})
    return found


async def create(call: Call) -> Reply:
    """``POST /projects``: one that is to act as a domain is a domain."""
    body = await call.parse(Create, "project")
    if body.is_domain:
        return await _create_domain(call, body)
    domain_id = body.domain_id or call.who.domain_id or "default"
    call.policy.require(CREATE, call.who, domain_id=domain_id)
    row = {
        "id": new_id(),
        "name": body.name,
        "domain_id": domain_id,
        "parent_id": body.parent_id or domain_id,
        "description": body.description,
        "enabled": body.enabled,
        "tags": sorted(set(body.tags)),
        "extra": body.extra(),
    }
    made = await call.ctx.db.write(projects.add, row)
    return Reply({"project": view(call, dict(made))}, 201)


async def _create_domain(call: Call, body: Create) -> Reply:
    call.policy.require(CREATE_DOMAIN, call.who)
    if body.parent_id or body.domain_id:
        raise Invalid("Only root projects are allowed to act as domains: give no parent_id and no domain_id.")
    row = {
        "id": new_id(),
        "name": body.name,
        "description": body.description,
        "enabled": body.enabled,
        "extra": {**body.extra(), "tags": sorted(set(body.tags))},
    }
    made = await call.ctx.db.write(projects.add_domain, row)
    return Reply({"project": view(call, projects.as_project(made))}, 201)


async def update(call: Call) -> Reply:
    """``PATCH /projects/{project_id}``."""
    body = await call.parse(Update, "project")
    before = await call.ctx.db.read(projects.show_any, call.args["project_id"])
    values, extra = body.given(), body.extra()
    for column in ("id", "domain_id"):
        must_stay("a project", column, before[column], extra)
    if extra.get("parent_id", before["parent_id"]) != before["parent_id"]:
        raise Forbidden("Update of `parent_id` is not allowed.")
    if values.pop("is_domain", None) not in (None, before.get("is_domain", False)):
        raise Invalid("Update of `is_domain` is not allowed.")
    row = await call.ctx.db.write(projects.change_any, before["id"], values, extra)
    return Reply({"project": view(call, row)})


# --- tags ---------------------------------------------------------------------------------------


async def list_tags(call: Call) -> Reply:
    """``GET /projects/{project_id}/tags``."""
    row = await call.ctx.db.read(projects.show_any, call.args["project_id"])
    return _tags(call, row)


async def set_tags(call: Call) -> Reply:
    """``PUT /projects/{project_id}/tags``."""
    tags = (await call.parse(SetTags)).tags
    return _tags(call, await call.ctx.db.write(_retag, call.args["project_id"], lambda _: set(tags)))


async def clear_tags(call: Call) -> Reply:
    """``DELETE /projects/{project_id}/tags``."""
    await call.ctx.db.write(_retag, call.args["project_id"], lambda _: set())
    return Reply(status=204)


async def check_tag(call: Call) -> Reply:
    """``GET /projects/{project_id}/tags/{tag}``."""
    row = await call.ctx.db.read(projects.show_any, call.args["project_id"])
    if call.args["tag"] not in row["tags"]:
        raise NotFound("Project tag", call.args["tag"])
    return Reply(status=204)


async def add_tag(call: Call) -> Reply:
    """``PUT /projects/{project_id}/tags/{tag}``."""
    tag = call.args["tag"]
    if len(tag) > 255 or "," in tag:
        raise Invalid("A tag has 255 characters at most, and neither a comma nor a slash.")
    await call.ctx.db.write(_retag, call.args["project_id"], lambda tags: tags | {tag})
    return Reply(status=201)


async def delete_tag(call: Call) -> Reply:
    """``DELETE /projects/{project_id}/tags/{tag}``."""
    await check_tag(call)
    await call.ctx.db.write(_retag, call.args["project_id"], lambda tags: tags - {call.args["tag"]})
    return Reply(status=204)


def _retag(tx: Transaction, project_id: str, change: Callable[[set[str]], set[str]]) -> Mapping[str, Any]:
    tags = change(set(projects.show_any(tx, project_id)["tags"]))
    if len(tags) > 80:
        raise Invalid("A project has 80 tags at most.")
    return projects.change_any(tx, project_id, {"tags": sorted(tags)}, {})


def _tags(call: Call, row: Mapping[str, Any]) -> Reply:
    links = {"self": link(call, "projects", row["id"], "tags"), "next": None, "previous": None}
    return Reply({"tags": row["tags"], "links": links})


def _has_tags(call: Call, row: Mapping[str, Any]) -> bool:
    """The four filters on tags: all of these, any of these, not all of these, none of these."""
    held, query = set(row["tags"]), call.query
    asked = {name: set(query[name].split(",")) for name in query if name.startswith(("tags", "not-tags"))}
    return (
        held >= asked.get("tags", set())
        and ("tags-any" not in asked or bool(held & asked["tags-any"]))
        and ("not-tags" not in asked or not held >= asked["not-tags"])
        and not held & asked.get("not-tags-any", set())
    )


def view(call: Call, row: Mapping[str, Any]) -> dict[str, Any]:
    """A project as the API shows it."""
    return {
        **row["extra"],
        "options": options.of(row),
        "id": row["id"],
        "name": row["name"],
        "domain_id": row["domain_id"],
        "parent_id": row["parent_id"],
        "description": row["description"],
        "enabled": row["enabled"],
        "is_domain": row.get("is_domain", False),
        "tags": row["tags"],
        "links": {"self": link(call, "projects", row["id"])},
    }


ROUTES = (
    *routes(
        "project",
        arg="project_id",
        list=list_,
        create=create,
        show=show,
        update=update,
        remove=projects.remove_any,
        readers=READER_INSIDE,
        getters=READER_INSIDE_OR_PROJECT,
        writers=MANAGER_INSIDE,
        also=(CREATE_DOMAIN,),
    ),
    Route(
        "GET",
        "/projects/{project_id}/tags",
        list_tags,
        Rule("identity:list_project_tags", READER_INSIDE_OR_PROJECT),
    ),
    Route("PUT", "/projects/{project_id}/tags", set_tags, Rule("identity:update_project_tags", MANAGER_INSIDE)),
    Route(
        "DELETE",
        "/projects/{project_id}/tags",
        clear_tags,
        Rule("identity:delete_project_tags", MANAGER_INSIDE),
    ),
    Route(
        "GET",
        "/projects/{project_id}/tags/{tag}",
        check_tag,
        Rule("identity:get_project_tag", READER_INSIDE_OR_PROJECT),
    ),
    Route(
        "PUT", "/projects/{project_id}/tags/{tag}", add_tag, Rule("identity:create_project_tag", MANAGER_INSIDE)
    ),
    Route(
        "DELETE",
        "/projects/{project_id}/tags/{tag}",
        delete_tag,
        Rule("identity:delete_project_tag", MANAGER_INSIDE),
    ),
)
