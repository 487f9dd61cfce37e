"""Reverting, managing and unmanaging, as requests."""

from typing import Any

import pytest
from volume_cloud import POOL, PROJECT, Cloud

MANAGE = "/os-volume-manage"
NOBODY = "99999999-9999-4999-8999-999999999999"


def existing(**wanted: Any) -> dict[str, Any]:
    return {"volume": {"host": POOL, "ref": {"source-name": "stranger"}, **wanted}}


async def listed(cloud: Cloud, path: str = MANAGE, query: str = f"host={POOL.replace('#', '%23')}") -> Any:
    reply = await cloud.call("GET", f"{path}?{query}", who="admin")
    assert reply.status_code == 200, reply.text
    return reply.json()["manageable-volumes"]


async def test_what_is_manageable_is_listed_managed_and_let_go(cloud: Cloud) -> None:
    stranger = {"reference": {"source-name": "stranger"}, "size": 1, "safe_to_manage": True}
    assert await listed(cloud) == await listed(cloud, "/manageable_volumes") == [stranger]
    [full] = await listed(cloud, f"{MANAGE}/detail")
    assert full == {**stranger, "reason_not_safe": None, "cinder_id": None, "extra_info": None}
    reply = await cloud.call("POST", MANAGE, existing(name="mine", bootable=True), who="admin")
    assert (reply.status_code, reply.json()["volume"]["status"]) == (202, "managing")
    volume = await cloud.until(reply.json()["volume"]["id"], "available", who="admin")
    assert (volume["size"], volume["name"], volume["bootable"]) == (1, "mine", "true")
    assert await listed(cloud) == []
    path = f"/volumes/{volume['id']}"
    assert (await cloud.call("POST", f"{path}/action", {"os-unmanage": {}}, who="admin")).status_code == 202
    await cloud.until(volume["id"], None, who="admin")
    [left] = await listed(cloud)
    assert left["reference"] == {"source-name": f"unmanaged-{volume['id']}"}


async def test_what_is_not_there_ends_in_error_managing_and_can_be_deleted(cloud: Cloud) -> None:
    reply = await cloud.call("POST", MANAGE, existing(ref={"source-name": "nobody"}), who="admin")
    volume = await cloud.until(reply.json()["volume"]["id"], "error_managing", who="admin")
    assert volume["size"] == 0
    await cloud.call("DELETE", f"/volumes/{volume['id']}", who="admin")
    await cloud.until(volume["id"], None, who="admin")


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ({"ref": {}}, 400),
        ({"ref": {"source-name": 3}}, 400),
        ({"host": None}, 400),
        ({"host": POOL, "cluster": "c"}, 400),
        ({"host": "nowhere@nothing#pool"}, 400),
        ({"volume_type": "nothing"}, 400),
        ({"size": 3}, 400),
    ],
)
async def test_what_cannot_be_managed_is_refused(cloud: Cloud, wanted: dict[str, Any], status: int) -> None:
    reply = await cloud.call("POST", MANAGE, existing(**wanted), who="admin")
    assert reply.status_code == status, reply.text


async def test_only_an_administrator_manages(cloud: Cloud) -> None:
    assert (await cloud.call("POST", MANAGE, existing())).status_code == 403
    assert (await cloud.call("GET", f"{MANAGE}?host=x")).status_code == 403
    volume = await cloud.make()
    reply = await cloud.call("POST", f"/volumes/{volume['id']}/action", {"os-unmanage": {}})
    assert reply.status_code == 403


async def a_snapshot(cloud: Cloud, volume: str) -> str:
    reply = await cloud.call("POST", "/snapshots", {"snapshot": {"volume_id": volume}})
    snapshot = str(reply.json()["snapshot"]["id"])
    await cloud.until(snapshot, "available", kind="snapshot")
    return snapshot


SNAPSHOTS = "/manageable_snapshots"
HERE = f"host={POOL.replace('#', '%23')}"


def bytes_of(volume: str, **wanted: Any) -> dict[str, Any]:
    return {"snapshot": {"volume_id": volume, "ref": {"source-name": "stranger"}, **wanted}}


async def listed_snapshots(cloud: Cloud, path: str = SNAPSHOTS) -> Any:
    reply = await cloud.call("GET", f"{path}?{HERE}", who="admin")
    assert reply.status_code == 200, reply.text
    return reply.json()["manageable-snapshots"]


