"""Snapshots of groups over HTTP: made of every volume, kept together, and groups that are made from them."""

from typing import Any

import pytest
from test_groups import a_group, a_type, act, inside, make, message, volumes_of
from volume_cloud import CONNECTOR, PROJECT, Cloud

from databases import ON_SQLITE
from pumice.model.ids import new_id
from pumice.model.volume import VolumeId
from pumice.store import audit as rows

pytestmark = ON_SQLITE


async def snap(cloud: Cloud, group: str, name: str = "s") -> str:
    """A snapshot of the group, once it is there."""
    reply = await cloud.call("POST", "/group_snapshots", {"group_snapshot": {"group_id": group, "name": name}})
    assert reply.status_code == 202, reply.text
    made = str(reply.json()["group_snapshot"]["id"])
    await cloud.until(made, "available", kind="group_snapshot")
    return made


async def parts_of(cloud: Cloud, group_snapshot: str) -> dict[str, dict[str, Any]]:
    """The snapshots that it is made of, by volume."""
    found = (await cloud.call("GET", "/snapshots/detail")).json()["snapshots"]
    return {one["volume_id"]: one for one in found if one["group_snapshot_id"] == group_snapshot}


async def copy(cloud: Cloud, status: str = "available", **source: Any) -> dict[str, Any]:
    """A group that is made from another, once it is there."""
    reply = await cloud.call("POST", "/groups/action", {"create-from-src": {"name": "copy", **source}})
    assert reply.status_code == 202, reply.text
    return await cloud.until(reply.json()["group"]["id"], status, kind="group")


async def refused(cloud: Cloud, path: str, body: Any, status: int = 400) -> str:
    reply = await cloud.call("POST", path, body)
    assert reply.status_code == status, reply.text
    return message(reply.json())


async def test_every_volume_has_its_snapshot_and_all_go_together(cloud: Cloud) -> None:
    group = await a_group(cloud)
    volumes = {await inside(cloud, group), await inside(cloud, group)}
    made = await snap(cloud, group)
    shown = (await cloud.call("GET", f"/group_snapshots/{made}")).json()["group_snapshot"]
    group_type = (await cloud.call("GET", f"/groups/{group}")).json()["group"]["group_type"]
    assert shown == {
        "id": made,
        "name": "s",
        "description": None,
        "status": "available",
        "group_id": group,
        "group_type_id": group_type,
        "created_at": shown["created_at"],
    }
    parts = await parts_of(cloud, made)
    assert parts.keys() == volumes
    assert {(one["status"], one["name"]) for one in parts.values()} == {("available", "s")}
    why = "Invalid snapshot: Snapshot status must be available or error and must not be part of a group."
    for one in parts.values():
        path = f"/snapshots/{one['id']}"
        for reply in (
            await cloud.call("DELETE", path),
            await cloud.call("POST", f"{path}/action", {"os-force_delete": {}}, who="admin"),
            await cloud.call("POST", f"{path}/action", {"os-unmanage": {}}, who="admin"),
        ):
            assert (reply.status_code, message(reply.json())) == (400, why)
    assert await act(cloud, group, "delete", {"delete-volumes": True}) == (
        400,
        "Invalid Group: Group has existing snapshots.",
    )
    assert (await cloud.call("DELETE", f"/group_snapshots/{made}")).status_code == 202
    await cloud.until(made, None, kind="group_snapshot")
    assert await parts_of(cloud, made) == {}
    assert await cloud.db.read(rows.wrong_rows) == []


async def test_a_group_is_made_from_a_snapshot_or_from_another_group(cloud: Cloud) -> None:
    group = await a_group(cloud)
    volume = VolumeId(await inside(cloud, group))
    cloud.backend.write(volume, "then")
    made = await snap(cloud, group)
    cloud.backend.write(volume, "now")
    for source, bytes_then in (({"group_snapshot_id": made}, "then"), ({"source_group_id": group}, "now")):
        copied = await copy(cloud, **source)
        assert copied | source == copied
        (member,) = await volumes_of(cloud, copied["id"])
        assert cloud.backend.contents()[member] == bytes_then
        assert (await act(cloud, copied["id"], "delete", {"delete-volumes": True}))[0] == 202
        await cloud.until(copied["id"], None, kind="group")
    used = (await cloud.call("GET", f"/os-quota-sets/{PROJECT}?usage=true")).json()["quota_set"]["groups"]
    assert used["in_use"] == 1
    assert await cloud.db.read(rows.wrong_rows) == []


async def test_what_there_is_nothing_of_is_not_copied(cloud: Cloud) -> None:
    group = await a_group(cloud)
    asked = {"group_snapshot": {"group_id": group}}
    assert await refused(cloud, "/group_snapshots", asked) == (
        "Invalid Group: Source group cannot be empty or in 'creating' or 'updating' state. No group snapshot "
        "will be created."
    )
    assert await refused(cloud, "/groups/action", {"create-from-src": {"source_group_id": group}}) == (
        "Invalid Group: Source Group is empty. No group will be created."
    )
    await refused(cloud, "/groups/action", {"create-from-src": {"source_group_id": new_id()}}, 404)
    await refused(cloud, "/groups/action", {"create-from-src": {"group_snapshot_id": new_id()}}, 404)
    await refused(cloud, "/groups/action", {"create-from-src": {}})
    both = {"source_group_id": group, "group_snapshot_id": new_id()}
    await refused(cloud, "/groups/action", {"create-from-src": both})


