"""An error of something inside is told as such: 404 is for what the caller names, and no inner id is told."""

from typing import Any

import pytest
import sqlalchemy as sa
from volume_cloud import OTHER_PROJECT, POOL, PROJECT, Cloud

from databases import ON_SQLITE
from pumice.model.ids import new_id
from pumice.store import tables

pytestmark = ON_SQLITE


async def private(cloud: Cloud, type_id: str) -> None:
    """The type is no more one of the projects'."""
    await cloud.db.write(
        lambda tx: tx.execute(
            sa.update(tables.volume_types).where(tables.volume_types.c.id == type_id).values(is_public=False)
        )
    )


async def make_type(cloud: Cloud, name: str) -> str:
    reply = await cloud.call("POST", "/types", {"volume_type": {"name": name}}, who="admin")
    assert reply.status_code == 200, reply.text
    return str(reply.json()["volume_type"]["id"])


@pytest.mark.parametrize("source", ["source_volid", "snapshot_id"])
async def test_a_copy_whose_type_was_withdrawn_is_told_to_name_another(cloud: Cloud, source: str) -> None:
    type_id = await make_type(cloud, "withdrawn")
    volume_id = (await cloud.make(volume_type="withdrawn"))["id"]
    if source == "snapshot_id":
        body = {"snapshot": {"volume_id": volume_id}}
        source_id = (await cloud.call("POST", "/snapshots", body)).json()["snapshot"]["id"]
        await cloud.until(source_id, "available", kind="snapshot")
    else:
        source_id = volume_id
    await private(cloud, type_id)
    reply = await cloud.call("POST", "/volumes", {"volume": {source: source_id}})
    assert (reply.status_code, type_id in reply.text) == (400, False), reply.text
    await cloud.make(volume_type="__DEFAULT__", **{source: source_id})


async def test_a_withdrawn_default_type_is_not_taken_for_one_that_was_named(cloud: Cloud) -> None:
    found = (await cloud.call("GET", "/types/default")).json()["volume_type"]
    await private(cloud, found["id"])
    assert (await cloud.call("POST", "/volumes", {"volume": {"size": 1}})).status_code == 400
    named = {"size": 1, "volume_type": found["name"]}
    assert (await cloud.call("POST", "/volumes", {"volume": named})).status_code == 404


async def test_a_size_beyond_the_quota_of_one_volume_is_a_matter_of_quota_through_each_door(
    cloud: Cloud,
) -> None:
    volume_id, given = (await cloud.make(1))["id"], (await cloud.make(2))["id"]
    offered = await cloud.call("POST", "/volume-transfers", {"transfer": {"volume_id": given}})
    for project in (PROJECT, OTHER_PROJECT):
        limits = {"quota_set": {"per_volume_gigabytes": 1}}
        assert (await cloud.call("PUT", f"/os-quota-sets/{project}", limits, who="admin")).status_code == 200
    transfer = offered.json()["transfer"]
    accept = f"/volume-transfers/{transfer['id']}/accept"
    doors: list[Any] = [
        await cloud.call("POST", "/volumes", {"volume": {"size": 2}}),
        await cloud.act(volume_id, "os-extend", {"new_size": 2}),
        await cloud.call("POST", accept, {"accept": {"auth_key": transfer["auth_key"]}}, who="other"),
    ]
    for reply in doors:
        assert reply.status_code == 413, reply.text
        assert "size 2G is larger than maximum allowed limit 1G" in reply.text


async def test_what_has_an_attachment_cannot_be_reserved_after_a_reset(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    body = {"attachment": {"volume_uuid": volume_id, "instance_uuid": new_id()}}
    assert (await cloud.call("POST", "/attachments", body)).status_code == 200
    await cloud.act(volume_id, "os-reset_status", {"status": "available"}, who="admin")
    reply = await cloud.act(volume_id, "os-reserve")
    assert (reply.status_code, "is not multiattach" in reply.text) == (400, True), reply.text
    assert (await cloud.call("GET", f"/volumes/{volume_id}")).json()["volume"]["status"] == "available"


@pytest.mark.parametrize("path", ["/os-volume-manage", "/manageable_volumes"])
async def test_a_host_that_is_none_is_the_callers_fault(cloud: Cloud, path: str) -> None:
    wrong = POOL.replace("#", "x#")
    listed = await cloud.call("GET", f"{path}?host={wrong.replace('#', '%23')}", who="admin")
    body = {"volume": {"host": wrong, "ref": {"source-name": "x"}}}
    managed = await cloud.call("POST", path, body, who="admin")
    assert [listed.status_code, managed.status_code] == [400, 400], listed.text + managed.text
