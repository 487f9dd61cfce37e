"""Logging in, showing a token, giving it back."""

import json
from typing import Any

import pytest
from identity_cloud import Cloud, login, project

from databases import ON_SQLITE

TOKENS = "/auth/tokens"


def by_token(token: str, scope: Any = None) -> dict[str, Any]:
    auth: dict[str, Any] = {"identity": {"methods": ["token"], "token": {"id": token}}}
    return {"auth": auth | ({"scope": scope} if scope is not None else {})}


async def test_a_login_answers_with_the_token_its_roles_and_the_catalog(cloud: Cloud) -> None:
    answer = await cloud.ask("POST", TOKENS, body=login("demo", "secret-d", project("demo")))
    assert answer.status_code == 201
    assert len(answer.headers["X-Subject-Token"]) == 43
    token = answer.json()["token"]
    assert token["methods"] == ["password"]
    assert token["user"]["name"] == "demo"
    assert token["user"]["domain"] == {"id": "default", "name": "Default"}
    assert token["user"]["password_expires_at"] is None
    assert token["project"]["name"] == "demo"
    assert token["is_domain"] is False
    assert [role["name"] for role in token["roles"]] == ["member", "reader"]
    assert token["expires_at"].endswith("Z")
    urls = {entry["type"]: {end["url"] for end in entry["endpoints"]} for entry in token["catalog"]}
    assert urls == {
        "identity": {"http://cloud/identity"},
        "image": {"http://cloud/image"},
        "compute": {"http://cloud/compute/v2.1"},
        "block-storage": {"http://cloud/volume/v3"},
        "pumice": {"http://cloud/pumice/v1"},
        "volumev3": {f"http://cloud/volume/v3/{token['project']['id']}"},
    }


async def test_the_catalog_can_be_left_out(cloud: Cloud) -> None:
    answer = await cloud.ask("POST", f"{TOKENS}?nocatalog", body=login("demo", "secret-d", project("demo")))
    assert "catalog" not in answer.json()["token"]


async def test_wrong_password_and_unknown_user_look_the_same(cloud: Cloud) -> None:
    answers = [
        await cloud.ask("POST", TOKENS, body=login("demo", "wrong")),
        await cloud.ask("POST", TOKENS, body=login("nobody", "secret-d")),
        await cloud.ask("POST", TOKENS, body=login("demo", "secret-d", project("admin"))),
        await cloud.ask("POST", TOKENS, body=login("demo", "secret-d", project("none"))),
        await cloud.ask("POST", TOKENS, body=by_token("nonsense")),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.text for answer in answers} == {
        json.dumps(
            {
                "error": {
                    "code": 401,
                    "message": "The request you have made requires authentication.",
                    "title": "Unauthorized",
                }
            },
            separators=(",", ":"),
        )
    }
    assert answers[0].headers["WWW-Authenticate"] == 'Keystone uri="http://cloud/identity"'


@pytest.mark.parametrize(
    ("scope", "key"),
    [
        (project("admin"), "project"),
        ({"system": {"all": True}}, "system"),
        ({"domain": {"id": "default"}}, "domain"),
        ("unscoped", None),
        ({"unscoped": {}}, None),
        (None, None),
    ],
)
async def test_every_kind_of_scope_is_shown_as_such(
    cloud: Cloud, admin: str, scope: Any, key: str | None
) -> None:
    said = (await cloud.ask("GET", TOKENS, admin, headers={"X-Subject-Token": admin})).json()["token"]
    ids = {role["name"]: role["id"] for role in said["roles"]}
    grant = f"/domains/default/users/{said['user']['id']}/roles/{ids['admin']}"
    assert (await cloud.ask("PUT", grant, admin)).status_code == 204
    for body in (login("admin", "secret-a", scope), by_token(admin, scope)):
        answer = await cloud.ask("POST", TOKENS, body=body)
        assert answer.status_code == 201, answer.text
        token = answer.json()["token"]
        assert {"project", "system", "domain"} & token.keys() == ({key} if key else set())
        assert ("roles" in token) == ("catalog" in token) == (key is not None)


async def test_rescoping_keeps_the_end_and_the_chain(cloud: Cloud) -> None:
    first = await cloud.ask("POST", TOKENS, body=login("demo", "secret-d", "unscoped"))
    shown = first.headers["X-Subject-Token"]
    second = await cloud.ask("POST", TOKENS, body=by_token(shown, project("demo")))
    before, after = first.json()["token"], second.json()["token"]
    assert after["expires_at"] == before["expires_at"]
    assert after["methods"] == ["password", "token"]
    assert after["audit_ids"][1:] == before["audit_ids"]


async def test_a_token_is_validated_for_its_bearer_and_for_services_only(
    cloud: Cloud, admin: str, member: str
) -> None:
    service = await cloud.token("pumice", project("service"))
    for asker, subject, status in (
        (member, member, 200),
        (admin, member, 200),
        (service, member, 200),
        (member, admin, 403),
        (admin, "nonsense", 404),
        (None, member, 401),
    ):
        for method in ("GET", "HEAD"):
            answer = await cloud.ask(method, TOKENS, asker, headers={"X-Subject-Token": subject})
            assert answer.status_code == status
    answer = await cloud.ask("GET", TOKENS, admin, headers={"X-Subject-Token": member})
    assert answer.headers["X-Subject-Token"] == member
    assert answer.json()["token"]["user"]["name"] == "demo"
    assert (await cloud.ask("GET", TOKENS, admin)).status_code == 404


