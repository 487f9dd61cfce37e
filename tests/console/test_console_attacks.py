"""What other sites, and what is stored in the cloud, try to do by the browser of who is logged in."""

import json
from collections.abc import Iterator

import pytest
from playwright.async_api import Page, expect
from pumice_process import PumiceProcess
from tests.console.conftest import Enter
from tests.console.other_site import OtherSite, other_site
from tests.console.people import ask, make, names
from tests.console.visitor import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")
MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'>{{7*7}}"
"""A name that is a script where a page takes it for markup."""
LINK = "javascript:alert(3)"
FORGED = json.dumps({"volume": {"size": 1, "name": "forged"}})


@pytest.fixture(scope="module")
def other() -> Iterator[OtherSite]:
    with other_site() as site:
        yield site


async def lured(visitor: Visitor, address: str) -> Page:
    """A page of the other site, in a tab beside the console's; what it may not do is no fault of ours."""
    page = await visitor.context.new_page()
    await page.goto(address)
    return page


@pytest.mark.parametrize("near", [True, False], ids=["another port", "another host"])
async def test_forms_of_another_site_change_nothing(
    cloud: PumiceProcess, enter: Enter, other: OtherSite, near: bool
) -> None:
    visitor = await enter(cloud, "demo")
    volume = make(cloud, "demo", f"kept from forms {near}")
    console = f"http://127.0.0.1:{cloud.port}"
    start, end = f'{FORGED[:-1]}, "', '": 1}'
    targets = {
        "/volume/v3/volumes": start,
        f"/volume/v3/volumes/{volume}/action": '{"os-extend": {"new_size": 9}, "',
    }
    targets["/console/session"] = '{"auth": {"identity": {"methods": []}}, "'
    for target, begun in targets.items():
        # the one JSON that a form can send: a field whose name begins it and whose value ends it
        form = f"""<form method=post enctype=text/plain action={console}{target}>
            <input name='{begun}' value='{end}'><button>A prize</button></form>"""
        page = await lured(visitor, (other.near if near else other.far) + other.page(form))
        # until the answer is there as a page: Chromium may never close one that is on its way elsewhere
        async with page.expect_navigation(url=f"{console}{target}") as landed:
            await page.get_by_role("button").click()
        answer = await landed.value
        assert answer.status in (401, 403), "and not 400: no body is looked at"
        sent = await answer.request.all_headers()
        assert near == (visitor.cookie in sent.get("cookie", "")), (
            "the cookie goes along to a port, and not to a site"
        )
        await page.close()
    assert "forged" not in names(cloud, "demo")
    assert ask(cloud, "demo", "GET", f"/volume/v3/volumes/{volume}")["volume"]["size"] == 1
    await visitor.open()
    await visitor.heading("Home")


FETCHES = """
async ([console, body]) => {
  const tried = []
  const attempt = async (path, options) => {
    try {
      const answer = await fetch(console + path, { credentials: 'include', ...options })
      tried.push(answer.type === 'opaque' ? 'opaque' : `read ${answer.status} ${await answer.text()}`)
    } catch (error) { tried.push('refused') }
  }
  const ours = { 'X-Pumice-Console': '1' }
  const volumes = '/volume/v3/volumes'
  await attempt(volumes, { method: 'POST', body, mode: 'no-cors', headers: { 'Content-Type': 'text/plain' } })
  await attempt(volumes, { method: 'POST', body, mode: 'no-cors', headers: ours })
  await attempt(volumes, { method: 'POST', body })
  await attempt(volumes, { method: 'POST', body, headers: { ...ours, 'Content-Type': 'application/json' } })
  await attempt(volumes, { headers: ours })
  await attempt(volumes, {})
  await attempt('/console/session', { headers: ours })
  await attempt('/console/session', { method: 'DELETE', headers: ours })
  await attempt('/pumice/v1/events', {})
  navigator.sendBeacon(console + volumes, body)
  return tried
}
"""


@pytest.mark.parametrize("near", [True, False], ids=["another port", "another host"])
async def test_scripts_of_another_site_read_nothing_and_change_nothing(
    cloud: PumiceProcess, enter: Enter, other: OtherSite, near: bool
) -> None:
    visitor = await enter(cloud, "demo")
    page = await lured(visitor, (other.near if near else other.far) + other.page("a page"))
    tried = await page.evaluate(FETCHES, [f"http://127.0.0.1:{cloud.port}", FORGED])
    assert set(tried) <= {"refused", "opaque"}, "no answer may be read"
    assert visitor.cookie not in await page.evaluate("() => document.cookie")
    assert "forged" not in names(cloud, "demo")
    await visitor.open()
    await visitor.heading("Home")  # and is still logged in


