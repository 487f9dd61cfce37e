"""What many small requests add up to is bounded: every list tells all of it."""

from collections.abc import Mapping
from dataclasses import replace

import httpx
import pytest
from volume_cloud import Cloud

from databases import ON_SQLITE

pytestmark = ON_SQLITE
PIECE = 60_000


async def put(cloud: Cloud, door: str, things: Mapping[str, str], more: Mapping[str, str]) -> httpx.Response:
    if door == "image":
        return await cloud.act(things["volumes"], "os-set_image_metadata", {"metadata": more})
    return await cloud.call("POST", f"/{door}/{things[door]}/metadata", {"metadata": more})


@pytest.mark.parametrize("door", ["volumes", "snapshots", "image"])
async def test_metadata_that_grows_request_by_request_comes_to_an_end(cloud: Cloud, door: str) -> None:
    cloud.service.ctx.tunables = replace(cloud.service.ctx.tunables, api_max_metadata=3 * PIECE)
    volume = (await cloud.make())["id"]
    asked = {"snapshot": {"volume_id": volume}}
    snapshot = (await cloud.call("POST", "/snapshots", asked)).json()["snapshot"]["id"]
    await cloud.until(snapshot, "available", kind="snapshot")
    things = {"volumes": volume, "snapshots": snapshot}
    pieces = [{f"{piece}-{key}": "x" * 240 for key in range(PIECE // 250)} for piece in range(4)]
    statuses = [(await put(cloud, door, things, piece)).status_code for piece in pieces]
    assert statuses == [200, 200, 200, 413]
    assert (await put(cloud, door, things, {"0-0": "less"})).status_code == 200
    cloud.service.ctx.tunables = replace(cloud.service.ctx.tunables, api_max_metadata=PIECE)
    assert (await put(cloud, door, things, {"0-1": "less"})).status_code == 200, "what shrinks is let through"
    refused = await put(cloud, door, things, {"0-1": "more than that"})
    assert refused.status_code == 413
    assert f"at most {PIECE} characters" in refused.text
