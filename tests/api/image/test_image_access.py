"""Who sees, changes and shares which image."""

from typing import Any

import pytest

from databases import ON_SQLITE
from pumice.api.routing import Route

ANYBODY = {"get_schemas", "get_import_info"}
READING = {"get_image", "get_images", "get_member", "get_members"}


def guarded(rig: Any) -> list[Route]:
    return [route for route in rig.service.table.routes if route.rule and route.rule.name not in ANYBODY]


def path_of(route: Route, image_id: str) -> str:
    return route.path.format(id=image_id, tag="blue", member_id="them")


async def test_every_route_but_the_versions_wants_a_token(rig: Any) -> None:
    image_id = await rig.create()
    for route in rig.service.table.routes:
        answer = await rig.member.request(
            route.method, path_of(route, image_id), headers={"X-Auth-Token": "unknown"}
        )
        expected = {401} if route.rule else {200, 300}
        assert answer.status_code in expected, route


async def test_every_route_refuses_who_has_no_role(rig: Any) -> None:
    image_id = await rig.create(visibility="private")
    for route in guarded(rig):
        answer = await rig.nobody.request(route.method, path_of(route, image_id))
        assert answer.status_code == 403, route


async def test_every_route_that_changes_something_refuses_a_reader(rig: Any) -> None:
    image_id = await rig.create()
    for route in guarded(rig):
        answer = await rig.reader.request(route.method, path_of(route, image_id))
        assert (answer.status_code == 403) == (route.rule.name not in READING), route


async def test_another_tenants_private_image_is_404_on_every_route(rig: Any) -> None:
    image_id = await rig.create(visibility="private")
    bodies: dict[str, dict[str, Any]] = {
        "PATCH": {
            "content": b"[]",
            "headers": {"Content-Type": "application/openstack-images-v2.1-json-patch"},
        },
        "POST": {"json": {"member": "them"}},
        "PUT": {"json": {"status": "accepted"}},
    }
    for route in guarded(rig):
        if "{id}" not in route.path:
            continue
        body = bodies.get(route.method, {})
        if route.path.endswith("/file") and route.method == "PUT":
            body = {"content": b"bytes", "headers": {"Content-Type": "application/octet-stream"}}
        answer = await rig.stranger.request(route.method, path_of(route, image_id), **body)
        assert answer.status_code == 404, route
    assert (await rig.stranger.get("/v2/images")).json()["images"] == []
    assert (await rig.stranger.get("/v2/images", params={"marker": image_id})).status_code == 400


@pytest.mark.parametrize("visibility", ["public", "community"])
async def test_what_others_show_can_be_read_but_not_changed(rig: Any, visibility: str) -> None:
    image_id = await rig.create()
    await rig.upload(image_id, b"bytes")
    patch = [{"op": "replace", "path": "/visibility", "value": visibility}]
    assert (await change(rig.admin, image_id, patch)).status_code == 200
    assert (await rig.stranger.get(f"/v2/images/{image_id}")).json()["visibility"] == visibility
    assert (await rig.stranger.get(f"/v2/images/{image_id}/file")).content == b"bytes"
    assert (await change(rig.stranger, image_id, patch)).status_code == 403
    assert (await rig.stranger.delete(f"/v2/images/{image_id}")).status_code == 403
    assert (await rig.stranger.put(f"/v2/images/{image_id}/tags/mine")).status_code == 403
    assert (await rig.upload(image_id, b"mine", caller="stranger")).status_code == 403


async def change(client: Any, image_id: str, patch: list[dict[str, Any]]) -> Any:
    headers = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    return await client.request("PATCH", f"/v2/images/{image_id}", json=patch, headers=headers)


async def test_community_images_of_others_are_listed_only_when_asked_for(rig: Any) -> None:
    image_id = await rig.create(visibility="community")
    assert (await rig.stranger.get("/v2/images")).json()["images"] == []
    assert [i["id"] for i in (await rig.member.get("/v2/images")).json()["images"]] == [image_id]
    for visibility in ("community", "all"):
        found = (await rig.stranger.get("/v2/images", params={"visibility": visibility})).json()["images"]
        assert [image["id"] for image in found] == [image_id]