async def test_a_revoked_token_is_refused_at_once(cloud: Cloud, admin: str, member: str) -> None:
    assert (await cloud.ask("GET", "/auth/projects", member)).status_code == 200
    said = {"X-Subject-Token": member}
    other = await cloud.token("demo", project("demo"))
    assert (await cloud.ask("DELETE", TOKENS, member, headers={"X-Subject-Token": admin})).status_code == 403
    assert (await cloud.ask("DELETE", TOKENS, member, headers=said)).status_code == 204
    assert (await cloud.ask("GET", "/auth/projects", member)).status_code == 401
    assert (await cloud.ask("GET", TOKENS, admin, headers=said)).status_code == 404
    assert (await cloud.ask("GET", "/auth/projects", other)).status_code == 200


async def test_the_token_of_a_disabled_user_is_refused(cloud: Cloud, admin: str, member: str) -> None:
    users = (await cloud.ask("GET", "/users?name=demo", admin)).json()["users"]
    path = f"/users/{users[0]['id']}"
    answer = await cloud.ask("PATCH", path, admin, {"user": {"enabled": False}})
    assert answer.status_code == 200
    assert (await cloud.ask("GET", "/auth/projects", member)).status_code == 401
    assert (await cloud.ask("POST", TOKENS, body=login("demo", "secret-d"))).status_code == 401
    await cloud.ask("PATCH", path, admin, {"user": {"enabled": True}})
    assert (await cloud.ask("GET", "/auth/projects", member)).status_code == 401, "old tokens stay revoked"
    await cloud.token("demo", project("demo"))


async def test_a_token_tells_what_its_bearer_may_ask_for(cloud: Cloud, admin: str, member: str) -> None:
    mine = (await cloud.ask("GET", "/auth/projects", member)).json()
    assert [one["name"] for one in mine["projects"]] == ["demo"]
    assert mine["links"] == {
        "self": "http://cloud/identity/v3/auth/projects",
        "next": None,
        "previous": None,
    }
    assert (await cloud.ask("GET", "/auth/domains", member)).json()["domains"] == []
    assert (await cloud.ask("GET", "/auth/system", member)).json()["system"] == []
    assert (await cloud.ask("GET", "/auth/system", admin)).json()["system"] == [{"all": True}]
    assert len((await cloud.ask("GET", "/auth/catalog", member)).json()["catalog"]) == 6
    system = await cloud.token("admin", {"system": {"all": True}})
    assert (await cloud.ask("GET", "/auth/catalog", system)).status_code == 403


WHO = {"name": "demo", "domain": {"id": "default"}, "password": "the-secret"}


@ON_SQLITE
@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"auth": []},
        {"auth": {}},
        {"auth": {"identity": {}}},
        {"auth": {"identity": {"methods": []}}},
        {"auth": {"identity": {"methods": "password"}}},
        {"auth": {"identity": {"methods": ["password"]}}},
        {"auth": {"identity": {"methods": ["token"]}}},
        {"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "demo"}}}}},
        {"auth": {"identity": {"methods": ["password"], "password": {"user": WHO | {"name": 7}}}}},
        {"auth": {"identity": {"methods": ["password"], "password": {"user": WHO | {"domain": {}}}}}},
        {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {"user": {"name": "demo", "password": "the-secret"}},
                }
            }
        },
        login("demo", "the-secret", {"project": {}}),
        login("demo", "the-secret", {"project": {"name": "demo"}}),
        login("demo", "the-secret", {"domain": {}}),
        login("demo", "the-secret", {"system": {"all": False}}),
        login("demo", "the-secret", {"system": {"all": True}, "domain": {"id": "default"}}),
        login("demo", "the-secret", "everything"),
        login("demo", "the-secret", 7),
    ],
)
async def test_a_login_that_makes_no_sense_is_400_and_repeats_no_secret(cloud: Cloud, body: Any) -> None:
    answer = await cloud.ask("POST", TOKENS, body=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["title"] == "Bad Request"
    assert "the-secret" not in answer.text


async def test_an_unknown_method_is_401_as_the_field_has_it(cloud: Cloud) -> None:
    answer = await cloud.ask("POST", TOKENS, body={"auth": {"identity": {"methods": ["saml2"]}}})
    assert answer.status_code == 401


async def test_the_versions_are_found_without_a_token(cloud: Cloud) -> None:
    for path in ("http://cloud/identity", "http://cloud/identity/"):
        answer = await cloud.http.get(path)
        assert answer.status_code == 300
        assert answer.headers["Location"] == "http://cloud/identity/v3/"
        (version,) = answer.json()["versions"]["values"]
    assert (version["id"], version["status"]) == ("v3.14", "stable")
    for path in ("http://cloud/identity/v3", "http://cloud/identity/v3/"):
        answer = await cloud.http.get(path)
        assert answer.status_code == 200
        assert answer.json()["version"] == version


async def test_no_password_or_token_reaches_the_log(cloud: Cloud, capfd: pytest.CaptureFixture[str]) -> None:
    token = await cloud.token("demo", project("demo"))
    await cloud.ask("POST", TOKENS, body=login("demo", "the-secret"))
    await cloud.ask("DELETE", TOKENS, token, headers={"X-Subject-Token": token})
    printed = capfd.readouterr()
    said = printed.out + printed.err
    assert "/auth/tokens" in said
    assert "secret" not in said
    assert token not in said
