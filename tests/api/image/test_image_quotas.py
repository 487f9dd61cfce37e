"""What a project's images may be together."""

from collections.abc import Callable
from typing import Any

from pumice.model.image import ImageQuota

BYTES = {"Content-Type": "application/octet-stream"}


async def put(rig: Any, image: str, size: int) -> int:
    path = f"/v2/images/{image}/file"
    answer = await rig.member.put(path, content=b"\x55" * size, headers=BYTES)
    return int(answer.status_code)


async def test_a_project_has_so_many_images_and_no_more(open_house: Callable[..., Any]) -> None:
    rig = open_house(quota=ImageQuota(count=2))
    first = await rig.create()
    await rig.create()
    body = {"name": "one", "disk_format": "raw", "container_format": "bare"}
    answer = await rig.member.post("/v2/images", json=body)
    assert answer.status_code == 413
    assert "may have 2" in answer.text
    assert (await rig.stranger.post("/v2/images", json=body)).status_code == 201
    await rig.member.delete(f"/v2/images/{first}")
    await rig.create()


async def test_a_projects_images_have_so_many_bytes_together(open_house: Callable[..., Any]) -> None:
    rig = open_house(quota=ImageQuota(size=100_000))
    first, second = await rig.create(), await rig.create()
    assert await put(rig, first, 60_000) == 204
    assert await put(rig, second, 60_000) == 413
    assert (await rig.member.get(f"/v2/images/{second}")).json()["status"] == "queued"
    assert await put(rig, second, 40_000) == 204
    await rig.member.delete(f"/v2/images/{first}")
    assert await put(rig, await rig.create(), 60_000) == 204
