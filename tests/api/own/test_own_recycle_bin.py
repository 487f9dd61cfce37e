"""The recycle bin: what is deleted is gone for the OpenStack APIs, and can be had back as it was."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from test_others_things import requests
from volume_cloud import HOST, OTHER_PROJECT, POOL_FACTS, PROJECT, SCOPES, Cloud

from pumice.catalog import volume_types
from pumice.loops.recycling import Recycling
from pumice.model.errors import InvalidState
from pumice.model.recycling import DAYS
from pumice.model.tunables import Tunables
from pumice.store import audit, clock, pools, recycle_bin, tables
from pumice.store.database import Transaction

Own = Callable[..., Awaitable[httpx.Response]]
DAY = 86_400.0


@pytest.fixture
def tunables() -> Tunables:
    """A cloud that keeps for a week what is deleted."""
    quotas = {**Tunables().quotas, "volumes": 5, "gigabytes": 50, "snapshots": 5}
    return Tunables(quotas=quotas, service_down_seconds=3600, recycle_days=7)


@pytest.fixture(autouse=True)
async def _what_rows_say_agrees(cloud: Cloud) -> Any:
    yield
    await cloud.quiet()
    assert await cloud.db.read(audit.wrong_rows) == []


async def snapshot_of(cloud: Cloud, volume_id: str, **wanted: Any) -> str:
    reply = await cloud.call("POST", "/snapshots", {"snapshot": {"volume_id": volume_id, **wanted}})
    assert reply.status_code == 202, reply.text
    made = await cloud.until(reply.json()["snapshot"]["id"], "available", kind="snapshot")
    return str(made["id"])


async def deleted(cloud: Cloud, path: str, *, who: str = "member") -> None:
    reply = await cloud.call("DELETE", path, who=who)
    assert reply.status_code == 202, reply.text


async def listed(own: Own, query: str = "", who: str = "member") -> list[dict[str, Any]]:
    reply = await own("GET", f"/recycle-bin{query}", who=who)
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json()["recycle_bin"]
    return found


def steady(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is in the bin without the moment at which it goes: that is told by two clocks, to a second."""
    return [{word: value for word, value in one.items() if word != "kept_until"} for one in found]


async def restored(own: Own, thing: str, who: str = "member") -> None:
    reply = await own("POST", f"/recycle-bin/{thing}/actions/restore", who=who)
    assert reply.status_code == 204, reply.text


async def used(cloud: Cloud) -> dict[str, int]:
    reply = await cloud.call("GET", f"/os-quota-sets/{PROJECT}?usage=True", who="admin")
    return {name: reply.json()["quota_set"][name]["in_use"] for name in ("volumes", "gigabytes", "snapshots")}


async def passes(cloud: Cloud, seconds: float) -> None:
    """Let so much time pass by the bin's clock."""

    def work(tx: Transaction) -> None:
        at = recycle_bin.look(tx) or 0.0
        row = {"seconds": at + seconds, "seen_at": clock.time()}
        tx.execute(sa.update(tables.recycle_clock).values(row))

    await cloud.db.write(work)


