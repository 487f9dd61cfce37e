"""``Prefer: wait`` and ``If-None-Match``: a client asks once, and is answered when there is something new."""

import asyncio
from dataclasses import replace

import httpx
import pytest
from tests.patience import soon
from volume_cloud import Cloud

from pumice.api.changes import Changes
from pumice.model.metrics_sink import MetricsSink
from pumice.store.changes import changed

LONG = {"Prefer": "wait=30"}


def having(tag: str, **headers: str) -> dict[str, str]:
    return {"If-None-Match": tag, **headers}


async def tag_of(cloud: Cloud, volume_id: str) -> str:
    return (await cloud.call("GET", f"/volumes/{volume_id}")).headers["ETag"]


async def waiting(cloud: Cloud, number: int = 1) -> None:
    """Until so many requests wait."""

    async def look() -> None:
        while cloud.service.ctx.changes.waiters != number:
            await asyncio.sleep(0.001)

    await soon(look())


@pytest.fixture
async def volume(cloud: Cloud) -> str:
    return str((await cloud.make())["id"])


async def begin(cloud: Cloud, path: str, tag: str, prefer: str = "wait=30") -> "asyncio.Task[httpx.Response]":
    """A request that waits."""
    before = cloud.service.ctx.changes.waiters
    task = asyncio.create_task(cloud.call("GET", path, headers=having(tag, Prefer=prefer)))
    await waiting(cloud, before + 1)
    return task


async def test_a_thing_has_a_tag_that_changes_with_it(cloud: Cloud, volume: str) -> None:
    tag = await tag_of(cloud, volume)
    assert tag == await tag_of(cloud, volume)
    assert (await cloud.call("GET", f"/volumes/{volume}", headers=having(tag))).status_code == 304
    weak = having(f'"other", W/{tag}')
    assert (await cloud.call("GET", f"/volumes/{volume}", headers=weak)).status_code == 304
    await cloud.call("PUT", f"/volumes/{volume}", {"volume": {"name": "new"}})
    reply = await cloud.call("GET", f"/volumes/{volume}", headers=having(tag))
    assert reply.status_code == 200
    assert reply.headers["ETag"] != tag


async def test_who_waits_is_answered_when_it_changes(cloud: Cloud, volume: str) -> None:
    asked = await begin(cloud, f"/volumes/{volume}", await tag_of(cloud, volume))
    await cloud.call("POST", f"/volumes/{volume}/metadata", {"metadata": {"a": "b"}})
    reply = await soon(asked)
    assert reply.status_code == 200
    assert reply.json()["volume"]["metadata"] == {"a": "b"}
    assert reply.headers["Preference-Applied"] == "wait=30"
    assert cloud.service.ctx.changes.waiters == 0


async def test_a_volume_is_followed_to_available_by_one_loop(cloud: Cloud) -> None:
    made = (await cloud.call("POST", "/volumes", {"volume": {"size": 1}})).json()["volume"]
    seen, headers = ["creating"], dict(LONG)
    while seen[-1] != "available":
        reply = await soon(cloud.call("GET", f"/volumes/{made['id']}", headers=headers))
        headers = having(reply.headers["ETag"], **LONG)
        seen.append(reply.json()["volume"]["status"])
    assert set(seen) == {"creating", "available"}


async def test_a_volume_is_told_gone_as_soon_as_it_is(cloud: Cloud, volume: str) -> None:
    tag, status = await tag_of(cloud, volume), 200
    await cloud.call("DELETE", f"/volumes/{volume}")
    while status == 200:
        reply = await soon(cloud.call("GET", f"/volumes/{volume}", headers=having(tag, **LONG)))
        tag, status = reply.headers.get("ETag", ""), reply.status_code
    assert status == 404


async def test_an_attachment_of_a_volume_changes_it(cloud: Cloud, volume: str) -> None:
    asked = await begin(cloud, f"/volumes/{volume}", await tag_of(cloud, volume))
    server = "55555555-5555-4555-8555-555555555555"
    body = {"attachment": {"volume_uuid": volume, "instance_uuid": server}}
    attachment = (await cloud.call("POST", "/attachments", body)).json()["attachment"]
    assert (await soon(asked)).json()["volume"]["status"] == "reserved"
    shown = await cloud.call("GET", f"/attachments/{attachment['id']}")
    asked = await begin(cloud, f"/attachments/{attachment['id']}", shown.headers["ETag"])
    await cloud.call("DELETE", f"/attachments/{attachment['id']}")
    assert (await soon(asked)).status_code == 404


