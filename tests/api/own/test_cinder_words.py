"""Notifications: Cinder's events and payloads, as who listens to Cinder with oslo.messaging hears them."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from tests.hook_receiver import receiver
from tests.notification_listener import Heard, listening
from volume_cloud import CONNECTOR, OTHER_PROJECT, POOL, PROJECT, SCOPES, USER, Cloud

from pumice.host import broker
from pumice.host.broker import Broker
from pumice.loops import notifications as loop
from pumice.loops.notifications import Notify
from pumice.loops.webhooks import FanOut
from pumice.model.errors import PumiceError, Retryable
from pumice.model.ids import new_id
from pumice.operations.harness import eventually
from pumice.operations.operation import Operation
from pumice.store import positions
from pumice.volumes.recycle_bin import purge, restore
from pumice.webhooks import manage

pytestmark = pytest.mark.filterwarnings("ignore:eventletutils module is deprecated")
IN_MEMORY = "fake:///"
"""oslo.messaging's own transport within a process."""
VOLUME = {
    *("tenant_id", "host", "user_id", "availability_zone", "volume_id", "volume_type", "display_name"),
    *("launched_at", "created_at", "status", "snapshot_id", "size", "replication_status"),
    *("replication_extended_status", "replication_driver_data", "metadata", "volume_attachment"),
}
SNAPSHOT = {
    *("tenant_id", "user_id", "availability_zone", "volume_id", "volume_size", "snapshot_id"),
    *("display_name", "created_at", "status", "deleted", "metadata"),
}
BACKUP = {
    *("tenant_id", "user_id", "availability_zone", "backup_id", "host", "display_name", "created_at", "status"),
    *("volume_id", "size", "service_metadata", "service", "fail_reason", "parent_id"),
    *("num_dependent_backups", "snapshot_id"),
}
"""The keys of Cinder's payloads: ``_usage_from_volume``, ``_usage_from_snapshot``, ``_usage_from_backup``."""


@pytest.fixture
async def heard(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Heard]:
    """What a listener hears while a scheduler follows the log."""
    monkeypatch.setattr(loop, "GATHER_SECONDS", 0.01)
    topic = f"notifications-{new_id()}"
    with listening(IN_MEMORY, topic) as found:
        notify = Notify(cloud.db, Broker(IN_MEMORY, [topic], "cinder"))
        task = asyncio.create_task(notify.run())
        await eventually(cloud.db, lambda: _follows(cloud))
        yield found
        task.cancel()
        await asyncio.wait({task})
        notify.broker.close()


async def _follows(cloud: Cloud) -> bool | None:
    return await cloud.db.read(positions.find, loop.NAME) is not None or None


async def comes(cloud: Cloud, heard: Heard, event_type: str, number: int = 1) -> dict[str, Any]:
    """The payload of the last of so many events of this type."""

    async def look() -> dict[str, Any] | None:
        found = heard.of(event_type)
        return found[-1] if len(found) >= number else None

    return await eventually(cloud.db, look)


async def test_a_volume_from_create_to_delete_in_cinders_words(cloud: Cloud, heard: Heard) -> None:
    volume = await cloud.make(name="it", metadata={"a": "b"})
    made = await comes(cloud, heard, "volume.create.end")
    [start] = heard.of("volume.create.start")
    assert start.keys() == made.keys() == VOLUME
    assert (start["status"], made["status"]) == ("creating", "available")
    assert (made["volume_id"], made["display_name"], made["size"]) == (volume["id"], "it", 1)
    assert (made["tenant_id"], made["user_id"], made["host"]) == (PROJECT, USER, POOL)
    assert made["metadata"] == [{"key": "a", "value": "b"}]
    await cloud.act(volume["id"], "os-extend", {"new_size": 3})
    assert (await comes(cloud, heard, "volume.resize.end"))["size"] == 3
    assert [one["size"] for one in heard.of("volume.resize.start")] == [1]
    await cloud.until(volume["id"], "available")
    await cloud.call("DELETE", f"/volumes/{volume['id']}")
    gone = await comes(cloud, heard, "volume.delete.end")
    assert gone.keys() == VOLUME
    assert (gone["status"], gone["size"], gone["display_name"]) == ("deleted", 3, "it")
    assert gone["created_at"] == made["created_at"], "told of what is gone as when it was there"
    actions = ("create", "resize", "delete")
    names = [name for _, name, _, _ in heard.all]
    assert names == [f"volume.{action}.{when}" for action in actions for when in ("start", "end")]
    assert len({key for _, _, _, key in heard.all}) == len(names)


