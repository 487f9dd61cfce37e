"""What clients ask of a server's network: there is none here, and nothing to be found in it."""

from typing import Any

from pumice.api.call import Call, Reply
from pumice.api.compute.links import VERSION
from pumice.api.compute.queries import without_query
from pumice.api.policy import READER, Rule
from pumice.api.routing import Handler, Route
from pumice.store import servers


def _empty(answer: dict[str, Any]) -> Handler:
    async def show(call: Call) -> Reply:
        await call.ctx.db.read(servers.get, call.who, call.args["id"])
        return Reply(answer)

    return show


_PATH = f"{VERSION}/servers/{{id}}"
_GROUPS = {"security_groups": [{"name": "default"}]}
ROUTES = (
    Route(
        "GET",
        f"{_PATH}/ips",
        without_query(_empty({"addresses": {}})),
        Rule("os_compute_api:ips:index", READER),
    ),
    Route(
        "GET",
        f"{_PATH}/os-interface",
        without_query(_empty({"interfaceAttachments": []})),
        Rule("os_compute_api:os-attach-interfaces:list", READER),
    ),
    Route(
        "GET",
        f"{_PATH}/os-security-groups",
        without_query(_empty(_GROUPS)),
        Rule("os_compute_api:os-security-groups:list", READER),
    ),
)
