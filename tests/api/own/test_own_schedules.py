"""Schedules as tenants ask for them; what they do is tried in ``tests/loops/test_schedules.py``."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import jsonschema
import pytest
from tests.patience import soon
from volume_cloud import Cloud

from pumice.loops.schedules import Schedules
from pumice.store import schedules
from pumice.store.columns import now
from pumice.store.database import Transaction

Own = Callable[..., Awaitable[httpx.Response]]


async def make(own: Own, who: str = "member", **changes: Any) -> dict[str, Any]:
    body = {"name": "nightly", "kind": "snapshot", "cron": "0 3 * * *", "timezone": "Europe/Berlin"} | changes
    reply = await own("POST", "/schedules", {"schedule": body}, who=who)
    assert reply.status_code == 201, reply.text
    return dict(reply.json()["schedule"])


async def test_a_schedule_is_made_shown_changed_and_deleted(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make())["id"]
    made = await make(own, volume_id=volume, keep={"last": 3, "daily": 7})
    path = f"/schedules/{made['id']}"
    assert made["keep"] == {"last": 3, "daily": 7, "weekly": 0, "monthly": 0}
    assert made["next_run_at"].endswith(":00:00.000Z")
    assert (await own("GET", path)).json()["schedule"] == made
    changed = await own("PUT", path, {"schedule": {"cron": "30 * * * *", "keep": {"last": 2}}})
    assert changed.json()["schedule"]["keep"]["daily"] == 0
    assert changed.json()["schedule"]["name"] == "nightly"
    assert changed.json()["schedule"]["next_run_at"].endswith(":30:00.000Z")
    off = await own("PUT", path, {"schedule": {"enabled": False}})
    assert off.json()["schedule"]["next_run_at"] is None
    assert (await own("DELETE", path)).status_code == 204
    assert (await own("GET", path)).status_code == 404


async def test_a_run_now_is_told_with_each_volume_and_who_waits_is_answered(cloud: Cloud, own: Own) -> None:
    tagged = [(await cloud.make(metadata={"backup": "yes"}))["id"] for _ in range(2)]
    made = await make(own, metadata={"backup": "yes"})
    path = f"/schedules/{made['id']}"
    shown = await own("GET", path)
    run = (await own("POST", f"{path}/actions/run")).json()["run"]
    assert (run["state"], run["manual"], run["volumes"]) == ("running", True, 2)
    assert (await own("POST", f"{path}/actions/run")).status_code == 409
    await cloud.quiet()
    waits = own("GET", path, **{"If-None-Match": shown.headers["ETag"], "Prefer": "wait=30"})
    loop = Schedules(cloud.db, cloud.service.ctx.tunables)
    await cloud.db.write(_due_now, run["id"])
    await loop.check()
    last = (await soon(waits)).json()["schedule"]["last_run"]
    assert (last["id"], last["state"], last["made"]) == (run["id"], "done", 2)
    told = (await own("GET", f"{path}/runs/{run['id']}")).json()["run"]
    assert sorted(item["target_id"] for item in told["items"]) == sorted(tagged)
    assert {item["state"] for item in told["items"]} == {"done"}
    assert [one["id"] for one in (await own("GET", f"{path}/runs")).json()["runs"]] == [run["id"]]


def _due_now(tx: Transaction, run_id: str) -> None:
    run = schedules.find_run(tx, run_id)
    assert run is not None
    schedules.change_run(tx, run, look_at=now())


@pytest.mark.parametrize(
    "wrong",
    [
        {"cron": "* * *"},
        {"cron": "0 0 31 2 *"},
        {"cron": 5},
        {"timezone": "Mars/Olympus"},
        {"kind": "copy"},
        {"name": " "},
        {"keep": {"hourly": 3}},
        {"keep": {"last": -1}},
        {"metadata": {}},
        {"volume_id": None},
        {"metadata": {"a": "b"}},
        {"full_every": 2},
        {"colour": "red"},
    ],
)
async def test_what_makes_no_sense_is_refused(cloud: Cloud, own: Own, wrong: dict[str, Any]) -> None:
    volume = (await cloud.make())["id"]
    body = {"name": "nightly", "kind": "snapshot", "cron": "0 3 * * *", "volume_id": volume} | wrong
    reply = await own("POST", "/schedules", {"schedule": body})
    assert reply.status_code == 400, reply.text
    [fault] = reply.json().values()
    assert len(fault["message"]) > 20


async def test_anothers_schedule_is_not_found_and_a_reader_changes_none(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make())["id"]
    made = await make(own, volume_id=volume)
    path = f"/schedules/{made['id']}"
    run = (await own("POST", f"{path}/actions/run")).json()["run"]["id"]
    change = {"schedule": {"name": "theirs"}}
    asked = [("GET", path, None), ("PUT", path, change), ("DELETE", path, None)]
    asked += [("POST", f"{path}/actions/run", None), ("GET", f"{path}/runs", None)]
    asked += [("GET", f"{path}/runs/{run}", None)]
    for method, where, body in asked:
        assert (await own(method, where, body, who="other")).status_code == 404, (method, where)
        read = await own(method, where, body, who="reader")
        assert read.status_code == (200 if method == "GET" else 403), (method, where)
    body = {"name": "x", "kind": "snapshot", "cron": "0 3 * * *", "volume_id": volume}
    assert (await own("POST", "/schedules", {"schedule": body}, who="other")).status_code == 404
    assert (await own("GET", "/schedules", who="other")).json()["schedules"] == []
    assert (await own("GET", "/schedules?all_projects=1")).status_code == 403
    assert (await own("GET", "/schedules?all_projects=1", who="admin")).json()["schedules"]
    assert (await own("GET", f"{path}/runs", who="admin")).json()["runs"]


async def test_a_schedule_is_deleted_together_with_what_it_made(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make())["id"]
    made = await make(own, volume_id=volume)
    path = f"/schedules/{made['id']}"
    await own("POST", f"{path}/actions/run")
    await cloud.quiet()
    snapshots = "/snapshots?volume_id=" + volume
    assert len((await cloud.call("GET", snapshots)).json()["snapshots"]) == 1
    with_made = f"{path}/actions/delete_with_made"
    assert (await own("POST", with_made, who="reader")).status_code == 403
    assert (await own("POST", with_made, who="other")).status_code == 404
    assert (await own("POST", with_made)).status_code == 202
    shown = await own("GET", path)
    assert shown.json()["schedule"]["deleting"] and not shown.json()["schedule"]["enabled"]
    assert shown.json()["schedule"]["last_run"]["state"] == "failed"
    assert (await own("PUT", path, {"schedule": {"enabled": True}})).status_code == 409
    assert (await own("POST", f"{path}/actions/run")).status_code == 409
    assert (await own("POST", with_made)).status_code == 202
    await cloud.quiet()
    waits = own("GET", path, **{"If-None-Match": shown.headers["ETag"], "Prefer": "wait=30"})
    await cloud.db.write(lambda tx: schedules.change(tx, made["id"], clear_at=now()))
    await Schedules(cloud.db, cloud.service.ctx.tunables).check()
    assert (await soon(waits)).status_code == 404
    assert (await cloud.call("GET", snapshots)).json()["snapshots"] == []


async def test_pages_and_filters(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make())["id"]
    for number in range(3):
        await make(own, volume_id=volume, name=f"s{number}")
    first = (await own("GET", "/schedules?limit=2")).json()
    rest = await own("GET", first["schedules_links"][0]["href"].partition("/v1")[2])
    assert len({one["id"] for one in (*first["schedules"], *rest.json()["schedules"])}) == 3
    assert len((await own("GET", "/schedules?name=s1")).json()["schedules"]) == 1
    assert (await own("GET", "/schedules?colour=red")).status_code == 400


async def test_answers_are_what_the_document_says(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make())["id"]
    made = await make(own, volume_id=volume)
    path = f"/schedules/{made['id']}"
    run = await own("POST", f"{path}/actions/run")
    answers = {
        ("/schedules", "get"): await own("GET", "/schedules"),
        ("/schedules/{id}", "get"): await own("GET", path),
        ("/schedules/{id}", "put"): await own("PUT", path, {"schedule": {"name": "x"}}),
        ("/schedules/{id}/actions/run", "post"): run,
        ("/schedules/{id}/runs", "get"): await own("GET", f"{path}/runs"),
        ("/schedules/{id}/runs/{run_id}", "get"): await own("GET", f"{path}/runs/{run.json()['run']['id']}"),
    }
    document = (await own("GET", "/openapi.json")).json()
    for (where, method), answer in answers.items():
        told = document["paths"][f"/pumice/v1{where}"][method]
        schema = told["responses"][str(answer.status_code)]["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json(), {**schema, "components": document["components"]})
