"""Groups of volumes over HTTP: made, filled, changed and deleted; what may not be done to what is inside."""

from typing import Any

import pytest
from volume_cloud import HOST, PROJECT, Cloud

from databases import ON_SQLITE
from pumice.model.ids import new_id
from pumice.store import audit as rows
from pumice.store import groups

pytestmark = ON_SQLITE
TYPE = "__DEFAULT__"


async def a_type(cloud: Cloud, name: str = "steady", **specs: str) -> str:
    wanted = {"group_type": {"name": name, "group_specs": specs}}
    reply = await cloud.call("POST", "/group_types", wanted, who="admin")
    assert reply.status_code == 202, reply.text
    return str(reply.json()["group_type"]["id"])


async def make(cloud: Cloud, *, status: str = "available", **wanted: Any) -> dict[str, Any]:
    """A group, once it is there."""
    asked = {"name": "g", "group_type": "steady", "volume_types": [TYPE], **wanted}
    reply = await cloud.call("POST", "/groups", {"group": asked})
    assert reply.status_code == 202, reply.text
    assert reply.json() == {"group": {"id": reply.json()["group"]["id"], "name": asked["name"]}}
    return await cloud.until(reply.json()["group"]["id"], status, kind="group")


async def a_group(cloud: Cloud) -> str:
    await a_type(cloud)
    return str((await make(cloud))["id"])


async def inside(cloud: Cloud, group: str) -> str:
    """A volume in the group."""
    return str((await cloud.make(group_id=group, volume_type=TYPE))["id"])


async def act(cloud: Cloud, group: str, action: str, value: Any, who: str = "member") -> tuple[int, str]:
    reply = await cloud.call("POST", f"/groups/{group}/action", {action: value}, who=who)
    return reply.status_code, message(reply.json()) if reply.content else ""


async def change(cloud: Cloud, group: str, **wanted: Any) -> tuple[int, str]:
    reply = await cloud.call("PUT", f"/groups/{group}", {"group": wanted})
    return reply.status_code, message(reply.json()) if reply.content else ""


def message(fault: dict[str, Any]) -> str:
    return str(next(iter(fault.values()))["message"])


async def volumes_of(cloud: Cloud, group: str) -> list[str]:
    shown = (await cloud.call("GET", f"/groups/{group}?list_volume=true")).json()["group"]
    return list(shown["volumes"])


async def test_a_group_is_made_filled_and_deleted_with_what_is_inside(cloud: Cloud) -> None:
    group_type = await a_type(cloud)
    group = await make(cloud, description="d")
    volume_type = (await cloud.call("GET", "/types/default")).json()["volume_type"]["id"]
    assert group == {
        "id": group["id"],
        "name": "g",
        "description": "d",
        "status": "available",
        "availability_zone": "nova",
        "created_at": group["created_at"],
        "group_type": group_type,
        "volume_types": [volume_type],
        "group_snapshot_id": None,
        "source_group_id": None,
        "replication_status": "disabled",
    }
    volume = await inside(cloud, group["id"])
    assert (await cloud.until(volume, "available"))["group_id"] == group["id"]
    assert await volumes_of(cloud, group["id"]) == [volume]
    listed = (await cloud.call("GET", f"/volumes?group_id={group['id']}")).json()["volumes"]
    assert [one["id"] for one in listed] == [volume]
    status, why = await act(cloud, group["id"], "delete", {"delete-volumes": False})
    assert (status, why) == (
        400,
        f"Invalid Group: Group {group['id']} still contains volumes. The delete-volumes flag is required to "
        "delete it.",
    )
    assert (await act(cloud, group["id"], "delete", {"delete-volumes": True}))[0] == 202
    await cloud.until(group["id"], None, kind="group")
    await cloud.until(volume, None)
    assert await cloud.db.read(rows.wrong_rows) == []


async def test_a_project_has_so_many_groups_and_no_more(cloud: Cloud) -> None:
    await a_type(cloud)
    await cloud.call("PUT", f"/os-quota-sets/{PROJECT}", {"quota_set": {"groups": 1}}, who="admin")
    group = (await make(cloud))["id"]
    usage = (await cloud.call("GET", f"/os-quota-sets/{PROJECT}?usage=true")).json()["quota_set"]["groups"]
    assert usage == {"limit": 1, "in_use": 1, "reserved": 0}
    asked = {"group": {"group_type": "steady", "volume_types": [TYPE]}}
    reply = await cloud.call("POST", "/groups", asked)
    assert (reply.status_code, message(reply.json())) == (
        413,
        "GroupLimitExceeded: Maximum number of groups allowed (1) exceeded",
    )
    assert (await act(cloud, group, "delete", {}))[0] == 202
    await cloud.until(group, None, kind="group")
    assert (await make(cloud))["status"] == "available"