async def test_a_deleted_volume_is_gone_and_comes_back_as_it_was(cloud: Cloud, own: Own) -> None:
    volume = await cloud.make(3, name="precious", metadata={"of": "mine"})
    path = f"/volumes/{volume['id']}"
    before = dict(cloud.backend._inner._volumes)
    await deleted(cloud, path)
    assert (await cloud.call("GET", path)).status_code == 404
    assert (await cloud.call("GET", path, who="admin")).status_code == 404
    assert (await cloud.call("GET", "/volumes/detail?all_tenants=1", who="admin")).json()["volumes"] == []
    assert (await cloud.call("GET", "/volumes?with_count=True")).json() == {"volumes": [], "count": 0}
    summary = (await cloud.call("GET", "/volumes/summary")).json()["volume-summary"]
    assert (summary["total_count"], summary["total_size"]) == (0, 0)
    assert await used(cloud) == {"volumes": 0, "gigabytes": 0, "snapshots": 0}
    [entry] = await listed(own)
    assert (entry["id"], entry["kind"], entry["state"]) == (volume["id"], "volume", "kept")
    assert (entry["name"], entry["metadata"], entry["size"]) == ("precious", {"of": "mine"}, 3)
    assert entry["kept_until"] > entry["recycled_at"]
    assert (await own("GET", f"/recycle-bin/{volume['id']}")).json()["recycled"] == entry
    await restored(own, volume["id"])
    after = (await cloud.call("GET", path)).json()["volume"]
    assert {**after, "updated_at": None} == {**volume, "updated_at": None}
    assert await listed(own) == []
    assert await used(cloud) == {"volumes": 1, "gigabytes": 3, "snapshots": 0}
    assert cloud.backend._inner._volumes == before, "nothing was copied"


async def test_who_waits_for_it_sees_that_it_is_gone_at_once(cloud: Cloud, own: Own) -> None:
    path = f"/volumes/{(await cloud.make())['id']}"
    tag = (await cloud.call("GET", path)).headers["etag"]
    waits = asyncio.create_task(cloud.call("GET", path, headers={"If-None-Match": tag, "Prefer": "wait=60"}))
    await asyncio.sleep(0)
    await deleted(cloud, path)
    assert (await waits).status_code == 404


async def test_snapshots_that_went_with_their_volume_come_back_with_it(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make(2))["id"]
    before, beside = await snapshot_of(cloud, volume, name="old"), await snapshot_of(cloud, volume, name="new")
    await deleted(cloud, f"/snapshots/{before}")
    assert (await cloud.call("GET", f"/snapshots/{before}")).status_code == 404
    assert (await cloud.call("DELETE", f"/volumes/{volume}")).status_code == 400, "it has one that is seen"
    await deleted(cloud, f"/volumes/{volume}?cascade=True")
    assert {one["id"] for one in await listed(own)} == {volume, before, beside}
    assert [one["id"] for one in await listed(own, "?kind=volume")] == [volume]
    assert await used(cloud) == {"volumes": 0, "gigabytes": 0, "snapshots": 0}
    refused = await own("POST", f"/recycle-bin/{beside}/actions/restore")
    assert refused.status_code == 409 and "restore that first" in refused.text
    await restored(own, volume)
    assert [one["id"] for one in await listed(own)] == [before]
    found = (await cloud.call("GET", "/snapshots")).json()["snapshots"]
    assert [one["id"] for one in found] == [beside]
    assert await used(cloud) == {"volumes": 1, "gigabytes": 4, "snapshots": 1}
    await restored(own, before)
    assert (await cloud.call("GET", f"/snapshots/{before}")).json()["snapshot"]["name"] == "old"


async def test_a_volume_whose_snapshots_are_all_in_the_bin_goes_there_too(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make())["id"]
    snapshot = await snapshot_of(cloud, volume)
    await deleted(cloud, f"/snapshots/{snapshot}")
    await deleted(cloud, f"/volumes/{volume}")
    assert (await own("DELETE", f"/recycle-bin/{volume}")).status_code == 202
    await cloud.quiet()
    assert await listed(own) == [], "the snapshot is nothing without it"


async def test_a_restore_is_refused_over_quota_and_leaves_no_trace(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make(30))["id"]
    await deleted(cloud, f"/volumes/{volume}")
    other = (await cloud.make(30))["id"]
    refused = await own("POST", f"/recycle-bin/{volume}/actions/restore")
    assert refused.status_code == 413 and "quota" in refused.text
    assert await used(cloud) == {"volumes": 1, "gigabytes": 30, "snapshots": 0}
    assert (await cloud.act(other, "os-force_delete", who="admin")).status_code == 202
    await cloud.until(other, None)
    await restored(own, volume)


