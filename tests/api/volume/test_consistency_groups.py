"""Consistency groups over HTTP: the older view of groups, of a type that promises snapshots of one moment."""

from typing import Any

import pytest
from test_groups import TYPE, a_group, inside, message
from volume_cloud import CONNECTOR, Cloud

from databases import ON_SQLITE
from pumice.catalog import group_types
from pumice.model.ids import new_id

pytestmark = ON_SQLITE


async def ask(cloud: Cloud, method: str, path: str, body: Any = None, who: str = "member") -> tuple[int, Any]:
    reply = await cloud.call(method, path, body, who=who, version=None)
    return reply.status_code, reply.json() if reply.content else None


async def make(cloud: Cloud, **wanted: Any) -> str:
    """A consistency group, once it is there."""
    await cloud.db.write(group_types.make_default)
    asked = {"name": "c", "volume_types": f"{TYPE},", **wanted}
    status, made = await ask(cloud, "POST", "/consistencygroups", {"consistencygroup": asked})
    assert status == 202, made
    found = await cloud.until(made["consistencygroup"]["id"], "available", kind="consistencygroup")
    return str(found["id"])


async def test_it_is_a_group_that_this_view_alone_shows(cloud: Cloud) -> None:
    group = await make(cloud, description="d")
    volume = (await cloud.make(consistencygroup_id=group, volume_type=TYPE))["id"]
    shown = await cloud.until(volume, "available")
    assert (shown["consistencygroup_id"], shown["group_id"]) == (group, group)
    assert (await cloud.until(await inside(cloud, await a_group(cloud)), "available"))[
        "consistencygroup_id"
    ] is None
    status, fault = (reply := await cloud.call("GET", f"/groups/{group}")).status_code, message(reply.json())
    assert (status, "is reserved for migrating CGs to groups." in fault) == (400, True)
    for path, body in (
        ("/groups", {"group": {"group_type": "default_cgsnapshot_type", "volume_types": [TYPE]}}),
        ("/group_snapshots", {"group_snapshot": {"group_id": group}}),
        ("/groups/action", {"create-from-src": {"source_group_id": group}}),
    ):
        assert (await cloud.call("POST", path, body)).status_code == 400
    assert group not in (await cloud.call("GET", "/groups")).text
    status, listed = await ask(cloud, "GET", "/consistencygroups/detail?sort_key=created_at&sort_dir=asc")
    first, second = listed["consistencygroups"]
    assert (status, first["id"], first["description"], second["name"]) == (200, group, "d", "g")
    assert len((await ask(cloud, "GET", "/consistencygroups?limit=1"))[1]["consistencygroup_links"]) == 1


async def test_volumes_come_and_go_and_go_with_it(cloud: Cloud) -> None:
    group, volume = await make(cloud), (await cloud.make())["id"]
    path = f"/consistencygroups/{group}"
    change = {"consistencygroup": {"name": "n", "add_volumes": volume}}
    assert (await ask(cloud, "PUT", path, change))[0] == 202
    assert (await ask(cloud, "GET", path))[1]["consistencygroup"]["name"] == "n"
    status, fault = await ask(cloud, "PUT", f"{path}/update", {"consistencygroup": {}})
    assert (status, message(fault)) == (
        400,
        "Name, description, add_volumes, and remove_volumes can not be all empty in the request body.",
    )
    for method, where, body in (
        ("DELETE", path, None),
        ("POST", f"{path}/delete", {"consistencygroup": {"force": False}}),
    ):
        assert (await ask(cloud, method, where, body))[0] == 400
    assert (await ask(cloud, "POST", f"{path}/delete", {"consistencygroup": {"force": True}}))[0] == 202
    await cloud.until(group, None, kind="consistencygroup")
    await cloud.until(volume, None)


async def test_its_snapshots_are_of_one_moment_and_groups_are_made_from_them(cloud: Cloud) -> None:
    group = await make(cloud)
    volume = (await cloud.make(consistencygroup_id=group, volume_type=TYPE))["id"]
    asked = {"cgsnapshot": {"consistencygroup_id": group, "name": "s"}}
    used = {"attachment": {"volume_uuid": volume, "connector": CONNECTOR}}
    link = (await cloud.call("POST", "/attachments", used)).json()["attachment"]["id"]
    status, fault = await ask(cloud, "POST", "/cgsnapshots", asked)
    assert (status, "promises snapshots of one moment" in message(fault)) == (400, True)
    await cloud.call("DELETE", f"/attachments/{link}")
    made = (await ask(cloud, "POST", "/cgsnapshots", asked))[1]["cgsnapshot"]["id"]
    shown = await cloud.until(made, "available", kind="cgsnapshot")
    assert shown["consistencygroup_id"] == group
    assert (await cloud.call("GET", "/group_snapshots")).json() == {"group_snapshots": []}
    assert [one["id"] for one in (await ask(cloud, "GET", "/cgsnapshots?limit=5"))[1]["cgsnapshots"]] == [made]
    for source in ({"cgsnapshot_id": made}, {"source_cgid": group}):
        body = {"consistencygroup-from-src": {"name": "copy", **source}}
        status, copied = await ask(cloud, "POST", "/consistencygroups/create_from_src", body)
        assert status == 202, copied
        await cloud.until(copied["consistencygroup"]["id"], "available", kind="consistencygroup")
    assert (await ask(cloud, "DELETE", f"/cgsnapshots/{made}"))[0] == 202
    await cloud.until(made, None, kind="cgsnapshot")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({}, "Either 'cgsnapshot_id' or 'source_cgid' must be provided"),
        ({"cgsnapshot_id": new_id(), "source_cgid": new_id()}, "Cannot provide both 'cgsnapshot_id' and"),
    ],
)
async def test_one_source_is_named_and_no_more(cloud: Cloud, source: dict[str, str], words: str) -> None:
    body = {"consistencygroup-from-src": source}
    status, fault = await ask(cloud, "POST", "/consistencygroups/create_from_src", body)
    assert (status, words in message(fault)) == (400, True)


async def test_no_other_project_sees_or_changes_it(cloud: Cloud) -> None:
    group = await make(cloud)
    for method, path, body in (
        ("GET", "", None),
        ("PUT", "", {"consistencygroup": {"name": "x"}}),
        ("DELETE", "", None),
        ("POST", "/delete", {"consistencygroup": {"force": True}}),
    ):
        assert (await ask(cloud, method, f"/consistencygroups/{group}{path}", body, "other"))[0] == 404
    assert (await ask(cloud, "GET", "/consistencygroups", who="other"))[1] == {"consistencygroups": []}
