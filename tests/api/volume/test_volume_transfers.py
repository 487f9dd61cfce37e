"""Volumes that are handed to another project."""

import asyncio
from typing import Any

import pytest
from volume_cloud import OTHER_PROJECT, PROJECT, Cloud

from pumice.store import audit, quotas, tables

PATHS = ["/os-volume-transfer", "/volume-transfers"]


async def offer(cloud: Cloud, volume_id: str, path: str = PATHS[1], **wanted: Any) -> dict[str, Any]:
    reply = await cloud.call("POST", path, {"transfer": {"volume_id": volume_id, **wanted}})
    assert reply.status_code == 202, reply.text
    made: dict[str, Any] = reply.json()["transfer"]
    return made


async def take(cloud: Cloud, transfer: dict[str, Any], key: str, who: str = "other") -> int:
    path = f"/volume-transfers/{transfer['id']}/accept"
    return (await cloud.call("POST", path, {"accept": {"auth_key": key}}, who=who)).status_code


async def snapshot_of(cloud: Cloud, volume_id: str) -> str:
    reply = await cloud.call("POST", "/snapshots", {"snapshot": {"volume_id": volume_id}})
    made = await cloud.until(reply.json()["snapshot"]["id"], "available", kind="snapshot")
    return str(made["id"])


@pytest.mark.parametrize("path", PATHS)
async def test_an_offered_volume_is_the_takers_with_its_snapshots_and_their_quota(
    cloud: Cloud, path: str
) -> None:
    volume_id = (await cloud.make(2, name="data"))["id"]
    snapshot_id = await snapshot_of(cloud, volume_id)
    made = await offer(cloud, volume_id, path, name="for you")
    await cloud.until(volume_id, "awaiting-transfer")
    reply = await cloud.call(
        "POST", f"{path}/{made['id']}/accept", {"accept": {"auth_key": made["auth_key"]}}, who="other"
    )
    assert reply.status_code == 202
    assert reply.json()["transfer"] == {key: made[key] for key in ("id", "name", "volume_id")} | {
        "links": [
            {"rel": link["rel"], "href": link["href"].replace(PROJECT, OTHER_PROJECT)} for link in made["links"]
        ]
    }
    await cloud.until(volume_id, "available", who="other")
    assert (await cloud.call("GET", f"/snapshots/{snapshot_id}", who="other")).status_code == 200
    for thing in (f"volumes/{volume_id}", f"snapshots/{snapshot_id}", f"volume-transfers/{made['id']}"):
        assert (await cloud.call("GET", f"/{thing}")).status_code == 404
    used = await cloud.db.read(quotas.usage, OTHER_PROJECT)
    assert (used["volumes"], used["snapshots"], used["gigabytes"]) == (1, 1, 4)
    assert await cloud.db.read(audit.wrong_rows) == []