async def test_what_counts_in_the_bin_is_not_counted_twice(cloud: Cloud, own: Own) -> None:
    cloud.service.ctx.tunables = replace(cloud.tunables, recycle_counts=True)
    volume = (await cloud.make(30))["id"]
    await deleted(cloud, f"/volumes/{volume}")
    assert await used(cloud) == {"volumes": 1, "gigabytes": 30, "snapshots": 0}
    assert (await cloud.call("POST", "/volumes", {"volume": {"size": 30}})).status_code == 413
    assert [one["counts_for_quota"] for one in await listed(own)] == [True]
    await restored(own, volume)
    assert await used(cloud) == {"volumes": 1, "gigabytes": 30, "snapshots": 0}
    await deleted(cloud, f"/volumes/{volume}")
    assert (await own("DELETE", f"/recycle-bin/{volume}")).status_code == 202
    await cloud.quiet()
    assert await used(cloud) == {"volumes": 0, "gigabytes": 0, "snapshots": 0}


async def test_the_project_decides_else_the_type_else_the_cloud(cloud: Cloud, own: Own) -> None:
    def says(tx: Transaction, project: Any = None, kind: Any = None) -> None:
        domain = {"id": "default", "name": "Default", "enabled": True, "description": "", "extra": {}}
        tx.execute(sa.delete(tables.projects))
        if tx.execute(sa.select(tables.domains.c.id)).first() is None:
            tx.execute(sa.insert(tables.domains), domain)
        extra = {} if project is None else {DAYS: project}
        row = {"id": PROJECT, "name": "p", "domain_id": "default", "enabled": True, "extra": extra, "tags": []}
        tx.execute(sa.insert(tables.projects), {**row, "parent_id": "default", "description": ""})
        row = volume_types.types.find_default(tx, SCOPES["admin"], cloud.tunables.default_volume_type)
        volume_types.set_extra_specs(tx, row.id, {} if kind is None else {DAYS: kind})

    for project, kind, kept in (
        (None, None, True),
        (None, "0", False),
        ("30", "0", True),
        (0, "30", False),
        ("nonsense of an earlier version", "1", True),
    ):
        await cloud.db.write(says, project, kind)
        volume = (await cloud.make())["id"]
        await deleted(cloud, f"/volumes/{volume}")
        await cloud.until(volume, None)
        await cloud.quiet()
        assert (volume in {one["id"] for one in await listed(own)}) is kept, (project, kind)


async def test_by_force_it_is_gone_for_good_with_what_is_in_the_bin_of_it(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make())["id"]
    snapshot = await snapshot_of(cloud, volume)
    await deleted(cloud, f"/snapshots/{snapshot}")
    assert (await cloud.act(volume, "os-force_delete", who="admin")).status_code == 202
    await cloud.until(volume, None)
    assert await listed(own) == []
    assert await used(cloud) == {"volumes": 0, "gigabytes": 0, "snapshots": 0}


async def test_what_is_due_is_deleted_for_good_and_nothing_before(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make())["id"]
    await deleted(cloud, f"/volumes/{volume}")
    loop = Recycling(cloud.db)
    assert await loop.check() == 0
    await passes(cloud, 7 * DAY - 60)
    assert await loop.check() == 0
    await passes(cloud, 120)
    assert await loop.check() == 1
    assert (await cloud.call("GET", f"/volumes/{volume}")).status_code == 404, "also on its way"
    await cloud.quiet()
    assert await listed(own) == []


@pytest.mark.parametrize("jump", [365 * DAY, -365 * DAY])
async def test_a_clock_that_jumps_ends_nothing(cloud: Cloud, own: Own, jump: float) -> None:
    volume = (await cloud.make())["id"]
    await deleted(cloud, f"/volumes/{volume}")
    loop = Recycling(cloud.db)
    await loop.check()
    ahead = clock.CLOCK._ahead
    try:
        clock.CLOCK.set(clock.time() + jump, time.monotonic())
        for _ in range(3):
            assert await loop.check() == 0
    finally:
        clock.CLOCK._ahead = ahead
        clock.CLOCK._ask_at = 0.0
    assert [one["state"] for one in await listed(own)] == ["kept"]


