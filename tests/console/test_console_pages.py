"""The pages: for whom they are, by what they are used, and how they look to who sees them differently."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect
from pumice_process import PumiceProcess, installation
from tests.console.conftest import FAKES, Enter
from tests.console.openstack_words import refusal
from tests.console.people import ask, make, names, password_of
from tests.console.visitor import Visitor
from tests.patience import patience
from tests.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="session")
AXE = Path(__file__).parents[2] / "console/node_modules/axe-core/axe.min.js"
EVERYBODYS = (
    *("", "volumes", "snapshots", "backups", "schedules", "images", "servers", "operations", "webhooks"),
    *("usage", "explain"),
)
OPERATORS = ("hosts", "pools", "types", "quotas", "audit", "doctor", "settings")
LOOKING = {"openstack", "curl", "Copy command", "Hold", "Follow", "Explain", "Close", "Download CSV"}
"""Buttons by which nothing is changed."""


def furnish(cloud: PumiceProcess) -> str:
    """Have something on every page of the project demo; a volume with a snapshot."""
    volume = make(cloud, "demo", "furniture")
    cloud.settle()
    ask(
        cloud,
        "demo",
        "POST",
        "/volume/v3/snapshots",
        {"snapshot": {"volume_id": volume, "name": "of furniture"}},
    )
    cloud.settle()
    return volume


async def test_a_reader_sees_what_a_tenant_sees_and_no_button_that_changes_it(
    cloud: PumiceProcess, enter: Enter
) -> None:
    volume = await asyncio.to_thread(furnish, cloud)
    reader = await enter(cloud, "reader")
    for place in (*EVERYBODYS, f"volumes/{volume}"):
        await reader.open(f"/console/{place}")
        await reader.page.wait_for_function(
            "() => !document.querySelector('main').textContent.includes('Loading')"
        )
        if place == "volumes":
            await reader.sees("furniture")
        buttons = await reader.main.get_by_role("button").all_inner_texts()
        assert set(buttons) <= LOOKING, place
    await reader.sees("of furniture")


async def test_a_tenant_sees_its_own_and_no_page_of_operators(cloud: PumiceProcess, enter: Enter) -> None:
    volume = await asyncio.to_thread(furnish, cloud)
    own = make(cloud, "stranger", "the stranger's")
    stranger = await enter(cloud, "stranger")
    await stranger.open(f"/console/volumes/{volume}")
    await stranger.sees("There is no such volume")
    await stranger.go("Volumes")
    await stranger.sees("the stranger's")
    assert names(cloud, "stranger") == {"the stranger's"}
    await expect(stranger.main.get_by_role("link")).to_have_count(1)
    await expect(stranger.main.get_by_role("checkbox", name="All projects")).to_have_count(0)
    for place in OPERATORS:
        await stranger.open(f"/console/{place}")
        await stranger.heading("Nothing here")
    await stranger.open(f"/console/volumes/{own}")
    await expect(stranger.panel("Where it is, and who uses it")).not_to_contain_text("pool of")


async def test_a_schedule_is_made_and_run_and_a_webhooks_secret_is_shown_once(
    cloud: PumiceProcess, enter: Enter
) -> None:
    volume = await asyncio.to_thread(furnish, cloud)
    tenant = await enter(cloud, "demo")
    await tenant.open("/console/schedules")
    await tenant.press("Create schedule")
    await tenant.fill("Name", "nightly", tenant.dialog)
    await tenant.dialog.get_by_label("Of the volume").select_option(volume)
    await tenant.press("Create", tenant.dialog)
    await tenant.main.get_by_role("link", name="nightly").click()
    await tenant.heading("nightly")
    await tenant.press("Run now", tenant.main)
    await tenant.press("Run", tenant.dialog)
    await expect(tenant.panel("Runs")).to_contain_text("asked for")
    await tenant.press("Delete", tenant.main)
    await tenant.dialog.get_by_label("Also the snapshots that it made").check()
    await expect(tenant.dialog).to_contain_text("openstack schedule delete --with-made")
    await tenant.dialogue("Delete")
    await expect(tenant.main.get_by_text("deleting", exact=True)).to_be_visible()
    await expect(tenant.main.get_by_role("button", name="Enable")).to_be_disabled()
    await tenant.go("Webhooks")
    await tenant.press("Create webhook")
    await tenant.fill("Address", "http://127.0.0.1:9/pumice", tenant.dialog)
    await tenant.fill("Kinds of operations", "group.create", tenant.dialog)
    await tenant.press("Create", tenant.dialog)
    await tenant.sees("whsec_")
    await tenant.press("It is kept", tenant.main)
    await expect(tenant.main).not_to_contain_text("whsec_")
    await tenant.press("Delete http://127.0.0.1:9/pumice")
    await tenant.dialogue("Delete")
    await tenant.sees("There are no webhooks yet.")
    cloud.settle()


async def test_an_operator_reads_settings_and_the_doctors_findings_and_repairs(
    cloud: PumiceProcess, enter: Enter
) -> None:
    await asyncio.to_thread(furnish, cloud)
    admin = await enter(cloud, "admin")
    await admin.open("/console/settings")
    await admin.page.get_by_label("Only what was set").check()
    await admin.fill("Search settings", "compute.driver")
    row = admin.page.get_by_role("row").filter(has_text="compute.driver")
    await expect(row).to_contain_text("fake")
    await expect(row).to_contain_text("environment")
    await admin.fill("Search settings", "")
    await admin.keep_pictures("settings")
    await admin.go("Doctor")
    await expect(admin.panel("Parts")).to_contain_text("python")
    await admin.sees("looked at itself")
    await admin.keep_pictures("doctor")
    with contextlib.closing(sqlite3.connect(cloud.state_dir / "pumice.db", timeout=30)) as db, db:
        db.execute("UPDATE quota_usage SET in_use = 99 WHERE resource = 'volumes'")
    await admin.go("Audit")
    await admin.sees("99")
    await expect(admin.main.get_by_role("link")).to_have_count(0)  # to this very page, or any other
    await admin.keep_pictures("audit")
    await admin.press("Repair", admin.main)
    await admin.press("Repair", admin.dialog)
    await admin.sees("counted again")
    await admin.sees("Nothing is stuck, and nothing contradicts itself.")
    await admin.open()
    await expect(admin.panel("Pools")).to_contain_text("fake")
    await admin.keep_pictures("home")


async def test_a_volumes_page_names_the_initiator_and_remembers_attachments_that_are_gone(
    cloud: PumiceProcess, enter: Enter
) -> None:
    volume = await asyncio.to_thread(make, cloud, "admin", "looked at")
    cloud.settle()
    connector = {"initiator": "iqn.1993-08.org.debian:01:far", "host": "far", "ip": "192.0.2.7"}
    body = {"attachment": {"volume_uuid": volume, "connector": connector}}
    cloud.http.headers["OpenStack-API-Version"] = "volume 3.71"
    made = cloud.call("POST", "/volume/v3/attachments", body)["attachment"]["id"]
    cloud.settle()
    admin = await enter(cloud, "admin")
    await admin.open(f"/console/volumes/{volume}")
    await expect(admin.panel("Where it is, and who uses it")).to_contain_text(f"from {connector['initiator']}")
    cloud.call("DELETE", f"/volume/v3/attachments/{made}")
    await expect(admin.panel("Where it is, and who uses it")).to_contain_text("Nobody uses it.")
    await expect(admin.panel("History")).to_contain_text("Disconnect attachment")
    await admin.page.reload()
    await expect(admin.panel("History")).to_contain_text("Connect attachment")
    await admin.panel("History").get_by_role("link", name="All of it").click()
    await admin.heading("Operations")
    kinds = admin.page.get_by_role("row").get_by_role("link")
    await expect(kinds).to_have_text(["Disconnect attachment", "Connect attachment", "Create volume"])


async def test_a_volumes_page_shows_its_clones_and_what_was_made_of_its_snapshots(
    cloud: PumiceProcess, enter: Enter
) -> None:
    volume = await asyncio.to_thread(furnish, cloud)
    [snapshot] = ask(cloud, "demo", "GET", f"/volume/v3/snapshots?volume_id={volume}")["snapshots"]
    tenant = await enter(cloud, "demo")
    await tenant.open(f"/console/volumes/{volume}")
    family = tenant.panel("Family")
    for name, of in (("its clone", {"source_volid": volume}), ("its past", {"snapshot_id": snapshot["id"]})):
        await asyncio.to_thread(make, cloud, "demo", name, **of)
        await expect(family.get_by_role("link", name=name)).to_be_visible()  # as it is made, too
    past = family.get_by_role("listitem").filter(has_text="of furniture").last
    await expect(past.get_by_role("link")).to_have_text(["its past"])
    await family.get_by_role("link", name="its clone").click()
    await tenant.heading("its clone")
    await expect(tenant.panel("Family").get_by_role("link")).to_have_text([volume[:8]])


async def test_every_form_of_a_volume_does_what_it_says(cloud: PumiceProcess, enter: Enter) -> None:
    cloud.call("POST", "/volume/v3/types", {"volume_type": {"name": "another type"}})
    volume = await asyncio.to_thread(furnish, cloud)
    tenant = await enter(cloud, "demo")
    await tenant.open(f"/console/volumes/{volume}")

    async def form(button: str, action: str, **said: str) -> None:
        await tenant.press(button, tenant.main)
        await expect(tenant.dialog.get_by_label("Command", exact=True)).to_contain_text("openstack ")
        await tenant.dialogue(action, **said)

    await form("Revert", "Revert")
    await tenant.sees("Revert volume")
    await tenant.sees("available", exact=True)
    await form("Extend", "Extend", New_size="3")
    await expect(tenant.panel("About")).to_contain_text("3 GiB")
    await form("Snapshot", "Create snapshot", Name="another of it")
    await expect(tenant.panel("Family")).to_contain_text("another of it")
    await form("Retype", "Retype", New_type="another type")
    await expect(tenant.panel("About")).to_contain_text("another type")
    await form("Upload as image", "Upload", Name="image of it")
    await expect(tenant.panel("History")).to_contain_text("Upload volume")
    await tenant.sees("available", exact=True)
    await form("Clone", "Create", Name="clone of it")
    await tenant.heading("clone of it")
    await expect(tenant.panel("About")).to_contain_text("3 GiB")


async def test_a_retry_is_offered_to_who_may_of_what_may_be_retried(cloud: PumiceProcess, enter: Enter) -> None:
    specs = {"volume_backend_name": "not there"}
    cloud.call("POST", "/volume/v3/types", {"volume_type": {"name": "no pool has it", "extra_specs": specs}})
    hook = {"webhook": {"url": f"http://127.0.0.1:{free_port()}/nobody"}}
    hook_id = ask(cloud, "demo", "POST", "/pumice/v1/webhooks", hook)["webhook"]["id"]
    await asyncio.to_thread(make, cloud, "demo", "of no pool", volume_type="no pool has it")
    ask(cloud, "demo", "POST", f"/pumice/v1/webhooks/{hook_id}/actions/test")
    ask(cloud, "demo", "PUT", f"/pumice/v1/webhooks/{hook_id}", {"webhook": {"enabled": False}})

    async def failed(kind: str) -> dict[str, Any]:
        path = f"/pumice/v1/operations?state=failed&kind={kind}"
        async with patience():
            while not (found := ask(cloud, "demo", "GET", path)["operations"]):
                await asyncio.sleep(0.02)
        return dict(found[0])

    created, sent = await failed("volume.create"), await failed("webhook.deliver")
    for name in ("reader", "demo"):
        visitor = await enter(cloud, name)
        for operation, offered in ((created, False), (sent, name == "demo")):
            await visitor.open(f"/console/operations/{operation['id']}")
            await visitor.sees(operation["error"])
            retry = visitor.main.get_by_role("button", name="Retry")
            await expect(retry).to_have_count(1 if offered else 0)
    await retry.click()
    await expect(visitor.page.get_by_role("status")).to_contain_text("It is tried again.")
    ask(cloud, "demo", "DELETE", f"/pumice/v1/webhooks/{hook_id}")


async def test_home_shows_the_pools_that_a_type_may_have(cloud: PumiceProcess, enter: Enter) -> None:
    for name, backend in (("here", "fake"), ("nowhere", "another")):
        body = {"name": name, "extra_specs": {"volume_backend_name": backend}}
        cloud.call("POST", "/volume/v3/types", {"volume_type": body})
    admin = await enter(cloud, "admin")
    await admin.open()
    pools = admin.panel("Pools")
    of_fake = pools.get_by_role("img", name="@fake#")
    await expect(of_fake).to_have_count(1)
    await admin.choose("Of type", "nowhere", pools)
    await expect(pools).to_contain_text("There is no pool for it.")
    await admin.choose("Of type", "here", pools)
    await expect(of_fake).to_have_count(1)


async def test_tabs_read_one_stream_and_the_next_reads_on_when_that_one_is_closed(
    cloud: PumiceProcess, enter: Enter
) -> None:
    visitor = await enter(cloud, "demo")
    others = [await visitor.context.new_page() for _ in range(7)]  # a browser gives a host six connections
    tabs = [visitor.page, *others]
    for tab in others:
        visitor.watch(tab)
    for tab in tabs:
        await tab.goto("/console/volumes")
        await expect(tab.get_by_text("live", exact=True)).to_be_visible()
    assert streams(visitor) == 1
    for number, name in enumerate(("for all", "for the others"), 1):
        await asyncio.to_thread(make, cloud, "demo", name)
        for tab in tabs:
            await expect(tab.get_by_role("link", name=name)).to_be_visible()
        assert streams(visitor) == number
        await tabs.pop(0).close()
        await expect(tabs[0].get_by_text("live", exact=True)).to_be_visible()


@pytest.fixture
def mortal() -> Iterator[PumiceProcess]:
    """A cloud that a test may kill."""
    with installation(**FAKES) as pumice:
        pumice.start()
        yield pumice


async def test_what_happened_while_pumice_was_away_is_shown_when_it_is_back(
    mortal: PumiceProcess, enter: Enter
) -> None:
    visitor = await enter(mortal, "demo")
    old = await asyncio.to_thread(make, mortal, "demo", "of before")
    mortal.settle()
    await visitor.open("/console/volumes")
    one = await visitor.context.new_page()
    visitor.watch(one)
    await one.goto(f"/console/volumes/{old}")
    tabs = visitor.page, one
    for tab in tabs:
        await expect(tab.get_by_text("live", exact=True)).to_be_visible()
    await visitor.context.route("**/pumice/v1/events*", lambda route: route.abort())
    mortal.kill("serve")
    for tab in tabs:
        await expect(tab.get_by_text("not live", exact=True)).to_be_visible()
    mortal.start()
    ask(mortal, "demo", "PUT", f"/volume/v3/volumes/{old}", {"volume": {"name": "renamed meanwhile"}})
    await asyncio.to_thread(make, mortal, "demo", "made meanwhile")
    mortal.settle()
    await visitor.context.unroute("**/pumice/v1/events*")
    await expect(visitor.page.get_by_role("link", name="made meanwhile")).to_be_visible()
    await expect(one.get_by_role("heading", level=1, name="renamed meanwhile")).to_be_visible()
    for tab in tabs:
        await expect(tab.get_by_text("live", exact=True)).to_be_visible()


def streams(visitor: Visitor) -> int:
    """How many streams of events its tabs have asked for."""
    return sum("/pumice/v1/events" in request.url for request in visitor.asked)


async def test_a_form_that_is_asked_for_again_as_it_closes_is_there(cloud: PumiceProcess, enter: Enter) -> None:
    tenant = await enter(cloud, "demo")
    await tenant.open("/console/volumes")
    await tenant.press("Create volume")
    await expect(tenant.dialog).to_be_visible()
    await tenant.evaluate(
        """() => {
          document.querySelector('dialog').close() // which is told a task later
          document.querySelector('.tools button.main').click()
        }"""
    )
    await expect(tenant.dialog).to_be_visible()
    await tenant.fill("Name", "asked for again", tenant.dialog)
    await tenant.press("Create", tenant.dialog)
    await tenant.heading("asked for again")


async def test_who_goes_back_leaves_the_form_behind(cloud: PumiceProcess, enter: Enter) -> None:
    tenant = await enter(cloud, "demo")
    await tenant.open("/console/snapshots")
    await tenant.go("Volumes")
    await tenant.press("Create volume")
    await expect(tenant.dialog).to_be_visible()
    await tenant.page.go_back()
    await tenant.heading("Snapshots")
    await expect(tenant.dialog).to_have_count(0)
    await tenant.page.go_forward()
    await tenant.heading("Volumes")
    await expect(tenant.dialog).to_have_count(0)


async def test_what_the_api_refuses_is_said_in_its_own_words(cloud: PumiceProcess, enter: Enter) -> None:
    volume = await asyncio.to_thread(furnish, cloud)
    said = cloud.http.delete(f"/volume/v3/volumes/{volume}").json()["badRequest"]["message"]
    tenant = await enter(cloud, "demo")
    await tenant.open(f"/console/volumes/{volume}")
    await tenant.press("Delete", tenant.main)
    await tenant.press("Delete", tenant.dialog)
    await expect(tenant.dialog.get_by_role("alert")).to_have_text(said)


async def test_a_form_refuses_before_it_is_sent_what_the_api_would_refuse(
    cloud: PumiceProcess, enter: Enter
) -> None:
    tenant = await enter(cloud, "demo")
    await tenant.open("/console/volumes")
    await tenant.press("Create volume")
    for size in ("0", "-1", "1.5", "a lot", ""):
        await tenant.fill("Size (GiB)", size, tenant.dialog)
        await expect(tenant.dialog).to_contain_text("The size is a whole number of GiB, at least 1.")
        await expect(tenant.dialog.get_by_role("button", name="Create", exact=True)).to_be_disabled()


async def test_all_is_done_by_keyboard_alone(cloud: PumiceProcess, enter: Enter) -> None:
    tenant = await enter(cloud)
    await tenant.open()
    keys = tenant.page.keyboard
    await expect(tenant.page.get_by_label("User")).to_be_focused()
    await tenant.page.keyboard.type("demo")
    await keys.press("Tab")
    await keys.type(password_of(cloud, "demo"))
    await keys.press("Enter")
    await tenant.heading("Home")
    await reach(tenant, "link", "Volumes")
    await keys.press("Enter")
    await tenant.heading("Volumes")
    await reach(tenant, "button", "Create volume")
    await keys.press("Enter")
    await expect(tenant.dialog.get_by_label("Name").first).to_be_focused()
    await keys.press("Escape")
    await expect(tenant.page.get_by_role("dialog", include_hidden=True)).to_have_count(0)
    await expect(tenant.page.get_by_role("button", name="Create volume")).to_be_focused()
    await keys.press("Enter")
    await expect(tenant.dialog.get_by_label("Name").first).to_be_focused()
    await keys.type("by keyboard")
    await keys.press("Enter")
    await tenant.heading("by keyboard")


async def reach(visitor: Visitor, role: str, name: str) -> None:
    """Go on by Tab until something has the focus."""
    found = visitor.page.get_by_role(role, name=name, exact=True)  # type: ignore[arg-type]
    for _ in range(40):
        if await found.evaluate("(it) => it === document.activeElement"):
            return
        await visitor.page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not come to the {role} {name}")


async def test_nothing_is_cut_off_where_a_page_is_390_pixels_wide(cloud: PumiceProcess, enter: Enter) -> None:
    volume = await asyncio.to_thread(furnish, cloud)
    admin = await enter(cloud, "admin", viewport={"width": 390, "height": 844})
    for place in (*EVERYBODYS, *OPERATORS, f"volumes/{volume}"):
        await admin.open(f"/console/{place}")
        width = await admin.evaluate("() => document.documentElement.scrollWidth")
        assert width <= 390, place
    await admin.open("/console/volumes")
    await expect(admin.page.get_by_role("button", name="Create volume")).to_be_in_viewport()


OUTSIDE = """(dialog) => [...dialog.querySelectorAll('*')]
  .filter((it) => it.getBoundingClientRect().right > dialog.getBoundingClientRect().right)
  .map((it) => it.textContent)"""


async def test_no_form_is_cut_off_at_390_pixels_and_each_is_a_command_that_openstack_understands(
    cloud: PumiceProcess, enter: Enter
) -> None:
    volume = await asyncio.to_thread(furnish, cloud)
    body = {"schedule": {"name": "narrow", "kind": "snapshot", "cron": "0 3 * * *", "volume_id": volume}}
    schedule = ask(cloud, "demo", "POST", "/pumice/v1/schedules", body)["schedule"]["id"]
    hook = {"webhook": {"url": "http://127.0.0.1:9/narrow", "enabled": False}}
    hook_id = ask(cloud, "demo", "POST", "/pumice/v1/webhooks", hook)["webhook"]["id"]
    tenant = await enter(cloud, "demo", viewport={"width": 390, "height": 844})
    commands = set[str]()
    places = (
        "volumes",
        f"volumes/{volume}",
        f"schedules/{schedule}",
        "schedules",
        "images",
        "webhooks",
        "snapshots",
    )
    for place in places:
        await tenant.open(f"/console/{place}")
        tools = tenant.main.locator("button.main, .actions button:enabled, [role=row] button:enabled")
        await expect(tools.first).to_be_visible()
        for button in await tools.all():
            await button.click()
            assert await tenant.dialog.evaluate(OUTSIDE) == [], place
            commands.update(await tenant.dialog.get_by_label("Command", exact=True).all_inner_texts())
            await tenant.page.keyboard.press("Escape")
            await expect(tenant.dialog).to_have_count(0)
        commands.update(await tenant.main.get_by_label("Command", exact=True).all_inner_texts())
    ask(cloud, "demo", "DELETE", f"/pumice/v1/webhooks/{hook_id}")
    spoken = {command for command in commands if command.startswith("openstack ")}
    assert len(spoken) > 12
    assert [found for command in sorted(spoken) if (found := refusal(command))] == []


@pytest.mark.parametrize("colours", ["light", "dark"])
async def test_axe_finds_nothing_serious(cloud: PumiceProcess, enter: Enter, colours: str) -> None:
    volume = await asyncio.to_thread(furnish, cloud)
    admin = await enter(cloud, "admin", color_scheme=colours, bypass_csp=True)
    found = []
    everywhere = ("", "volumes", "explain", "types", "settings", f"volumes/{volume}")
    places = everywhere if colours == "light" else ("", "volumes")
    for place in places:
        await admin.open(f"/console/{place}")
        await expect(admin.page.get_by_text("live", exact=True)).to_be_visible()
        if place == "volumes":
            await admin.press("Create volume")
        found += [f"{place}: {line}" for line in await troubles(admin)]
    assert not found, "\n".join(found)


async def troubles(visitor: Visitor) -> list[str]:
    """What axe-core finds that is serious, and in what."""
    await visitor.page.add_script_tag(path=AXE)
    found = await visitor.evaluate("() => axe.run({ resultTypes: ['violations'] })")
    assert len(found["passes"]) > 10, "it has not looked"
    return [
        f"{it['impact']}: {it['help']}: {it['nodes'][0]['html'][:200]} {it['nodes'][0]['failureSummary'][:300]}"
        for it in found["violations"]
        if it["impact"] in ("serious", "critical")
    ]
