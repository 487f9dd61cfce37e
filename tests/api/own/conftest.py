"""Block storage's cloud, with Pumice's own API beside it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from volume_cloud import Cloud, cloud, tunables

from pumice.api.own.service import own_service

__all__ = ["cloud", "own", "tunables"]

Own = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
async def own(cloud: Cloud) -> AsyncIterator[Own]:
    """Asks Pumice's own API."""
    ctx = cloud.service.ctx
    ctx.verbs = cloud.runner.state_machine.verbs
    transport = httpx.ASGITransport(own_service(ctx))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://cloud:8776/pumice/v1") as client:

        async def ask(method: str, path: str, body: Any = None, who: str = "member", **headers: str) -> Any:
            return await client.request(method, path, json=body, headers={"X-Auth-Token": who, **headers})

        yield ask
