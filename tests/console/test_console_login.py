"""Logging in and out before a browser: what the page keeps, who sees what, and that out is out."""

import asyncio
import re

import pytest
from playwright.async_api import expect
from pumice_process import PumiceProcess
from tests.console.conftest import Enter
from tests.console.people import make, names, password_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
KEPT = """() => JSON.stringify(
  [location.href, document.cookie, { ...localStorage }, { ...sessionStorage }, history.state])"""


@pytest.mark.parametrize("name", ["admin", "demo", "reader"])
async def test_who_logs_in_has_a_cookie_and_the_page_has_nothing(
    cloud: PumiceProcess, enter: Enter, name: str
) -> None:
    visitor = await enter(cloud)
    await visitor.open()
    await visitor.log_in(name)
    await visitor.heading("Home")
    await expect(visitor.page.get_by_role("banner")).to_contain_text(name)
    [cookie] = await visitor.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["name"]) == (True, "Strict", visitor.cookie)
    token = cookie["value"]
    assert token and token not in await visitor.evaluate(KEPT)
    for request in visitor.asked:
        assert token not in request.url
        assert "x-auth-token" not in await request.all_headers()
        answer = await request.response()
        if answer is not None and "events" not in request.url:
            assert token not in (await answer.text() if answer.status == 200 else "")
            assert "x-subject-token" not in await answer.all_headers()


async def test_a_wrong_password_is_refused_in_the_words_of_the_api(cloud: PumiceProcess, enter: Enter) -> None:
    visitor = await enter(cloud)
    await visitor.open()
    await visitor.log_in("demo", "no such password")
    alert = visitor.page.get_by_role("alert")
    await expect(alert).to_have_text("The request you have made requires authentication.")
    assert not await visitor.token()


async def test_who_logs_out_has_no_token_and_hears_nothing_more(cloud: PumiceProcess, enter: Enter) -> None:
    visitor = await enter(cloud, "demo")
    await visitor.open()
    await visitor.go("Volumes")
    token = await visitor.token()
    other = await visitor.context.new_page()
    visitor.watch(other)
    await other.goto("/console/volumes")
    await expect(other.get_by_text("live", exact=True)).to_be_visible()
    await visitor.press("Log out")
    await expect(visitor.page.get_by_role("button", name="Log in")).to_be_visible()
    assert not await visitor.token()
    refused = cloud.http.get("/volume/v3/volumes", headers={"X-Auth-Token": token})
    assert refused.status_code == 401
    make(cloud, "demo", "made when nobody listens")  # an event, by which a stream finds that nobody may hear it
    await expect(other.get_by_role("button", name="Log in")).to_be_visible()
    await visitor.page.go_back()
    await expect(visitor.page.get_by_role("button", name="Log in")).to_be_visible()


async def test_a_session_that_ended_elsewhere_asks_for_a_new_one_and_shows_nothing(
    cloud: PumiceProcess, enter: Enter
) -> None:
    visitor = await enter(cloud, "demo")
    await visitor.open("/console/volumes")
    token = await visitor.token()
    ended = {"X-Auth-Token": token, "X-Subject-Token": token}
    assert cloud.http.delete("/identity/v3/auth/tokens", headers=ended).status_code == 204
    await visitor.page.get_by_role("link", name="Home", exact=True).click()
    await visitor.sees("Your session has ended: log in again.")
    await visitor.log_in("demo")
    await visitor.heading("Home")


async def test_another_project_is_shown_with_another_token(cloud: PumiceProcess, enter: Enter) -> None:
    visitor = await enter(cloud, "admin")
    await visitor.open("/console/volumes")
    before = await visitor.token()
    choice = visitor.page.get_by_role("combobox", name="Project")
    names = await choice.get_by_role("option").all_inner_texts()
    assert "admin" in names
    if len(names) > 1:
        await choice.select_option(label=next(name for name in names if name != "admin"))
        await expect(visitor.page.get_by_text("live", exact=True)).to_be_visible()
        assert await visitor.token() not in ("", before)


@pytest.mark.parametrize("is_told", [True, False], ids=["told", "not told"])
async def test_what_is_done_in_a_tab_is_done_in_the_project_that_it_shows(
    cloud: PumiceProcess, enter: Enter, is_told: bool
) -> None:
    """One of two tabs goes on as somebody else; the other is told, or finds out by what it asks for."""
    name = f"in whose project {is_told}"
    visitor = await enter(cloud, "demo")
    await visitor.open("/console/volumes")
    await visitor.press("Create volume")
    await visitor.fill("Name", name, visitor.dialog)
    if is_told:
        other = await visitor.context.new_page()
        visitor.watch(other)
        await other.goto("/console/")
        await other.get_by_role("button", name="Log out").click()
        await other.get_by_label("User").fill("stranger")
        await other.get_by_label("Password").fill(password_of(cloud, "stranger"))
        await other.get_by_role("button", name="Log in").click()
        await expect(other.get_by_text("elsewhere").first).to_be_attached()
        await expect(visitor.dialog).to_have_count(0)
    else:
        await visitor.has_session_of("stranger")
        await visitor.press("Create", visitor.dialog)
    choice = visitor.page.get_by_role("combobox", name="Project")
    await expect(choice.locator("option:checked")).to_have_text("elsewhere")
    await expect(visitor.page.get_by_text("live", exact=True)).to_be_visible()
    await expect(visitor.dialog).to_have_count(0)  # a form of the one before is none of the next
    assert name not in names(cloud, "demo") | names(cloud, "stranger")


@pytest.mark.parametrize("hash_", ["#link=of-nobody", "#link=https://127.0.0.1:1/", "#link=", "#link=%00"])
async def test_a_link_that_is_none_leads_nowhere_but_to_the_form(
    cloud: PumiceProcess, enter: Enter, hash_: str
) -> None:
    visitor = await enter(cloud)
    await visitor.open(f"/console/{hash_}")
    await expect(visitor.page.get_by_role("button", name="Log in")).to_be_visible()
    assert re.fullmatch(rf"http://127\.0\.0\.1:{cloud.port}/console/.*", visitor.page.url)


async def test_a_link_logs_in_once_and_leaves_nothing_of_it_in_the_address(
    cloud: PumiceProcess, enter: Enter
) -> None:
    said = await asyncio.to_thread(cloud.command, "console-link", "--user", "demo", "--project", "demo")
    [link] = re.findall(r"http://\S+#link=[\w-]+", said.stdout)
    secret = link.partition("#link=")[2]
    visitor = await enter(cloud)
    await visitor.page.goto(link)
    await visitor.heading("Home")
    assert secret not in await visitor.evaluate(KEPT)
    assert not [it.url for it in visitor.asked if secret in it.url.partition("#")[0]]
    await visitor.go("Volumes")
    await visitor.page.go_back()
    await visitor.heading("Home")
    assert "#" not in visitor.page.url, "who goes back does not come to it again"
    second = await enter(cloud)
    await second.page.goto(link)
    await expect(second.page.get_by_role("button", name="Log in")).to_be_visible()
    await expect(second.page.get_by_role("alert")).to_be_visible()
    assert not await second.token() and secret not in second.page.url