async def test_snapshots_remain_when_that_was_asked_for(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    snapshot_id = await snapshot_of(cloud, volume_id)
    made = await offer(cloud, volume_id, no_snapshots=True)
    assert await take(cloud, made, made["auth_key"]) == 202
    assert (await cloud.call("GET", f"/snapshots/{snapshot_id}")).status_code == 200
    assert await cloud.db.read(audit.wrong_rows) == []
    await cloud.call("POST", "/snapshots", {"snapshot": {"volume_id": volume_id}}, who="other")
    await cloud.quiet()
    refused = await cloud.call("DELETE", f"/volumes/{volume_id}?cascade=true", who="other")
    assert refused.status_code == 400
    assert refused.json()["badRequest"]["message"].endswith("but it has snapshots of another project.")


async def test_without_the_key_nothing_is_taken_and_the_key_is_not_kept(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    made = await offer(cloud, volume_id)
    assert await take(cloud, made, "0123456789abcdef", who="member") == 400
    assert await take(cloud, made, "0123456789abcdef") == 404
    assert await take(cloud, made | {"id": volume_id}, made["auth_key"]) == 404
    await cloud.until(volume_id, "awaiting-transfer")
    shown = (await cloud.call("GET", f"/volume-transfers/{made['id']}")).json()["transfer"]
    assert shown == {key: value for key, value in made.items() if key != "auth_key"}
    row = await cloud.db.read(lambda tx: tx.execute(tables.transfers.select()).one())
    assert made["auth_key"] not in map(str, row)


async def test_only_one_of_two_racing_takers_wins(cloud: Cloud) -> None:
    made = await offer(cloud, (await cloud.make())["id"])
    statuses = await asyncio.gather(*(take(cloud, made, made["auth_key"], who) for who in ("other", "admin")))
    assert sorted(statuses) == [202, 404]
    assert await cloud.db.read(audit.wrong_rows) == []


async def test_an_offer_is_taken_back_and_made_again(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    body = {"transfer": {"volume_id": volume_id}}
    made = await offer(cloud, volume_id)
    assert (await cloud.call("POST", "/volume-transfers", body)).status_code == 400
    assert (await cloud.call("DELETE", f"/volumes/{volume_id}")).status_code == 400
    assert (await cloud.call("DELETE", f"/volume-transfers/{made['id']}", who="other")).status_code == 404
    assert (await cloud.call("DELETE", f"/volume-transfers/{made['id']}")).status_code == 202
    await cloud.until(volume_id, "available")
    assert await take(cloud, made, made["auth_key"]) == 404
    await offer(cloud, volume_id)
    await cloud.act(volume_id, "os-reset_status", {"status": "available"}, who="admin")
    await offer(cloud, volume_id)
    assert len((await cloud.call("GET", "/volume-transfers")).json()["transfers"]) == 1


async def test_what_the_takers_quota_forbids_stays_offered(cloud: Cloud) -> None:
    volume_id = (await cloud.make(3))["id"]
    made = await offer(cloud, volume_id)
    limits = {"quota_set": {"gigabytes": 2}}
    await cloud.call("PUT", f"/os-quota-sets/{OTHER_PROJECT}", limits, who="admin")
    assert await take(cloud, made, made["auth_key"]) == 413
    await cloud.until(volume_id, "awaiting-transfer")
    assert await cloud.db.read(audit.wrong_rows) == []


async def test_offers_are_listed_by_page_and_name(cloud: Cloud) -> None:
    made = [await offer(cloud, (await cloud.make())["id"], name=name) for name in "abc"]
    newest_first = [one["id"] for one in reversed(made)]
    page = (await cloud.call("GET", "/volume-transfers/detail?limit=2")).json()
    assert [one["id"] for one in page["transfers"]] == newest_first[:2]
    rest = (await cloud.call("GET", f"/volume-transfers?limit=2&marker={newest_first[1]}")).json()["transfers"]
    assert [(one["id"], one["name"]) for one in rest] == [(made[0]["id"], "a")]
    named = (await cloud.call("GET", "/os-volume-transfer?name=b", version="3.0")).json()["transfers"]
    assert [one["name"] for one in named] == ["b"]
    assert (await cloud.call("GET", "/volume-transfers", who="other")).json() == {"transfers": []}


async def test_offers_say_more_at_later_versions(cloud: Cloud) -> None:
    path = f"/volume-transfers/{(await offer(cloud, (await cloud.make())['id']))['id']}"
    keys = {"id", "name", "volume_id", "created_at", "links"}
    history = {"source_project_id", "destination_project_id", "accepted"}
    for version, more in (("3.54", set()), ("3.55", {"no_snapshots"}), ("3.57", {"no_snapshots"} | history)):
        shown = (await cloud.call("GET", path, version=version)).json()["transfer"]
        assert set(shown) == keys | more


async def test_an_offer_goes_with_its_volume(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    made = await offer(cloud, volume_id)
    assert (await cloud.act(volume_id, "os-force_delete", who="admin")).status_code == 202
    await cloud.until(volume_id, None)
    assert (await cloud.call("GET", f"/volume-transfers/{made['id']}")).status_code == 404
    assert await take(cloud, made, made["auth_key"]) == 404
    assert await cloud.db.read(audit.wrong_rows) == []


async def test_what_is_said_beside_the_key_is_not_dropped(cloud: Cloud) -> None:
    made = await offer(cloud, (await cloud.make())["id"])
    body = {"accept": {"auth_key": made["auth_key"]}, "no_snapshots": True}
    answer = await cloud.call("POST", f"/volume-transfers/{made['id']}/accept", body, who="other")
    assert (answer.status_code, "no_snapshots" in answer.text) == (400, True)