async def test_snapshots_backups_and_attachments(cloud: Cloud, heard: Heard) -> None:
    volume = await cloud.make()
    asked = await cloud.call("POST", "/snapshots", {"snapshot": {"volume_id": volume["id"]}})
    snapshot = asked.json()["snapshot"]["id"]
    made = await comes(cloud, heard, "snapshot.create.end")
    assert made.keys() == SNAPSHOT
    assert (made["snapshot_id"], made["volume_id"], made["status"]) == (snapshot, volume["id"], "available")
    asked = await cloud.call("POST", "/backups", {"backup": {"volume_id": volume["id"]}})
    backup = asked.json()["backup"]["id"]
    kept = await comes(cloud, heard, "backup.create.end")
    assert kept.keys() == BACKUP
    assert kept["backup_id"] == backup
    await cloud.quiet()
    await cloud.call("DELETE", f"/snapshots/{snapshot}")
    assert (await comes(cloud, heard, "snapshot.delete.end"))["deleted"] == "True"
    await cloud.call("DELETE", f"/backups/{backup}")
    assert (await comes(cloud, heard, "backup.delete.end"))["backup_id"] == backup
    body = {"attachment": {"volume_uuid": volume["id"], "connector": CONNECTOR}}
    attachment = (await cloud.call("POST", "/attachments", body)).json()["attachment"]["id"]
    used = await comes(cloud, heard, "volume.attach.end")
    assert used["volume_id"] == volume["id"]
    assert used["volume_attachment"][0]["id"] == attachment
    await cloud.call("DELETE", f"/attachments/{attachment}")
    assert (await comes(cloud, heard, "volume.detach.end"))["volume_id"] == volume["id"]


async def test_what_is_done_at_once_has_cinders_end(cloud: Cloud, heard: Heard) -> None:
    volume = (await cloud.make(name="it"))["id"]
    await cloud.call("PUT", f"/volumes/{volume}", {"volume": {"name": "other"}})
    named = await comes(cloud, heard, "volume.update.end")
    assert (named.keys(), named["display_name"], named["status"]) == (VOLUME, "other", "available")
    await cloud.call("POST", f"/volumes/{volume}/metadata", {"metadata": {"a": "b"}})
    assert (await comes(cloud, heard, "volume.update.end", 2))["metadata"] == [{"key": "a", "value": "b"}]
    kind = await cloud.call("POST", "/types", {"volume_type": {"name": "another"}}, who="admin")
    type_id = kind.json()["volume_type"]["id"]
    assert (await cloud.act(volume, "os-retype", {"new_type": type_id})).status_code == 202
    assert (await comes(cloud, heard, "volume.retype"))["volume_type"] == type_id
    await cloud.act(volume, "os-reset_status", {"status": "error"}, who="admin")
    assert (await comes(cloud, heard, "volume.reset_status.end"))["tenant_id"] == PROJECT
    await cloud.act(volume, "os-reset_status", {"status": "available"}, who="admin")
    asked = await cloud.call("POST", "/volume-transfers", {"transfer": {"volume_id": volume}})
    transfer = asked.json()["transfer"]
    assert (await comes(cloud, heard, "volume.transfer.create.end"))["status"] == "awaiting-transfer"
    body = {"accept": {"auth_key": transfer["auth_key"]}}
    await cloud.call("POST", f"/volume-transfers/{transfer['id']}/accept", body, who="other")
    taken = await comes(cloud, heard, "volume.transfer.accept.end")
    assert (taken["volume_id"], taken["tenant_id"]) == (volume, OTHER_PROJECT)
    assert not [name for _, name, *_ in heard.all if name.endswith("start") and "create" not in name]


async def test_what_is_recycled_is_deleted_for_who_listens_and_what_is_had_back_created(
    cloud: Cloud, heard: Heard
) -> None:
    cloud.service.ctx.tunables = replace(cloud.tunables, recycle_days=7)
    volume = (await cloud.make(name="it"))["id"]
    for number in (1, 2):
        await cloud.call("DELETE", f"/volumes/{volume}")
        gone = await comes(cloud, heard, "volume.delete.end", number)
        assert (gone["volume_id"], gone["status"]) == (volume, "deleted")
        if number == 1:
            await cloud.db.write(restore.accept, SCOPES["member"], volume, cloud.tunables)
            back = await comes(cloud, heard, "volume.create.end", 2)
            assert (back["volume_id"], back["status"], back["display_name"]) == (volume, "available", "it")
    await cloud.db.write(purge.accept, SCOPES["member"], volume)
    await cloud.quiet()
    last = (await cloud.make(name="last"))["id"]
    assert (await comes(cloud, heard, "volume.create.end", 3))["volume_id"] == last
    assert len(heard.of("volume.delete.end")) == 2
    assert not heard.of("volume.delete.start")


