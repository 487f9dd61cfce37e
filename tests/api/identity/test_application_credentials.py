"""Application credentials: some of a user's roles on one project, for a program."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from identity_cloud import DEFAULT, Cloud, project

from databases import ON_SQLITE

pytestmark = ON_SQLITE


@pytest.fixture
async def me(cloud: Cloud, member: str) -> str:
    said = await cloud.ask("GET", "/auth/tokens", member, headers={"X-Subject-Token": member})
    return str(said.json()["token"]["user"]["id"])


async def made(cloud: Cloud, token: str, user: str, **body: Any) -> dict[str, Any]:
    path = f"/users/{user}/application_credentials"
    answer = await cloud.ask("POST", path, token, {"application_credential": {"name": "ci", **body}})
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["application_credential"])


async def log_in(cloud: Cloud, credential: dict[str, Any], **more: Any) -> Any:
    identity = {"methods": ["application_credential"], "application_credential": credential}
    return await cloud.ask("POST", "/auth/tokens", body={"auth": {"identity": identity, **more}})


async def test_a_program_logs_in_by_id_or_by_name(cloud: Cloud, member: str, me: str) -> None:
    one = await made(cloud, member, me, description="d")
    assert {role["name"] for role in one["roles"]} == {"member", "reader"}
    assert (one["unrestricted"], one["expires_at"], one["description"]) == (False, None, "d")
    by_name = {"name": "ci", "user": {"name": "demo", "domain": DEFAULT}, "secret": one["secret"]}
    for shown in ({"id": one["id"], "secret": one["secret"]}, by_name):
        answer = await log_in(cloud, shown)
        assert answer.status_code == 201, answer.text
        token = answer.json()["token"]
        assert token["methods"] == ["application_credential"]
        assert token["project"]["name"] == "demo"
        assert token["application_credential"] == {"id": one["id"], "name": "ci", "restricted": True}
        assert {role["name"] for role in token["roles"]} == {"member", "reader"}
        assert token["catalog"]
    path = f"/users/{me}/application_credentials"
    assert (await cloud.ask("GET", f"{path}?name=ci", member)).json()["application_credentials"] == [
        {name: value for name, value in one.items() if name != "secret"}
    ]
    shown = (await cloud.ask("GET", f"{path}/{one['id']}", member)).json()["application_credential"]
    assert "secret" not in shown


@pytest.mark.parametrize(
    "wrong", [{"secret": "no"}, {"id": "none"}, {"name": "no", "user": {"id": "x"}, "id": None}]
)
async def test_a_wrong_one_is_refused_without_saying_why(
    cloud: Cloud, member: str, me: str, wrong: dict[str, Any]
) -> None:
    one = await made(cloud, member, me)
    answer = await log_in(cloud, {"id": one["id"], "secret": one["secret"], **wrong})
    assert answer.status_code == 401
    assert answer.json()["error"]["message"] == "The request you have made requires authentication."


async def test_it_has_no_more_than_the_roles_that_were_chosen(cloud: Cloud, member: str, me: str) -> None:
    one = await made(cloud, member, me, roles=[{"name": "reader"}])
    token = (await log_in(cloud, {"id": one["id"], "secret": one["secret"]})).json()["token"]
    assert [role["name"] for role in token["roles"]] == ["reader"]
    body = {"application_credential": {"name": "two", "roles": [{"name": "admin"}]}}
    answer = await cloud.ask("POST", f"/users/{me}/application_credentials", member, body)
    assert (answer.status_code, "unassigned role" in answer.text) == (400, True)


async def test_it_cannot_be_for_anything_else_than_its_project(cloud: Cloud, member: str, me: str) -> None:
    one = await made(cloud, member, me)
    shown = {"id": one["id"], "secret": one["secret"]}
    assert (await log_in(cloud, shown, scope=project("demo"))).status_code == 401
    token = (await log_in(cloud, shown)).headers["X-Subject-Token"]
    again = {"methods": ["token"], "token": {"id": token}}
    same = await cloud.ask("POST", "/auth/tokens", body={"auth": {"identity": again}})
    assert same.json()["token"]["application_credential"]["id"] == one["id"]
    for scope in ("unscoped", {"domain": DEFAULT}, {"system": {"all": True}}, project("service")):
        answer = await cloud.ask("POST", "/auth/tokens", body={"auth": {"identity": again, "scope": scope}})
        assert answer.status_code == 401, scope


async def test_only_an_unrestricted_one_makes_and_deletes_others(cloud: Cloud, member: str, me: str) -> None:
    path = f"/users/{me}/application_credentials"
    for name, unrestricted, status in (("no", False, 403), ("yes", True, 201)):
        one = await made(cloud, member, me, name=name, unrestricted=unrestricted)
        token = (await log_in(cloud, {"id": one["id"], "secret": one["secret"]})).headers["X-Subject-Token"]
        body = {"application_credential": {"name": f"of {name}"}}
        assert (await cloud.ask("POST", path, token, body)).status_code == status
        assert (await cloud.ask("GET", path, token)).status_code == 200
        assert (await cloud.ask("DELETE", f"{path}/{one['id']}", token)).status_code == (
            204 if unrestricted else 403
        )


async def test_its_tokens_end_with_it_and_with_the_role(cloud: Cloud, admin: str, member: str, me: str) -> None:
    path = f"/users/{me}/application_credentials"
    one, two = await made(cloud, member, me), await made(cloud, member, me, name="two")
    tokens = [
        (await log_in(cloud, {"id": each["id"], "secret": each["secret"]})).headers["X-Subject-Token"]
        for each in (one, two)
    ]
    assert (await cloud.ask("DELETE", f"{path}/{one['id']}", member)).status_code == 204
    assert (await cloud.ask("GET", "/auth/projects", tokens[0])).status_code == 401
    assert (await cloud.ask("GET", "/auth/projects", tokens[1])).status_code == 200
    where = two["project_id"]
    role = next(role["id"] for role in two["roles"] if role["name"] == "member")
    assert (await cloud.ask("DELETE", f"/projects/{where}/users/{me}/roles/{role}", admin)).status_code == 204
    assert (await cloud.ask("GET", "/auth/projects", tokens[1])).status_code == 401
    assert (await cloud.ask("GET", f"{path}/{two['id']}", member)).status_code == 404


async def test_one_that_has_an_end_gives_no_token_beyond_it(cloud: Cloud, member: str, me: str) -> None:
    end = datetime.now(UTC) + timedelta(minutes=1)
    one = await made(cloud, member, me, expires_at=end.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    token = (await log_in(cloud, {"id": one["id"], "secret": one["secret"]})).json()["token"]
    assert token["expires_at"] == one["expires_at"] + "Z"
    for past in ("2001-01-01T00:00:00Z", "soon", "0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00"):
        body = {"application_credential": {"name": "two", "expires_at": past}}
        answer = await cloud.ask("POST", f"/users/{me}/application_credentials", member, body)
        assert answer.status_code == 400


async def test_access_rules_allow_what_they_name_and_nothing_else(cloud: Cloud, member: str, me: str) -> None:
    rule = {"service": "identity", "method": "GET", "path": "/v3/projects/*"}
    one = await made(cloud, member, me, access_rules=[rule])
    kept = one["access_rules"][0]
    assert {name: kept[name] for name in rule} == rule
    answer = await log_in(cloud, {"id": one["id"], "secret": one["secret"]})
    assert answer.json()["token"]["application_credential"]["access_rules"] == [kept]
    token = answer.headers["X-Subject-Token"]
    where = one["project_id"]
    assert (await cloud.ask("GET", f"/projects/{where}", token)).status_code == 200
    for method, path in (
        ("GET", f"/projects/{where}/tags"),
        ("PATCH", f"/projects/{where}"),
        ("GET", "/regions"),
    ):
        assert (await cloud.ask(method, path, token, {})).status_code == 401, path

    again = await made(cloud, member, me, name="two", access_rules=[{"id": kept["id"]}])
    assert again["access_rules"] == [kept]
    rules = f"/users/{me}/access_rules"
    assert [each["id"] for each in (await cloud.ask("GET", rules, member)).json()["access_rules"]] == [
        kept["id"]
    ]
    assert (await cloud.ask("GET", f"{rules}?method=PUT", member)).json()["access_rules"] == []
    assert (await cloud.ask("DELETE", f"{rules}/{kept['id']}", member)).status_code == 403
    for credential in (one, again):
        await cloud.ask("DELETE", f"/users/{me}/application_credentials/{credential['id']}", member)
    assert (await cloud.ask("GET", f"{rules}/{kept['id']}", member)).status_code == 200
    assert (await cloud.ask("DELETE", f"{rules}/{kept['id']}", member)).status_code == 204
    assert (await cloud.ask("GET", f"{rules}/{kept['id']}", member)).status_code == 404


async def test_rules_that_cannot_be_read_allow_nothing(cloud: Cloud, member: str, me: str) -> None:
    one = await made(cloud, member, me)
    shown = {"id": one["id"], "secret": one["secret"]}
    assert (await log_in(cloud, shown)).status_code == 201
    torn = sa.text("UPDATE application_credentials SET access_rule_ids = '{torn'")
    await cloud.db.write(lambda tx: tx.execute(torn) and None)
    assert (await log_in(cloud, shown)).status_code == 401


async def test_nobody_makes_or_reads_one_of_another_user(
    cloud: Cloud, admin: str, member: str, me: str
) -> None:
    one = await made(cloud, member, me)
    body = {"application_credential": {"name": "theirs"}}
    assert (await cloud.ask("POST", f"/users/{me}/application_credentials", admin, body)).status_code == 403
    said = await cloud.ask("GET", "/auth/tokens", admin, headers={"X-Subject-Token": admin})
    other = said.json()["token"]["user"]["id"]
    path = f"/users/{other}/application_credentials"
    assert (await cloud.ask("GET", path, member)).status_code == 403
    assert (await cloud.ask("GET", f"{path}/{one['id']}", admin)).status_code == 404
