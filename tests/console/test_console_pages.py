"""The pages: for whom they are, by what they are used, and how they look to who sees them differently."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import expect
from pumice_process import PumiceProcess
from tests.console.conftest import Enter
from tests.console.people import ask, make, names, password_of
from tests.console.visitor import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")
AXE = Path(__file__).parents[2] / "console/node_modules/axe-core/axe.min.js"
EVERYBODYS = (
    *("", "volumes", "snapshots", "backups", "schedules", "images", "servers", "operations", "webhooks"),
    *("usage", "explain"),
)
OPERATORS = ("hosts", "pools", "types", "quotas")
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


@pytest.mark.parametrize("colours", ["light", "dark"])
async def test_axe_finds_nothing_serious(cloud: PumiceProcess, enter: Enter, colours: str) -> None:
    volume = await asyncio.to_thread(furnish, cloud)
    admin = await enter(cloud, "admin", color_scheme=colours, bypass_csp=True)
    found = []
    places = ("", "volumes", "explain", "types", f"volumes/{volume}") if colours == "light" else ("", "volumes")
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
