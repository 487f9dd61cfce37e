"""Every route of Image with every image of another project: what is not shared with one is not there."""

import json
from collections.abc import Iterator
from itertools import product
from typing import Any

import sqlalchemy as sa

from pumice.api.routing import Route
from pumice.model.ids import new_id
from pumice.store import tables
from pumice.store.database import Transaction

THIRD = new_id()
PATCH_TYPE = "application/openstack-images-v2.1-json-patch"


async def theirs(rig: Any) -> list[str]:
    """An image with bytes, one that waits for them, and one that is shared with somebody else."""
    active, queued = await rig.create(visibility="private"), await rig.create(visibility="private")
    shared = await rig.create(visibility="shared")
    for image in (active, shared):
        assert (await rig.upload(image, b"x" * 1000)).status_code == 204
    answer = await rig.member.post(f"/v2/images/{shared}/members", json={"member": THIRD})
    assert answer.status_code == 200, answer.text
    return [active, queued, shared]


def bodies(route: Route, it: str, owner: str) -> list[Any]:
    """What the route may be sent, as JSON if it is no bytes."""
    named: dict[tuple[str, str], list[Any]] = {
        ("POST", "/v2/images"): [{"id": it, "name": "x"}, {"name": it, "owner": owner}],
        ("POST", "/v2/images/{id}/members"): [{"member": it}, {"member": owner}],
        ("PUT", "/v2/images/{id}/members/{member_id}"): [{"status": "accepted"}, {"status": "rejected"}],
        ("PUT", "/v2/images/{id}/file"): [b"y" * 1000],
        ("PATCH", "/v2/images/{id}"): [
            [{"op": "replace", "path": "/name", "value": "x"}],
            [{"op": "replace", "path": "/visibility", "value": "public"}],
            [{"op": "replace", "path": "/owner", "value": owner}],
        ],
    }
    return named.get((route.method, route.path), [None])


def requests(rig: Any, images: list[str], mine: str, projects: dict[str, str]) -> Iterator[tuple[str, ...]]:
    """Each route with each of their images in its path, its body or its query."""
    for route in rig.service.table.routes:
        if route.rule is None or route.rule.name in ("get_schemas", "get_import_info"):
            continue
        for it, member in product(images, (projects["ours"], projects["theirs"], THIRD)):
            path = route.path.replace("{tag}", "t").replace("{member_id}", member)
            for inside, body in product((it, mine), bodies(route, it, projects["ours"])):
                yield route.method, path.replace("{id}", inside), body, it
    for it, query in product(images, ("id", "marker", "name")):
        yield "GET", f"/v2/images?{query}={it}&visibility=all&member_status=all", None, it
    yield "GET", f"/v2/images?owner={projects['ours']}&visibility=all&member_status=all", None, images[0]


async def rows_of(rig: Any, owner: str) -> list[Any]:
    def read(tx: Transaction) -> list[Any]:
        images, members = tables.images, tables.image_members
        kept = tx.execute(sa.select(images).where(images.c.owner == owner).order_by(images.c.id)).all()
        return [kept, tx.execute(sa.select(members).order_by(members.c.image_id)).all()]

    return [*await rig.db.read(read), rig.bytes_left()]


async def test_no_route_does_or_tells_anything_about_an_image_of_others(
    rig: Any, projects: dict[str, str]
) -> None:
    images = await theirs(rig)
    answer = await rig.stranger.post("/v2/images", json={"name": "mine", "visibility": "private"})
    mine = answer.json()["id"]
    before, tried = await rows_of(rig, projects["ours"]), 0
    for method, path, body, it in requests(rig, images, mine, projects):
        if mine in path and method in ("DELETE", "PUT"):
            continue
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        kind = PATCH_TYPE if method == "PATCH" else kind
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        asked = f"{method} {path} {body!r}"
        answer = await rig.stranger.request(method, path, content=content, headers={"Content-Type": kind})
        assert answer.status_code < 500, (asked, answer.text)
        told = [one for one in (*images, THIRD) if one in answer.text and one not in asked]
        assert not told, (asked, answer.text)
        if "?" not in path and it in path:
            assert answer.status_code == 404, (asked, answer.status_code, answer.text)
        elif it in asked and answer.status_code < 300:
            assert not answer.json().get("images"), (asked, answer.text)
        tried += 1
    assert tried > 200
    assert await rows_of(rig, projects["ours"]) == before


async def test_who_an_image_is_shared_with_sees_it_and_no_other_member(
    rig: Any, projects: dict[str, str]
) -> None:
    _, _, shared = await theirs(rig)
    await rig.member.post(f"/v2/images/{shared}/members", json={"member": projects["theirs"]})
    assert (await rig.stranger.get(f"/v2/images/{shared}/file")).content == b"x" * 1000
    answer = await rig.stranger.get(f"/v2/images/{shared}/members")
    assert [one["member_id"] for one in answer.json()["members"]] == [projects["theirs"]]
    for method, path in (
        ("GET", f"/members/{THIRD}"), ("PUT", f"/members/{THIRD}"), ("DELETE", f"/members/{THIRD}"),
        ("DELETE", f"/members/{projects['theirs']}"), ("DELETE", ""), ("POST", "/actions/deactivate"),
    ):  # fmt: skip
        body = {"status": "accepted"} if method == "PUT" else None
        answer = await rig.stranger.request(method, f"/v2/images/{shared}{path}", json=body)
        assert answer.status_code in (403, 404), (method, path, answer.status_code)
