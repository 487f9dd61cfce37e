"""What a project may use and uses of compute (api-ref, "Limits", "Quota sets"); extensions and key pairs: none.

Servers have no quotas: their limits read -1. Their volumes have, and Block Storage tells of them.
"""

from typing import Any

from pumice.api.call import Call, Reply
from pumice.api.compute.links import VERSION
from pumice.api.compute.queries import only_query, without_query
from pumice.api.policy import ANYBODY, OWN, READER, Rule
from pumice.api.routing import Route
from pumice.model.errors import Invalid
from pumice.model.tunables import UNLIMITED
from pumice.store import servers

QUOTAS = {
    "cores": UNLIMITED,
    "instances": UNLIMITED,
    "ram": UNLIMITED,
    "key_pairs": UNLIMITED,
    "metadata_items": 128,
    "server_groups": 0,
    "server_group_members": 0,
}
NETWORK_QUOTAS = ("fixed_ips", "floating_ips", "security_groups", "security_group_rules")
"""Gone since 2.36."""
FILE_QUOTAS = {"injected_files": 5, "injected_file_content_bytes": 10_240, "injected_file_path_bytes": 255}
"""Gone since 2.57."""


async def limits(call: Call) -> Reply:
    """``GET /limits``."""
    only_query(call, "tenant_id")
    project = call.who.project_id or ""
    if call.who.is_admin:
        project = call.query.get("tenant_id", project)
    count, vcpus, ram = await call.ctx.db.read(servers.usage, project)
    absolute: dict[str, Any] = {
        "maxTotalInstances": UNLIMITED,
        "maxTotalCores": UNLIMITED,
        "maxTotalRAMSize": UNLIMITED,
        "maxTotalKeypairs": UNLIMITED,
        "maxServerMeta": QUOTAS["metadata_items"],
        "maxServerGroups": 0,
        "maxServerGroupMembers": 0,
        "totalInstancesUsed": count,
        "totalCoresUsed": vcpus,
        "totalRAMUsed": ram,
        "totalServerGroupsUsed": 0,
    }
    if call.version < (2, 36):
        absolute |= dict.fromkeys(("maxSecurityGroups", "maxSecurityGroupRules", "maxTotalFloatingIps"), -1)
        absolute |= {"totalSecurityGroupsUsed": 0, "totalFloatingIpsUsed": 0}
    if call.version < (2, 39):
        absolute["maxImageMeta"] = QUOTAS["metadata_items"]
    if call.version < (2, 57):
        absolute |= {
            "maxPersonality": FILE_QUOTAS["injected_files"],
            "maxPersonalitySize": FILE_QUOTAS["injected_file_content_bytes"],
        }
    return Reply({"limits": {"rate": [], "absolute": absolute}})


def _quotas(call: Call) -> dict[str, Any]:
    only_query(call, "user_id")
    if "user_id" in call.query:
        raise Invalid("Quotas of single users are not part of this version of Pumice: ask for the project's.")
    found: dict[str, Any] = {"id": call.args["project_id"], **QUOTAS}
    if call.version < (2, 36):
        found |= dict.fromkeys(NETWORK_QUOTAS, UNLIMITED)
    if call.version < (2, 57):
        found |= FILE_QUOTAS
    return found


async def quota_set(call: Call) -> Reply:
    """``GET /os-quota-sets/{project}`` and ``…/defaults``: the same for every project."""
    return Reply({"quota_set": _quotas(call)})


async def quota_set_detail(call: Call) -> Reply:
    """``GET /os-quota-sets/{project}/detail``: with what is used of it."""
    count, vcpus, ram = await call.ctx.db.read(servers.usage, call.args["project_id"])
    used = {"instances": count, "cores": vcpus, "ram": ram}
    quotas = _quotas(call)
    detail = {
        name: limit if name == "id" else {"limit": limit, "in_use": used.get(name, 0), "reserved": 0}
        for name, limit in quotas.items()
    }
    return Reply({"quota_set": detail})


async def extensions(call: Call) -> Reply:
    """``GET /extensions``: they became microversions."""
    return Reply({"extensions": []})


async def key_pairs(call: Call) -> Reply:
    """``GET /os-keypairs``: nothing here could put one into a guest."""
    only_query(call, "user_id", "limit", "marker")
    return Reply({"keypairs": []})


_QUOTAS, _RULE = f"{VERSION}/os-quota-sets/{{project_id}}", "os_compute_api:os-quota-sets"
ROUTES = (
    Route("GET", f"{VERSION}/limits", limits, Rule("os_compute_api:limits", ANYBODY)),
    Route("GET", _QUOTAS, quota_set, Rule(f"{_RULE}:show", READER)),
    Route("GET", f"{_QUOTAS}/detail", quota_set_detail, Rule(f"{_RULE}:show", READER)),
    Route("GET", f"{_QUOTAS}/defaults", quota_set, Rule(f"{_RULE}:defaults", ANYBODY)),
    Route(
        "GET", f"{VERSION}/extensions", without_query(extensions), Rule("os_compute_api:extensions", ANYBODY)
    ),
    Route("GET", f"{VERSION}/os-keypairs", key_pairs, Rule("os_compute_api:os-keypairs:index", OWN)),
)