@pytest.mark.parametrize(
    ("wanted", "status", "why"),
    [
        ({"group_type": "none"}, 404, "Group type with name none could not be found."),
        ({"volume_types": ["none"]}, 404, "Volume type none could not be found."),
        ({"volume_types": []}, 400, None),
        ({"volume_types": [TYPE, TYPE]}, 400, None),
        ({"group_type": " "}, 400, None),
        (
            {"availability_zone": "mars"},
            400,
            "Invalid input received: Availability zone 'mars' is invalid.",
        ),
        ({"colour": "red"}, 400, "Additional properties are not allowed ('colour' was unexpected)."),
    ],
)
async def test_what_makes_no_sense_is_refused(
    cloud: Cloud, wanted: dict[str, Any], status: int, why: str | None
) -> None:
    await a_type(cloud)
    asked = {"group_type": "steady", "volume_types": [TYPE], **wanted}
    reply = await cloud.call("POST", "/groups", {"group": asked})
    assert reply.status_code == status, reply.text
    assert why in (None, message(reply.json()))


async def test_a_group_that_nobody_can_hold_is_in_error_and_says_why(cloud: Cloud) -> None:
    await a_type(cloud, group_replication_enabled="<is> True")
    group = await make(cloud, status="error")
    (told,) = (await cloud.call("GET", "/messages")).json()["messages"]
    assert (told["resource_uuid"], told["resource_type"]) == (group["id"], "VOLUME_GROUP")
    assert "No valid backend was found" in told["user_message"]
    reply = await cloud.call("POST", "/volumes", {"volume": {"size": 1, "group_id": group["id"]}})
    assert (reply.status_code, message(reply.json())) == (
        400,
        "Invalid Group: Originating group status must be one of 'available, creating' values",
    )
    assert (await act(cloud, group["id"], "delete", {}))[0] == 202
    assert (await cloud.call("GET", f"/groups/{group['id']}")).status_code == 404


async def test_volumes_come_and_go(cloud: Cloud) -> None:
    group = await a_group(cloud)
    volume, other = (await cloud.make())["id"], await inside(cloud, group)
    assert (await change(cloud, group, name="n", add_volumes=volume, remove_volumes=other))[0] == 202
    assert await volumes_of(cloud, group) == [volume]
    assert (await cloud.until(group, "available", kind="group"))["name"] == "n"
    assert (await change(cloud, group, add_volumes=f"{volume},"))[0] == 400
    assert (await cloud.call("DELETE", f"/volumes/{other}")).status_code == 202


async def test_what_may_not_come_or_go_stays_where_it_is(cloud: Cloud) -> None:
    group = await a_group(cloud)
    second = (await make(cloud))["id"]
    volume, elsewhere = (await cloud.make())["id"], await inside(cloud, second)
    other_type = await cloud.call("POST", "/types", {"volume_type": {"name": "other"}}, who="admin")
    unlike = (await cloud.make(volume_type="other"))["id"]
    theirs = (await cloud.make(who="other"))["id"]
    await cloud.call("POST", f"/volumes/{volume}/action", {"os-reset_status": {"status": "error"}}, who="admin")
    cannot = f"Invalid volume: Cannot add volume {{}} to group {group} "
    for wanted, why in (
        ({"add_volumes": "x"}, cannot.format("x") + "because volume cannot be found."),
        ({"add_volumes": theirs}, cannot.format(theirs) + "because volume cannot be found."),
        ({"add_volumes": elsewhere}, cannot.format(elsewhere) + f"because it is already in group {second}."),
        (
            {"add_volumes": unlike},
            cannot.format(unlike) + f"because volume type {other_type.json()['volume_type']['id']} is not "
            "supported by the group.",
        ),
        (
            {"add_volumes": volume},
            cannot.format(volume) + "because volume is in an invalid state: error. Valid states are: "
            "('available', 'in-use').",
        ),
        (
            {"remove_volumes": volume},
            f"Invalid volume: Cannot remove volume {volume} from group {group} because it is not in the group.",
        ),
        (
            {"add_volumes": volume, "remove_volumes": volume},
            f"Invalid volume: UUIDs ['{volume}'] are in both add and remove volume list.",
        ),
        (
            {"name": "g"},
            f"Invalid Group: Cannot update group {group} because no valid name, description, add_volumes, or "
            "remove_volumes were provided.",
        ),
    ):
        assert await change(cloud, group, **wanted) == (400, why)
    assert (await cloud.call("PUT", f"/groups/{group}", {"group": {}})).status_code == 400
    assert await volumes_of(cloud, group) == []


