"""A query asks for so much and no more, whatever list of whatever service it is sent to."""

import re
from typing import Any

import pytest
from volume_cloud import Cloud

from pumice.api.compute.service import compute_service
from pumice.api.identity.service import identity_service
from pumice.api.image.service import image_service
from pumice.api.service import Service
from pumice.images.files import ImageFiles

MANY = [
    "metadata=" + str({str(number): "x" for number in range(100)}),
    "tags=" + ",".join(map(str, range(100))),
    "sort=" + ",".join(["name"] * 100),
    "created_at=" + ",".join(["gt:2026-01-01T00:00:00"] * 100),
    "id=in:" + ",".join(map(str, range(100))),
    "&".join(f"tag={number}" for number in range(100)),
    "&".join(["sort_key=name&sort_dir=asc"] * 100),
    "sort=" + "%2C".join(["name"] * 100),
]


async def ask(service: Service, path: str, query: str, who: str = "admin", version: str = "") -> int:
    """The status of one GET without a client between."""
    found: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            found.append(message["status"])

    async def receive() -> Any:
        return {"type": "http.request"}

    headers = [(b"x-auth-token", who.encode())]
    if version:
        headers.append((b"openstack-api-version", version.encode()))
    scope = {"type": "http", "method": "GET", "path": path, "query_string": query.encode(), "headers": headers}
    await service(scope, receive, send)
    return found[0]


@pytest.mark.parametrize("query", MANY, ids=[query[:12] for query in MANY])
async def test_a_query_of_many_parts_is_refused_by_every_list(cloud: Cloud, tmp_path: Any, query: str) -> None:
    ctx = cloud.service.ctx
    services = [
        cloud.service,
        compute_service(ctx),
        identity_service(ctx),
        image_service(ctx, ImageFiles(tmp_path / "images")),
    ]
    for service in services:
        for route in service.table.routes:
            if route.method == "GET" and route.rule is not None:
                path = service.prefix + re.sub(r"\{\w+\}", "x", route.path)
                assert await ask(service, path, query) == 400, (path, query[:20])


async def test_what_people_ask_is_answered(cloud: Cloud) -> None:
    pairs = str({str(number): "x" for number in range(50)})
    sort = "name:asc,name:desc,size,created_at,id,status,name"
    query = (
        f"/volumes/detail?metadata={pairs}&sort={sort}&created_at=gt:2026-01-01T00:00:00,lt:2027-01-01T00:00:00"
    )
    reply = await cloud.call("GET", query)
    assert (reply.status_code, reply.json()["volumes"]) == (200, [])


async def test_a_repeated_sort_key_counts_once(cloud: Cloud) -> None:
    for name in ("b", "a", "c"):
        await cloud.make(name=name)
    found = (await cloud.call("GET", "/volumes?sort=name:asc,name:desc,name")).json()["volumes"]
    assert [one["name"] for one in found] == ["a", "b", "c"]
