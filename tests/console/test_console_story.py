"""What a tenant does by clicking, on real parts: tgtd, libvirtd and a guest in QEMU."""

from collections.abc import Iterator

import pytest
from playwright.async_api import expect
from pumice_process import PumiceProcess, installation
from stories import Stories
from tests.boot_sector import READY, boot_sector
from tests.console.conftest import Enter

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.real]


@pytest.fixture(scope="module")
def real_cloud() -> Iterator[PumiceProcess]:
    with installation(PUMICE_COMPUTE__DETACH_SECONDS="20") as pumice:
        pumice.start()
        image = Stories(pumice).upload(boot_sector(), "raw")
        public = [{"op": "replace", "path": "/visibility", "value": "public"}]
        kind = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
        assert pumice.http.patch(f"/image/v2/images/{image}", json=public, headers=kind).status_code == 200
        yield pumice


async def test_a_tenant_makes_boots_attaches_detaches_and_deletes_by_clicking(
    real_cloud: PumiceProcess, enter: Enter
) -> None:
    tenant = await enter(real_cloud)
    await tenant.open()
    await tenant.log_in("demo")
    await tenant.heading("Home")

    await tenant.go("Volumes")
    await tenant.press("Create volume")
    await tenant.dialogue("Create", Name="root", Image="i")
    await tenant.heading("root")
    await tenant.sees("available", exact=True)
    history = tenant.panel("History")
    await expect(history.get_by_text("Create volume")).to_be_visible()
    await expect(history.get_by_text("done", exact=True).first).to_be_visible()
    await expect(tenant.panel("Family")).to_contain_text("from image i")

    await tenant.press("Boot a server", tenant.main)
    await tenant.dialogue("Create", Name="machine", Flavor="m1.tiny")
    await tenant.heading("machine")
    await tenant.sees("active", exact=True)
    await expect(tenant.page.get_by_label("Serial console", exact=True).last).to_contain_text(READY)
    await tenant.keep_pictures("server")

    await tenant.go("Volumes")
    await tenant.press("Create volume")
    await tenant.dialogue("Create", Name="data")
    await tenant.heading("data")
    await tenant.sees("available", exact=True)
    await tenant.press("Attach", tenant.main)
    await tenant.dialogue("Attach", Server="machine")
    await tenant.sees("in-use", exact=True)
    await expect(tenant.panel("Where it is, and who uses it")).to_contain_text("/dev/vdb")
    await tenant.keep_pictures("volume")
    await expect(tenant.main.get_by_role("button", name="Delete", exact=True)).to_be_disabled()
    await tenant.press("Detach", tenant.main)
    await tenant.dialogue("Detach")
    await tenant.sees("available", exact=True)
    await expect(tenant.panel("Where it is, and who uses it")).to_contain_text("Nobody uses it.")
    await tenant.press("Delete", tenant.main)
    await tenant.dialogue("Delete")
    await tenant.sees("deleted", exact=True)

    await tenant.go("Servers")
    await tenant.press("Delete machine")
    await tenant.dialogue("Delete")
    await expect(tenant.page.get_by_role("button", name="Delete machine")).to_have_count(0)
    await tenant.go("Volumes")
    await tenant.press("Delete root")
    await tenant.dialogue("Delete")
    await tenant.sees("There are no volumes yet.")
    real_cloud.settle()