async def test_a_volume_is_made_where_its_group_is_or_not_at_all(cloud: Cloud) -> None:
    group = await a_group(cloud)
    kind = {"volume_type": {"name": "other"}}
    await cloud.call("POST", "/types", kind, who="admin")
    for wanted, why in (
        ({}, "Invalid input received: volume_type must be provided when creating a volume in a group."),
        (
            {"volume_type": "other"},
            "Invalid input received: Invalid volume_type provided: other (requested type must be supported by "
            "this group).",
        ),
    ):
        reply = await cloud.call("POST", "/volumes", {"volume": {"size": 1, "group_id": group, **wanted}})
        assert (reply.status_code, message(reply.json())) == (400, why)
    asked = {"volume": {"size": 1, "group_id": new_id(), "volume_type": TYPE}}
    assert (await cloud.call("POST", "/volumes", asked)).status_code == 404
    asked["volume"]["group_id"] = group
    reply = await cloud.call("POST", "/volumes", asked, who="admin")
    assert reply.status_code == 202
    await cloud.quiet()
    await cloud.db.write(groups.change, group, host="elsewhere@fake")
    reply = await cloud.call("POST", "/volumes", asked)
    await cloud.until(reply.json()["volume"]["id"], "error")


async def test_what_is_in_a_group_is_neither_deleted_nor_given_away(cloud: Cloud) -> None:
    volume = await inside(cloud, await a_group(cloud))
    tried = [
        await cloud.call("DELETE", f"/volumes/{volume}"),
        await cloud.call("DELETE", f"/volumes/{volume}?cascade=true"),
        await cloud.call("DELETE", f"/volumes/{volume}?force=true", who="admin"),
        await cloud.act(volume, "os-force_delete", who="admin"),
        await cloud.act(volume, "os-unmanage", who="admin"),
        await cloud.call("POST", "/volume-transfers", {"transfer": {"volume_id": volume}}),
    ]
    assert [reply.status_code for reply in tried] == [400] * len(tried)
    assert all("but it is in group " in reply.text for reply in tried)
    reply = await cloud.call("POST", "/snapshots", {"snapshot": {"volume_id": volume}})
    await cloud.until(reply.json()["snapshot"]["id"], "available", kind="snapshot")
    reply = await cloud.call("DELETE", f"/volumes/{volume}?cascade=true")
    assert (reply.status_code, "but it is in group " in reply.text) == (400, True)


async def test_a_group_stays_while_its_volumes_are_used(cloud: Cloud) -> None:
    group = await a_group(cloud)
    volume = await inside(cloud, group)
    made = await cloud.call("POST", "/attachments", {"attachment": {"volume_uuid": volume}})
    everything = {"delete-volumes": True}
    assert await act(cloud, group, "delete", everything) == (
        400,
        f"Invalid Group: Volume in group {group} is attached. Need to detach first.",
    )
    await cloud.call("DELETE", f"/attachments/{made.json()['attachment']['id']}")
    reply = await cloud.call("POST", "/snapshots", {"snapshot": {"volume_id": volume}})
    await cloud.until(reply.json()["snapshot"]["id"], "available", kind="snapshot")
    assert await act(cloud, group, "delete", everything) == (
        400,
        "Invalid Group: Volume in group still has dependent snapshots.",
    )
    assert (await cloud.until(volume, "available"))["group_id"] == group
    assert (await cloud.until(group, "available", kind="group"))["id"] == group


async def test_a_group_on_a_frozen_backend_stays_and_one_in_error_is_deleted(cloud: Cloud) -> None:
    group = await a_group(cloud)
    volume = await inside(cloud, group)
    await cloud.call("PUT", "/os-services/freeze", {"host": HOST}, who="admin")
    assert (await act(cloud, group, "delete", {"delete-volumes": True}))[0] == 400
    await cloud.call("PUT", "/os-services/thaw", {"host": HOST}, who="admin")
    status = {"status": "error"}
    assert (await act(cloud, group, "reset_status", status, who="admin"))[0] == 202
    assert (await act(cloud, group, "reset_status", {"status": "gone"}, who="admin"))[0] == 400
    assert (await act(cloud, group, "delete", {"delete-volumes": True}))[0] == 202
    await cloud.until(volume, None)
    await cloud.until(group, None, kind="group")


