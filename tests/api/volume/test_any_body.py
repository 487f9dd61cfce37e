"""Bodies that nobody would write, to every route that takes one: each is an answer below 500."""

import json
import random
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from volume_cloud import Cloud

from pumice.api.compute.service import compute_service
from pumice.api.image.service import image_service
from pumice.api.routing import Route
from pumice.api.service import Service
from pumice.images.files import ImageFiles
from pumice.model.ids import new_id

DEEP: Any = 1
for _ in range(200):
    DEEP = {"x": [DEEP]}
NASTY: list[Any] = [
    None, True, 0, -1, 1, 2**31, 2**63, -(2**63) - 1, 2**64 - 1, 1e300, 0.5, "", " ", "x", "x" * 300,
    "\0", "a\r\nb", "💥", "../../etc/passwd", "%s%n", "' OR 1=1 --", "available", "true", "1",
    "x" * 70_000, "2026-01-01T00:00:00",
    [], [[]], [None], {}, {"x": None}, {"": ""}, ["x"] * 1000, DEEP, new_id(),
]  # fmt: skip
"""Values that are wrong almost everywhere, and a few that are right somewhere."""


def models(kind: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    """Every shape of a body that the services know."""
    for one in kind.__subclasses__():
        if one.__module__.startswith("pumice.api"):
            yield one
        yield from models(one)


def filled(model: type[BaseModel], dice: random.Random, levels: int = 3) -> dict[str, Any]:
    """A body of this shape with values that are seldom right."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        inner = [one for one in (field.annotation, *get_args(field.annotation)) if isinstance(one, type)]
        inner = [one for one in inner if issubclass(one, BaseModel)]
        if field.is_required() or dice.random() < 0.6:
            known = levels and inner and dice.random() < 0.9
            found[field.alias or name] = filled(inner[0], dice, levels - 1) if known else dice.choice(NASTY)
    return found


async def ask(
    service: Service, route: Route, body: Any, things: list[str], dice: random.Random
) -> tuple[int, bytes]:
    """The answer to one request, as an administrator, about what exists or does not."""
    said: list[Any] = []
    sent = json.dumps(body).encode()

    async def send(message: Any) -> None:
        said.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": sent}

    prefix, version = service.prefix, b"volume 3.71, compute 2.96"
    path = prefix + re.sub(r"\{\w+\}", lambda _: dice.choice(things), route.path)
    headers = [(b"x-auth-token", b"admin"), (b"openstack-api-version", version)]
    if prefix.startswith("/image"):
        headers.append((b"content-type", b"application/json"))
    scope = {"type": "http", "method": route.method, "path": path, "query_string": b"", "headers": headers}
    await service(scope, receive, send)
    return said[0]["status"], said[1].get("body", b"")


@pytest.mark.parametrize("seed", range(3))
async def test_no_body_is_answered_with_a_bug(cloud: Cloud, tmp_path: Any, seed: int) -> None:
    dice = random.Random(seed)
    house = cloud.service.house
    services = [cloud.service, compute_service(house), image_service(house, ImageFiles(tmp_path / "images"))]
    shapes = list(models())
    things = [(await cloud.make())["id"], new_id(), "x"]
    await cloud.stop()  # what is accepted need not be done
    for service in services:
        for route in service.table.routes:
            if route.method not in ("POST", "PUT", "PATCH"):
                continue
            for _ in range(4):
                body: Any = filled(dice.choice(shapes), dice) if dice.random() < 0.8 else dice.choice(NASTY)
                if route.action:
                    body = {route.action: body}
                house.rules = type(house.rules)(api_wait_seconds=0.001, service_down_seconds=3600)
                status, told = await ask(service, route, body, things, dice)
                waits = status == 503 and b"in time; it goes on" in told
                assert status < 500 or waits, (route.method, route.path, route.action, str(body)[:500], told)


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
