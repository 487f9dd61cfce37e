"""The stream of events: each project its own, in their order, and none is missed by who comes back."""

import asyncio
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from tests.patience import soon
from volume_cloud import SCOPES, Cloud

from pumice.api.feed import Feed
from pumice.api.own.service import own_service


class Listener:
    """A client of the stream, by ASGI alone: httpx would wait for its end."""

    def __init__(self, cloud: Cloud, who: str, query: str = "", last: int | None = None) -> None:
        self.events: list[tuple[int, dict[str, Any]]] = []
        self.status = 0
        self.hears = False
        self._gone = asyncio.Event()
        self._news = asyncio.Event()
        headers = [(b"x-auth-token", who.encode())]
        headers += [(b"last-event-id", str(last).encode())] if last is not None else []
        scope = {"type": "http", "method": "GET", "path": "/pumice/v1/events", "headers": headers}
        scope["query_string"] = query.encode()  # type: ignore[assignment]
        self.task = asyncio.create_task(own_service(cloud.service.ctx)(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.status = message.get("status", self.status)
        self.hears = self.hears or b"retry:" in message.get("body", b"")
        for block in message.get("body", b"").decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
            if "data" in fields:
                self.events.append((int(fields["id"]), orjson.loads(fields["data"])))
        self._news.set()

    async def until(self, number: int) -> list[tuple[int, dict[str, Any]]]:
        while len(self.events) < number:
            self._news.clear()
            await soon(self._news.wait())
        return self.events

    async def begun(self) -> None:
        while not self.hears:
            await asyncio.sleep(0.001)

    async def hang_up(self) -> None:
        self._gone.set()
        await soon(self.task)


async def test_a_project_hears_its_own_operations_and_an_administrator_all(cloud: Cloud) -> None:
    own, others, all_of_them = Listener(cloud, "member"), Listener(cloud, "other"), None
    all_of_them = Listener(cloud, "admin", "all_projects=1")
    for each in (own, others, all_of_them):
        await soon(each.begun())
    volume = await cloud.make()
    await cloud.make(who="other")
    told = await own.until(5)
    steps = ["claim_space", "make_bytes", "publish"]
    assert [event["outcome"] for _, event in told] == ["start", "done", "done", "done", "end"]
    assert [event["step"] for _, event in told] == ["", *steps, ""]
    assert {event["subject"] for _, event in told} == {volume["id"]}
    assert {event["kind"] for _, event in told} == {"volume.create"}
    assert len(await all_of_them.until(10)) == 10
    assert len(await others.until(5)) == 5
    for each in (own, others, all_of_them):
        await each.hang_up()
    assert not cloud.service.ctx.changes.waiters
    assert cloud.service.ctx.feed._reading is None


async def test_who_comes_back_is_told_what_it_missed(cloud: Cloud) -> None:
    await cloud.make()
    first = Listener(cloud, "member", last=0)
    told = await first.until(5)
    await first.hang_up()
    await cloud.make()
    second = Listener(cloud, "member", last=told[3][0])
    assert next(number for number, _ in await second.until(6)) == told[4][0]
    await second.hang_up()


async def test_a_process_that_ends_lets_its_streams_end(cloud: Cloud) -> None:
    listener = Listener(cloud, "member")
    await soon(listener.begun())
    cloud.service.ctx.changes.stop()
    await soon(listener.task)


async def test_who_is_shut_out_hears_nothing_any_more(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    listener, other = Listener(cloud, "member"), Listener(cloud, "other")
    await soon(listener.begun())
    await soon(other.begun())
    monkeypatch.delitem(SCOPES, "member")
    await cloud.make(who="both")
    await cloud.make(who="other")
    await soon(listener.task)
    assert listener.events == []
    await other.until(5)
    await other.hang_up()


@pytest.mark.parametrize(
    ("query", "last", "status"),
    [("all_projects=1", None, 403), ("last_event_id=x", None, 400), ("subject=x", None, 400)],
)
async def test_what_is_refused(cloud: Cloud, query: str, last: int | None, status: int) -> None:
    listener = Listener(cloud, "member", query, last)
    await soon(listener.task)
    assert listener.status == status


def test_a_smaller_number_that_comes_late_is_waited_for() -> None:
    feed = Feed.__new__(Feed)
    feed._db = SimpleNamespace(in_order=False)  # type: ignore[assignment]
    feed._streams, feed.last, feed._missing_since = set(), 4, 0.0
    assert feed._hand_on([{"number": 5}, {"number": 7}]) == 1
    assert feed._hand_on([{"number": 6}, {"number": 7}]) == 2
    assert feed._hand_on([{"number": 9}]) == 0
    feed._missing_since = 1e-9
    assert feed._hand_on([{"number": 9}]) == 1