async def test_only_an_administrator_makes_an_image_public(rig: Any) -> None:
    answer = await rig.member.post("/v2/images", json={"visibility": "public"})
    assert answer.status_code == 403
    image_id = await rig.create()
    patch = [{"op": "replace", "path": "/visibility", "value": "public"}]
    assert (await change(rig.member, image_id, patch)).status_code == 403
    assert (await change(rig.admin, image_id, patch)).status_code == 200


async def test_only_an_administrator_gives_an_image_to_another_project(
    rig: Any, projects: dict[str, str]
) -> None:
    theirs = projects["theirs"]
    assert (await rig.member.post("/v2/images", json={"owner": theirs})).status_code == 403
    image_id = await rig.create()
    patch = [{"op": "replace", "path": "/owner", "value": theirs}]
    assert (await change(rig.member, image_id, patch)).status_code == 403
    assert (await change(rig.admin, image_id, patch)).json()["owner"] == theirs
    assert (await rig.admin.post("/v2/images", json={"owner": theirs})).json()["owner"] == theirs
    assert (await rig.member.get(f"/v2/images/{image_id}")).status_code == 404


async def test_a_shared_image_is_listed_once_its_member_accepts(rig: Any, projects: dict[str, str]) -> None:
    image_id, them = await rig.create(), projects["theirs"]
    members = f"/v2/images/{image_id}/members"
    added = await rig.member.post(members, json={"member": them})
    assert (added.status_code, added.json()["status"]) == (200, "pending")
    assert added.json()["schema"] == "/v2/schemas/member"
    assert (await rig.member.post(members, json={"member": them})).status_code == 409

    assert (await rig.stranger.get(f"/v2/images/{image_id}")).status_code == 200
    assert (await rig.stranger.get("/v2/images")).json()["images"] == []
    pending = (await rig.stranger.get("/v2/images", params={"member_status": "pending"})).json()["images"]
    assert [image["id"] for image in pending] == [image_id]

    assert (await rig.member.put(f"{members}/{them}", json={"status": "accepted"})).status_code == 403
    answer = await rig.stranger.put(f"{members}/{them}", json={"status": "accepted"})
    assert (answer.status_code, answer.json()["status"]) == (200, "accepted")
    assert [i["id"] for i in (await rig.stranger.get("/v2/images")).json()["images"]] == [image_id]

    assert (await rig.stranger.delete(f"{members}/{them}")).status_code == 403
    assert (await rig.member.delete(f"{members}/{them}")).status_code == 204
    assert (await rig.stranger.get(f"/v2/images/{image_id}")).status_code == 404
    assert (await rig.member.delete(f"{members}/{them}")).status_code == 404


async def test_a_member_sees_itself_alone_among_the_members(rig: Any, projects: dict[str, str]) -> None:
    image_id, them = await rig.create(), projects["theirs"]
    members = f"/v2/images/{image_id}/members"
    for member in (them, "another"):
        await rig.member.post(members, json={"member": member})
    assert len((await rig.member.get(members)).json()["members"]) == 2
    assert [m["member_id"] for m in (await rig.stranger.get(members)).json()["members"]] == [them]
    assert (await rig.stranger.get(f"{members}/{them}")).status_code == 200
    assert (await rig.stranger.get(f"{members}/another")).status_code == 404


async def test_an_image_that_is_not_shared_has_no_members(rig: Any) -> None:
    members = f"/v2/images/{await rig.create(visibility='private')}/members"
    assert (await rig.member.post(members, json={"member": "them"})).status_code == 403
    assert (await rig.member.get(members)).status_code == 403
    assert (await rig.member.get(f"{members}/them")).status_code == 404


@ON_SQLITE
@pytest.mark.parametrize("body", [{}, {"member": ""}, {"member": None}, {"member": "x" * 40}, [], "them"])
async def test_a_member_that_is_none_is_400(rig: Any, body: Any) -> None:
    image_id = await rig.create()
    assert (await rig.member.post(f"/v2/images/{image_id}/members", json=body)).status_code == 400


async def test_an_answer_that_is_none_is_400(rig: Any, projects: dict[str, str]) -> None:
    image_id, them = await rig.create(), projects["theirs"]
    await rig.member.post(f"/v2/images/{image_id}/members", json={"member": them})
    for body in ({}, {"status": "perhaps"}, []):
        answer = await rig.stranger.put(f"/v2/images/{image_id}/members/{them}", json=body)
        assert answer.status_code == 400