async def test_after_the_wait_it_is_as_it_was(cloud: Cloud, volume: str) -> None:
    ctx = cloud.service.ctx
    ctx.tunables = replace(ctx.tunables, api_longest_wait=0.02)
    headers = having(await tag_of(cloud, volume), Prefer="respond-async, WAIT=30; foo=bar")
    reply = await soon(cloud.call("GET", f"/volumes/{volume}", headers=headers))
    assert (reply.status_code, reply.content) == (304, b"")
    assert reply.headers["ETag"] == headers["If-None-Match"]
    assert reply.headers["Preference-Applied"] == "wait=0.02"


@pytest.mark.parametrize("prefer", ["", "wait", "wait=", "wait=-1", "wait=x", "wait=0", "return=minimal"])
async def test_what_is_no_wait_is_no_wait(cloud: Cloud, volume: str, prefer: str) -> None:
    headers = having(await tag_of(cloud, volume)) | {"Prefer": prefer}
    reply = await soon(cloud.call("GET", f"/volumes/{volume}", headers=headers))
    assert reply.status_code == 304
    assert "Preference-Applied" not in reply.headers


async def test_who_does_not_say_what_it_has_is_answered_at_once(cloud: Cloud, volume: str) -> None:
    reply = await soon(cloud.call("GET", f"/volumes/{volume}", headers=LONG))
    assert reply.status_code == 200
    assert "Preference-Applied" not in reply.headers


async def test_who_finds_no_place_is_answered_as_if_it_had_not_asked(cloud: Cloud, volume: str) -> None:
    ctx, tag = cloud.service.ctx, await tag_of(cloud, volume)
    for limits in ({"api_most_waiting": 1}, {"api_project_waiting": 1}):
        ctx.tunables = replace(cloud.tunables, **limits)
        first = await begin(cloud, f"/volumes/{volume}", tag)
        reply = await soon(cloud.call("GET", f"/volumes/{volume}", headers=having(tag, **LONG)))
        assert reply.status_code == 304
        assert "Preference-Applied" not in reply.headers
        first.cancel()
        await waiting(cloud, 0)


async def test_a_process_that_ends_answers_who_waits(cloud: Cloud, volume: str) -> None:
    tag = await tag_of(cloud, volume)
    asked = [await begin(cloud, f"/volumes/{volume}", tag) for _ in range(3)]
    cloud.service.ctx.changes.stop()
    assert {(await soon(each)).status_code for each in asked} == {304}
    assert (await soon(cloud.call("GET", f"/volumes/{volume}", headers=having(tag, **LONG)))).status_code == 304


async def test_a_wait_asks_the_database_nothing(cloud: Cloud, volume: str) -> None:
    asked = await begin(cloud, f"/volumes/{volume}", await tag_of(cloud, volume))
    cloud.statements.clear()
    cloud.service.ctx.changes._hear(changed("another"))
    await asyncio.sleep(0)
    assert not cloud.statements
    asked.cancel()


class Times(MetricsSink):
    """Keeps what requests took."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def request(self, service: str, method: str, route: str, status: int, seconds: float) -> None:
        self.seconds.append(seconds)


async def test_a_wait_is_not_called_slow(cloud: Cloud, volume: str) -> None:
    ctx, tag = cloud.service.ctx, await tag_of(cloud, volume)
    ctx.metrics, ctx.tunables = Times(), replace(ctx.tunables, api_longest_wait=1.0)
    began = asyncio.get_running_loop().time()
    await soon(cloud.call("GET", f"/volumes/{volume}", headers=having(tag, **LONG)))
    took = asyncio.get_running_loop().time() - began
    assert ctx.metrics.seconds[0] <= took - 0.9


async def test_a_change_between_reading_and_waiting_is_not_lost(cloud: Cloud) -> None:
    changes = Changes(cloud.db)
    before = changes.number
    changes._hear(changed("thing"))
    assert await changes.wait({"thing"}, before, 30, asyncio.Event().wait)
    assert not await changes.wait({"thing"}, changes.number, 0.001, asyncio.Event().wait)
    for other in range(5000):
        changes._hear(changed(str(other)))
    assert await changes.wait({"thing"}, before, 30, asyncio.Event().wait)
    assert len(changes._told) < 5000
    assert not changes._waiting