async def test_anothers_bin_is_not_there(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make())["id"]
    await deleted(cloud, f"/volumes/{volume}")
    assert await listed(own, who="other") == []
    path = f"/recycle-bin/{volume}"
    for method, where in (("GET", path), ("DELETE", path), ("POST", f"{path}/actions/restore")):
        assert (await own(method, where, who="other")).status_code == 404
    for method, where in (("DELETE", path), ("POST", f"{path}/actions/restore")):
        assert (await own(method, where, who="reader")).status_code == 403
    assert (await own("GET", "/recycle-bin?all_projects=1")).status_code == 403
    assert len(await listed(own, "?all_projects=1", who="admin")) == 1
    assert await listed(own, f"?all_projects=1&project_id={OTHER_PROJECT}", who="admin") == []
    await restored(own, volume, who="admin")
    assert (await cloud.call("GET", f"/volumes/{volume}")).status_code == 200


async def test_a_second_restore_and_a_purge_after_it_find_nothing(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make())["id"]
    await deleted(cloud, f"/volumes/{volume}")
    path = f"/recycle-bin/{volume}"
    replies = await asyncio.gather(*(own("POST", f"{path}/actions/restore") for _ in range(4)))
    assert sorted(reply.status_code for reply in replies) == [204, 404, 404, 404]
    assert (await own("DELETE", path)).status_code == 404
    assert await used(cloud) == {"volumes": 1, "gigabytes": 1, "snapshots": 0}


async def test_of_a_restore_beside_a_purge_one_wins(cloud: Cloud, own: Own) -> None:
    for _ in range(5):
        volume = (await cloud.make())["id"]
        await deleted(cloud, f"/volumes/{volume}")
        path = f"/recycle-bin/{volume}"
        back, gone = await asyncio.gather(own("POST", f"{path}/actions/restore"), own("DELETE", path))
        assert (back.status_code == 204) != (gone.status_code == 202), (back.text, gone.text)
        await cloud.quiet()
        there = (await cloud.call("GET", f"/volumes/{volume}")).status_code
        assert there == (200 if back.status_code == 204 else 404)
        if there == 200:
            await cloud.act(volume, "os-force_delete", who="admin")
            await cloud.until(volume, None)


async def test_its_list_has_pages(cloud: Cloud, own: Own) -> None:
    ids = []
    for _ in range(2):
        volume = (await cloud.make())["id"]
        snapshot = await snapshot_of(cloud, volume)
        await deleted(cloud, f"/volumes/{volume}?cascade=True")
        ids += [volume, snapshot]
    found: list[str] = []
    query = "?limit=1"
    while page := await listed(own, query):
        found += [one["id"] for one in page]
        query = f"?limit=1&marker={found[-1]}"
    assert sorted(found) == sorted(ids)
    assert set(found[:2]) == set(ids[2:]), "the newest first"
    assert (await own("GET", "/recycle-bin?flavour=1")).status_code == 400
    assert (await own("GET", "/recycle-bin?kind=server")).status_code == 400
    assert (await own("GET", "/recycle-bin?marker=nothing")).status_code == 404


async def test_no_status_of_the_bin_is_told_or_set(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make())["id"]
    reply = await cloud.act(volume, "os-reset_status", {"status": "recycled"}, who="admin")
    assert reply.status_code == 400
    await deleted(cloud, f"/volumes/{volume}")
    assert (await cloud.call("GET", "/volumes?status=recycled")).json()["volumes"] == []
    for action, value in (("os-extend", {"new_size": 9}), ("os-reset_status", {"status": "available"})):
        assert (await cloud.act(volume, action, value, who="admin")).status_code == 404
    await restored(own, volume)


