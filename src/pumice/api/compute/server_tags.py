"""The tags of a server, since 2.26 (api-ref, "Server tags")."""

from collections.abc import Callable

from pydantic import Field

from pumice.api import fields
from pumice.api.call import Call, Reply
from pumice.api.compute.links import VERSION, Links
from pumice.api.compute.queries import without_query
from pumice.api.fields import Body, Tag
from pumice.api.policy import MEMBER, READER, Rule
from pumice.api.routing import Handler, Route
from pumice.model.errors import Invalid, NotFound
from pumice.operations.at_once import AtOnce, record
from pumice.servers.standing import must_be_settled
from pumice.store import servers
from pumice.store.database import Transaction

MOST = 50


class TagsBody(Body):
    """``PUT …/tags``."""

    tags: list[Tag] = Field(max_length=MOST)


async def index(call: Call) -> Reply:
    """``GET …/tags``."""
    server = await call.ctx.db.read(servers.get, call.who, call.args["id"])
    return Reply({"tags": server.tags})


async def show(call: Call) -> Reply:
    """``GET …/tags/{tag}``: whether the server has it."""
    server = await call.ctx.db.read(servers.get, call.who, call.args["id"])
    _require(server.tags, call.args["tag"])
    return Reply(status=204)


async def replace(call: Call) -> Reply:
    """``PUT …/tags``."""
    body = await call.parse(TagsBody)
    return Reply({"tags": await _change(call, "update tags", lambda _old: body.tags)})


async def put(call: Call) -> Reply:
    """``PUT …/tags/{tag}``: 201 if it is new, else 204."""
    try:
        tag = fields.tag(call.args["tag"])
    except ValueError as error:
        raise Invalid(f"Tag '{call.args['tag'][:100]}' is invalid. {error}.") from None
    before: list[str] = []

    def with_it(old: list[str]) -> list[str]:
        before[:] = old
        if tag not in old and len(old) >= MOST:
            raise Invalid(f"The number of tags exceeded the per-server limit {MOST}")
        return [*old, tag]

    await _change(call, "update tag", with_it)
    if tag in before:
        return Reply(status=204)
    return Reply(status=201, headers={"Location": Links(call).own("servers", f"{call.args['id']}/tags/{tag}")})


async def remove(call: Call) -> Reply:
    """``DELETE …/tags/{tag}``."""
    tag = call.args["tag"]

    def without(old: list[str]) -> list[str]:
        _require(old, tag)
        return [kept for kept in old if kept != tag]

    await _change(call, "delete tag", without)
    return Reply(status=204)


async def remove_all(call: Call) -> Reply:
    """``DELETE …/tags``."""
    await _change(call, "delete tags", lambda _old: [])
    return Reply(status=204)


def _require(tags: list[str], tag: str) -> None:
    if tag not in tags:
        raise NotFound("Tag", tag)


async def _change(call: Call, doing: str, changed: Callable[[list[str]], list[str]]) -> list[str]:
    def work(tx: Transaction) -> list[str]:
        server = servers.get(tx, call.who, call.args["id"])
        must_be_settled(server, doing)
        tags = sorted(set(changed(server.tags)))
        servers.change(tx, server.id, tags=tags)
        record(tx, AtOnce.SERVER_UPDATE, server, call.who)
        return tags

    return await call.ctx.db.write(work)


_PATH = f"{VERSION}/servers/{{id}}/tags"


def _route(method: str, path: str, handler: Handler, rule: str, check: str) -> Route:
    return Route(method, path, handler, Rule(f"os_compute_api:os-server-tags:{rule}", check), since=(2, 26))


ROUTES = (
    _route("GET", _PATH, without_query(index), "index", READER),
    _route("PUT", _PATH, replace, "update_all", MEMBER),
    _route("DELETE", _PATH, remove_all, "delete_all", MEMBER),
    _route("GET", f"{_PATH}/{{tag}}", without_query(show), "show", READER),
    _route("PUT", f"{_PATH}/{{tag}}", put, "update", MEMBER),
    _route("DELETE", f"{_PATH}/{{tag}}", remove, "delete", MEMBER),
)
