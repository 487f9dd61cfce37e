"""What operators ask of services and hosts: freeze and thaw, fail over, take out a host, clean up."""

from functools import partial
from typing import Any

import pytest
from volume_cloud import HOST, POOL, USER, Cloud

from databases import ON_SQLITE
from pumice.model.ids import new_id
from pumice.model.states import SnapshotStatus
from pumice.store import services, snapshots
from pumice.store.services import Heartbeat

pytestmark = ON_SQLITE


async def put(cloud: Cloud, path: str, body: Any, status: int, **more: Any) -> Any:
    answer = await cloud.call("PUT", path, body, who="admin", **more)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


async def the_service(cloud: Cloud) -> dict[str, Any]:
    [found] = (await cloud.call("GET", f"/os-services?host={HOST}", who="admin")).json()["services"]
    return dict(found)


async def test_a_frozen_backend_gets_nothing_and_keeps_what_it_has(cloud: Cloud) -> None:
    volume = await cloud.make()
    await put(cloud, "/os-services/freeze", {"host": HOST}, 200)
    shown = await the_service(cloud)
    assert (shown["frozen"], shown["status"], shown["disabled_reason"]) == (True, "disabled", "frozen")
    for method, path, body in (
        ("DELETE", f"/volumes/{volume['id']}", None),
        ("POST", "/snapshots", {"snapshot": {"volume_id": volume["id"]}}),
    ):
        refused = await cloud.call(method, path, body)
        assert refused.status_code == 400
        assert "not allowed on frozen storage backends" in refused.json()["badRequest"]["message"]
    lost = (await cloud.call("POST", "/volumes", {"volume": {"size": 1}})).json()["volume"]["id"]
    await cloud.until(lost, "error")
    await put(cloud, "/os-services/thaw", {"host": HOST}, 200)
    assert (await the_service(cloud))["frozen"] is False
    assert (await cloud.call("DELETE", f"/volumes/{volume['id']}")).status_code == 202
    await cloud.until(volume["id"], None)


async def test_who_disabled_a_service_is_known_whichever_way_it_was(cloud: Cloud) -> None:
    name, member = "both@shared", "one@shared"
    heartbeats = [Heartbeat("cinder-volume", member, "nova", {}, name)]
    await cloud.db.write(services.heartbeat, heartbeats)
    which = {"binary": "cinder-volume", "host": member}
    for path, body, version in (
        ("/os-services/disable", which, "3.0"),
        ("/os-services/disable-log-reason", {**which, "disabled_reason": "new disks"}, "3.0"),
        (f"/os-hosts/{member}", {"status": "disable"}, "3.0"),
        ("/os-services/freeze", {"host": member}, "3.0"),
        ("/clusters/disable", {"name": name, "binary": "cinder-volume"}, "3.7"),
    ):
        answer = await put(cloud, path, body, 200, version=version)
        assert "disabled_by" not in str(answer)
        [row] = await cloud.db.read(services.every, host=member)
        assert row["disabled_by"] == USER, path
        await put(cloud, "/os-services/enable", which, 200)
        [row] = await cloud.db.read(services.every, host=member)
        assert (row["disabled_by"], row["disabled_reason"]) == (None, None)


async def test_who_joins_a_disabled_cluster_is_disabled_as_the_others(cloud: Cloud) -> None:
    name = "both@shared"
    await cloud.db.write(services.heartbeat, [Heartbeat("cinder-volume", "one@shared", "nova", {}, name)])
    await cloud.db.write(services.set_cluster_disabled, name, True, "new disks", "ann (3)")
    await cloud.db.write(services.heartbeat, [Heartbeat("cinder-volume", "two@shared", "nova", {}, name)])
    [row] = await cloud.db.read(services.every, host="two@shared")
    assert services.how_disabled(row) == "disabled by ann (3): new disks"


async def test_what_is_frozen_is_not_frozen_again_nor_thawed_twice(cloud: Cloud) -> None:
    refused = await put(cloud, "/os-services/thaw", {"host": HOST}, 400)
    assert refused["badRequest"]["message"].endswith("must be True.")
    await put(cloud, "/os-services/freeze", {"host": HOST}, 200)
    await put(cloud, "/os-services/freeze", {"host": HOST}, 400)


async def test_a_cluster_is_frozen_as_a_whole_since_3_26(cloud: Cloud) -> None:
    name = "both@shared"
    heartbeats = [Heartbeat("cinder-volume", f"{host}@shared", "nova", {}, name) for host in ("one", "two")]
    await cloud.db.write(services.heartbeat, heartbeats)
    await put(cloud, "/os-services/freeze", {"cluster": name}, 400, version="3.25")
    await put(cloud, "/os-services/freeze", {"cluster": name}, 200, version="3.26")
    shown = (await cloud.call("GET", f"/clusters/{name}", who="admin")).json()["cluster"]
    assert (shown["frozen"], shown["status"]) == (True, "disabled")
    await put(cloud, "/os-services/freeze", {"cluster": name, "host": "one@shared"}, 400, version="3.26")


@pytest.mark.parametrize("path", ["freeze", "thaw", "failover_host"])
async def test_who_names_no_backend_is_told_so(cloud: Cloud, path: str) -> None:
    for body in ({}, {"host": "nowhere@fake"}, {"host": 1}, {"host": HOST, "more": 1}, {"cluster": None}):
        await put(cloud, f"/os-services/{path}", body, 400)
    assert (await cloud.call("PUT", f"/os-services/{path}", {"host": HOST})).status_code == 403