async def test_a_volume_with_snapshots_in_the_bin_is_not_given_away(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make())["id"]
    snapshot = await snapshot_of(cloud, volume)
    await deleted(cloud, f"/snapshots/{snapshot}")
    offer = {"transfer": {"volume_id": volume}}
    refused = await cloud.call("POST", "/volume-transfers", offer)
    assert refused.status_code == 400 and "recycle bin" in refused.text
    assert (await own("DELETE", f"/recycle-bin/{snapshot}")).status_code == 202
    await cloud.quiet()
    offered = (await cloud.call("POST", "/volume-transfers", offer)).json()["transfer"]
    assert (await cloud.call("DELETE", f"/volumes/{volume}")).status_code == 400
    assert (await cloud.call("DELETE", f"/volume-transfers/{offered['id']}")).status_code == 202


async def test_a_revert_goes_by_what_is_seen(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make())["id"]
    old, new = await snapshot_of(cloud, volume), await snapshot_of(cloud, volume)
    await deleted(cloud, f"/snapshots/{new}")
    assert (await cloud.act(volume, "revert", {"snapshot_id": new})).status_code == 400
    assert (await cloud.act(volume, "revert", {"snapshot_id": old})).status_code == 202
    await cloud.until(volume, "available")
    await restored(own, new)


def pool_of(total: float, free: float) -> dict[str, Any]:
    return {**POOL_FACTS, "total_gb": total, "free_gb": free, "thin": False}


async def messages_of(cloud: Cloud, thing: str) -> list[str]:
    found = (await cloud.call("GET", "/messages")).json()["messages"]
    return [one["user_message"] for one in found if one["resource_uuid"] == thing]


async def test_where_space_is_short_the_oldest_goes_once_its_owner_had_time(cloud: Cloud, own: Own) -> None:
    loop = Recycling(cloud.db, low_percent=10, notice_seconds=DAY)
    old, middle, new = [(await cloud.make(10))["id"] for _ in range(3)]
    for volume in (old, middle, new):
        await deleted(cloud, f"/volumes/{volume}")
    await cloud.db.write(pools.report, {HOST: [pool_of(100, 60)]})
    assert await loop.check() == 0
    assert [one["told_at"] for one in await listed(own)] == [None] * 3, "there is room"
    await cloud.db.write(pools.report, {HOST: [pool_of(31, 1)]})
    assert await loop.check() == 0
    [told] = [one for one in await listed(own) if one["told_at"]]
    assert told["id"] == old, "as much as has to go, the oldest first"
    [text] = await messages_of(cloud, old)
    assert "Space is short" in text and "Restore it to keep it" in text and HOST not in text
    await passes(cloud, DAY - 60)
    assert await loop.check() == 0
    await restored(own, old)
    assert await loop.check() == 0, "what was restored stays, and its neighbour's owner is told first"
    assert [one["id"] for one in await listed(own) if one["told_at"]] == [middle]
    await passes(cloud, DAY + 60)
    assert await loop.check() == 1
    await cloud.quiet()
    assert [one["id"] for one in await listed(own)] == [new]
    assert (await cloud.call("GET", f"/volumes/{old}")).status_code == 200


@pytest.mark.parametrize("is_due", [False, True])
async def test_what_cannot_be_deleted_makes_no_room(cloud: Cloud, own: Own, is_due: bool) -> None:
    loop = Recycling(cloud.db, low_percent=10, notice_seconds=DAY)
    stuck, old = [(await cloud.make(10))["id"] for _ in range(2)]
    await deleted(cloud, f"/volumes/{stuck}")
    if is_due:
        await passes(cloud, 8 * DAY)
    await deleted(cloud, f"/volumes/{old}")
    cloud.backend.fail_next["delete"] = InvalidState("The disk says no.")
    assert (await own("DELETE", f"/recycle-bin/{stuck}")).status_code == 202
    await cloud.quiet()
    await cloud.db.write(pools.report, {HOST: [pool_of(21, 1)]})
    cloud.backend.fail_next["delete"] = InvalidState("The disk says no.")
    assert await loop.check() == int(is_due)
    assert [one["id"] for one in await listed(own) if one["told_at"]] == [old]


