"""What only operators ask of the process that answers: settings without secrets, the doctor, a repair."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import httpx
import pytest
import sqlalchemy as sa
from volume_cloud import CONNECTOR, SECRET, Cloud, settings

from pumice.api.own import children, connectors, process
from pumice.app import settings_table
from pumice.backends.contract import Inventory
from pumice.model.ids import new_id
from pumice.model.states import VolumeStatus
from pumice.store.database import Transaction
from pumice.store.tables import volumes

Own = Callable[..., Awaitable[httpx.Response]]


async def test_every_setting_is_told_with_its_source_and_no_secret(own: Own) -> None:
    reply = await own("GET", "/settings", who="admin")
    assert reply.status_code == 200 and SECRET not in reply.text
    told = process.Settings.model_validate(reply.json())
    found = {one.name: one for one in told.settings}
    assert found.keys() == {one.name for one in settings_table.every(settings())}
    assert (found["state_dir"].value, found["state_dir"].source) == ("/nowhere/pumice", "flag")
    assert (found["identity.admin_password"].value, found["api.port"].source) == ("(not shown)", "default")
    assert found["api.max_limit"].variable == "PUMICE_API__MAX_LIMIT" and found["api.max_limit"].live
    assert told.host == settings().host


async def test_the_doctor_looks_once_for_all_who_ask(own: Own) -> None:
    replies = await asyncio.gather(*(own("GET", "/doctor", who="admin") for _ in range(3)))
    [doctor] = {reply.text for reply in replies}
    told = process.Doctor.model_validate_json(doctor).doctor
    found = {one.part: one.verdict for one in told.findings}
    assert found["python"] == "ok" and "qemu-img" in found
    assert "api port" not in found, "it is this process's own"
    assert told.serves == all(one.verdict != "missing" for one in told.findings if one.needed)


def stuck(volume: str) -> Callable[[Transaction], None]:
    def by_hand(tx: Transaction) -> None:
        tx.execute(sa.update(volumes).where(volumes.c.id == volume).values(status=VolumeStatus.DELETING))

    return by_hand


async def test_a_repair_says_what_it_did_and_the_next_look_is_well(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make())["id"]
    await cloud.db.write(stuck(volume))
    assert not (await own("GET", "/audit", who="admin")).json()["audit"]["well"]
    reply = await own("POST", "/audit/actions/repair", who="admin")
    assert reply.status_code == 200, reply.text
    done = process.Repair.model_validate(reply.json()).repair
    assert [line for line in done.repaired if volume in line and "it is being deleted again" in line], done
    await cloud.until(volume, None)
    assert (await own("GET", "/audit", who="admin")).json()["audit"]["well"]


async def test_a_repair_that_takes_long_goes_on_and_is_told_to_who_asks_again(
    cloud: Cloud, own: Own, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, go_on = (await cloud.make())["id"], asyncio.Event()
    await cloud.db.write(stuck(volume))
    listing = cloud.backend.inventory

    async def hanging() -> Inventory:
        await go_on.wait()
        return await listing()

    monkeypatch.setattr(cloud.backend, "inventory", hanging)
    ctx = cloud.service.ctx
    patient, ctx.tunables = ctx.tunables, replace(ctx.tunables, api_wait_seconds=0.05)
    first = await own("POST", "/audit/actions/repair", who="admin")
    assert first.status_code == 503 and "it goes on" in first.text
    ctx.tunables = patient
    again = asyncio.create_task(own("POST", "/audit/actions/repair", who="admin"))
    go_on.set()
    assert volume in (await again).text, "of the one repair that there was"


async def test_connectors_are_told_by_the_names_that_storage_knows(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make())["id"]
    body = {"attachment": {"volume_uuid": volume, "connector": CONNECTOR}}
    made = (await cloud.call("POST", "/attachments", body)).json()["attachment"]["id"]
    told = (await own("GET", f"/volumes/{volume}/connectors", who="admin")).json()
    [one] = connectors.Connectors.model_validate(told).connectors
    assert (one.attachment_id, one.initiator, one.host) == (made, CONNECTOR["initiator"], CONNECTOR["host"])
    assert (await own("GET", f"/volumes/{made}/connectors", who="admin")).status_code == 404


async def test_children_are_clones_and_what_was_made_of_snapshots(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make())["id"]
    body = {"snapshot": {"volume_id": volume, "name": "then"}}
    snapshot = (await cloud.call("POST", "/snapshots", body)).json()["snapshot"]["id"]
    await cloud.quiet()
    clone = await cloud.make(source_volid=volume, name="clone")
    of_then = await cloud.make(snapshot_id=snapshot, name="of then")
    await cloud.make(source_volid=clone["id"], name="grandchild")
    told = (await own("GET", f"/volumes/{volume}/children")).json()
    found = children.Children.model_validate(told).children
    assert [(one.id, one.snapshot_id) for one in found] == [(clone["id"], None), (of_then["id"], snapshot)]
    assert (await own("GET", f"/volumes/{volume}/children", who="other")).status_code == 404


async def test_an_operator_has_a_volume_flattened(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make())["id"]
    clone = (await cloud.make(source_volid=volume))["id"]
    began = await own("POST", f"/volumes/{clone}/actions/flatten", who="admin")
    again = await own("POST", f"/volumes/{clone}/actions/flatten", who="admin")
    assert (began.status_code, again.json()) == (202, began.json()), "it is under way"
    await cloud.quiet()
    told = (await own("GET", f"/operations/{began.json()['operation_id']}")).json()["operation"]
    assert (told["kind"], told["state"], told["subject"]) == ("volume.flatten", "done", clone)
    assert (await own("POST", f"/volumes/{new_id()}/actions/flatten", who="admin")).status_code == 404


@pytest.mark.parametrize(
    "asked",
    [
        "GET /settings",
        "GET /doctor",
        "POST /audit/actions/repair",
        "GET /volumes/{volume}/connectors",
        "POST /volumes/{volume}/actions/flatten",
    ],
)
async def test_it_is_for_administrators(cloud: Cloud, own: Own, asked: str) -> None:
    method, path = asked.format(volume=(await cloud.make())["id"]).split()
    assert (await own(method, path)).status_code == 403