async def test_a_backend_that_does_not_replicate_cannot_fail_over(cloud: Cloud) -> None:
    refused = await put(cloud, "/os-services/failover_host", {"host": HOST, "backend_id": "other"}, 400)
    assert "replication_status in " in refused["badRequest"]["message"]


async def test_a_host_is_taken_out_and_put_back(cloud: Cloud) -> None:
    assert await put(cloud, f"/os-hosts/{HOST}", {"status": "disable"}, 200) == {
        "host": HOST,
        "status": "disabled",
    }
    assert (await the_service(cloud))["status"] == "disabled"
    assert (await put(cloud, f"/os-hosts/{HOST}", {"STATUS": " Enable "}, 200))["status"] == "enabled"
    assert (await the_service(cloud))["status"] == "enabled"
    assert await put(cloud, f"/os-hosts/{HOST}", {}, 200) == {}
    for wrong in ({"status": "maybe"}, {"status": 1}, {"colour": "red"}, [1]):
        await put(cloud, f"/os-hosts/{HOST}", wrong, 400)
    await put(cloud, "/os-hosts/nowhere", {"status": "disable"}, 404)
    await put(cloud, "/os-hosts", {"status": "disable"}, 400)


async def test_there_is_nothing_to_clean_up_ever(cloud: Cloud) -> None:
    async def cleanup(body: Any, version: str = "3.24") -> Any:
        return await cloud.call("POST", "/workers/cleanup", body, who="admin", version=version)

    for asked in (
        {},
        {"binary": "cinder-volume", "is_up": "no"},
        {"resource_type": "volume", "service_id": "1"},
    ):
        answer = await cleanup(asked)
        assert (answer.status_code, answer.json()) == (202, {"cleaning": [], "unavailable": []})
    for wrong in (
        {"binary": "cinder-api"},
        {"resource_type": "Server"},
        {"resource_id": "x"},
        {"resource_id": new_id()},
        {"colour": "red"},
        {"is_up": "perhaps"},
    ):
        assert (await cleanup(wrong)).status_code == 400, wrong
    assert (await cleanup({}, "3.23")).status_code == 404


async def test_an_extension_waits_for_nobodys_word(cloud: Cloud) -> None:
    volume = await cloud.make()
    for said in ({}, {"error": True}):
        refused = await cloud.act(volume["id"], "os-extend_volume_completion", said, who="admin")
        assert refused.status_code == 400
        assert refused.json()["badRequest"]["message"] == "Invalid volume: Volume is not being extended."
    assert (await cloud.act(new_id(), "os-extend_volume_completion", {}, who="admin")).status_code == 404


async def test_what_a_host_says_of_a_snapshot_is_heard_unless_an_operation_ends_it(cloud: Cloud) -> None:
    volume = await cloud.make()
    made = await cloud.call("POST", "/snapshots", {"snapshot": {"volume_id": volume["id"]}})
    snapshot = made.json()["snapshot"]["id"]
    await cloud.until(snapshot, "available", kind="snapshot")

    async def says(**body: Any) -> int:
        said = {"os-update_snapshot_status": body}
        return int((await cloud.call("POST", f"/snapshots/{snapshot}/action", said)).status_code)

    assert await says(status="error") == 400, "it is not being made"
    await cloud.db.write(snapshots.put, snapshot, SnapshotStatus.CREATING)
    assert await says(status="creating", progress="50%") == 202
    shown = (await cloud.call("GET", f"/snapshots/{snapshot}")).json()["snapshot"]
    assert shown["os-extended-snapshot-attributes:progress"] == "50%"
    assert await says(status="error_deleting") == 400
    for progress in ("50", "101%", "x%"):
        assert await says(status="creating", progress=progress) == 400
    await cloud.db.write(partial(snapshots.change, operation_id=new_id()), snapshot)
    assert await says(status="available") == 409, "its operation says so"
    await cloud.db.write(partial(snapshots.change, operation_id=None), snapshot)
    assert await says(status="available") == 202, "an administrator's word left it in creating"
    await cloud.until(snapshot, "available", kind="snapshot")


async def test_a_snapshot_is_let_go_and_its_bytes_stay(cloud: Cloud) -> None:
    volume = await cloud.make()
    made = await cloud.call("POST", "/snapshots", {"snapshot": {"volume_id": volume["id"]}})
    snapshot = made.json()["snapshot"]["id"]
    await cloud.until(snapshot, "available", kind="snapshot")
    path, body = f"/snapshots/{snapshot}/action", {"os-unmanage": {}}
    assert (await cloud.call("POST", path, body)).status_code == 403
    assert (await cloud.call("POST", path, body, who="admin")).status_code == 202
    await cloud.until(snapshot, None, kind="snapshot")
    left = await cloud.backend.manageable(POOL.partition("#")[2])
    assert f"unmanaged-{snapshot}" in {one.name for one in left}
    assert (await cloud.call("POST", path, body, who="admin")).status_code == 404
    failed = await cloud.call("POST", "/snapshots", {"snapshot": {"volume_id": volume["id"]}})
    other = failed.json()["snapshot"]["id"]
    await cloud.until(other, "available", kind="snapshot")
    await cloud.db.write(snapshots.put, other, SnapshotStatus.ERROR)
    refused = await cloud.call("POST", f"/snapshots/{other}/action", body, who="admin")
    assert refused.status_code == 400