async def test_who_was_told_loses_nothing_once_there_is_room_again(cloud: Cloud, own: Own) -> None:
    loop = Recycling(cloud.db, low_percent=10, notice_seconds=DAY)
    volume = (await cloud.make(10))["id"]
    await deleted(cloud, f"/volumes/{volume}")
    await cloud.db.write(pools.report, {HOST: [pool_of(11, 1)]})
    await loop.check()
    assert len(await messages_of(cloud, volume)) == 1
    await cloud.db.write(pools.report, {HOST: [pool_of(1000, 900)]})
    await passes(cloud, 2 * DAY)
    assert await loop.check() == 0
    for total, free in ((0.0, 0.0), (float("inf"), 0.0)):
        await cloud.db.write(pools.report, {HOST: [pool_of(total, free)]})
        assert await loop.check() == 0, "a pool that says nothing of its size is not short"
    assert len(await messages_of(cloud, volume)) == 1


async def test_why_tells_of_the_bin(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make())["id"]
    await deleted(cloud, f"/volumes/{volume}")
    assert "recycle bin" in (await own("GET", f"/why/{volume}")).json()["why"]["text"]
    assert (await own("GET", f"/why/{volume}", who="other")).status_code == 404


async def test_no_route_of_block_storage_knows_what_is_in_the_bin(cloud: Cloud, own: Own) -> None:
    seen = (await cloud.make())["id"]
    volume = (await cloud.make())["id"]
    snapshot = await snapshot_of(cloud, volume)
    alone = await snapshot_of(cloud, seen)
    await deleted(cloud, f"/volumes/{volume}?cascade=True")
    await deleted(cloud, f"/snapshots/{alone}")
    await cloud.quiet()
    before = steady(await listed(own))
    things = [volume, snapshot, alone]
    for who in ("member", "admin"):
        for route, path, body, it in requests(cloud, things, seen):
            if seen in path and (route.method == "DELETE" or route.action == "os-force_delete"):
                continue  # its snapshot in the bin goes with it
            reply = await cloud.call(route.method, path, body, who=who)
            asked = f"{who} {route.method} {path} {body}"
            assert reply.status_code < 500, (asked, reply.text)
            told = [one for one in things if one in reply.text and one not in asked]
            assert not told, (asked, reply.text)
            if it in asked:
                assert reply.status_code >= 400, (asked, reply.status_code, reply.text)
    await cloud.quiet()
    assert steady(await listed(own)) == before


async def test_what_was_in_a_group_comes_back_without_it(cloud: Cloud, own: Own) -> None:
    await cloud.call("POST", "/group_types", {"group_type": {"name": "steady"}}, who="admin")
    kind = cloud.tunables.default_volume_type
    wanted = {"name": "g", "group_type": "steady", "volume_types": [kind]}
    group = (await cloud.call("POST", "/groups", {"group": wanted})).json()["group"]["id"]
    await cloud.until(group, "available", kind="group")
    volume = (await cloud.make(group_id=group, volume_type=kind))["id"]
    asked = {"group_snapshot": {"name": "s", "group_id": group}}
    picture = (await cloud.call("POST", "/group_snapshots", asked)).json()["group_snapshot"]["id"]
    await cloud.until(picture, "available", kind="group_snapshot")
    await deleted(cloud, f"/group_snapshots/{picture}")
    await cloud.until(picture, None, kind="group_snapshot")
    [part] = [one["id"] for one in await listed(own)]
    reply = await cloud.call("POST", f"/groups/{group}/action", {"delete": {"delete-volumes": True}})
    assert reply.status_code == 202
    await cloud.until(group, None, kind="group")
    assert {one["id"] for one in await listed(own)} == {volume, part}
    for thing in (volume, part):
        await restored(own, thing)
    assert (await cloud.call("GET", f"/volumes/{volume}")).json()["volume"]["group_id"] is None
    found = (await cloud.call("GET", f"/snapshots/{part}")).json()["snapshot"]
    assert (found["status"], found["group_snapshot_id"]) == ("available", None)