async def test_no_other_site_has_the_console_in_a_frame_or_holds_its_window(
    cloud: PumiceProcess, enter: Enter, other: OtherSite
) -> None:
    visitor = await enter(cloud, "demo")
    console = f"http://127.0.0.1:{cloud.port}/console/volumes"
    framed = await lured(visitor, other.near + other.page(f"<iframe src={console} title=framed></iframe>"))
    frame = framed.frame_locator("iframe")
    await expect(frame.get_by_role("heading", name="Volumes")).to_have_count(0)
    await expect(frame.get_by_role("button", name="Create volume")).to_have_count(0)
    opening = f"<button onclick=\"held = window.open('{console}')\">A prize</button>"
    page = await lured(visitor, other.near + other.page(opening))
    async with visitor.context.expect_page() as opened:
        await page.get_by_role("button").click()
    await expect((await opened.value).get_by_role("heading", name="Volumes")).to_be_visible()
    assert await page.evaluate("() => held.closed"), "who opened it is cut off from it"


async def test_names_are_words_on_every_page_whatever_they_look_like(
    cloud: PumiceProcess, enter: Enter
) -> None:
    metadata = {"note": MARKUP, "link": LINK}
    volume = make(cloud, "demo", MARKUP, metadata=metadata, description=MARKUP)
    cloud.settle()
    ask(cloud, "demo", "POST", "/volume/v3/snapshots", {"snapshot": {"volume_id": volume, "name": MARKUP}})
    cloud.settle()
    make(cloud, "demo", LINK)
    visitor = await enter(cloud, "demo")
    await visitor.open(f"/console/volumes/{volume}")
    await visitor.heading(MARKUP)
    await visitor.sees(f"snapshot {MARKUP}")
    await expect(visitor.page.get_by_role("definition").filter(has_text=MARKUP)).to_be_visible()
    await visitor.go("Volumes")
    await expect(visitor.page.get_by_role("link", name=MARKUP)).to_be_visible()
    await visitor.press(f"Delete {MARKUP}")
    await expect(visitor.dialog.get_by_role("heading")).to_have_text(f"Delete {MARKUP}?")
    await visitor.press("Cancel", visitor.dialog)
    for address in await visitor.page.get_by_role("link").evaluate_all(
        "(links) => links.map((one) => one.href)"
    ):
        assert address.startswith(f"http://127.0.0.1:{cloud.port}/"), "a name is no address"


async def test_an_address_that_somebody_made_up_asks_for_nothing_else(
    cloud: PumiceProcess, enter: Enter
) -> None:
    visitor = await enter(cloud, "demo")
    elsewhere = "..%2F..%2F..%2Fidentity%2Fv3%2Fauth%2Ftokens"
    for place in (
        *(f"volumes/{elsewhere}", f"servers/{elsewhere}", f"operations/{elsewhere}"),
        *("volumes/x%3Fall_tenants=1", "volumes/%E0%A4%A", "volumes/%2F%2Fexample.org", f"volumes/{LINK}"),
    ):
        visitor.asked.clear()
        await visitor.open(f"/console/{place}")
        await visitor.heading("Nothing here")
        paths = [request.url.removeprefix(visitor.home) for request in visitor.asked]
        strange = [
            it for it in paths if not it.startswith("/console/") and ("auth/tokens" in it or "tenants" in it)
        ]
        assert not strange, place


async def test_a_script_that_got_in_could_not_run_or_send_anything_out(
    cloud: PumiceProcess, enter: Enter, other: OtherSite
) -> None:
    visitor = await enter(cloud, "demo")
    await visitor.open()
    tried = await visitor.evaluate(
        """async (outside) => {
          const tried = {}
          const attempt = (name, what) => {
            try { what(); tried[name] = 'done' } catch (error) { tried[name] = error.name }
          }
          attempt('markup', () => { document.body.innerHTML += '<img src=x onerror=alert(1)>' })
          const script = document.createElement('script')
          attempt('script', () => { script.src = `${outside}/script.js` })
          const fetched = fetch(outside, { mode: 'no-cors' })
          tried.fetch = await fetched.then(() => 'done', () => 'refused')
          const inline = document.createElement('style')
          inline.textContent = 'h1 { display: none }'
          document.head.append(inline)
          tried.style = getComputedStyle(document.querySelector('h1')).display === 'none' ? 'done' : 'refused'
          return tried
        }""",
        other.near,
    )
    assert "done" not in tried.values(), tried
    assert not [it for it in visitor.faults if "a script got in" in it]
    visitor.faults.clear()  # the browser says what it has refused
