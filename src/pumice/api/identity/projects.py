"""``/projects`` and their tags."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pumice.api.call import Call, Reply
from pumice.api.identity.lists import Kept, ShortName, collection, is_true, link, must_stay, wanted
from pumice.api.identity.reach import within_reach
from pumice.api.routing import Route
from pumice.identity import projects
from pumice.model.errors import Invalid, NotFound
from pumice.model.ids import new_id
from pumice.store.database import Transaction
from pumice.store.projects import Row

Tag = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^,/]*$")]
Tags = Annotated[list[Tag], Field(max_length=80)]


class Create(Kept):
    """What a new project may have; other keys are kept."""

    name: Annotated[str, ShortName]
    domain_id: str | None = None
    parent_id: str | None = None
    description: str | None = None
    enabled: bool = True
    is_domain: bool = False
    tags: Tags = Field(default_factory=list)

    @field_validator("is_domain")
    @classmethod
    def _is_no_domain(cls, is_domain: bool) -> bool:
        if is_domain:
            raise ValueError("Domains are made at /domains")
        return is_domain


class Update(Kept):
    """What of a project may change; other keys are kept."""

    name: Annotated[str, ShortName] = ""
    description: str | None = None
    enabled: bool = True
    tags: Tags = Field(default_factory=list)


class SetTags(BaseModel):
    """All tags at once."""

    model_config = ConfigDict(extra="forbid", strict=True)

    tags: Tags


async def list_(call: Call) -> Reply:
    """``GET /projects``."""
    if is_true(call, "is_domain"):
        return collection(call, "projects", [])
    filters = within_reach(call, wanted(call, ("name", "domain_id", "parent_id", "enabled")))
    rows = await call.house.db.read(projects.matching, filters) if filters is not None else ()
    return collection(call, "projects", [view(call, row) for row in rows if _has_tags(call, row)])


async def show(call: Call) -> Reply:
    """``GET /projects/{project_id}``."""
    row = await call.house.db.read(projects.show, call.args["project_id"])
    return Reply({"project": view(call, row)})


async def create(call: Call) -> Reply:
    """``POST /projects``."""
    body = await call.parse(Create, "project")
    domain_id = body.domain_id or call.who.domain_id or "default"
    call.policy.require("identity:create_project", call.who, domain_id=domain_id)
    row = {
        "id": new_id(),
        "name": body.name,
        "domain_id": domain_id,
        "parent_id": body.parent_id or domain_id,
        "description": body.description or "",
        "enabled": body.enabled,
        "tags": sorted(set(body.tags)),
        "extra": body.extra(),
    }
    made = await call.house.db.write(projects.add, row)
    return Reply({"project": view(call, made)}, 201)


async def update(call: Call) -> Reply:
    """``PATCH /projects/{project_id}``."""
    body = await call.parse(Update, "project")
    before = await call.house.db.read(projects.show, call.args["project_id"])
    values, extra = body.given(), body.extra()
    for column in ("id", "domain_id", "parent_id"):
        must_stay("a project", column, before[column], extra)
    if "description" in values:
        values["description"] = values["description"] or ""
    row = await call.house.db.write(projects.change, before["id"], values, extra)
    return Reply({"project": view(call, row)})


async def delete(call: Call) -> Reply:
    """``DELETE /projects/{project_id}``."""
    await call.house.db.write(projects.remove, call.args["project_id"])
    return Reply(status=204)


# --- tags ---------------------------------------------------------------------------------------


async def list_tags(call: Call) -> Reply:
    """``GET /projects/{project_id}/tags``."""
    row = await call.house.db.read(projects.show, call.args["project_id"])
    return _tags(call, row)


async def set_tags(call: Call) -> Reply:
    """``PUT /projects/{project_id}/tags``."""
    tags = (await call.parse(SetTags)).tags
    return _tags(call, await call.house.db.write(_retag, call.args["project_id"], lambda _: set(tags)))


async def clear_tags(call: Call) -> Reply:
    """``DELETE /projects/{project_id}/tags``."""
    await call.house.db.write(_retag, call.args["project_id"], lambda _: set())
    return Reply(status=204)


async def check_tag(call: Call) -> Reply:
    """``GET /projects/{project_id}/tags/{tag}``."""
    row = await call.house.db.read(projects.show, call.args["project_id"])
    if call.args["tag"] not in row["tags"]:
        raise NotFound("Project tag", call.args["tag"])
    return Reply(status=204)


async def add_tag(call: Call) -> Reply:
    """``PUT /projects/{project_id}/tags/{tag}``."""
    tag = call.args["tag"]
    if len(tag) > 255 or "," in tag:
        raise Invalid("A tag has 255 characters at most, and neither a comma nor a slash.")
    await call.house.db.write(_retag, call.args["project_id"], lambda tags: tags | {tag})
    return Reply(status=201)


async def delete_tag(call: Call) -> Reply:
    """``DELETE /projects/{project_id}/tags/{tag}``."""
    await check_tag(call)
    await call.house.db.write(_retag, call.args["project_id"], lambda tags: tags - {call.args["tag"]})
    return Reply(status=204)


def _retag(tx: Transaction, project_id: str, change: Callable[[set[str]], set[str]]) -> Row:
    tags = change(set(projects.show(tx, project_id)["tags"]))
    if len(tags) > 80:
        raise Invalid("A project has 80 tags at most.")
    return projects.change(tx, project_id, {"tags": sorted(tags)}, {})


def _tags(call: Call, row: Row) -> Reply:
    links = {"self": link(call, "projects", row["id"], "tags"), "next": None, "previous": None}
    return Reply({"tags": row["tags"], "links": links})


def _has_tags(call: Call, row: Row) -> bool:
    """The four filters on tags: all of these, any of these, not all of these, none of these."""
    held, query = set(row["tags"]), call.query
    asked = {name: set(query[name].split(",")) for name in query if name.startswith(("tags", "not-tags"))}
    return (
        held >= asked.get("tags", set())
        and ("tags-any" not in asked or bool(held & asked["tags-any"]))
        and ("not-tags" not in asked or not held >= asked["not-tags"])
        and not held & asked.get("not-tags-any", set())
    )


def view(call: Call, row: Row) -> dict[str, Any]:
    """A project as the API shows it."""
    return {
        "options": {},
        **row["extra"],
        "id": row["id"],
        "name": row["name"],
        "domain_id": row["domain_id"],
        "parent_id": row["parent_id"],
        "description": row["description"],
        "enabled": row["enabled"],
        "is_domain": False,
        "tags": row["tags"],
        "links": {"self": link(call, "projects", row["id"])},
    }


ROUTES = (
    Route("GET", "/projects", list_, "identity:list_projects"),
    Route("POST", "/projects", create, "identity:create_project"),
    Route("GET", "/projects/{project_id}", show, "identity:get_project"),
    Route("PATCH", "/projects/{project_id}", update, "identity:update_project"),
    Route("DELETE", "/projects/{project_id}", delete, "identity:delete_project"),
    Route("GET", "/projects/{project_id}/tags", list_tags, "identity:list_project_tags"),
    Route("PUT", "/projects/{project_id}/tags", set_tags, "identity:update_project_tags"),
    Route("DELETE", "/projects/{project_id}/tags", clear_tags, "identity:delete_project_tags"),
    Route("GET", "/projects/{project_id}/tags/{tag}", check_tag, "identity:get_project_tag"),
    Route("PUT", "/projects/{project_id}/tags/{tag}", add_tag, "identity:create_project_tag"),
    Route("DELETE", "/projects/{project_id}/tags/{tag}", delete_tag, "identity:delete_project_tag"),
)
