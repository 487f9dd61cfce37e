"""Options of users, projects, domains and roles: each is heeded or refused, and no other is taken."""

from typing import Any

import pytest
from identity_cloud import Cloud, login
from test_identity_resources import ids, made

from databases import ON_SQLITE

pytestmark = ON_SQLITE
PROTECTED = ("project", "domain", "role")


@pytest.mark.parametrize("kind", ["user", *PROTECTED])
async def test_options_are_kept_one_by_one_and_others_refused(cloud: Cloud, admin: str, kind: str) -> None:
    known = "lock_password" if kind == "user" else "immutable"
    one = await made(cloud, admin, kind, name="one", options={known: False})
    path = f"/{kind}s/{one['id']}"
    assert one["options"] == {known: False}
    changed = await cloud.ask("PATCH", path, admin, {kind: {"options": {}}})
    assert changed.json()[kind]["options"] == {known: False}
    changed = await cloud.ask("PATCH", path, admin, {kind: {"options": {known: None}}})
    assert changed.json()[kind]["options"] == {}
    for wrong in ({"nobody_knows": True}, {known: "yes"}, {known: 1}, None, []):
        for answer in (
            await cloud.ask("POST", f"/{kind}s", admin, {kind: {"name": "two", "options": wrong}}),
            await cloud.ask("PATCH", path, admin, {kind: {"options": wrong}}),
        ):
            assert answer.status_code == 400, (wrong, answer.text)


@pytest.mark.parametrize("kind", PROTECTED)
async def test_what_is_immutable_stays_until_that_alone_is_taken_back(
    cloud: Cloud, admin: str, kind: str
) -> None:
    one = await made(cloud, admin, kind, name="one", options={"immutable": True})
    path = f"/{kind}s/{one['id']}"
    changes: list[dict[str, Any]] = [
        {"name": "two"}, {"fax": "7"}, {"description": None}, {"options": {"immutable": True}},
        {"options": {}}, {"options": {"immutable": False}, "description": "x"},
    ]  # fmt: skip
    for change in changes:
        answer = await cloud.ask("PATCH", path, admin, {kind: change})
        assert (answer.status_code, "immutable" in answer.text) == (403, True), change
    assert (await cloud.ask("DELETE", path, admin)).status_code == 403
    assert (await cloud.ask("GET", path, admin)).json()[kind] == one
    for taken_back in (False, None):
        answer = await cloud.ask("PATCH", path, admin, {kind: {"options": {"immutable": taken_back}}})
        assert answer.status_code == 200
        assert (await cloud.ask("PATCH", path, admin, {kind: {"description": "x"}})).status_code == 200
        await cloud.ask("PATCH", path, admin, {kind: {"options": {"immutable": True}}})


async def test_an_immutable_project_keeps_its_tags_whatever_path_asks(cloud: Cloud, admin: str) -> None:
    options = {"immutable": True}
    project = await made(cloud, admin, "project", name="one", tags=["a"], options=options)
    domain = await made(cloud, admin, "domain", name="two", options=options)
    for one in (project, domain):
        path = f"/projects/{one['id']}"
        for method, below, body in (
            ("PUT", "/tags", {"tags": ["b"]}), ("DELETE", "/tags", None), ("PUT", "/tags/b", None),
            ("PATCH", "", {"project": {"enabled": False}}), ("DELETE", "", None),
        ):  # fmt: skip
            answer = await cloud.ask(method, path + below, admin, body)
            assert answer.status_code == 403, (method, below, answer.text)
    assert (await cloud.ask("DELETE", f"/projects/{project['id']}/tags/a", admin)).status_code == 403


async def test_a_locked_password_is_the_administrators_to_change(cloud: Cloud, admin: str) -> None:
    demo = (await ids(cloud, admin, "users"))["demo"]
    path, mine = f"/users/{demo}", {"user": {"original_password": "secret-d", "password": "secret-new"}}
    await cloud.ask("PATCH", path, admin, {"user": {"options": {"lock_password": True}}})
    answer = await cloud.ask("POST", f"{path}/password", None, mine)
    assert (answer.status_code, "contact your administrator" in answer.text) == (400, True)
    wrong = {"user": {**mine["user"], "original_password": "wrong"}}
    assert (await cloud.ask("POST", f"{path}/password", None, wrong)).status_code == 401
    assert (await cloud.ask("PATCH", path, admin, {"user": {"password": "secret-e"}})).status_code == 200
    assert (await cloud.ask("POST", "/auth/tokens", None, login("demo", "secret-e"))).status_code == 201


@pytest.mark.parametrize(
    ("rules", "status"),
    [
        ([], 201),
        ([["password"]], 201),
        ([["password", "totp"]], 201),  # a method that does not exist here locks nobody out
        ([["totp"]], 201),
        ([["token"]], 401),
        ([["password", "token"]], 401),
        ([["token"], ["password"]], 201),
    ],
)
async def test_whom_rules_ask_for_more_factors_logs_in_with_them(
    cloud: Cloud, admin: str, rules: list[list[str]], status: int
) -> None:
    path = f"/users/{(await ids(cloud, admin, 'users'))['demo']}"
    earlier = await cloud.ask("POST", "/auth/tokens", None, login("demo", "secret-d"))
    options = {"multi_factor_auth_rules": rules}
    changed = await cloud.ask("PATCH", path, admin, {"user": {"options": options}})
    assert changed.json()["user"]["options"] == options
    answer = await cloud.ask("POST", "/auth/tokens", None, login("demo", "secret-d"))
    assert answer.status_code == status
    shown = {"auth": {"identity": {"methods": ["token"], "token": {"id": earlier.headers["x-subject-token"]}}}}
    assert (await cloud.ask("POST", "/auth/tokens", None, shown)).status_code == 201, "it has both factors"
    await cloud.ask("PATCH", path, admin, {"user": {"options": {"multi_factor_auth_enabled": False}}})
    assert (await cloud.ask("POST", "/auth/tokens", None, login("demo", "secret-d"))).status_code == 201


@pytest.mark.parametrize("rules", ["password", ["password"], [[]], [["a", "a"]], [["a"], ["a"]], [[1]], {}])
async def test_rules_that_say_nothing_are_refused(cloud: Cloud, admin: str, rules: Any) -> None:
    asked = {"name": "one", "options": {"multi_factor_auth_rules": rules}}
    assert (await cloud.ask("POST", "/users", admin, {"user": asked})).status_code == 400
