"""The metadata of a server (api-ref, "Server metadata")."""

from collections.abc import Callable, Mapping

from pumice.api.call import Call, Reply
from pumice.api.compute.links import VERSION
from pumice.api.compute.queries import without_query
from pumice.api.fields import Body, ServerMetadata
from pumice.api.policy import MEMBER, READER, Rule
from pumice.api.routing import Route
from pumice.model.errors import Invalid, NotFound, OverQuota
from pumice.operations.at_once import AtOnce, record
from pumice.servers.standing import must_be_idle, refuse_locked
from pumice.store import servers
from pumice.store.database import Transaction

MOST = 128


class MetadataBody(Body):
    """The body that adds to a server's metadata, or replaces all of it."""

    metadata: ServerMetadata


class ItemBody(Body):
    """The body that writes one item: an object of one key."""

    meta: ServerMetadata


def refuse_many(metadata: Mapping[str, str]) -> None:
    """Raises ``OverQuota`` for more than a server may have."""
    if len(metadata) > MOST:
        raise OverQuota(f"Maximum number of metadata items exceeds {MOST}")


async def index(call: Call) -> Reply:
    """``GET …/metadata``."""
    server = await call.ctx.db.read(servers.get, call.who, call.args["id"])
    return Reply({"metadata": server.metadata})


async def add(call: Call) -> Reply:
    """``POST …/metadata``: add and replace items."""
    body = await call.parse(MetadataBody)
    return Reply({"metadata": await _change(call, "update", lambda old: old | body.metadata)})


async def replace(call: Call) -> Reply:
    """``PUT …/metadata``: nothing else stays."""
    body = await call.parse(MetadataBody)
    return Reply({"metadata": await _change(call, "update", lambda _old: body.metadata)})


async def show(call: Call) -> Reply:
    """``GET …/metadata/{key}``."""
    key = call.args["key"]
    server = await call.ctx.db.read(servers.get, call.who, call.args["id"])
    if key not in server.metadata:
        raise NotFound("Metadata item", key)
    return Reply({"meta": {key: server.metadata[key]}})


async def put(call: Call) -> Reply:
    """``PUT …/metadata/{key}``."""
    body = await call.parse(ItemBody)
    if len(body.meta) != 1 or call.args["key"] not in body.meta:
        raise Invalid("Request body and URI mismatch")
    await _change(call, "update", lambda old: old | body.meta)
    return Reply({"meta": body.meta})


async def remove(call: Call) -> Reply:
    """``DELETE …/metadata/{key}``."""
    key = call.args["key"]

    def without(old: dict[str, str]) -> dict[str, str]:
        if key not in old:
            raise NotFound("Metadata item", key)
        return {name: value for name, value in old.items() if name != key}

    await _change(call, "delete", without)
    return Reply(status=204)


async def _change(
    call: Call, doing: str, changed: Callable[[dict[str, str]], dict[str, str]]
) -> dict[str, str]:
    def work(tx: Transaction) -> dict[str, str]:
        server = servers.get(tx, call.who, call.args["id"])
        refuse_locked(server, call.who)
        metadata = changed(server.metadata)
        must_be_idle(server, f"{doing} metadata")
        refuse_many(metadata)
        servers.change(tx, server.id, metadata=metadata)
        record(tx, AtOnce.SERVER_UPDATE, server, call.who)
        return metadata

    return await call.ctx.db.write(work)


_PATH, _RULE = f"{VERSION}/servers/{{id}}/metadata", "os_compute_api:server-metadata"
ROUTES = (
    Route("GET", _PATH, without_query(index), Rule(f"{_RULE}:index", READER)),
    Route("POST", _PATH, add, Rule(f"{_RULE}:create", MEMBER)),
    Route("PUT", _PATH, replace, Rule(f"{_RULE}:update_all", MEMBER)),
    Route("GET", f"{_PATH}/{{key}}", without_query(show), Rule(f"{_RULE}:show", READER)),
    Route("PUT", f"{_PATH}/{{key}}", put, Rule(f"{_RULE}:update", MEMBER)),
    Route("DELETE", f"{_PATH}/{{key}}", remove, Rule(f"{_RULE}:delete", MEMBER)),
)
