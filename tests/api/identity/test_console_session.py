"""The console's session: a token that no script sees, and that counts for no request but the console's own."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast

import httpx
import pytest
from identity_cloud import PASSWORDS, Cloud, login, project

from pumice.api.application import Application
from pumice.api.console.service import Console
from pumice.api.console.session import LONGEST_BODY
from pumice.identity import links
from pumice.identity.tokens import LocalTokens
from pumice.model.errors import NotFound, Unauthenticated

OURS = {"X-Pumice-Console": "1"}
SESSION = "/console/session"
USERS = "/identity/v3/auth/projects"
"""What needs a token, and whose answer is the bearer's."""


@pytest.fixture
async def browser(cloud: Cloud) -> AsyncIterator[httpx.AsyncClient]:
    """A client that keeps cookies, as a browser does."""
    nothing = cast("Any", None)
    console = Console(cloud.service, LocalTokens(cloud.db).by_link, {})
    application = Application((cloud.service,), console, nothing, None)
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
    assert "x-subject-token" not in shown.headers
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


async def test_a_request_of_another_session_than_the_cookies_is_nobodys(browser: httpx.AsyncClient) -> None:
    name = "x-pumice-console"
    await enter(browser, "admin")
    first = (await browser.get(SESSION, headers=OURS)).headers[name]
    moved = await browser.post(SESSION, json={"auth": {"scope": project("admin")}}, headers=OURS)
    second = (await browser.get(SESSION, headers=OURS)).headers[name]
    assert moved.headers[name] == second != first
    assert browser.cookies["pumice-8776"] not in second
    assert (await browser.get(USERS, headers={name: second})).status_code == 200
    for shown in (first, "", "2", second[:-1], "\xe4"):
        assert (await browser.get(USERS, headers={name: shown.encode("latin-1")})).status_code == 401


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


async def test_a_link_logs_in_once_and_opens_nothing_else(cloud: Cloud, browser: httpx.AsyncClient) -> None:
    link = await cloud.db.write(links.make, "demo", "demo")
    assert (await cloud.ask("GET", "/auth/projects", link)).status_code == 401, "a link is no token"
    both = await asyncio.gather(*(browser.post(SESSION, json={"link": link}, headers=OURS) for _ in range(2)))
    assert sorted(answer.status_code for answer in both) == [201, 401]
    [entered] = [answer for answer in both if answer.status_code == 201]
    assert entered.json()["token"]["project"]["name"] == "demo" and "x-subject-token" not in entered.headers
    browser.cookies.clear()
    token = entered.headers["set-cookie"].partition(";")[0].partition("=")[2]
    assert (await cloud.ask("GET", "/auth/projects", token)).status_code == 200
    refused = await browser.post(SESSION, json={"link": link}, headers=OURS)
    assert "used already" in refused.json()["error"]["message"]


async def test_a_link_ends_by_itself_and_is_made_only_for_who_has_a_role(
    cloud: Cloud, browser: httpx.AsyncClient
) -> None:
    late = await cloud.db.write(links.make, "demo", "demo", timedelta(seconds=-1))
    assert (await browser.post(SESSION, json={"link": late}, headers=OURS)).status_code == 401
    for user, project_, error in (("nobody", "demo", NotFound), ("demo", "nowhere", NotFound)):
        with pytest.raises(error):
            await cloud.db.write(links.make, user, project_)
    with pytest.raises(Unauthenticated):
        await cloud.db.write(links.make, "demo", "admin")


async def test_a_cookie_that_is_none_is_nobody(browser: httpx.AsyncClient) -> None:
    for cookie in ("pumice-8776=", "pumice-8776=\xff", "=;=;", "pumice-8776=x; pumice-1=y", '"'):
        said = {**OURS, "Cookie": cookie.encode("latin-1")}
        assert (await browser.get(SESSION, headers=said)).json() == {"token": None}
        assert (await browser.get(USERS, headers=said)).status_code == 401
