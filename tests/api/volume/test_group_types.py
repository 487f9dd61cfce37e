"""Types of groups over HTTP: made, changed, shown to whom they concern, and their specs key by key."""

from typing import Any

from volume_cloud import Cloud

from databases import ON_SQLITE
from pumice.catalog import group_types
from pumice.model.ids import new_id

pytestmark = ON_SQLITE


async def ask(
    cloud: Cloud, method: str, path: str = "", body: Any = None, who: str = "admin"
) -> tuple[int, Any]:
    answer = await cloud.call(method, f"/group_types{path}", body, who=who)
    return answer.status_code, answer.json() if answer.content else None


async def make(cloud: Cloud, name: str = "steady", **wanted: Any) -> dict[str, Any]:
    status, made = await ask(cloud, "POST", "", {"group_type": {"name": name, **wanted}})
    assert status == 202, made
    return dict(made["group_type"])


async def test_they_are_made_changed_and_forgotten(cloud: Cloud) -> None:
    made = await make(cloud, description="d", group_specs={"a": "b"})
    path = f"/{made['id']}"
    assert made == {
        "id": made["id"],
        "name": "steady",
        "description": "d",
        "is_public": True,
        "group_specs": {"a": "b"},
    }
    assert await ask(cloud, "PUT", path, {"group_type": {"name": "n", "is_public": False}}) == (
        200,
        {"group_type": made | {"name": "n", "is_public": False}},
    )
    assert (await ask(cloud, "PUT", path, {"group_type": {}}))[0] == 400
    assert (await ask(cloud, "PUT", path, {"group_type": {"name": " "}}))[0] == 400
    assert await ask(cloud, "DELETE", path) == (202, None)
    for method, body in (("GET", None), ("DELETE", None), ("PUT", {"group_type": {"name": "n"}})):
        status, fault = await ask(cloud, method, path, body)
        assert (status, fault["itemNotFound"]["message"]) == (
            404,
            f"Group type {made['id']} could not be found.",
        )


async def test_a_name_is_taken_once(cloud: Cloud) -> None:
    first, second = await make(cloud), await make(cloud, "other")
    taken = (409, "Group Type steady already exists.")
    for method, path in (("POST", ""), ("PUT", f"/{second['id']}")):
        status, fault = await ask(cloud, method, path, {"group_type": {"name": "steady"}})
        assert (status, fault["conflictingRequest"]["message"]) == taken
    assert (await ask(cloud, "PUT", f"/{first['id']}", {"group_type": {"name": "steady"}}))[0] == 200


async def test_specs_come_and_go_key_by_key(cloud: Cloud) -> None:
    path = f"/{(await make(cloud, group_specs={'a': 'b'}))['id']}/group_specs"
    assert await ask(cloud, "POST", path, {"group_specs": {"c": "d"}}) == (202, {"group_specs": {"c": "d"}})
    assert await ask(cloud, "GET", path) == (200, {"group_specs": {"a": "b", "c": "d"}})
    assert await ask(cloud, "PUT", f"{path}/c", {"c": "e"}) == (200, {"c": "e"})
    assert await ask(cloud, "GET", f"{path}/c") == (200, {"c": "e"})
    for body in ({"x": "y"}, {}, {"c": "d", "x": "y"}, {"c": 7}, [], None):
        assert (await ask(cloud, "PUT", f"{path}/c", body))[0] == 400, body
    assert (await ask(cloud, "POST", path, {"group_specs": {"with space": "d"}}))[0] == 400
    assert await ask(cloud, "DELETE", f"{path}/c") == (202, None)
    assert (await ask(cloud, "GET", f"{path}/c"))[0] == (await ask(cloud, "DELETE", f"{path}/c"))[0] == 404
    assert (await ask(cloud, "GET", f"/{new_id()}/group_specs"))[0] == 404


async def test_tenants_see_the_public_ones_and_no_specs(cloud: Cloud) -> None:
    public, private = await make(cloud, "a"), await make(cloud, "b", is_public=False)
    status, shown = await ask(cloud, "GET", who="nobody")
    assert status == 200
    assert [kind["name"] for kind in shown["group_types"]] == ["a"]
    assert "group_specs" not in shown["group_types"][0]
    assert (await ask(cloud, "GET", f"/{public['id']}", who="member"))[0] == 200
    assert (await ask(cloud, "GET", f"/{private['id']}", who="member"))[0] == 404
    for query, names in (("", "a"), ("&is_public=false", "b"), ("&is_public=None", "ab")):
        _, shown = await ask(cloud, "GET", f"?sort=name:asc{query}")
        assert "".join(kind["name"] for kind in shown["group_types"]) == names
    _, shown = await ask(cloud, "GET", "?sort=name:asc&is_public=None&limit=1")
    assert [kind["name"] for kind in shown["group_types"]] == ["a"]
    assert shown["group_type_links"][0]["href"].endswith(f"marker={public['id']}")


async def test_the_older_api_s_type_is_made_once_and_there_is_no_default(cloud: Cloud) -> None:
    for _ in range(2):
        await cloud.db.write(group_types.make_default)
    (kind,) = (await ask(cloud, "GET"))[1]["group_types"]
    assert kind["name"] == "default_cgsnapshot_type"
    assert kind["group_specs"] == {"consistent_group_snapshot_enabled": "<is> True"}
    status, fault = await ask(cloud, "GET", "/default")
    assert (status, fault["itemNotFound"]["message"]) == (404, "Default group type can not be found.")