@pytest.mark.parametrize("path", [SNAPSHOTS, "/os-snapshot-manage"])
async def test_bytes_become_a_snapshot_of_a_volume_and_are_let_go(cloud: Cloud, path: str) -> None:
    volume = (await cloud.make(size=3))["id"]
    [stranger] = await listed_snapshots(cloud, path)
    assert stranger["reference"] == {"source-name": "stranger"} and stranger["source_reference"] is None
    wanted = bytes_of(volume, name="mine", metadata={"a": "b"})
    reply = await cloud.call("POST", path, wanted, who="admin")
    assert (reply.status_code, reply.json()["snapshot"]["status"]) == (202, "creating"), reply.text
    found = await cloud.until(reply.json()["snapshot"]["id"], "available", kind="snapshot", who="admin")
    assert (found["size"], found["name"], found["metadata"]) == (1, "mine", {"a": "b"})
    usage = await cloud.call("GET", f"/os-quota-sets/{PROJECT}?usage=true", who="admin")
    used = usage.json()["quota_set"]
    assert (used["snapshots"]["in_use"], used["gigabytes"]["in_use"]) == (1, 4)
    assert await listed_snapshots(cloud, path) == []
    path_of_it = f"/snapshots/{found['id']}"
    assert (
        await cloud.call("POST", f"{path_of_it}/action", {"os-unmanage": {}}, who="admin")
    ).status_code == 202
    await cloud.until(found["id"], None, kind="snapshot", who="admin")
    [left] = await listed_snapshots(cloud, path)
    assert left["reference"] == {"source-name": f"unmanaged-{found['id']}"}


async def test_a_snapshot_of_bytes_that_are_not_there_ends_in_error_and_can_be_deleted(cloud: Cloud) -> None:
    volume = (await cloud.make(size=2))["id"]
    body = bytes_of(volume, ref="nobody")
    snapshot = (await cloud.call("POST", SNAPSHOTS, body, who="admin")).json()["snapshot"]["id"]
    assert (await cloud.until(snapshot, "error", kind="snapshot", who="admin"))["size"] == 2
    await cloud.call("DELETE", f"/snapshots/{snapshot}", who="admin")
    await cloud.until(snapshot, None, kind="snapshot", who="admin")
    assert len(await listed_snapshots(cloud)) == 1


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ({"ref": {}}, 400),
        ({"ref": None}, 400),
        ({"ref": {"source-name": 3}}, 400),
        ({"volume_id": "no id"}, 400),
        ({"volume_id": NOBODY}, 404),
        ({"host": POOL}, 400),
        ({"metadata": {"a": 1}}, 400),
    ],
)
async def test_a_snapshot_that_cannot_be_managed_is_refused(
    cloud: Cloud, wanted: dict[str, Any], status: int
) -> None:
    body = bytes_of((await cloud.make())["id"], **wanted)
    reply = await cloud.call("POST", SNAPSHOTS, body, who="admin")
    assert reply.status_code == status, reply.text


async def test_only_an_administrator_manages_snapshots_and_since_3_8_by_this_name(cloud: Cloud) -> None:
    body = bytes_of((await cloud.make())["id"])
    assert (await cloud.call("POST", SNAPSHOTS, body)).status_code == 403
    assert (await cloud.call("GET", f"{SNAPSHOTS}?{HERE}")).status_code == 403
    assert (await cloud.call("POST", SNAPSHOTS, body, who="admin", version="3.7")).status_code == 404


async def revert(cloud: Cloud, volume: str, snapshot: str, version: str = "3.40") -> int:
    body = {"revert": {"snapshot_id": snapshot}}
    reply = await cloud.call("POST", f"/volumes/{volume}/action", body, version=version)
    return reply.status_code


async def test_a_volume_is_reverted_to_its_latest_snapshot_alone(cloud: Cloud) -> None:
    volume = (await cloud.make())["id"]
    first = await a_snapshot(cloud, volume)
    assert await revert(cloud, volume, first, version="3.39") in (400, 404)
    assert await revert(cloud, volume, first) == 202
    await cloud.until(volume, "available")
    await cloud.until(first, "available", kind="snapshot")
    second = await a_snapshot(cloud, volume)
    assert await revert(cloud, volume, first) == 400
    await cloud.call("POST", f"/volumes/{volume}/action", {"os-reserve": {}})
    assert await revert(cloud, volume, second) == 409


async def test_a_volume_that_grew_is_not_reverted(cloud: Cloud) -> None:
    volume = (await cloud.make())["id"]
    snapshot = await a_snapshot(cloud, volume)
    await cloud.call("POST", f"/volumes/{volume}/action", {"os-extend": {"new_size": 2}})
    await cloud.until(volume, "available")
    assert await revert(cloud, volume, snapshot) == 400
