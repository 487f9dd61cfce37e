"""Volumes move to other pools: by an administrator's word, or because a new type does not fit in their own."""

from typing import Any

import pytest
import sqlalchemy as sa
from volume_cloud import CONNECTOR, HOST, POOL, POOL_FACTS, PROJECT, Cloud

from databases import ON_SQLITE
from pumice.model.errors import TryAnotherBackend
from pumice.model.ids import VolumeId, new_id
from pumice.store import audit as rows
from pumice.store import pools, services, tables
from pumice.store.services import Heartbeat

pytestmark = ON_SQLITE

SPARE = f"{HOST}#spare"
MIGRATION = "os-vol-mig-status-attr:migstat"


async def two_pools(cloud: Cloud, **capabilities: Any) -> None:
    """Another pool of the backend, to which nothing comes by itself: it has less room."""
    spare = POOL_FACTS | {"name": SPARE, "total_gb": 100.0, "free_gb": 100.0}
    spare |= {"capabilities": POOL_FACTS["capabilities"] | capabilities}
    await cloud.db.write(pools.report, {HOST: [POOL_FACTS, spare]})


async def migrate(cloud: Cloud, volume: str, host: str = SPARE, **more: Any) -> tuple[int, str]:
    who, version = more.pop("who", "admin"), more.pop("version", "3.71")
    body = {"os-migrate_volume": {"host": host, **more}}
    answer = await cloud.call("POST", f"/volumes/{volume}/action", body, who=who, version=version)
    return answer.status_code, answer.text


async def shown(cloud: Cloud, volume: str, who: str = "admin") -> dict[str, Any]:
    found: dict[str, Any] = (await cloud.call("GET", f"/volumes/{volume}", who=who)).json()["volume"]
    return found


async def claims(cloud: Cloud) -> dict[str, int]:
    return {pool.name: pool.claimed_gb for pool in await cloud.db.read(pools.every)}


async def test_a_volume_is_moved_with_its_bytes_and_nothing_is_left(cloud: Cloud) -> None:
    await two_pools(cloud)
    volume = (await cloud.make(2, metadata={"k": "v"}))["id"]
    cloud.backend.write(VolumeId(volume), "word")
    before = await shown(cloud, volume, "member")
    cloud.backend.free.clear()
    assert await migrate(cloud, volume) == (202, "")
    moving = await shown(cloud, volume)
    assert (moving["status"], moving["os-vol-host-attr:host"]) == ("available", POOL)
    assert moving[MIGRATION] in ("starting", "migrating")
    cloud.backend.free.set()
    await cloud.quiet()
    moved = await shown(cloud, volume)
    assert (moved["os-vol-host-attr:host"], moved[MIGRATION], moved["migration_status"]) == (
        SPARE,
        "success",
        "success",
    )
    assert moved["os-vol-mig-status-attr:name_id"] is None
    after = await shown(cloud, volume, "member")
    assert before | {"updated_at": after["updated_at"]} == after
    assert {piece.pool for piece in (await cloud.backend.inventory()).pieces} == {"spare"}
    assert cloud.backend.contents()[volume] == "word"
    assert await claims(cloud) == {POOL: 0, SPARE: 2}
    assert await cloud.db.read(rows.wrong_rows) == []
    listed = (await cloud.call("GET", "/volumes?all_tenants=1&migration_status=success", who="admin")).json()
    assert [one["id"] for one in listed["volumes"]] == [volume]


async def test_it_moves_back_and_a_backend_by_itself_means_any_other_pool_of_it(cloud: Cloud) -> None:
    await two_pools(cloud)
    volume = (await cloud.make())["id"]
    for expected in (SPARE, POOL, SPARE):
        assert await migrate(cloud, volume, HOST) == (202, "")
        await cloud.quiet()
        assert (await shown(cloud, volume))["os-vol-host-attr:host"] == expected


async def test_a_volume_that_is_locked_is_in_maintenance_meanwhile(cloud: Cloud) -> None:
    await two_pools(cloud)
    volume = (await cloud.make())["id"]
    cloud.backend.free.clear()
    assert await migrate(cloud, volume, lock_volume=True, force_host_copy="True") == (202, "")
    assert (await shown(cloud, volume))["status"] == "maintenance"
    cloud.backend.free.set()
    await cloud.quiet()
    assert (await shown(cloud, volume))["status"] == "available"


