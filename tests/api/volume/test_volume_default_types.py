"""Default volume types that projects have of their own."""

from volume_cloud import OTHER_PROJECT, PROJECT, Cloud


async def new_type(cloud: Cloud, name: str) -> str:
    reply = await cloud.call("POST", "/types", {"volume_type": {"name": name}}, who="admin")
    return str(reply.json()["volume_type"]["id"])


async def set_default(cloud: Cloud, project: str, kind: str) -> int:
    body = {"default_type": {"volume_type": kind}}
    return (await cloud.call("PUT", f"/default-types/{project}", body, who="admin")).status_code


async def test_volumes_of_a_project_that_name_no_type_have_its_default(cloud: Cloud) -> None:
    await new_type(cloud, "fast")
    assert await set_default(cloud, PROJECT, "fast") == 200
    assert (await cloud.make())["volume_type"] == "fast"
    assert (await cloud.make(volume_type="__DEFAULT__"))["volume_type"] == "__DEFAULT__"
    assert (await cloud.make(who="other"))["volume_type"] == "__DEFAULT__"
    assert (await cloud.call("GET", "/types/default")).json()["volume_type"]["name"] == "fast"


async def test_default_types_are_set_shown_listed_and_unset(cloud: Cloud) -> None:
    fast, slow = await new_type(cloud, "fast"), await new_type(cloud, "slow")
    path = f"/default-types/{PROJECT}"
    assert (await cloud.call("GET", path, who="admin")).status_code == 404
    for kind in ("fast", slow):
        assert await set_default(cloud, PROJECT, kind) == 200
    assert await set_default(cloud, OTHER_PROJECT, fast) == 200
    mine = {"project_id": PROJECT, "volume_type_id": slow}
    others = {"project_id": OTHER_PROJECT, "volume_type_id": fast}
    assert (await cloud.call("GET", path, who="admin")).json() == {"default_type": mine}
    every = (await cloud.call("GET", "/default-types", who="admin")).json()
    assert every == {"default_types": [mine, others]}
    for _ in range(2):
        assert (await cloud.call("DELETE", path, who="admin")).status_code == 204
    assert (await cloud.call("GET", "/default-types", who="admin")).json() == {"default_types": [others]}


async def test_what_is_no_type_is_no_default_and_a_default_is_not_deleted(cloud: Cloud) -> None:
    assert await set_default(cloud, PROJECT, "nothing") == 400
    fast = await new_type(cloud, "fast")
    await set_default(cloud, PROJECT, fast)
    assert (await cloud.call("DELETE", f"/types/{fast}", who="admin")).status_code == 400
    await cloud.call("DELETE", f"/default-types/{PROJECT}", who="admin")
    assert (await cloud.call("DELETE", f"/types/{fast}", who="admin")).status_code == 202
