"""Whose word about a client's way is taken, and what the answers call this service."""

from collections.abc import MutableMapping
from types import SimpleNamespace
from typing import Any, cast

import httpx
import orjson
import pytest
from pydantic import ValidationError

from pumice.api.application import Application
from pumice.api.service import Service, base_url
from pumice.app.limits import Http


async def told(scope: MutableMapping[str, Any], _receive: Any, send: Any) -> None:
    """Answers with what it would call itself."""
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": orjson.dumps(base_url(scope, headers))})


told_service = cast("Service", told)
told.prefix = "/volume/v3"  # type: ignore[attr-defined]


async def name(client: str, *, trusted: list[str] | None = None, public_url: str | None = None) -> str:
    http = Http(trusted_proxies=trusted or [])
    nothing = cast("Any", SimpleNamespace())
    application = Application((told_service,), nothing, nothing, public_url, http.trusts)
    transport = httpx.ASGITransport(application, client=(client, 1))  # type: ignore[arg-type]
    said = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    async with httpx.AsyncClient(transport=transport, base_url="http://cloud:8776") as http_client:
        return str((await http_client.get("/volume/v3/", headers=said)).json())


async def test_nobody_is_believed_who_was_not_named() -> None:
    for client in ("127.0.0.1", "10.0.0.1", "::1", "not an address"):
        assert await name(client) == "http://cloud:8776"
    assert await name("10.1.0.1", trusted=["10.0.0.0/24", "::1"]) == "http://cloud:8776"


@pytest.mark.parametrize("client", ["10.0.0.7", "::1"])
async def test_a_named_proxy_is_believed(client: str) -> None:
    assert await name(client, trusted=["10.0.0.0/24", "::1"]) == "https://evil.example"


async def test_the_public_url_counts_before_any_proxys_word() -> None:
    for trusted in ([], ["10.0.0.0/24"]):
        assert await name("10.0.0.7", trusted=trusted, public_url="https://a.example/") == "https://a.example"


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"proxies\.example"):
        Http(trusted_proxies=["proxies.example"])
