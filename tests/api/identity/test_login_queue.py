"""Logging in is heavy on purpose: few wait for it at once, and none who is gone."""

import asyncio
import threading
from typing import Any

import orjson
import pytest
from identity_cloud import PASSWORDS, Cloud, login, project
from tests.patience import PATIENCE, patience

from pumice.identity import passwords


async def ask(cloud: Cloud, body: Any, gone: asyncio.Event) -> int:
    """The status of one login whose client is gone when the event says so."""
    said: list[Any] = []
    sent = False

    async def receive() -> Any:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": orjson.dumps(body)}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        said.append(message)

    path = f"{cloud.service.prefix}/v3/auth/tokens".replace("/v3/v3", "/v3")
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": []}
    await cloud.service(scope, receive, send)
    return int(said[0]["status"])


async def test_who_comes_when_too_many_log_in_is_told_to_come_again(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "most_waiting", 4)
    body = login("nobody", "wrong")
    answers = await asyncio.gather(*(cloud.http.post("/auth/tokens", json=body) for _ in range(40)))
    counts = {status: sum(one.status_code == status for one in answers) for status in (401, 429)}
    assert counts[401] + counts[429] == 40
    assert counts[401] >= 4
    busy = next(one for one in answers if one.status_code == 429)
    assert busy.headers["Retry-After"] == "2"
    assert busy.json()["error"]["title"] == "Too Many Requests"


async def test_a_login_whose_client_is_gone_is_dropped(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "most_waiting", 1000)
    checked = 0
    verify = passwords._verify

    def count(password: str, hashed: str) -> bool:
        nonlocal checked
        checked += 1
        are_gone.wait(PATIENCE)
        return verify(password, hashed)

    monkeypatch.setattr(passwords, "_verify", count)
    gone, are_gone = asyncio.Event(), threading.Event()
    asked = [asyncio.create_task(ask(cloud, login("nobody", "wrong"), gone)) for _ in range(200)]
    async with patience():
        while len(passwords._waiting) < len(asked):
            await asyncio.sleep(0.01)
    gone.set()
    await asyncio.sleep(0.5)  # who is gone is dropped; nobody else's turn comes meanwhile
    are_gone.set()
    assert {await one for one in asked} <= {400, 401}
    await cloud.token("admin", project("admin"), PASSWORDS["admin"])
    assert checked < 150, "those who were gone were not waited for"


async def test_an_empty_password_is_none(cloud: Cloud) -> None:
    token = await cloud.token("admin", project("admin"))
    reply = await cloud.ask("POST", "/users", token, {"user": {"name": "x", "password": ""}})
    assert reply.status_code == 400
    made = (await cloud.ask("POST", "/users", token, {"user": {"name": "x", "password": "one"}})).json()["user"]
    for method, path, body in (
        ("PATCH", f"/users/{made['id']}", {"user": {"password": ""}}),
        ("POST", f"/users/{made['id']}/password", {"user": {"password": "", "original_password": "one"}}),
    ):
        assert (await cloud.ask(method, path, token, body)).status_code == 400
