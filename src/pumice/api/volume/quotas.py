"""Quota sets, quota classes and limits (api-ref, "Quota sets extension", "Limits")."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from pumice.api.booleans import flag
from pumice.api.call import Call, Reply, check
from pumice.api.fields import MOST, Body, Text, numbers, whole
from pumice.api.policy import ADMIN, READER, Rule
from pumice.api.routing import Route, writes
from pumice.catalog import quotas
from pumice.model.errors import Forbidden
from pumice.store import quotas as rows

RULE = "volume_extension:quotas:"
CLASS_RULE = "volume_extension:quota_classes:"

ABSOLUTE: Mapping[str, tuple[str, str]] = {
    "volumes": ("maxTotalVolumes", "totalVolumesUsed"),
    "gigabytes": ("maxTotalVolumeGigabytes", "totalGigabytesUsed"),
    "snapshots": ("maxTotalSnapshots", "totalSnapshotsUsed"),
    "backups": ("maxTotalBackups", "totalBackupsUsed"),
    "backup_gigabytes": ("maxTotalBackupGigabytes", "totalBackupGigabytesUsed"),
}


Limit = Annotated[int, BeforeValidator(whole), Field(ge=-1, le=MOST), numbers(-1)]
"""-1 is no limit. Of a class also as digits in a string."""
Number = Annotated[int, Field(strict=True, ge=-1, le=MOST)]
"""A limit of a project: a number, never a string; -1 is no limit."""


class UpdateBody(Body):
    """The body of an update of a project's limits; a ``tenant_id`` or ``id`` in it says nothing new."""

    quota_set: dict[Text, Any] = Field(min_length=1)


class UpdateClassBody(Body):
    """The body of an update of a class's limits."""

    quota_class_set: dict[Text, Limit]


class Wanted(Body):
    """The limits in the body of an update, without its ids."""

    limits: dict[str, Number]


async def show(call: Call) -> Reply:
    """Show a project's limits; with ``usage`` also what it uses."""
    project_id = call.args["project_id"]
    found = await call.ctx.db.read(quotas.of_project, project_id, call.ctx.tunables)
    shown: dict[str, Any] = {"id": project_id}
    for name, quota in found.items():
        used = {"limit": quota.limit, "in_use": quota.in_use, "reserved": 0}
        shown[name] = used if flag(call, "usage") else quota.limit
    return Reply({"quota_set": shown})


async def defaults(call: Call) -> Reply:
    """Show the limits of projects that have none of their own."""
    found = await call.ctx.db.read(quotas.of_class, "default", call.ctx.tunables)
    return Reply({"quota_set": {"id": call.args["project_id"], **found}})


async def update(call: Call) -> Reply:
    """Give a project limits of its own: 200."""
    body = check(UpdateBody, await call.json()).quota_set
    given = {name: limit for name, limit in body.items() if name not in ("tenant_id", "id")}
    wanted = check(Wanted, {"limits": given}).limits
    project_id, tunables = call.args["project_id"], call.ctx.tunables
    await call.ctx.db.write(quotas.limit_project, project_id, wanted, tunables)
    found = await call.ctx.db.read(quotas.of_project, project_id, tunables)
    return Reply({"quota_set": {name: quota.limit for name, quota in found.items()}})


async def show_class(call: Call) -> Reply:
    """Show the limits of a quota class."""
    name = call.args["id"]
    found = await call.ctx.db.read(quotas.of_class, name, call.ctx.tunables)
    return Reply({"quota_class_set": {"id": name, **found}})


async def update_class(call: Call) -> Reply:
    """Change the limits of a class: 200."""
    wanted = check(UpdateClassBody, await call.json()).quota_class_set
    name, tunables = call.args["id"], call.ctx.tunables
    await call.ctx.db.write(quotas.limit_class, name, wanted, tunables)
    return Reply({"quota_class_set": await call.ctx.db.read(quotas.of_class, name, tunables)})


async def limits(call: Call) -> Reply:
    """What the caller's project may use and uses; an administrator may ask about another (3.39)."""
    project_id = call.who.project_id
    if call.who.is_admin and call.version >= (3, 39):
        project_id = call.query.get("project_id") or call.query.get("tenant_id") or project_id  # type: ignore[assignment]
    if project_id is None:
        raise Forbidden("Limits are a project's: a token scoped to one is needed.")
    found = await call.ctx.db.read(quotas.of_project, project_id, call.ctx.tunables)
    absolute: dict[str, int] = {}
    for resource in ABSOLUTE.keys() & found.keys():
        most, used = ABSOLUTE[resource]
        absolute |= {most: found[resource].limit, used: found[resource].in_use}
    return Reply({"limits": {"rate": [], "absolute": absolute}})


_SET = "/os-quota-sets/{project_id}"

ROUTES = (
    Route("GET", _SET, show, Rule(f"{RULE}show", READER)),
    Route("GET", f"{_SET}/defaults", defaults, Rule(f"{RULE}show", READER)),
    Route("PUT", _SET, update, Rule(f"{RULE}update", ADMIN)),
    Route("DELETE", _SET, writes(rows.forget_limits, 200, scoped=False), Rule(f"{RULE}delete", ADMIN)),
    Route("GET", "/os-quota-class-sets/{id}", show_class, Rule(f"{CLASS_RULE}get", ADMIN)),
    Route("PUT", "/os-quota-class-sets/{id}", update_class, Rule(f"{CLASS_RULE}update", ADMIN)),
    Route("GET", "/limits", limits, Rule("limits_extension:used_limits", READER)),
)