async def test_lists_show_one_s_own_and_no_other_sees_them(cloud: Cloud) -> None:
    await a_type(cloud)
    first, second = (await make(cloud, name="a"))["id"], (await make(cloud, name="b"))["id"]
    volume = await inside(cloud, first)

    async def listed(path: str, who: str = "member") -> list[dict[str, Any]]:
        reply = await cloud.call("GET", path, who=who)
        assert reply.status_code == 200, reply.text
        return list(reply.json()["groups"])

    assert await listed("/groups") == [{"id": second, "name": "b"}, {"id": first, "name": "a"}]
    shown = await listed("/groups/detail?list_volume=true&sort=name:asc")
    assert [(one["name"], one["volumes"]) for one in shown] == [("a", [volume]), ("b", [])]
    assert [one["name"] for one in await listed("/groups?name=a")] == ["a"]
    assert [one["name"] for one in await listed(f"/groups?marker={second}")] == ["a"]
    page = (await cloud.call("GET", "/groups?limit=1")).json()
    assert page["group_links"][0]["href"].endswith(f"marker={second}")
    assert await listed("/groups", who="other") == await listed("/groups?all_tenants=1", who="other") == []
    everybody = await listed("/groups/detail?all_tenants=1&status=available", who="admin")
    assert {one["project_id"] for one in everybody} == {PROJECT}
    for reply in (
        await cloud.call("GET", f"/groups/{first}", who="other"),
        await cloud.call("PUT", f"/groups/{first}", {"group": {"name": "x"}}, who="other"),
        await cloud.call("POST", f"/groups/{first}/action", {"delete": {}}, who="other"),
        await cloud.call(
            "POST", "/volumes", {"volume": {"size": 1, "group_id": first, "volume_type": TYPE}}, who="other"
        ),
    ):
        assert (reply.status_code, message(reply.json())) == (404, f"Group {first} could not be found.")
    volumes = await cloud.call("GET", f"/groups/{first}?list_volume=true", version="3.24")
    assert "volumes" not in volumes.json()["group"]


async def test_a_group_type_that_a_group_has_stays(cloud: Cloud) -> None:
    group_type = await a_type(cloud)
    group = await make(cloud)
    path = f"/group_types/{group_type}"
    reply = await cloud.call("DELETE", path, who="admin")
    assert (reply.status_code, message(reply.json())) == (400, "Target group type is still in use.")
    await act(cloud, group["id"], "delete", {})
    await cloud.until(group["id"], None, kind="group")
    assert (await cloud.call("DELETE", path, who="admin")).status_code == 202


async def test_replication_is_refused_for_the_reason_that_comes_first(cloud: Cloud) -> None:
    group = await a_group(cloud)
    asked: dict[str, dict[str, Any]] = {
        "enable_replication": {},
        "disable_replication": {},
        "failover_replication": {"allow_attached_volume": True, "secondary_backend_id": "x"},
        "list_replication_targets": {},
    }
    why = f"Invalid group type: Group {group} is not a replication group type."
    for action, value in asked.items():
        assert await act(cloud, group, action, value) == (400, why)
        assert (await act(cloud, new_id(), action, value))[0] == 404
        assert (await act(cloud, group, action, []))[0] == 400
    await a_type(cloud, "replicated", group_replication_enabled="<is> True")
    plain = await make(cloud, status="error", group_type="replicated")
    _, why = await act(cloud, plain["id"], "enable_replication", {})
    assert "does not have 'replication_enabled' spec key set to '<is> True'." in why
    kind = {"name": "replicated", "extra_specs": {"replication_enabled": "<is> True"}}
    await cloud.call("POST", "/types", {"volume_type": kind}, who="admin")
    group = (await make(cloud, status="error", group_type="replicated", volume_types=["replicated"]))["id"]
    cannot = f"Invalid Group: Group {group} {{}}, but current status is: {{}}. Cannot {{}} replication."
    for action, words in (
        ("enable_replication", ("status must be ['available']", "error", "enable")),
        ("disable_replication", ("replication status must be ['enabled', 'error']", "disabled", "disable")),
        ("failover_replication", ("status must be ['available']", "error", "failover")),
    ):
        assert await act(cloud, group, action, {}) == (400, cannot.format(*words))
    assert await act(cloud, group, "list_replication_targets", {}) == (
        400,
        "Invalid Group: No backend replicates. Cannot list replication targets.",
    )


async def test_an_action_that_needs_a_group_or_needs_none_is_refused_elsewhere(cloud: Cloud) -> None:
    for path, body in (
        ("/groups/action", {"delete": {"delete-volumes": False}}),
        ("/groups/action", {"reset_status": {"status": "available"}}),
        ("/groups/action", {"enable_replication": {}}),
        ("/groups/action", {"disable_replication": {}}),
        ("/groups/action", {"failover_replication": {}}),
        ("/groups/action", {"list_replication_targets": {}}),
        (f"/groups/{new_id()}/action", {"create-from-src": {"source_group_id": new_id()}}),
    ):
        answer = await cloud.call("POST", path, body, who="admin")
        assert answer.status_code == 400, (path, body)
