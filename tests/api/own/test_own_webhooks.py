"""Webhooks: what they are told, how it is signed, and what becomes of servers that do not answer well."""

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from tests.hook_receiver import receiver
from volume_cloud import OTHER_PROJECT, PROJECT, SCOPES, Cloud

from pumice.api.own.webhooks import LIST
from pumice.loops import webhooks as loop
from pumice.loops.expiry import Expiry
from pumice.loops.webhooks import FanOut
from pumice.model.errors import PumiceError
from pumice.model.ids import new_id
from pumice.model.tunables import RetryPolicy
from pumice.operations.harness import eventually
from pumice.operations.operation import Operation
from pumice.store import operations as log
from pumice.store import tables
from pumice.store.columns import now
from pumice.webhooks import deliver
from pumice.webhooks.message import body_of, is_secret, new_secret, signed

Own = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture(autouse=True)
def quick(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries come soon, and a page of the log is short."""
    rules = replace(cloud.tunables, retry_policy=RetryPolicy(first=0.01))
    cloud.runner.state_machine.tunables = rules
    monkeypatch.setattr(loop, "GATHER_SECONDS", 0.01)


@asynccontextmanager
async def fanning_out(cloud: Cloud) -> AsyncIterator[FanOut]:
    """A scheduler's loop at work; it is dropped where it stands."""
    one = FanOut(cloud.db)
    task = asyncio.create_task(one.run())
    try:
        yield one
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest.fixture
async def fan_out(cloud: Cloud) -> AsyncIterator[FanOut]:
    async with fanning_out(cloud) as one:
        yield one


async def hook(own: Own, path: str = "", who: str = "member", **wanted: Any) -> dict[str, Any]:
    """A webhook of ours, with the path at which it is delivered to."""
    path = path or f"/{new_id()}"
    reply = await own("POST", "/webhooks", {"webhook": {"url": receiver().url(path), **wanted}}, who)
    assert reply.status_code == 201, reply.text
    return {**reply.json()["webhook"], "path": path}


async def types(cloud: Cloud, path: str, number: int) -> list[str]:
    """The types of what came to a path, as soon as it is so much."""

    async def look() -> list[str] | None:
        found = [one["type"] for one in receiver().messages(path)]
        return found if len(found) >= number else None

    return await eventually(cloud.db, look)


async def deliveries(cloud: Cloud, **values: Any) -> list[sa.RowMapping]:
    rows = await cloud.db.read(log.page, states=None, kind=deliver.KIND, subject=None, limit=1000)
    return [row for row in rows if all(row[name] == value for name, value in values.items())]


async def write(cloud: Cloud, webhook_id: str, **values: Any) -> None:
    table = tables.webhooks
    await cloud.db.write(
        lambda tx: tx.execute(sa.update(table).where(table.c.id == webhook_id).values(**values)) and None
    )


# --- what it is told ------------------------------------------------------------------------------


async def test_a_webhook_is_told_when_an_operation_begins_and_ends_and_can_tell_who_says_so(
    cloud: Cloud, own: Own, fan_out: FanOut
) -> None:
    made = await hook(own)
    others = await hook(own, who="other")
    volume = await cloud.make()
    assert sorted(await types(cloud, made["path"], 2)) == ["volume.create.end", "volume.create.start"]
    for _, headers, body in receiver().at(made["path"]):
        signed_text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        key = base64.b64decode(made["secret"].removeprefix("whsec_"))
        expected = base64.b64encode(hmac.new(key, signed_text, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"
        assert abs(int(headers["webhook-timestamp"]) - time.time()) < 300
        assert "authorization" not in headers
    first, last = sorted(receiver().messages(made["path"]), key=lambda one: one["data"]["id"])
    assert (first["type"], last["type"]) == ("volume.create.start", "volume.create.end")
    assert first["data"]["subject"] == last["data"]["subject"] == volume["id"]
    assert first["data"]["project_id"] == PROJECT
    assert first["data"]["operation_id"] == last["data"]["operation_id"]
    assert first["timestamp"] == first["data"]["at"] <= last["timestamp"]
    await cloud.quiet()
    assert not receiver().at(others["path"]), "of another project's it hears nothing"


async def test_the_signature_is_that_of_standard_webhooks() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    headers = signed(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_it_is_told_only_what_it_wants(cloud: Cloud, own: Own, fan_out: FanOut) -> None:
    deletes = await hook(own, kinds=["*.delete", "group.*"])
    steps = await hook(own, kinds=["volume.create"], outcomes=["done", "error"])
    volume = await cloud.make()
    await cloud.call("DELETE", f"/volumes/{volume['id']}")
    assert {*await types(cloud, deletes["path"], 2)} == {"volume.delete.start", "volume.delete.end"}
    told = await types(cloud, steps["path"], 3)
    assert {*told} == {f"volume.create.{step}.done" for step in ("claim_space", "make_bytes", "publish")}


async def test_an_error_tells_why_and_names_no_host_or_pool(cloud: Cloud, own: Own, fan_out: FanOut) -> None:
    def breaks(when: str, direction: str, step: str, _: Operation[Any]) -> None:
        if (when, direction, step) == ("before", "do", "make_bytes"):
            raise PumiceError("There is no room in box@fake#fake.")

    made = await hook(own, outcomes=["error"])
    cloud.runner.state_machine.faults = breaks
    await cloud.call("POST", "/volumes", {"volume": {"size": 1}})
    assert await types(cloud, made["path"], 1) == ["volume.create.error"]
    [message] = receiver().messages(made["path"])
    assert message["data"]["error"] == "There is no room in a pool."


async def test_many_events_come_each_once_and_deliveries_tell_of_no_deliveries(
    cloud: Cloud, own: Own, fan_out: FanOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "PAGE", 7)
    made, also = await hook(own), await hook(own)
    await asyncio.gather(*(cloud.make() for _ in range(12)))
    for one in (made, also):
        await types(cloud, one["path"], 24)
    await cloud.quiet()
    for one in (made, also):
        messages = receiver().messages(one["path"])
        assert len(messages) == 24
        assert len({message["data"]["id"] for message in messages}) == 24
    assert len(await deliveries(cloud)) == 48
    await eventually(cloud.db, lambda: _caught_up(fan_out))


async def test_who_is_told_things_the_other_way_round_knows_which_was_first_by_the_id(
    cloud: Cloud, own: Own, fan_out: FanOut
) -> None:
    paths = {f"/{new_id()}": word for word in ("pumice", "cinder")}
    for path, word in paths.items():
        receiver().paths[path] = _slow_at_first()
        await hook(own, path, format=word)
    volume = await cloud.make()
    await cloud.call("DELETE", f"/volumes/{volume['id']}")
    for path in paths:
        await eventually(cloud.db, lambda path=path: _have_come(path, 4))  # type: ignore[misc]
        came = [(int(head["webhook-id"].split("_")[1]), body) for _, head, body in receiver().at(path)]
        told = [body.decode() for _, body in sorted(came)]
        events = ("volume.create.start", "volume.create.end", "volume.delete.start", "volume.delete.end")
        assert all(event in body for event, body in zip(events, told, strict=True)), told


def _slow_at_first() -> Callable[[Any], None]:
    """An answer that the first request waits for longer than those after it."""
    pauses = [0.1]

    def answer(handler: Any) -> None:
        time.sleep(pauses.pop() if pauses else 0)
        handler.send_response(204)
        handler.send_header("content-length", "0")
        handler.end_headers()

    return answer


async def _have_come(path: str, number: int) -> bool | None:
    return len(receiver().at(path)) >= number or None


async def test_what_is_done_at_once_is_told_to_whose_it_is(cloud: Cloud, own: Own, fan_out: FanOut) -> None:
    cloud.service.ctx.tunables = replace(cloud.tunables, recycle_days=7)
    mine, others = await hook(own, outcomes=["end"]), await hook(own, who="other", outcomes=["end"])
    volume = (await cloud.make())["id"]
    await cloud.act(volume, "os-reset_status", {"status": "error"}, who="admin")
    await cloud.act(volume, "os-reset_status", {"status": "available"}, who="admin")
    await cloud.call("PUT", f"/volumes/{volume}", {"volume": {"name": "n"}})
    await cloud.call("DELETE", f"/volumes/{volume}")
    await own("POST", f"/recycle-bin/{volume}/actions/restore")
    transfer = (await cloud.call("POST", "/volume-transfers", {"transfer": {"volume_id": volume}})).json()
    key = {"accept": {"auth_key": transfer["transfer"]["auth_key"]}}
    path = f"/volume-transfers/{transfer['transfer']['id']}/accept"
    assert (await cloud.call("POST", path, key, who="other")).status_code == 202
    kinds = ["volume.create", "volume.reset_status", "volume.reset_status", "volume.update"]
    kinds += ["volume.recycle", "volume.restore", "transfer.create", "transfer.taken"]
    assert sorted(await types(cloud, mine["path"], len(kinds))) == sorted(f"{kind}.end" for kind in kinds)
    assert await types(cloud, others["path"], 1) == ["transfer.accept.end"]
    assert {one["data"]["subject"] for one in receiver().messages(mine["path"])} == {volume}
    found = (await own("GET", f"/operations?subject={volume}&kind=volume.update")).json()["operations"]
    assert [(one["state"], one["steps"], one["error"]) for one in found] == [("done", [], None)]
    again = await own("POST", f"/operations/{found[0]['id']}/actions/retry")
    assert again.status_code == 409


async def test_what_came_while_no_scheduler_ran_is_told_by_the_next(cloud: Cloud, own: Own) -> None:
    made = await hook(own)
    await cloud.make()
    async with fanning_out(cloud):
        await types(cloud, made["path"], 2)
    await cloud.quiet()
    await cloud.make()
    async with fanning_out(cloud):
        assert len(await types(cloud, made["path"], 4)) == 4


async def test_two_schedulers_enqueue_each_event_once(cloud: Cloud, own: Own, fan_out: FanOut) -> None:
    made = await hook(own)
    async with fanning_out(cloud):
        await asyncio.gather(*(cloud.make() for _ in range(10)))
        await types(cloud, made["path"], 20)
        await cloud.quiet()
    assert len(receiver().at(made["path"])) == len(await deliveries(cloud)) == 20


async def test_without_webhooks_nothing_is_read(cloud: Cloud, fan_out: FanOut) -> None:
    await asyncio.sleep(0.05)
    cloud.statements.clear()
    await cloud.make()
    await cloud.quiet()
    assert not [each for each in cloud.statements if "began_number >" in each], "the log is not read"
    looks = [each for each in cloud.statements if "webhooks" in each]
    assert len(looks) <= 1, "looked for again only where the listener's connection has just been made"


# --- servers that do not answer as they should -----------------------------------------------------


async def test_trouble_is_met_with_more_tries_of_the_same_message(
    cloud: Cloud, own: Own, fan_out: FanOut
) -> None:
    path, answers = f"/{new_id()}", [500, 302, 404, 200]

    def answer(handler: Any) -> None:
        handler.send_response(answers.pop(0) if answers else 200)
        handler.send_header("location", receiver().url("/metadata"))
        handler.send_header("content-length", "0")
        handler.end_headers()

    receiver().paths[path] = answer
    made = await hook(own, path, outcomes=["end"])
    await cloud.make()
    await types(cloud, path, 4)
    await cloud.quiet()
    tries = receiver().at(path)
    assert len(tries) == 4
    assert len({(headers["webhook-id"], body) for _, headers, body in tries}) == 1
    assert not receiver().at("/metadata"), "no redirect is followed"
    [row] = await deliveries(cloud, state="done")
    shown = (await own("GET", f"/operations/{row['id']}", who="admin")).json()["operation"]
    errors = [line["error"] for line in shown["lines"] if line["outcome"] == "retry"]
    assert errors == [f"The server answered {status}." for status in (500, 302, 404)]
    shown = (await own("GET", f"/webhooks/{made['id']}")).json()["webhook"]
    assert shown["failing_since"] is None and shown["enabled"]


async def test_one_that_fails_has_one_delivery_under_way_and_costs_the_others_nothing(
    cloud: Cloud, own: Own, fan_out: FanOut
) -> None:
    cloud.runner.state_machine.tunables = replace(cloud.tunables, retry_policy=RetryPolicy(first=30))
    path = f"/{new_id()}"
    receiver().paths[path] = 500
    bad, good = await hook(own, path), await hook(own)
    await cloud.make()
    await types(cloud, path, 1)
    for _ in range(6):
        await cloud.make()
    assert len(await types(cloud, good["path"], 14)) == 14
    under_way = await deliveries(cloud, subject=bad["id"])
    assert len(under_way) <= 2, "those of before it was known to fail"
    shown = (await own("GET", f"/webhooks/{bad['id']}")).json()["webhook"]
    assert shown["failing_since"]
    for row in under_way:
        assert (await own("POST", f"/operations/{row['id']}/actions/cancel")).status_code == 202
    receiver().paths[path] = 204
    assert await types(cloud, path, 10)
    for row in await deliveries(cloud, subject=bad["id"], state="running"):
        await own("POST", f"/operations/{row['id']}/actions/retry")
    await cloud.quiet()


async def test_no_more_than_so_many_deliveries_to_one_are_under_way(
    cloud: Cloud, own: Own, fan_out: FanOut
) -> None:
    path, most = f"/{new_id()}", list[int]()

    def slow(handler: Any) -> None:
        time.sleep(0.02)
        handler.send_response(204)
        handler.end_headers()

    receiver().paths[path] = slow
    made = await hook(own, path)
    await cloud.stop()
    for _ in range(12):
        await cloud.call("POST", "/volumes", {"volume": {"size": 1}})
    await eventually(cloud.db, lambda: _is_full(fan_out, made["id"]))
    assert len(await deliveries(cloud, subject=made["id"])) == deliver.MOST
    assert not most
    again = cloud.runner.state_machine
    again.stopping = False
    running = asyncio.create_task(cloud.runner.run())
    assert len(await types(cloud, path, 24)) == 24
    cloud.running = running


async def _caught_up(fan_out: FanOut) -> bool | None:
    return not fan_out.behind or None


async def _is_full(fan_out: FanOut, webhook_id: str) -> bool | None:
    return webhook_id in fan_out.full or None


async def test_a_server_that_wants_no_more_is_told_no_more(cloud: Cloud, own: Own, fan_out: FanOut) -> None:
    path = f"/{new_id()}"
    receiver().paths[path] = 410
    made = await hook(own, path, outcomes=["end"])
    await cloud.make()
    await types(cloud, path, 1)
    await cloud.quiet()
    shown = (await own("GET", f"/webhooks/{made['id']}")).json()["webhook"]
    assert not shown["enabled"] and "410" in shown["disabled_reason"]
    [message] = (await cloud.call("GET", "/messages")).json()["messages"]
    assert message["resource_uuid"] == made["id"] and "410" in message["user_message"]
    await cloud.make()
    await cloud.quiet()
    assert len(receiver().at(path)) == 1
    receiver().paths[path] = 200
    again = await own("PUT", f"/webhooks/{made['id']}", {"webhook": {"enabled": True}})
    assert again.json()["webhook"]["disabled_reason"] is None
    await cloud.make()
    assert len(await types(cloud, path, 2)) == 2, "what was while it was disabled is not told"


async def test_a_server_that_took_nothing_for_a_day_is_told_no_more(
    cloud: Cloud, own: Own, fan_out: FanOut
) -> None:
    path = f"/{new_id()}"
    receiver().paths[path] = 500
    made = await hook(own, path, outcomes=["end"])
    await write(cloud, made["id"], failing_since=now() - timedelta(days=1, minutes=1))
    await cloud.make()
    await types(cloud, path, 1)
    await cloud.quiet()
    shown = (await own("GET", f"/webhooks/{made['id']}")).json()["webhook"]
    assert not shown["enabled"] and "Nothing could be delivered since" in shown["disabled_reason"]
    assert len((await cloud.call("GET", "/messages")).json()["messages"]) == 1


async def test_one_that_is_deleted_in_mid_delivery_is_told_no_more(
    cloud: Cloud, own: Own, fan_out: FanOut
) -> None:
    path = f"/{new_id()}"
    receiver().paths[path] = 500
    made = await hook(own, path)
    await cloud.make()
    await types(cloud, path, 1)
    assert (await own("DELETE", f"/webhooks/{made['id']}")).status_code == 204
    await cloud.quiet()
    number = len(receiver().at(path))
    assert {row["error"] for row in await deliveries(cloud)} <= {"The webhook was deleted.", None}
    await cloud.make()
    await cloud.quiet()
    assert len(receiver().at(path)) == number


async def test_what_failed_is_delivered_again_under_the_same_id(
    cloud: Cloud, own: Own, fan_out: FanOut
) -> None:
    path = f"/{new_id()}"
    receiver().paths[path] = 500
    made = await hook(own, path)
    began = (await own("POST", f"/webhooks/{made['id']}/actions/test")).json()["operation_id"]
    await cloud.quiet()
    [row] = await deliveries(cloud)
    assert (row["id"], row["state"], row["error"]) == (began, "failed", "The server answered 500.")
    receiver().paths[path] = 200
    again = await own("POST", f"/operations/{began}/actions/retry")
    assert again.status_code == 202 and again.json()["anew"]
    await cloud.quiet()
    first, second = receiver().at(path)
    assert first[1]["webhook-id"] == second[1]["webhook-id"]
    assert (await own("POST", f"/operations/{began}/actions/retry", who="other")).status_code == 404


# --- requests -------------------------------------------------------------------------------------


async def test_a_secret_is_shown_once_and_can_be_changed(cloud: Cloud, own: Own) -> None:
    made = await hook(own)
    assert is_secret(made["secret"])
    for answer in (await own("GET", f"/webhooks/{made['id']}"), await own("GET", "/webhooks")):
        assert "secret" not in answer.text and made["secret"] not in answer.text
    renamed = await own("PUT", f"/webhooks/{made['id']}", {"webhook": {"description": "x"}})
    assert "secret" not in renamed.json()["webhook"]
    other = (await own("PUT", f"/webhooks/{made['id']}", {"webhook": {"new_secret": True}})).json()["webhook"]
    assert is_secret(other["secret"]) and other["secret"] != made["secret"]
    mine = new_secret()
    given = (await own("PUT", f"/webhooks/{made['id']}", {"webhook": {"secret": mine}})).json()["webhook"]
    assert given["secret"] == mine


async def test_a_secret_is_in_no_log_no_operation_and_no_error(
    cloud: Cloud, own: Own, fan_out: FanOut, capsys: pytest.CaptureFixture[str]
) -> None:
    word = base64.b64encode(b"a word that nobody knows but me").decode()
    refused = await own("POST", "/webhooks", {"webhook": {"url": "http://a.example", "secret": f"no_{word}"}})
    assert refused.status_code == 400 and word not in refused.text
    made = await hook(own, secret=f"whsec_{word}")
    await own("POST", f"/webhooks/{made['id']}/actions/test")
    await cloud.quiet()
    for row in await deliveries(cloud):
        assert word not in str(dict(row))
    written = capsys.readouterr()
    assert word not in written.out + written.err


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://a.example/"}, {"url": "file:///etc/passwd"}, {"url": "http://"}, {"url": "a.example"},
        {"url": "http://user:word@a.example/"}, {"url": "http://user@a.example/"}, {"url": "http://a.example/#x"},
        {"url": "http://a.example:99999/"}, {"url": "http://a.example:0/"}, {"url": "http://[::1/"},
        {"url": "http://a.example/ x"}, {"url": "http://a.example/\r\nX: y"}, {"url": "http://bücher.example/"},
        {"url": "http://169.254.169.254/latest/meta-data/"}, {"url": "http://10.0.0.1/"}, {"url": "http://[::1]/"},
        {"url": "http://[::ffff:169.254.169.254]/"}, {"url": "http://a.example/" + "x" * 2048},
        {"kinds": []}, {"kinds": ["Volume.*"]}, {"kinds": ["volume.(a+)+"]}, {"kinds": ["*"] * 21},
        {"outcomes": []}, {"outcomes": ["ended"]}, {"format": "xml"}, {"enabled": "perhaps"},
        {"secret": "word"}, {"secret": "whsec_c2hvcnQ="}, {"secret": "whsec_" + "é" * 40}, {"name": "x"},
        {"url": None}, {"url": 5}, {"kinds": "volume.*"},
    ],
)  # fmt: skip
async def test_what_makes_no_sense_is_refused(own: Own, wrong: dict[str, Any]) -> None:
    asked = {"url": "http://a.example/", **wrong}
    refused = await own("POST", "/webhooks", {"webhook": asked})
    assert refused.status_code == 400, refused.text
    made = await hook(own)
    changed = await own("PUT", f"/webhooks/{made['id']}", {"webhook": wrong})
    assert changed.status_code == 400, changed.text
    await own("DELETE", f"/webhooks/{made['id']}")


async def test_another_projects_is_not_there(cloud: Cloud, own: Own) -> None:
    made = await hook(own)
    path = f"/webhooks/{made['id']}"
    asked = [("GET", path), ("PUT", path), ("DELETE", path), ("POST", f"{path}/actions/test")]
    for method, where in asked:
        body = {"webhook": {"enabled": False}} if method == "PUT" else None
        assert (await own(method, where, body, who="other")).status_code == 404
    assert (await own("GET", "/webhooks", who="other")).json() == {"webhooks": []}
    assert (await own("GET", "/webhooks?all_projects=1", who="other")).status_code == 403
    everywhere = (await own("GET", "/webhooks?all_projects=1", who="admin")).json()["webhooks"]
    assert [one["id"] for one in everywhere] == [made["id"]]


async def test_a_reader_looks_and_changes_nothing(own: Own) -> None:
    made = await hook(own)
    path = f"/webhooks/{made['id']}"
    assert (await own("GET", path, who="reader")).status_code == 200
    for method, where in (
        ("PUT", path),
        ("DELETE", path),
        ("POST", f"{path}/actions/test"),
        ("POST", "/webhooks"),
    ):
        body = {"webhook": {"url": "http://a.example"}}
        assert (await own(method, where, body, who="reader")).status_code == 403


async def test_a_project_has_no_more_than_so_many(cloud: Cloud, own: Own) -> None:
    cloud.service.ctx.tunables = replace(cloud.tunables, webhooks_per_project=2)
    await hook(own)
    await hook(own)
    refused = await own("POST", "/webhooks", {"webhook": {"url": "http://a.example"}})
    assert (refused.status_code, "at most 2" in refused.text) == (413, True)
    await hook(own, who="other")


async def test_tests_are_not_piled_up(cloud: Cloud, own: Own) -> None:
    made = await hook(own)
    await cloud.stop()
    replies = [await own("POST", f"/webhooks/{made['id']}/actions/test") for _ in range(deliver.MOST + 1)]
    assert [reply.status_code for reply in replies] == [202] * deliver.MOST + [409]


async def test_lists_are_filtered_and_paged(own: Own) -> None:
    ids = [(await hook(own))["id"] for _ in range(3)]
    page = (await own("GET", "/webhooks?limit=2&sort=created_at:asc")).json()
    assert [one["id"] for one in page["webhooks"]] == ids[:2] and page["webhooks_links"]
    assert (await own("GET", "/webhooks?name=x")).status_code == 400
    assert LIST.everywhere and OTHER_PROJECT and SCOPES


async def test_a_log_that_was_pruned_leaves_no_number_to_be_given_again(
    cloud: Cloud, own: Own, fan_out: FanOut
) -> None:
    made = await hook(own)
    await cloud.make()
    await types(cloud, made["path"], 2)
    await cloud.quiet()
    await asyncio.sleep(0.01)
    await Expiry(cloud.db, 0.0).sweep()
    await cloud.make()
    assert len(await types(cloud, made["path"], 4)) == 4


async def test_a_message_is_the_same_bytes_at_each_try() -> None:
    message = {"type": "a", "data": {"b": 1, "a": "ü"}}
    assert body_of(message) == body_of(dict(message))
