"""The console's session: a token that no script sees, and that counts for no request but the console's own."""

from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest
from identity_cloud import PASSWORDS, Cloud, login, project

from pumice.api.application import Application
from pumice.api.console.service import Console
from pumice.api.console.session import LONGEST_BODY

OURS = {"X-Pumice-Console": "1"}
SESSION = "/console/session"
USERS = "/identity/v3/auth/projects"
"""What needs a token, and whose answer is the bearer's."""


@pytest.fixture
async def browser(cloud: Cloud) -> AsyncIterator[httpx.AsyncClient]:
    """A client that keeps cookies, as a browser does."""
    nothing = cast("Any", None)
    application = Application((cloud.service,), Console(cloud.service, {}), nothing, None)
    transport = httpx.ASGITransport(application)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://cloud:8776") as client:
        yield client


async def enter(browser: httpx.AsyncClient, user: str = "demo") -> httpx.Response:
    body = login(user, PASSWORDS[user], project(user))
    return await browser.post(SESSION, json=body, headers=OURS)


async def test_who_logs_in_has_a_cookie_that_no_script_reads_and_no_token(browser: httpx.AsyncClient) -> None:
    answer = await enter(browser)
    assert answer.status_code == 201 and "x-subject-token" not in answer.headers
    words = answer.headers["set-cookie"].split("; ")
    assert words[0].startswith("pumice-8776=")
    assert words[1:] == ["Path=/", "HttpOnly", "SameSite=Strict"]
    assert answer.json()["token"]["project"]["name"] == "demo"
    assert words[0].partition("=")[2] not in answer.text
    shown = await browser.get(SESSION, headers=OURS)
    assert shown.json()["token"]["user"]["name"] == "demo"
    assert (await browser.get(USERS, headers=OURS)).json()["projects"][0]["name"] == "demo"


async def test_under_tls_the_cookie_is_for_this_host_alone(browser: httpx.AsyncClient) -> None:
    browser.base_url = httpx.URL("https://cloud")
    assert "Secure" in (cookie := (await enter(browser)).headers["set-cookie"])
    assert cookie.startswith("__Host-pumice-443=")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {**OURS, "Sec-Fetch-Site": "cross-site"},
        {**OURS, "Sec-Fetch-Site": "same-site"},
        {**OURS, "Sec-Fetch-Site": "none"},
    ],
)
async def test_no_request_but_the_consoles_own_is_the_sessions(
    browser: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    await enter(browser)
    for method in ("GET", "DELETE"):
        answer = await browser.request(method, "/identity/v3/auth/tokens", headers=headers)
        assert answer.status_code == 401, "a cookie alone is nothing"
    assert (await browser.get(USERS, headers=headers)).status_code == 401
    assert (await browser.delete(SESSION, headers=headers)).status_code in (401, 403)
    assert (await browser.get(USERS, headers=OURS)).status_code == 200, "and nothing has become of it"


async def test_a_token_that_is_shown_counts_before_the_cookie(browser: httpx.AsyncClient) -> None:
    await enter(browser)
    answer = await browser.get(USERS, headers={**OURS, "X-Auth-Token": "of-nobody"})
    assert answer.status_code == 401


async def test_another_project_is_another_token_and_the_one_before_is_none(
    cloud: Cloud, browser: httpx.AsyncClient
) -> None:
    await enter(browser, "admin")
    before = browser.cookies["pumice-8776"]
    moved = await browser.post(SESSION, json={"auth": {"scope": project("admin")}}, headers=OURS)
    assert moved.status_code == 201, moved.text
    assert browser.cookies["pumice-8776"] != before
    assert (await browser.get(USERS, headers=OURS)).status_code == 200
    assert (await cloud.ask("GET", "/auth/projects", before)).status_code == 401
    refused = await browser.post(SESSION, json={"auth": {"scope": project("nowhere")}}, headers=OURS)
    assert refused.status_code == 401 and (await browser.get(USERS, headers=OURS)).status_code == 200


async def test_who_logs_out_has_no_token_any_more(cloud: Cloud, browser: httpx.AsyncClient) -> None:
    await enter(browser)
    token = browser.cookies["pumice-8776"]
    ended = await browser.delete(SESSION, headers=OURS)
    assert ended.status_code == 204 and "Max-Age=0" in ended.headers["set-cookie"]
    assert (await cloud.ask("GET", "/auth/projects", token)).status_code == 401
    nobody = await browser.get(SESSION, headers=OURS)
    assert (nobody.status_code, nobody.json()) == (200, {"token": None})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b'{"auth": 7}', 400),
        (b'{"auth": {"scope": {}}}', 401),
        (b'{"auth": {"identity": {"methods": ["password"]}}}', 400),
        (b" " * (LONGEST_BODY + 1), 413),
    ],
)
async def test_what_is_no_log_in_is_refused_in_a_sentence(
    browser: httpx.AsyncClient, body: bytes, status: int
) -> None:
    answer = await browser.post(SESSION, content=body, headers=OURS)
    assert answer.status_code == status
    assert answer.json()["error"]["message"].endswith(".")
    assert "set-cookie" not in answer.headers


async def test_a_cookie_that_is_none_is_nobody(browser: httpx.AsyncClient) -> None:
    for cookie in ("pumice-8776=", "pumice-8776=\xff", "=;=;", "pumice-8776=x; pumice-1=y", '"'):
        said = {**OURS, "Cookie": cookie.encode("latin-1")}
        assert (await browser.get(SESSION, headers=said)).json() == {"token": None}
        assert (await browser.get(USERS, headers=said)).status_code == 401
