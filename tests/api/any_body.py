"""Bodies that nobody would write, and how to send them to a service without a client between."""

import asyncio
import json
import random
import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from pumice.api.routing import Route
from pumice.api.service import Service
from pumice.model.ids import new_id

STAYS_SECONDS = 1.0
"""How long a client stays for an answer, once its body was read: a stream would not end by itself."""
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


def some_body(route: Route, shapes: list[type[BaseModel]], dice: random.Random) -> Any:
    """What the route may be sent: mostly a known shape, sometimes under the key that it looks for."""
    body: Any = filled(dice.choice(shapes), dice) if dice.random() < 0.8 else dice.choice(NASTY)
    if route.action:
        return {route.action: body}
    kind = [part for part in route.path.split("/") if not part.startswith("{")][-1].rstrip("s")
    return {kind: body} if dice.random() < 0.5 else body


async def ask(
    service: Service, route: Route, body: Any, things: list[str], dice: random.Random, who: str
) -> tuple[int, bytes]:
    """The answer to one request, by the bearer of a token, about what exists or does not."""
    said: list[Any] = []
    sent = json.dumps(body).encode()

    async def send(message: Any) -> None:
        said.append(message)

    has_read = False

    async def receive() -> Any:
        nonlocal has_read
        if has_read:
            await asyncio.sleep(STAYS_SECONDS)
            return {"type": "http.disconnect"}
        has_read = True
        return {"type": "http.request", "body": sent}

    prefix, version = service.prefix, b"volume 3.71, compute 2.96"
    path = prefix + re.sub(r"\{\w+\}", lambda _: dice.choice(things), route.path)
    headers = [(b"x-auth-token", who.encode()), (b"openstack-api-version", version)]
    if prefix.startswith("/image"):
        headers.append((b"content-type", b"application/json"))
    scope = {"type": "http", "method": route.method, "path": path, "query_string": b"", "headers": headers}
    await service(scope, receive, send)
    return said[0]["status"], said[1].get("body", b"")