async def test_a_type_is_in_use_by_what_is_in_the_bin(cloud: Cloud, own: Own) -> None:
    made = await cloud.call("POST", "/types", {"volume_type": {"name": "gold"}}, who="admin")
    kind = made.json()["volume_type"]["id"]
    volume = (await cloud.make(volume_type="gold"))["id"]
    await deleted(cloud, f"/volumes/{volume}")
    assert (await cloud.call("DELETE", f"/types/{kind}", who="admin")).status_code == 400
    specs = {"extra_specs": {DAYS: "30"}}
    assert (await cloud.call("POST", f"/types/{kind}/extra_specs", specs, who="admin")).status_code == 200
    nonsense = {"extra_specs": {DAYS: "for ever"}}
    refused = await cloud.call("POST", f"/types/{kind}/extra_specs", nonsense, who="admin")
    assert refused.status_code == 400 and "number of days" in refused.text
    assert (await own("DELETE", f"/recycle-bin/{volume}")).status_code == 202
    await cloud.quiet()
    assert (await cloud.call("DELETE", f"/types/{kind}", who="admin")).status_code == 202


async def test_what_fails_to_go_stays_unseen_and_is_tried_again(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make())["id"]
    await deleted(cloud, f"/volumes/{volume}")
    cloud.backend.fail_next["delete"] = InvalidState("The disk says no.")
    assert (await own("DELETE", f"/recycle-bin/{volume}")).status_code == 202
    await cloud.quiet()
    assert [one["state"] for one in await listed(own)] == ["stuck"]
    assert (await cloud.call("GET", f"/volumes/{volume}")).status_code == 404
    assert (await own("POST", f"/recycle-bin/{volume}/actions/restore")).status_code == 409
    await passes(cloud, 8 * DAY)
    assert await Recycling(cloud.db).check() == 1
    await cloud.quiet()
    assert await listed(own) == []


async def test_while_it_is_copied_it_may_go_and_come_back(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make())["id"]
    cloud.backend.delay = 0.2
    asked = {"volume": {"size": 1, "source_volid": volume}}
    clone = (await cloud.call("POST", "/volumes", asked)).json()["volume"]["id"]
    await deleted(cloud, f"/volumes/{volume}")
    await restored(own, volume)
    await deleted(cloud, f"/volumes/{volume}")
    assert (await own("DELETE", f"/recycle-bin/{volume}")).status_code == 202
    await cloud.until(clone, "available")
    await cloud.quiet()
    assert await listed(own) == []


async def test_nobody_fills_a_cloud_by_creating_and_deleting(cloud: Cloud, own: Own) -> None:
    """The quota is 50 GiB: as much again is kept uncounted, and then it counts."""
    for _ in range(4):
        volume = (await cloud.make(25))["id"]
        await deleted(cloud, f"/volumes/{volume}")
    assert [one["counts_for_quota"] for one in await listed(own)] == [True, True, False, False]
    assert await used(cloud) == {"volumes": 2, "gigabytes": 50, "snapshots": 0}
    assert (await cloud.call("POST", "/volumes", {"volume": {"size": 1}})).status_code == 413
    assert (await own("DELETE", f"/recycle-bin/{volume}")).status_code == 202
    await cloud.quiet()
    assert (await cloud.make(25))["status"] == "available"