async def test_what_is_being_moved_is_neither_changed_nor_deleted(cloud: Cloud) -> None:
    await two_pools(cloud)
    volume = (await cloud.make())["id"]
    cloud.backend.free.clear()
    assert await migrate(cloud, volume) == (202, "")
    for action, body in (
        ("os-extend", {"new_size": 2}),
        ("os-reserve", {}),
        ("os-migrate_volume", {"host": SPARE}),
        ("os-retype", {"new_type": "__DEFAULT__"}),
        ("os-force_delete", {}),
    ):
        assert (await cloud.act(volume, action, body, who="admin")).status_code == 400, action
    assert (await cloud.call("DELETE", f"/volumes/{volume}")).status_code == 400
    snapshot = {"snapshot": {"volume_id": volume, "force": True}}
    assert (await cloud.call("POST", "/snapshots", snapshot)).status_code == 400
    transfer = {"transfer": {"volume_id": volume}}
    assert (await cloud.call("POST", "/volume-transfers", transfer)).status_code == 400
    for said in ({"status": "error"}, {"migration_status": "none"}):
        assert (await cloud.act(volume, "os-reset_status", said, who="admin")).status_code == 409, said
    cloud.backend.free.set()
    await cloud.quiet()
    assert (await shown(cloud, volume))["os-vol-host-attr:host"] == SPARE
    assert (await cloud.call("DELETE", f"/volumes/{volume}")).status_code == 202
    await cloud.until(volume, None)


async def test_a_move_that_fails_leaves_the_volume_as_it_was(cloud: Cloud) -> None:
    await two_pools(cloud)
    volume = (await cloud.make())["id"]
    cloud.backend.write(VolumeId(volume), "word")
    cloud.backend.fail_next["create_from_volume"] = TryAnotherBackend("The new disk is broken.")
    assert await migrate(cloud, volume, lock_volume=True) == (202, "")
    await cloud.quiet()
    after = await shown(cloud, volume)
    assert (after["status"], after[MIGRATION], after["os-vol-host-attr:host"]) == ("available", "error", POOL)
    assert {piece.pool for piece in (await cloud.backend.inventory()).pieces} == {"fake"}
    assert cloud.backend.contents()[volume] == "word"
    assert await claims(cloud) == {POOL: 1, SPARE: 0}
    assert (await cloud.call("GET", "/messages")).json() == {"messages": []}, "no tenant asked for it"
    assert (await cloud.act(volume, "os-reset_status", {"migration_status": "none"}, who="admin")).is_success
    assert (await shown(cloud, volume))[MIGRATION] is None
    assert await migrate(cloud, volume) == (202, "")
    await cloud.quiet()
    assert (await shown(cloud, volume))["os-vol-host-attr:host"] == SPARE


@pytest.mark.parametrize("capability", [{"volume_backend_name": "another"}, {}])
async def test_the_scheduler_has_a_word_in_where_a_volume_may_be(
    cloud: Cloud, capability: dict[str, str]
) -> None:
    """Cinder accepts it, and says by its migration that it did not happen."""
    await two_pools(cloud, **capability)
    kind = {"name": "here", "extra_specs": {"volume_backend_name": "fake"}}
    await cloud.call("POST", "/types", {"volume_type": kind}, who="admin")
    volume = (await cloud.make(1 if capability else 3000, volume_type="here"))["id"]
    assert await migrate(cloud, volume) == (202, "")
    await cloud.quiet()
    after = await shown(cloud, volume)
    assert (after["os-vol-host-attr:host"], after[MIGRATION]) == (POOL, "error")


async def test_what_may_not_move_is_refused_in_cinders_words(cloud: Cloud) -> None:
    await two_pools(cloud)
    volume = (await cloud.make())["id"]
    words = "destination host/cluster must be different than the current one"
    status, text = await migrate(cloud, volume, POOL)
    assert (status, words in text) == (400, True)
    status, text = await migrate(cloud, volume, "nowhere@none#pool")
    assert (status, "No available service named 'nowhere@none#pool'" in text) == (400, True)
    snapshot = (await cloud.call("POST", "/snapshots", {"snapshot": {"volume_id": volume}})).json()["snapshot"]
    await cloud.until(snapshot["id"], "available", kind="snapshot")
    status, text = await migrate(cloud, volume)
    assert (status, words in text) == (400, True)
    used = (await cloud.make())["id"]
    body = {"attachment": {"volume_uuid": used, "connector": CONNECTOR, "instance_uuid": new_id()}}
    assert (await cloud.call("POST", "/attachments", body)).status_code == 200
    status, _ = await migrate(cloud, used)
    assert status == 400
    for body in ({}, {"host": ""}, {"host": SPARE, "cluster": "c@x"}, {"host": 5}, {"host": SPARE, "x": 1}):
        answer = await cloud.call("POST", f"/volumes/{volume}/action", {"os-migrate_volume": body}, who="admin")
        assert answer.status_code == 400, body
    assert (await migrate(cloud, volume, version="3.15", cluster="c@x"))[0] == 400
    assert (await migrate(cloud, volume, who="member"))[0] == 403
    assert (await migrate(cloud, new_id()))[0] == 404


@pytest.mark.parametrize("protocol", ["local", "NVMe-oF"])
async def test_what_no_other_host_reads_stays_with_its_host(cloud: Cloud, protocol: str) -> None:
    await two_pools(cloud)
    volume = (await cloud.make())["id"]
    told = POOL_FACTS | {"capabilities": POOL_FACTS["capabilities"] | {"storage_protocol": protocol}}
    await cloud.db.write(pools.report, {HOST: [told]})
    await cloud.db.write(services.heartbeat, [Heartbeat("cinder-volume", "elsewhere@fake", "nova")])
    status, text = await migrate(cloud, volume, "elsewhere@fake#fake")
    assert (status, "no other host reads what that one exports" in text) == (400, True)


