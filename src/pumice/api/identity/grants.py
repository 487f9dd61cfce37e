"""Role assignments: the roles of users and groups on projects, domains and the system; and their list."""

from collections.abc import Iterator
from typing import Any

from pumice.api.booleans import is_set
from pumice.api.call import Call, Reply
from pumice.api.identity import roles
from pumice.api.identity.checks import ADMIN, MANAGER_INSIDE, READER, READER_INSIDE
from pumice.api.identity.lists import collection, link, whole
from pumice.api.identity.reach import confined_to
from pumice.api.policy import Rule
from pumice.api.routing import Route
from pumice.identity import grants
from pumice.identity.grants import Assignment
from pumice.model.errors import Forbidden, Invalid
from pumice.store.roles import SYSTEM, Actor, Target

MANAGED = ("manager", "member", "reader")
"""The roles that a domain's manager hands out (Keystone's ``domain_managed_target_role``)."""


def _target(call: Call) -> Target:
    """The project, the domain or the system in the path, on which the role is held."""
    if project_id := call.args.get("project_id"):
        return "project", project_id
    if domain_id := call.args.get("domain_id"):
        return "domain", domain_id
    return SYSTEM


def _actor(call: Call) -> Actor:
    """The user or the group in the path, who has the role."""
    return ("user", call.args["user_id"]) if "user_id" in call.args else ("group", call.args["group_id"])


async def list_held(call: Call) -> Reply:
    """``GET …/users/{user_id}/roles`` (or ``groups``): the roles given to somebody there."""
    rows = await call.ctx.db.read(grants.held, _actor(call), _target(call))
    return collection(call, "roles", [roles.view(call, row) for row in rows])


async def check(call: Call) -> Reply:
    """``HEAD …/users/{user_id}/roles/{role_id}``: 404 unless the role was given."""
    await call.ctx.db.read(grants.check, _actor(call), call.args["role_id"], _target(call))
    return Reply(status=204)


async def give(call: Call) -> Reply:
    """``PUT …/users/{user_id}/roles/{role_id}``."""
    await _refuse_what_managers_may_not_give(call)
    await call.ctx.db.write(grants.give, _actor(call), call.args["role_id"], _target(call))
    return Reply(status=204)


async def take(call: Call) -> Reply:
    """``DELETE …/users/{user_id}/roles/{role_id}``."""
    await _refuse_what_managers_may_not_give(call)
    await call.ctx.db.write(grants.take, _actor(call), call.args["role_id"], _target(call))
    return Reply(status=204)


async def _refuse_what_managers_may_not_give(call: Call) -> None:
    if call.who.is_admin or "manager" not in call.who.roles:
        return
    role = await call.ctx.db.read(grants.show, call.args["role_id"])
    if role["name"] not in MANAGED:
        raise Forbidden(f"A manager gives and takes the roles {', '.join(MANAGED)}, not '{role['name']}'.")


async def list_assignments(call: Call) -> Reply:
    """``GET /role_assignments``; ``?effective`` adds implied roles, ``?include_names`` names everything."""
    effective, names = is_set(call, "effective"), is_set(call, "include_names")
    actor, wanted = _asked_actor(call, effective=effective), _asked_of(call)
    found = await call.ctx.db.read(
        grants.assignments, actor, wanted, effective=effective, below=_asks_for_subtree(call)
    )
    if call.query.get("scope.OS-INHERIT:inherited_to"):
        found = []  # no role is inherited
    if (mine := confined_to(call.who)) is not None:
        found = [one for one in found if mine in (one.row["project_domain_id"], one.row["target_id"])]
    return whole(call, "role_assignments", [_view(call, one, names=names) for one in found])


def _asked_actor(call: Call, *, effective: bool) -> Actor | None:
    asked = [(kind, call.query[f"{kind}.id"]) for kind in ("user", "group") if call.query.get(f"{kind}.id")]
    if len(asked) > 1:
        raise Invalid("Specify a user or group, not both.")
    if effective and asked and asked[0][0] == "group":
        raise Invalid("Combining effective and group filter will always result in an empty list.")
    return asked[0] if asked else None


def _asks_for_subtree(call: Call) -> bool:
    if not is_set(call, "include_subtree"):
        return False
    if not call.query.get("scope.project.id"):
        raise Invalid("scope.project.id must be specified if include_subtree is also specified.")
    return True


def _asked_of(call: Call) -> dict[str, object]:
    query = call.query
    scopes = [name for name in ("scope.project.id", "scope.domain.id", "scope.system") if query.get(name)]
    if len(scopes) > 1:
        raise Invalid(f"Specify one of {' and '.join(scopes)}, not both.")
    wanted: dict[str, object] = {"role_id": query["role.id"]} if query.get("role.id") else {}
    for name in scopes:
        kind = name.split(".")[1]
        wanted |= {"scope": kind, "target_id": "all" if kind == "system" else query[name]}
    return wanted


def _view(call: Call, one: Assignment, *, names: bool) -> dict[str, Any]:
    row, kind, (who, actor_id) = one.row, one.row["scope"], one.actor
    where = ("system",) if kind == "system" else (f"{kind}s", row["target_id"])
    holder = ("groups", one.group_id) if one.group_id else (f"{who}s", actor_id)
    links = {"assignment": link(call, *where, *holder, "roles", one.prior_role_id or one.role_id)}
    if one.group_id:
        links["membership"] = link(call, "groups", one.group_id, "users", actor_id)
    if one.prior_role_id:
        links["prior_role"] = link(call, "prior_role", one.prior_role_id, "implies", one.role_id)
    role: dict[str, Any] = {"id": one.role_id}
    actor: dict[str, Any] = {"id": actor_id}
    place: dict[str, Any] = {"all": True} if kind == "system" else {"id": row["target_id"]}
    if names:
        role["name"] = one.role_name
        actor |= {"name": one.who["name"], "domain": _domain(one.who, "domain")}
        if kind == "project":
            place |= {"name": row["project_name"], "domain": _domain(row, "project_domain")}
        elif kind == "domain":
            place["name"] = row["domain_name"]
    return {"role": role, who: actor, "scope": {kind: place}, "links": links}


def _domain(row: Any, prefix: str) -> dict[str, Any]:
    return {"id": row[f"{prefix}_id"], "name": row[f"{prefix}_name"]}


def _routes() -> Iterator[Route]:
    for where, suffix in (("/projects/{project_id}", ""), ("/domains/{domain_id}", ""), ("/system", "system_")):
        for who in ("user", "group"):
            path = f"{where}/{who}s/{{{who}_id}}/roles"
            rule = f"{suffix}grant{{}}_for_{who}" if suffix else "grant{}"
            reads, writes = (READER, ADMIN) if suffix else (READER_INSIDE, MANAGER_INSIDE)
            yield Route("GET", path, list_held, Rule(f"identity:list_{rule.format('s')}", reads))
            yield Route("GET", f"{path}/{{role_id}}", check, Rule(f"identity:check_{rule.format('')}", reads))
            yield Route("PUT", f"{path}/{{role_id}}", give, Rule(f"identity:create_{rule.format('')}", writes))
            yield Route(
                "DELETE", f"{path}/{{role_id}}", take, Rule(f"identity:revoke_{rule.format('')}", writes)
            )


ROUTES = (
    *_routes(),
    Route("GET", "/role_assignments", list_assignments, Rule("identity:list_role_assignments", READER_INSIDE)),
)
