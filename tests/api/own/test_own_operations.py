"""What tenants are told of their operations: step by step, and nothing of hosts, pools or other projects."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from tests.patience import soon
from volume_cloud import CONNECTOR, HOST, POOL, Cloud

from pumice.model.errors import PumiceError, Retryable, TryAnotherBackend
from pumice.store.database import Transaction

Own = Callable[..., Awaitable[httpx.Response]]
INSIDE = (POOL, HOST, "box")


async def failed(cloud: Cloud, who: str = "member") -> str:
    """A volume whose making failed for good, with words that only an operator should read."""
    cloud.backend.fail_next["create"] = TryAnotherBackend(f"The pool {POOL} at {HOST} is full.")
    made = (await cloud.call("POST", "/volumes", {"volume": {"size": 1}}, who=who)).json()["volume"]["id"]
    await cloud.until(made, "error", who=who)
    return str(made)


async def the_one(own: Own, subject: str, who: str = "member", **query: str) -> dict[str, Any]:
    terms = "&".join(f"{name}={value}" for name, value in {"subject": subject, **query}.items())
    reply = await own("GET", f"/operations?{terms}", who=who)
    assert reply.status_code == 200, reply.text
    [found] = reply.json()["operations"]
    return dict(found)


async def test_a_create_is_told_step_by_step(cloud: Cloud, own: Own) -> None:
    volume = await cloud.make()
    listed = await the_one(own, volume["id"], kind="volume.create", state="done")
    shown = (await own("GET", f"/operations/{listed['id']}")).json()["operation"]
    assert {name: shown[name] for name in listed} == listed
    assert (
        [line["step"] for line in shown["lines"]] == shown["steps"] == ["claim_space", "make_bytes", "publish"]
    )
    assert {line["outcome"] for line in shown["lines"]} == {"done"}
    assert shown["finished_at"].endswith("Z")
    assert (shown["step"], shown["ends_by"], shown["error"]) == (None, None, None)


async def test_a_failure_says_what_was_undone_and_names_no_place_to_a_tenant(cloud: Cloud, own: Own) -> None:
    volume = await failed(cloud)
    await cloud.quiet()
    listed = await the_one(own, volume)
    reply = await own("GET", f"/operations/{listed['id']}")
    shown = reply.json()["operation"]
    assert shown["state"] == "failed"
    assert "undo" in {line["direction"] for line in shown["lines"]}
    assert not [word for word in INSIDE if word in reply.text.replace("sandbox", "")], reply.text
    why = await own("GET", f"/why/{volume}")
    assert not [word for word in INSIDE if word in why.text], why.text
    inside = (await own("GET", f"/operations/{listed['id']}", who="admin")).text
    assert POOL in inside
    assert f"volume:{HOST}" in inside


@pytest.mark.parametrize("path", ["/operations/{operation}", "/why/{operation}", "/why/{volume}"])
async def test_anothers_thing_is_not_found(cloud: Cloud, own: Own, path: str) -> None:
    volume = (await cloud.make())["id"]
    operation = (await the_one(own, volume))["id"]
    path = path.format(volume=volume, operation=operation)
    assert (await own("GET", path)).status_code == 200
    assert (await own("GET", path, who="admin")).status_code == 200
    assert (await own("GET", path, who="other")).status_code == 404
    assert (await own("GET", f"/operations?subject={volume}", who="other")).json()["operations"] == []
    for verb in ("cancel", "retry"):
        assert (await own("POST", f"/operations/{operation}/actions/{verb}", who="other")).status_code == 404
        assert (await own("POST", f"/operations/{operation}/actions/{verb}", who="reader")).status_code == 403


async def test_why_names_attachments_whose_ids_anybody_who_reads_it_can_ask_about(
    cloud: Cloud, own: Own
) -> None:
    volume = (await cloud.make())["id"]
    made = await cloud.call("POST", "/attachments", {"attachment": {"volume_uuid": volume}})
    attachment = made.json()["attachment"]["id"]
    for who in ("member", "reader", "admin"):
        text = (await own("GET", f"/why/{volume}", who=who)).json()["why"]["text"]
        assert f"It has attachment {attachment} (reserved)" in text
        assert "pumice" not in text
        assert (await own("GET", f"/why/{attachment}", who=who)).json()["why"]["status"] == "reserved"


async def test_several_subjects_are_told_of_together_the_newest_first(cloud: Cloud, own: Own) -> None:
    volumes = [(await cloud.make())["id"] for _ in range(3)]
    query = f"/operations?kind=volume.create&subject={volumes[0]},{volumes[2]}"
    listed = (await own("GET", query)).json()["operations"]
    assert [one["subject"] for one in listed] == [volumes[2], volumes[0]]
    assert (await own("GET", query, who="other")).json()["operations"] == []
    few = (await own("GET", f"{query}&limit=1")).json()
    assert [one["subject"] for one in few["operations"]] == [volumes[2]]
    assert few["operations_links"]
    assert (await own("GET", f"/operations?subject={','.join(['x'] * 50)}")).json()["operations"] == []
    assert (await own("GET", f"/operations?subject={','.join(['x'] * 51)}")).status_code == 400


async def test_all_projects_are_an_administrators_to_ask_for(cloud: Cloud, own: Own) -> None:
    await cloud.make(who="other")
    assert (await own("GET", "/operations?all_projects=1")).status_code == 403
    assert (await own("GET", "/operations?all_projects=1", who="admin")).json()["operations"]
    assert (await own("GET", "/operations", who="admin")).status_code == 200


@pytest.mark.parametrize("query", ["state=odd", "colour=red", "sort=colour", "limit=x"])
async def test_what_a_list_does_not_know_is_refused(own: Own, query: str) -> None:
    assert (await own("GET", f"/operations?{query}")).status_code == 400


async def test_pages_follow_one_another(cloud: Cloud, own: Own) -> None:
    for _ in range(3):
        await cloud.make()
    first = (await own("GET", "/operations?limit=2")).json()
    rest = await own("GET", first["operations_links"][0]["href"].partition("/v1")[2])
    ids = [one["id"] for one in (*first["operations"], *rest.json()["operations"])]
    assert len(ids) == len(set(ids)) == 3


async def test_an_owner_cancels_what_waits_and_is_told_by_waiting(cloud: Cloud, own: Own) -> None:
    cloud.backend.free.clear()
    volume = (await cloud.call("POST", "/volumes", {"volume": {"size": 1}})).json()["volume"]["id"]
    path = f"/operations/{(await the_one(own, volume))['id']}"
    shown, headers = await own("GET", path), {"Prefer": "wait=30"}
    assert (await own("POST", f"{path}/actions/cancel")).status_code == 202
    cloud.backend.free.set()
    while shown.json()["operation"]["state"] not in ("failed", "done"):
        headers["If-None-Match"] = shown.headers["ETag"]
        shown = await soon(own("GET", path, **headers))
        assert shown.status_code == 200
    assert (await own("POST", f"{path}/actions/cancel")).status_code == 409


async def test_what_waits_for_its_next_try_is_tried_at_once_when_its_owner_says_so(
    cloud: Cloud, own: Own
) -> None:
    await cloud.stop()
    volume = (await cloud.call("POST", "/volumes", {"volume": {"size": 1}})).json()["volume"]["id"]
    operation = (await the_one(own, volume))["id"]
    reply = await own("POST", f"/operations/{operation}/actions/retry")
    assert reply.status_code == 202
    assert reply.json() == {"operation_id": operation, "anew": False}


async def test_why_it_cannot_be_retried_is_told_beforehand_in_the_words_of_the_refusal(
    cloud: Cloud, own: Own
) -> None:
    created = await failed(cloud)
    deleted = (await cloud.make())["id"]
    cloud.backend.fail_next["delete"] = PumiceError("The disk is broken.")
    await cloud.call("DELETE", f"/volumes/{deleted}")
    await cloud.quiet()
    for volume, kind, offered in (
        (created, "volume.create", False),
        (deleted, "volume.create", False),
        (deleted, "volume.delete", True),
    ):
        path = f"/operations/{(await the_one(own, volume, kind=kind))['id']}"
        told = (await own("GET", path)).json()["operation"]["retry_refused"]
        reply = await own("POST", f"{path}/actions/retry")
        assert (told is None, reply.status_code) == ((True, 202) if offered else (False, 409))
        assert offered or reply.json()["conflictingRequest"]["message"] == told


@pytest.mark.parametrize(
    "query", ["subject={}", "volume_id={}", "parent_id={}", "subject={},x&kind=volume.create"]
)
async def test_what_few_operations_have_in_common_is_how_they_are_found(
    cloud: Cloud, own: Own, query: str
) -> None:
    volume, asked = (await cloud.make())["id"], list[tuple[str, Any]]()

    def note(_c: Any, _cursor: Any, text: str, parameters: Any, _context: Any, _many: bool) -> None:
        if "FROM operations" in text and "LIMIT" in text and "project_id" in text:
            asked.append((text, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        assert (await own("GET", f"/operations?{query.format(volume)}")).status_code == 200
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    [(text, parameters)] = asked

    def plan(tx: Transaction) -> list[str]:
        if tx.connection.dialect.name != "sqlite":
            return []  # PostgreSQL counts its rows
        steps = tx.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", parameters)
        return [str(step.detail) for step in steps]

    steps = await cloud.db.read(plan)
    assert not [step for step in steps if "ix_operations_page" in step], steps


async def test_the_reason_is_a_paragraph(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make())["id"]
    told = (await own("GET", f"/why/{volume}")).json()["why"]
    assert (told["kind"], told["status"]) == ("volume", "available")
    assert told["text"].endswith("Nothing is under way on it, and nothing will change by itself.")
    assert (await own("GET", "/why/no-such-thing")).status_code == 404
    assert (await own("GET", f"/why/{volume[:8]}")).status_code == 404  # ids of others would be guessed


async def test_trouble_under_way_is_told_without_its_words(cloud: Cloud, own: Own) -> None:
    cloud.backend.fail_next["create"] = Retryable(f"The daemon of {HOST} is away.")
    volume = (await cloud.call("POST", "/volumes", {"volume": {"size": 1}})).json()["volume"]["id"]
    told = (await own("GET", f"/why/{volume}")).text
    assert HOST not in told
    await cloud.until(volume, "available")
    await asyncio.sleep(0)


async def test_a_volumes_history_keeps_attachments_that_are_gone(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make())["id"]
    other = (await cloud.make())["id"]
    body = {"attachment": {"volume_uuid": volume, "connector": CONNECTOR}}
    made = (await cloud.call("POST", "/attachments", body)).json()["attachment"]["id"]
    assert (await cloud.call("DELETE", f"/attachments/{made}")).status_code == 200
    await cloud.quiet()
    told = (await own("GET", f"/operations?volume_id={volume}&sort=created_at:asc")).json()["operations"]
    assert [one["kind"] for one in told] == ["volume.create", "attachment.connect", "attachment.disconnect"]
    assert [one["subject"] for one in told] == [volume, made, made]
    [alone] = (await own("GET", f"/operations?volume_id={other}")).json()["operations"]
    assert alone["subject"] == other
    assert not (await own("GET", f"/operations?volume_id={volume}", who="other")).json()["operations"]
