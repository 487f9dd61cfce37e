"""Every route of Identity with everything of another domain, by everybody who is something in their own."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa
from identity_cloud import Cloud
from test_identity_resources import ids, made

from databases import ON_SQLITE
from pumice.api.identity.service import ROUTES
from pumice.api.routing import Route
from pumice.store import tables
from pumice.store.database import Transaction

pytestmark = ON_SQLITE
KEPT = (
    tables.users, tables.projects, tables.domains, tables.user_groups, tables.group_members,
    tables.role_assignments, tables.group_assignments, tables.application_credentials, tables.access_rules,
)  # fmt: skip
CALLERS = ("admin", "manager", "member", "reader")


@dataclass
class Domain:
    """One of everything in a domain, by the words that paths have for it."""

    named: dict[str, str]
    tokens: dict[str, str]
    """By role: of its user, on the domain and on the project in it."""


async def furnished(cloud: Cloud, admin: str, name: str) -> Domain:
    """A domain with a project, a group and a user, who has each role in turn, and keeps a credential."""
    domain_id = (await made(cloud, admin, "domain", name=name))["id"]
    here = {"name": name, "domain_id": domain_id}
    project = await made(cloud, admin, "project", **here, tags=["t"])
    user = await made(cloud, admin, "user", **here, password="secret-1")
    group = await made(cloud, admin, "group", **here)
    named = {
        "domain_id": domain_id,
        "project_id": project["id"],
        "user_id": user["id"],
        "group_id": group["id"],
    }
    assert (await cloud.ask("PUT", f"/groups/{group['id']}/users/{user['id']}", admin)).status_code == 204
    tokens = {}
    roles = await ids(cloud, admin, "roles")
    for role, where in product(CALLERS, ("domain", "project")):
        path = f"/{where}s/{named[f'{where}_id']}/users/{user['id']}/roles/{roles[role]}"
        assert (await cloud.ask("PUT", path, admin)).status_code == 204
        who = {"user": {"id": user["id"], "password": "secret-1"}}
        scope = {where: {"id": named[f"{where}_id"]}}
        body = {"auth": {"identity": {"methods": ["password"], "password": who}, "scope": scope}}
        tokens[f"{role} of the {where}"] = body
    rule = {"service": "image", "method": "GET", "path": "/v2/images"}
    token = await log_in(cloud, tokens["reader of the project"])
    path, body = f"/users/{user['id']}/application_credentials", {"name": "ci", "access_rules": [rule]}
    answer = await cloud.ask("POST", path, token, {"application_credential": body})
    named["id"] = answer.json()["application_credential"]["id"]
    named["rule_id"] = answer.json()["application_credential"]["access_rules"][0]["id"]
    return Domain(named, tokens)


async def log_in(cloud: Cloud, body: dict[str, Any]) -> str:
    answer = await cloud.ask("POST", "/auth/tokens", body=body)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["X-Subject-Token"])


async def as_role(cloud: Cloud, admin: str, domain: Domain, caller: str) -> str:
    """A token with one role alone, and those that it implies."""
    roles, where = await ids(cloud, admin, "roles"), caller.rpartition(" ")[2]
    for role in CALLERS:
        if not caller.startswith(role):
            path = (
                f"/{where}s/{domain.named[f'{where}_id']}/users/{domain.named['user_id']}/roles/{roles[role]}"
            )
            assert (await cloud.ask("DELETE", path, admin)).status_code == 204
    return await log_in(cloud, domain.tokens[caller])


def bodies(route: Route, theirs: dict[str, str], mine: dict[str, str]) -> list[Any]:
    """What the route may be sent, some of which names what is theirs."""
    kind = route.path.rstrip("/").split("/")[2].rstrip("s") if route.path.count("/") > 1 else ""
    if route.path == "/v3/users/{user_id}/password":
        return [{"user": {"original_password": "wrong", "password": "x"}}]
    if route.path.endswith("application_credentials"):
        rules = [{"id": theirs["rule_id"]}]
        asked = [{"name": "x", "access_rules": rules}, {"name": "x", "project_id": theirs["project_id"]}]
        return [{"application_credential": one} for one in asked]
    if route.path.endswith("/tags"):
        return [{"tags": ["x"]}]
    if route.method == "POST":
        found: list[Any] = [{kind: {"name": "x", "domain_id": theirs["domain_id"]}}]
        return (
            [*found, {kind: {"name": "x", "parent_id": theirs["project_id"]}}] if kind == "project" else found
        )
    if route.method == "PATCH":
        return [{kind: {"description": "x"}}, {kind: {"domain_id": theirs["domain_id"]}}]
    return [None]


def requests(role_id: str, theirs: dict[str, str], mine: dict[str, str]) -> Iterator[tuple[str, str, Any]]:
    """Each route with theirs wherever a user, a project, a group, a domain or a credential is named."""
    for route in ROUTES:
        path = route.path.removeprefix("/v3").replace("{tag}", "t").replace("{role_id}", role_id)
        if "{id}" in path and not path.startswith("/users/"):
            continue  # regions, services and endpoints are everybody's, and so are roles
        words = re.findall(r"\{(\w+)\}", path)
        for chosen in product((theirs, mine), repeat=len(words)):
            named = path
            for word, owner in zip(words, chosen, strict=True):
                key = "rule_id" if word == "id" and "access_rules" in path else word
                named = named.replace(f"{{{word}}}", owner[key])
            for body in bodies(route, theirs, mine) if route.method in ("POST", "PUT", "PATCH") else [None]:
                if any(it in f"{named} {body}" for it in theirs.values()):
                    yield route.method, named, body
    for name in ("user.id", "group.id", "scope.project.id", "scope.domain.id"):
        yield "GET", f"/role_assignments?{name}={theirs[_word_of(name)]}&include_names", None
    for kind, word in product(("users", "projects", "groups"), ("domain_id",)):
        yield "GET", f"/{kind}?{word}={theirs[word]}", None


def _word_of(name: str) -> str:
    return name.removeprefix("scope.").replace(".", "_")


async def rows_of(cloud: Cloud) -> list[Any]:
    def read(tx: Transaction) -> list[Any]:
        return [tx.execute(sa.select(table).order_by(*table.primary_key.columns)).all() for table in KEPT]

    return await cloud.db.read(read)


@pytest.mark.parametrize("where", ["domain", "project"])
@pytest.mark.parametrize("role", CALLERS)
async def test_no_route_does_or_tells_anything_of_another_domain(
    cloud: Cloud, admin: str, role: str, where: str
) -> None:
    theirs, mine = await furnished(cloud, admin, "theirs"), await furnished(cloud, admin, "mine")
    member = (await ids(cloud, admin, "roles"))["member"]
    token = await as_role(cloud, admin, mine, f"{role} of the {where}")
    before, tried = await rows_of(cloud), 0
    for method, path, body in requests(member, theirs.named, mine.named):
        answer = await cloud.ask(method, path, token, body)
        asked = f"{method} {path} {body}"
        told = [one for one in theirs.named.values() if one in answer.text and one not in asked]
        assert not told, (asked, answer.text)
        if "?" not in path:
            assert 400 <= answer.status_code < 500, (asked, answer.status_code, answer.text)
        elif answer.status_code == 200:
            (items,) = (items for key, items in answer.json().items() if key != "links")
            assert items == [], (asked, answer.text)
        tried += 1
    assert tried > 100
    assert (await cloud.ask("GET", "/auth/domains", token)).status_code == 200, "the token was good to the end"
    own = await cloud.ask("GET", f"/domains/{mine.named['domain_id']}", token)
    assert own.json()["domain"]["name"] == "mine"
    assert await rows_of(cloud) == before
    for kind in ("users", "projects", "groups", "domains", "role_assignments"):
        told = (await cloud.ask("GET", f"/{kind}", token)).text
        assert not [one for one in theirs.named.values() if one in told], kind