async def test_a_cluster_is_a_place_too(cloud: Cloud) -> None:
    await two_pools(cloud)
    volume = (await cloud.make())["id"]
    await cloud.db.write(
        services.heartbeat, [Heartbeat("cinder-volume", "one@shared", "nova", {}, "box@shared")]
    )
    body = {"os-migrate_volume": {"cluster": "box@shared"}}
    assert (await cloud.call("POST", f"/volumes/{volume}/action", body, who="admin")).status_code == 202
    await cloud.quiet()
    assert (await shown(cloud, volume))[MIGRATION] == "error", "it has no pools"


async def test_a_new_type_takes_a_volume_to_where_it_fits(cloud: Cloud) -> None:
    await two_pools(cloud, media="tape")
    for name, specs in (("tape", {"media": "tape"}), ("cloth", {"media": "cloth"})):
        kind = {"volume_type": {"name": name, "extra_specs": specs}}
        assert (await cloud.call("POST", "/types", kind, who="admin")).status_code == 200
    volume = (await cloud.make(2))["id"]
    cloud.backend.write(VolumeId(volume), "word")
    wanted = {"new_type": "tape", "migration_policy": "on-demand"}
    cloud.backend.free.clear()
    assert (await cloud.act(volume, "os-retype", wanted)).status_code == 202
    assert (await shown(cloud, volume))["status"] == "retyping"
    assert await cloud.db.read(rows.wrong_rows) == []
    cloud.backend.free.set()
    await cloud.quiet()
    after = await shown(cloud, volume)
    assert (after["status"], after["volume_type"], after["os-vol-host-attr:host"]) == (
        "available",
        "tape",
        SPARE,
    )
    assert cloud.backend.contents()[volume] == "word"
    quota = (await cloud.call("GET", f"/os-quota-sets/{PROJECT}?usage=true", who="admin")).json()["quota_set"]
    assert [quota[f"gigabytes{of}"]["in_use"] for of in ("", "_tape", "___DEFAULT__")] == [2, 2, 0]
    wanted = {"new_type": "cloth", "migration_policy": "on-demand"}
    assert (await cloud.act(volume, "os-retype", wanted)).status_code == 202
    await cloud.quiet()
    after = await shown(cloud, volume)
    assert (after["status"], after["volume_type"], after[MIGRATION]) == ("available", "tape", "error")
    [told] = (await cloud.call("GET", f"/messages?resource_uuid={volume}")).json()["messages"]
    assert told["message_level"] == "ERROR"
    assert await cloud.db.read(rows.wrong_rows) == []


async def test_a_compute_service_is_told_which_volume_to_go_on_with(cloud: Cloud) -> None:
    await two_pools(cloud)
    old, new = (await cloud.make())["id"], (await cloud.make())["id"]

    async def complete(who: str = "admin", **more: Any) -> Any:
        body = {"os-migrate_volume_completion": {"new_volume": new, **more}}
        return await cloud.call("POST", f"/volumes/{old}/action", body, who=who)

    answer = await complete()
    assert (answer.status_code, answer.json()) == (200, {"save_volume_id": new})
    assert (await complete("member")).status_code == 403
    assert (await complete(new_volume=new_id())).status_code == 404
    assert (await complete(new_volume="x")).status_code == 400
    for volume, words in ((new, "Source volume not mid-migration."), (old, "Destination has migration_status")):
        await migrate(cloud, volume)
        await cloud.quiet()
        answer = await complete()
        assert (answer.status_code, words in answer.text) == (400, True)
    await cloud.act(new, "os-reset_status", {"migration_status": "none"}, who="admin")
    assert "Destination volume not mid-migration." in (await complete()).text
    await cloud.act(old, "os-reset_status", {"migration_status": "none"}, who="admin")
    body = {"attachment": {"volume_uuid": old, "connector": CONNECTOR, "instance_uuid": new_id()}}
    assert (await cloud.call("POST", "/attachments", body)).status_code == 200
    assert (await complete()).status_code == 400
    assert (await complete(error=True)).status_code == 200


async def test_a_move_that_nobody_carries_on_is_found_and_is_in_nobodys_way(cloud: Cloud) -> None:
    volume = (await cloud.make())["id"]
    lost = sa.update(tables.volumes).where(tables.volumes.c.id == volume)
    await cloud.db.write(lambda tx: tx.execute(lost.values(migration_status="migrating")) and None)
    [wrong] = await cloud.db.read(rows.wrong_rows)
    assert wrong.words == f"volume {volume} is migrating to another pool and no operation is at work on it"
    assert (await cloud.call("DELETE", f"/volumes/{volume}")).status_code == 202
