"""Bodies that nobody would write, to every route that takes one: each is an answer below 500."""

import random
from typing import Any

import pytest
from any_body import ask, models, some_body
from volume_cloud import SCOPES, Cloud

from databases import ON_SQLITE
from pumice.api.compute.service import compute_service
from pumice.api.image.service import image_service
from pumice.api.own.service import own_service
from pumice.images.files import ImageFiles
from pumice.model.ids import new_id


@pytest.mark.parametrize("seed", range(3))
async def test_no_body_is_answered_with_a_bug(cloud: Cloud, tmp_path: Any, seed: int) -> None:
    dice = random.Random(seed)
    ctx = cloud.service.ctx
    images = image_service(ctx, ImageFiles(tmp_path / "images"))
    services = [cloud.service, compute_service(ctx), images, own_service(ctx)]
    shapes = list(models())
    things = [(await cloud.make())["id"], new_id(), "x"]
    await cloud.stop()  # what is accepted need not be done
    for service in services:
        for route in service.table.routes:
            if route.method not in ("POST", "PUT", "PATCH"):
                continue
            for _ in range(4):
                body = some_body(route, shapes, dice)
                who = "admin" if dice.random() < 0.5 else dice.choice(sorted(SCOPES))
                ctx.tunables = type(ctx.tunables)(api_wait_seconds=0.001, service_down_seconds=3600)
                status, told = await ask(service, route, body, things, dice, who)
                waits = status == 503 and b"in time; it goes on" in told
                assert status < 500 or waits, (
                    who,
                    route.method,
                    route.path,
                    route.action,
                    str(body)[:500],
                    told,
                )


@ON_SQLITE
async def test_no_route_takes_a_nul(cloud: Cloud, tmp_path: Any) -> None:
    """PostgreSQL keeps none in a text, and in JSON only until somebody searches it."""
    dice, ctx = random.Random(0), cloud.service.ctx
    images = image_service(ctx, ImageFiles(tmp_path / "images"))
    services = [cloud.service, compute_service(ctx), images, own_service(ctx)]
    told_so = 0
    for service in services:
        for route in service.table.routes:
            for nul in ({"a\0": 1}, {"a": ["\0"]}):
                body = {route.action: nul} if route.action else nul
                status, told = await ask(service, route, body, [new_id()], dice, "admin")
                told_so += b"holds a NUL" in told
                reads = route.method in ("POST", "PUT", "PATCH")
                assert not reads or status >= 400 or not told, (route.method, route.path, route.action, told)
    assert told_so > 200
    for path in ("/volumes/detail", "/snapshots", "/types", "/attachments", "/backups", "/os-services"):
        refused = await cloud.call("GET", f"{path}?name=a%00", who="admin")
        assert refused.status_code == 400 and "holds a NUL" in refused.text


async def test_a_row_that_was_stored_too_deep_does_not_end_a_list(cloud: Cloud) -> None:
    from pumice.store import volumes

    volume = (await cloud.make())["id"]
    deep: Any = "x"
    for _ in range(250):
        deep = {"x": deep}
    await cloud.db.write(lambda tx: volumes.change(tx, volume, metadata={"a": deep}))
    reply = await cloud.call("GET", "/volumes/detail")
    assert reply.status_code == 200
    assert [one["id"] for one in reply.json()["volumes"]] == [volume]