async def test_what_failed_is_an_error_with_the_fault(cloud: Cloud, heard: Heard) -> None:
    def breaks(when: str, direction: str, step: str, _: Operation[Any]) -> None:
        if (when, direction, step) == ("before", "do", "make_bytes"):
            raise PumiceError("There is no room in box@fake#fake.")

    cloud.runner.state_machine.faults = breaks
    await cloud.call("POST", "/volumes", {"volume": {"size": 1}})
    failed = await comes(cloud, heard, "volume.create.error")
    assert (failed["status"], failed["error"]) == ("error", "There is no room in box@fake#fake.")
    await comes(cloud, heard, "volume.create.start")
    assert {priority: name for priority, name, *_ in heard.all} == {
        "info": "volume.create.start",
        "error": "volume.create.error",
    }


async def test_a_webhook_hears_the_same_but_of_no_host(cloud: Cloud) -> None:
    path, ctx = f"/{new_id()}", cloud.service.ctx
    who = await ctx.tokens.scope_of("member")
    asked = {"url": receiver().url(path), "secret": None, "format": "cinder"}
    await cloud.db.write(lambda tx: manage.create(tx, who, ctx.outbound, 10, **asked) and None)
    task = asyncio.create_task(FanOut(cloud.db).run())
    volume = await cloud.make()

    async def look() -> list[Any] | None:
        found = receiver().messages(path)
        return found if len(found) == 2 else None

    envelopes = await eventually(cloud.db, look)
    messages = [orjson.loads(each["oslo.message"]) for each in envelopes]
    assert {each["oslo.version"] for each in envelopes} == {"2.0"}
    assert {each["event_type"] for each in messages} == {"volume.create.start", "volume.create.end"}
    for each in messages:
        assert each["payload"]["volume_id"] == volume["id"]
        assert each["_context_project_id"] == PROJECT
        assert "box" not in orjson.dumps(each).decode()
    task.cancel()
    await asyncio.wait({task})


async def test_none_is_lost_while_the_broker_is_away_and_nobody_waits_for_it(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "FIRST_PAUSE", 0.01)
    told, away = list[str](), threading.Event()
    away.set()

    class Away(Broker):
        async def publish(self, messages: Any) -> None:
            if away.is_set():
                raise Retryable("The broker is away.")
            told.extend(message["event_type"] for _, _, message in messages)

    first = asyncio.create_task(Notify(cloud.db, Away("fake://", ["t"], "cinder")).run())
    await eventually(cloud.db, lambda: _follows(cloud))
    await cloud.make()
    assert await cloud.db.read(positions.seconds_behind, loop.NAME) is not None
    first.cancel()
    await asyncio.wait({first})
    away.clear()
    second = asyncio.create_task(Notify(cloud.db, Away("fake://", ["t"], "cinder")).run())

    async def look() -> bool | None:
        behind = await cloud.db.read(positions.seconds_behind, loop.NAME)
        return (told == ["volume.create.start", "volume.create.end"] and behind is None) or None

    await eventually(cloud.db, look)
    second.cancel()
    await asyncio.wait({second})


async def test_a_broker_that_hangs_is_left_behind_and_asked_no_more_until_it_is_back() -> None:
    stuck, asked = threading.Event(), list[int]()

    class Hangs(Broker):
        def _publish(self, messages: Any) -> None:
            asked.append(len(messages))
            stuck.wait(60)

    slow = Hangs("fake://", ["t"], "cinder", seconds=0.05)
    with pytest.raises(Retryable, match="within"):
        await slow.publish([("info", {}, {})])
    await asyncio.sleep(2.1)
    with pytest.raises(Retryable, match="has not come back"):
        await slow.publish([("info", {}, {})])
    assert asked == [1]
    stuck.set()


def test_no_error_tells_the_brokers_password() -> None:
    url = "rabbit://me:word@host/"
    assert "word" not in broker.reason(OSError(f"cannot reach {url}"), url)
