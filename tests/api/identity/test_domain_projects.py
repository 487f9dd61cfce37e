"""Domains as projects, and what is above and below a project."""

from identity_cloud import Cloud

from databases import ON_SQLITE

pytestmark = ON_SQLITE


async def test_a_project_that_acts_as_a_domain_is_one(cloud: Cloud, admin: str) -> None:
    body = {"project": {"name": "west", "is_domain": True, "tags": ["t"], "color": "red"}}
    answer = await cloud.ask("POST", "/projects", admin, body)
    assert answer.status_code == 201, answer.text
    made = answer.json()["project"]
    assert (made["is_domain"], made["domain_id"], made["parent_id"]) == (True, None, None)
    assert (made["tags"], made["color"]) == (["t"], "red")
    path = f"/projects/{made['id']}"
    assert (await cloud.ask("GET", path, admin)).json()["project"] == made
    domain = (await cloud.ask("GET", f"/domains/{made['id']}", admin)).json()["domain"]
    assert (domain["name"], domain["tags"]) == ("west", ["t"])
    listed = (await cloud.ask("GET", "/projects?is_domain=true", admin)).json()["projects"]
    assert {one["name"] for one in listed} == {"Default", "west"}
    assert "west" not in (await cloud.ask("GET", "/projects", admin)).text
    inside = {"project": {"name": "p", "domain_id": made["id"]}}
    child = (await cloud.ask("POST", "/projects", admin, inside)).json()["project"]
    assert (child["domain_id"], child["parent_id"], child["is_domain"]) == (made["id"], made["id"], False)

    changed = await cloud.ask("PATCH", path, admin, {"project": {"description": "d", "tags": ["u"]}})
    assert (changed.json()["project"]["description"], changed.json()["project"]["tags"]) == ("d", ["u"])
    assert (await cloud.ask("DELETE", path, admin)).status_code == 403
    assert (await cloud.ask("PATCH", path, admin, {"project": {"enabled": False}})).status_code == 200
    assert (await cloud.ask("DELETE", path, admin)).status_code == 204
    assert (await cloud.ask("GET", f"/domains/{made['id']}", admin)).status_code == 404


async def test_a_domain_is_under_nothing_and_nothing_turns_into_one(
    cloud: Cloud, admin: str, member: str
) -> None:
    for more in ({"domain_id": "default"}, {"parent_id": "default"}):
        body = {"project": {"name": "west", "is_domain": True, **more}}
        assert (await cloud.ask("POST", "/projects", admin, body)).status_code == 400
    (demo,) = (await cloud.ask("GET", "/projects?name=demo", admin)).json()["projects"]
    for change, status in (({"is_domain": True}, 400), ({"is_domain": False}, 200), ({"parent_id": "x"}, 403)):
        answer = await cloud.ask("PATCH", f"/projects/{demo['id']}", admin, {"project": change})
        assert answer.status_code == status, change


async def test_a_domain_goes_with_its_groups_and_a_project_with_its_credentials(
    cloud: Cloud, admin: str
) -> None:
    domain = (await cloud.ask("POST", "/domains", admin, {"domain": {"name": "west"}})).json()["domain"]["id"]
    body = {"group": {"name": "team", "domain_id": domain}}
    group = (await cloud.ask("POST", "/groups", admin, body)).json()["group"]["id"]
    for method, change in (("PATCH", {"domain": {"enabled": False}}), ("DELETE", None)):
        assert (await cloud.ask(method, f"/domains/{domain}", admin, change)).status_code in (200, 204)
    assert (await cloud.ask("GET", f"/groups/{group}", admin)).status_code == 404

    where = (await cloud.ask("POST", "/projects", admin, {"project": {"name": "p"}})).json()["project"]["id"]
    (role,) = (await cloud.ask("GET", "/roles?name=member", admin)).json()["roles"]
    (user,) = (await cloud.ask("GET", "/users?name=demo", admin)).json()["users"]
    await cloud.ask("PUT", f"/projects/{where}/users/{user['id']}/roles/{role['id']}", admin)
    token = await cloud.token("demo", {"project": {"id": where}})
    path = f"/users/{user['id']}/application_credentials"
    made = await cloud.ask("POST", path, token, {"application_credential": {"name": "ci"}})
    assert made.status_code == 201
    assert (await cloud.ask("DELETE", f"/projects/{where}", admin)).status_code == 204
    assert (await cloud.ask("GET", path, admin)).json()["application_credentials"] == []


async def test_a_project_shows_what_is_above_and_below_it(cloud: Cloud, admin: str) -> None:
    ids = ["default"]
    for name in ("a", "b", "c", "d", "e"):
        body = {"project": {"name": name, "parent_id": ids[-1]}}
        ids.append((await cloud.ask("POST", "/projects", admin, body)).json()["project"]["id"])
    deeper = {"project": {"name": "f", "parent_id": ids[-1]}}
    assert (await cloud.ask("POST", "/projects", admin, deeper)).status_code == 403
    _, a, b, c, d, e = ids
    shown = (await cloud.ask("GET", f"/projects/{b}?parents_as_ids&subtree_as_ids", admin)).json()["project"]
    assert shown["parents"] == {a: {"default": None}}
    assert shown["subtree"] == {c: {d: {e: None}}}
    lists = (await cloud.ask("GET", f"/projects/{b}?parents_as_list&subtree_as_list", admin)).json()["project"]
    assert lists["parents"] == lists["subtree"] == []  # none on which the caller has a role
    both = await cloud.ask("GET", f"/projects/{b}?parents_as_list&parents_as_ids", admin)
    assert both.status_code == 400
