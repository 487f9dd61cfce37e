"""Who has which role on what: the roles of users on projects, domains and the system, and all in one list."""

from collections.abc import Iterator
from typing import Any

from pumice.api.call import Call, Reply
from pumice.api.identity import roles
from pumice.api.identity.lists import collection, is_true, link, whole
from pumice.api.identity.reach import confined_to
from pumice.api.routing import Route
from pumice.identity import grants
from pumice.identity.grants import Assignment
from pumice.model.errors import Forbidden, Invalid
from pumice.store.roles import SYSTEM, Target

MANAGED = ("manager", "member", "reader")
"""The roles that a domain's manager hands out (Keystone's ``domain_managed_target_role``)."""

_FILTERS = {"user.id": "user_id", "role.id": "role_id"}


def _target(call: Call) -> Target:
    """What the path is about: a project, a domain or the system."""
    if project_id := call.args.get("project_id"):
        return "project", project_id
    if domain_id := call.args.get("domain_id"):
        return "domain", domain_id
    return SYSTEM


async def list_held(call: Call) -> Reply:
    """``GET …/users/{user_id}/roles``: the roles given to a user there."""
    rows = await call.house.db.read(grants.held, call.args["user_id"], _target(call))
    return collection(call, "roles", [roles.view(call, row) for row in rows])


async def check(call: Call) -> Reply:
    """``HEAD …/users/{user_id}/roles/{role_id}``: 404 unless the role was given."""
    await call.house.db.read(grants.check, call.args["user_id"], call.args["role_id"], _target(call))
    return Reply(status=204)


async def give(call: Call) -> Reply:
    """``PUT …/users/{user_id}/roles/{role_id}``."""
    await _refuse_what_managers_may_not_give(call)
    await call.house.db.write(grants.give, call.args["user_id"], call.args["role_id"], _target(call))
    return Reply(status=204)


async def take(call: Call) -> Reply:
    """``DELETE …/users/{user_id}/roles/{role_id}``."""
    await _refuse_what_managers_may_not_give(call)
    await call.house.db.write(grants.take, call.args["user_id"], call.args["role_id"], _target(call))
    return Reply(status=204)


async def _refuse_what_managers_may_not_give(call: Call) -> None:
    if call.who.is_admin or "manager" not in call.who.roles:
        return
    role = await call.house.db.read(grants.show, call.args["role_id"])
    if role["name"] not in MANAGED:
        raise Forbidden(f"A manager gives and takes the roles {', '.join(MANAGED)}, not '{role['name']}'.")


async def list_assignments(call: Call) -> Reply:
    """``GET /role_assignments``; ``?effective`` adds implied roles, ``?include_names`` names everything."""
    query = call.query
    wanted = {column: query[name] for name, column in _FILTERS.items() if query.get(name)}
    scopes = [name for name in ("scope.project.id", "scope.domain.id", "scope.system") if query.get(name)]
    if len(scopes) > 1:
        raise Invalid(f"Specify one of {' and '.join(scopes)}, not both.")
    for name in scopes:
        kind = name.split(".")[1]
        wanted |= {"scope": kind, "target_id": "all" if kind == "system" else query[name]}
    if query.get("group.id") or query.get("scope.OS-INHERIT:inherited_to"):
        return whole(call, "role_assignments", [])
    found = await call.house.db.read(grants.assignments, wanted, effective=is_true(call, "effective"))
    if (mine := confined_to(call.who)) is not None:
        found = [one for one in found if mine in (one.row["project_domain_id"], one.row["target_id"])]
    names = is_true(call, "include_names")
    return whole(call, "role_assignments", [_view(call, one, names=names) for one in found])


def _view(call: Call, one: Assignment, *, names: bool) -> dict[str, Any]:
    row, kind = one.row, one.row["scope"]
    where = ("system",) if kind == "system" else (f"{kind}s", row["target_id"])
    given = link(call, *where, "users", row["user_id"], "roles", row["role_id"])
    links = {"assignment": given}
    if one.prior_role_id:
        links["prior_role"] = link(call, "prior_role", one.prior_role_id, "implies", one.role_id)
    role: dict[str, Any] = {"id": one.role_id}
    user: dict[str, Any] = {"id": row["user_id"]}
    place: dict[str, Any] = {"all": True} if kind == "system" else {"id": row["target_id"]}
    if names:
        role["name"] = one.role_name
        user |= {"name": row["user_name"], "domain": _domain(row, "user_domain")}
        if kind == "project":
            place |= {"name": row["project_name"], "domain": _domain(row, "project_domain")}
        elif kind == "domain":
            place["name"] = row["domain_name"]
    return {"role": role, "user": user, "scope": {kind: place}, "links": links}


def _domain(row: Any, prefix: str) -> dict[str, Any]:
    return {"id": row[f"{prefix}_id"], "name": row[f"{prefix}_name"]}


def _routes() -> Iterator[Route]:
    for where, listing, checking, giving, taking in (
        ("/projects/{project_id}", "list_grants", "check_grant", "create_grant", "revoke_grant"),
        ("/domains/{domain_id}", "list_grants", "check_grant", "create_grant", "revoke_grant"),
        (
            "/system",
            "list_system_grants_for_user",
            "check_system_grant_for_user",
            "create_system_grant_for_user",
            "revoke_system_grant_for_user",
        ),
    ):
        path = f"{where}/users/{{user_id}}/roles"
        yield Route("GET", path, list_held, f"identity:{listing}")
        yield Route("GET", f"{path}/{{role_id}}", check, f"identity:{checking}")
        yield Route("PUT", f"{path}/{{role_id}}", give, f"identity:{giving}")
        yield Route("DELETE", f"{path}/{{role_id}}", take, f"identity:{taking}")


ROUTES = (
    *_routes(),
    Route("GET", "/role_assignments", list_assignments, "identity:list_role_assignments"),
)