async def test_one_that_fails_is_in_error_and_is_deleted(cloud: Cloud) -> None:
    group = await a_group(cloud)
    volume = await inside(cloud, group)
    status = {"os-reset_status": {"status": "maintenance"}}
    await cloud.call("POST", f"/volumes/{volume}/action", status, who="admin")
    why = await refused(cloud, "/group_snapshots", {"group_snapshot": {"group_id": group}})
    assert why.startswith("Invalid volume: ")
    assert (await cloud.call("GET", "/group_snapshots")).json() == {"group_snapshots": []}
    status = {"os-reset_status": {"status": "available"}}
    await cloud.call("POST", f"/volumes/{volume}/action", status, who="admin")
    made = await snap(cloud, group)
    path = f"/group_snapshots/{made}"
    for word, answer in (("error", 202), ("gone", 400)):
        body = {"reset_status": {"status": word}}
        assert (await cloud.call("POST", f"{path}/action", body, who="admin")).status_code == answer
    assert (await cloud.call("DELETE", path)).status_code == 202
    await cloud.until(made, None, kind="group_snapshot")


async def test_a_quota_is_taken_for_all_or_for_none(cloud: Cloud) -> None:
    group = await a_group(cloud)
    for _ in range(2):
        await inside(cloud, group)
    await cloud.call("PUT", f"/os-quota-sets/{PROJECT}", {"quota_set": {"snapshots": 1}}, who="admin")
    why = await refused(cloud, "/group_snapshots", {"group_snapshot": {"group_id": group}}, 413)
    assert why.startswith("SnapshotLimitExceeded: ")
    assert (await cloud.call("GET", "/snapshots")).json() == {"snapshots": []}
    assert await cloud.db.read(rows.wrong_rows) == []


async def test_of_one_moment_are_volumes_that_nobody_can_come_to_use(cloud: Cloud) -> None:
    await a_type(cloud, consistent_group_snapshot_enabled="<is> True")
    group = (await make(cloud))["id"]
    volume, other = await inside(cloud, group), await inside(cloud, group)
    attaching = {"attachment": {"volume_uuid": volume, "connector": CONNECTOR}}
    link = (await cloud.call("POST", "/attachments", attaching)).json()["attachment"]["id"]
    promise = f"Invalid volume: Volume {volume} is attaching: the type of group {group} promises"
    for path, body in (
        ("/group_snapshots", {"group_snapshot": {"group_id": group}}),
        ("/groups/action", {"create-from-src": {"source_group_id": group}}),
    ):
        assert (await refused(cloud, path, body)).startswith(promise)
    await cloud.call("DELETE", f"/attachments/{link}")
    await cloud.until(volume, "available")
    await snap(cloud, group)
    await cloud.stop()
    asked = {"group_snapshot": {"group_id": group, "name": "s"}}
    assert (await cloud.call("POST", "/group_snapshots", asked)).status_code == 202
    for each in (volume, other):
        attaching["attachment"]["volume_uuid"] = each
        assert "'group_snapshot.create' is under way on it" in await refused(cloud, "/attachments", attaching)


async def test_lists_show_one_s_own_and_no_other_sees_them(cloud: Cloud) -> None:
    group = await a_group(cloud)
    await inside(cloud, group)
    first, second = await snap(cloud, group, "a"), await snap(cloud, group, "b")

    async def listed(path: str, who: str = "member", version: str = "3.71") -> list[dict[str, Any]]:
        reply = await cloud.call("GET", path, who=who, version=version)
        assert reply.status_code == 200, reply.text
        return list(reply.json()["group_snapshots"])

    assert await listed("/group_snapshots") == [{"id": second, "name": "b"}, {"id": first, "name": "a"}]
    for query, names in (
        ("name=a", "a"),
        ("sort=name:asc", "ab"),
        (f"group_id={new_id()}", ""),
        ("limit=1", "b"),
    ):
        found = await listed(f"/group_snapshots/detail?{query}")
        assert "".join(one["name"] for one in found) == names, query
        assert len(await listed(f"/group_snapshots?{query}", version="3.28")) == 2
    page = (await cloud.call("GET", "/group_snapshots?limit=1")).json()
    assert page["group_snapshot_links"][0]["href"].endswith(f"marker={second}")
    assert await listed("/group_snapshots", who="other") == []
    assert {one["project_id"] for one in await listed("/group_snapshots/detail?all_tenants=1", "admin")} == {
        PROJECT
    }
    for method, path, body in (
        ("GET", f"/group_snapshots/{first}", None),
        ("DELETE", f"/group_snapshots/{first}", None),
        ("POST", "/groups/action", {"create-from-src": {"group_snapshot_id": first}}),
        ("POST", "/groups/action", {"create-from-src": {"source_group_id": group}}),
        ("POST", "/group_snapshots", {"group_snapshot": {"group_id": group}}),
    ):
        reply = await cloud.call(method, path, body, who="other")
        assert reply.status_code == 404, (path, reply.text)


@pytest.mark.parametrize("query", ["", "?cascade=true"])
async def test_a_volume_that_left_its_group_keeps_its_part_of_a_snapshot(cloud: Cloud, query: str) -> None:
    group = await a_group(cloud)
    volume = await inside(cloud, group)
    made = await snap(cloud, group)
    asked = {"group": {"remove_volumes": volume}}
    assert (await cloud.call("PUT", f"/groups/{group}", asked)).status_code == 202
    assert (await cloud.call("DELETE", f"/volumes/{volume}{query}")).status_code == 400
    why = await refused(cloud, "/volume-transfers", {"transfer": {"volume_id": volume}})
    assert why.endswith("must not be part of a group.")
    assert (await cloud.call("DELETE", f"/group_snapshots/{made}")).status_code == 202
    await cloud.until(made, None, kind="group_snapshot")
    assert (await cloud.call("DELETE", f"/volumes/{volume}{query}")).status_code == 202
