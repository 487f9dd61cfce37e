"""Attaching and detaching: the older door, both doors at once, and what is refused."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from volume_cloud import CONNECTOR, Cloud

from databases import ON_SQLITE
from pumice.backends.targets.fake import FakeTarget
from pumice.model.errors import Retryable
from pumice.model.ids import new_id
from pumice.store import tables, volumes
from pumice.store.columns import now
from pumice.store.database import Transaction

SERVER = "55555555-5555-4555-8555-555555555555"
HERE = {"instance_uuid": SERVER, "mountpoint": "/dev/vdb"}
SERVICE = {"X-Service-Token": "service"}


async def connect(cloud: Cloud, volume_id: str, connector: dict[str, Any] = CONNECTOR) -> dict[str, Any]:
    reply = await cloud.act(volume_id, "os-initialize_connection", {"connector": connector})
    assert reply.status_code == 200, reply.text
    info: dict[str, Any] = reply.json()["connection_info"]
    return info


def lets_in(target: FakeTarget, info: dict[str, Any]) -> bool:
    data = info["data"]
    return target.admits(
        data["target_iqn"], CONNECTOR["initiator"], data["auth_username"], data["auth_password"]
    )


async def test_the_older_actions_go_all_the_way(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    assert (await cloud.act(volume_id, "os-reserve")).status_code == 202
    await cloud.until(volume_id, "attaching")
    info = await connect(cloud, volume_id)
    assert info["driver_volume_type"] == "iscsi"
    assert lets_in(cloud.target, info)
    await cloud.until(volume_id, "attaching")
    assert (await cloud.act(volume_id, "os-attach", HERE)).status_code == 202
    (attached,) = (await cloud.until(volume_id, "in-use"))["attachments"]
    assert (attached["server_id"], attached["device"]) == (SERVER, "/dev/vdb")
    assert (await cloud.act(volume_id, "os-begin_detaching")).status_code == 202
    await cloud.until(volume_id, "detaching")
    gone = await cloud.act(volume_id, "os-terminate_connection", {"connector": CONNECTOR})
    assert gone.status_code == 202
    assert not cloud.target.devices
    await cloud.until(volume_id, "detaching")
    detach = {"attachment_id": attached["attachment_id"]}
    assert (await cloud.act(volume_id, "os-detach", detach)).status_code == 202
    assert (await cloud.until(volume_id, "available"))["attachments"] == []
    assert await cloud.attachments_of(volume_id) == []


async def test_connecting_the_same_initiator_again_gives_the_same_connection(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    first = await connect(cloud, volume_id)
    assert await connect(cloud, volume_id) == first
    await cloud.until(volume_id, "available")
    both = await asyncio.gather(*(connect(cloud, volume_id) for _ in range(5)))
    assert all(info == first for info in both)


async def test_a_second_initiator_is_refused(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    await connect(cloud, volume_id)
    other = {**CONNECTOR, "initiator": "iqn.1993-08.org.debian:01:two"}
    assert (await cloud.act(volume_id, "os-initialize_connection", {"connector": other})).status_code == 400


async def test_terminating_what_was_never_attached_frees_the_volume(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    await cloud.act(volume_id, "os-reserve")
    await connect(cloud, volume_id)
    gone = await cloud.act(volume_id, "os-terminate_connection", {"connector": CONNECTOR})
    assert gone.status_code == 202
    await cloud.until(volume_id, "available")
    assert await cloud.attachments_of(volume_id) == []


async def test_unreserving_frees_and_rolling_back_keeps(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    await cloud.act(volume_id, "os-reserve")
    assert (await cloud.act(volume_id, "os-unreserve")).status_code == 202
    await cloud.until(volume_id, "available")
    assert (await cloud.act(volume_id, "os-unreserve")).status_code == 202
    await cloud.act(volume_id, "os-attach", HERE)
    await cloud.act(volume_id, "os-begin_detaching")
    assert (await cloud.act(volume_id, "os-roll_detaching")).status_code == 202
    await cloud.until(volume_id, "in-use")


async def test_unreserving_shuts_out_who_was_let_in(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    await cloud.act(volume_id, "os-reserve")
    await connect(cloud, volume_id)
    assert (await cloud.act(volume_id, "os-unreserve")).status_code == 202
    await cloud.until(volume_id, "available")
    assert not cloud.target.devices


async def test_terminating_another_initiator_changes_nothing(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    await cloud.act(volume_id, "os-reserve")
    info = await connect(cloud, volume_id)
    other = {**CONNECTOR, "initiator": "iqn.1993-08.org.debian:01:two"}
    assert (await cloud.act(volume_id, "os-terminate_connection", {"connector": other})).status_code == 202
    await cloud.until(volume_id, "attaching")
    assert lets_in(cloud.target, info)


async def test_detaching_by_an_id_that_is_gone_ends_quietly_for_a_service(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    unknown = {"attachment_id": new_id()}
    assert (await cloud.act(volume_id, "os-detach", unknown)).status_code == 409
    assert (await cloud.act(volume_id, "os-detach", unknown, headers=SERVICE)).status_code == 202
    empty = await cloud.call("POST", f"/volumes/{volume_id}/action", {"os-detach": None})
    assert empty.status_code == 202
    await cloud.until(volume_id, "available")


async def test_detaching_by_another_volumes_attachment_is_refused(cloud: Cloud) -> None:
    one, two = (await cloud.make())["id"], (await cloud.make())["id"]
    await cloud.act(two, "os-attach", HERE)
    (attached,) = (await cloud.until(two, "in-use"))["attachments"]
    wrong = await cloud.act(one, "os-detach", {"attachment_id": attached["attachment_id"]})
    assert wrong.status_code == 400


@ON_SQLITE
@pytest.mark.parametrize(
    ("action", "value", "status"),
    [
        ("os-attach", {"mountpoint": "/dev/vdb"}, 400),
        ("os-attach", {"instance_uuid": "x", "mountpoint": "/dev/vdb"}, 400),
        ("os-attach", {**HERE, "mode": "wild"}, 400),
        ("os-attach", {**HERE, "mountpoint": ""}, 400),
        ("os-attach", [], 400),
        ("os-initialize_connection", {}, 400),
        ("os-initialize_connection", {"connector": {}}, 400),
        ("os-initialize_connection", {"connector": {"host": "node1"}}, 400),
        ("os-terminate_connection", {}, 400),
        ("os-begin_detaching", {}, 400),
        ("os-detach", {"attachment_id": "x"}, 400),
        ("os-unknown", {}, 400),
    ],
)
async def test_what_makes_no_sense_is_refused(cloud: Cloud, action: str, value: Any, status: int) -> None:
    volume_id = (await cloud.make())["id"]
    reply = await cloud.act(volume_id, action, value)
    assert reply.status_code == status, reply.text
    assert reply.json()["badRequest"]["message"]
    await cloud.until(volume_id, "available")


async def test_a_backend_in_trouble_is_told_and_leaves_nothing(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]

    class Down(dict[str, Exception]):
        def pop(self, key: str, *default: Any) -> Exception:
            return self[key]

    cloud.target.fail_next = Down(grant=Retryable("The daemon is down."))
    body = {"attachment": {"volume_uuid": volume_id, "connector": CONNECTOR}}
    reply = await cloud.call("POST", "/attachments", body)
    assert reply.status_code == 503
    assert "The daemon is down." in reply.json()["serviceUnavailable"]["message"]
    await cloud.until(volume_id, "available")
    assert await cloud.attachments_of(volume_id) == []


# --- races ---------------------------------------------------------------------------------------------------


def older(volume_id: str) -> tuple[str, dict[str, Any]]:
    return f"/volumes/{volume_id}/action", {"os-attach": HERE}


def newer(volume_id: str) -> tuple[str, dict[str, Any]]:
    return "/attachments", {"attachment": {"volume_uuid": volume_id, "instance_uuid": SERVER}}


@pytest.mark.parametrize("doors", [(older, older), (newer, newer), (older, newer)])
async def test_only_one_of_two_racing_attaches_wins(cloud: Cloud, doors: tuple[Any, Any]) -> None:
    for _ in range(50):
        volume_id = (await cloud.make())["id"]
        replies = await asyncio.gather(*(cloud.call("POST", *door(volume_id)) for door in doors))
        won = [reply for reply in replies if reply.status_code in (200, 202)]
        lost = [reply for reply in replies if reply.status_code == 400]
        assert (len(won), len(lost)) == (1, 1)
        assert len(await cloud.attachments_of(volume_id)) == 1


async def test_a_volume_is_never_both_attached_and_deleted(cloud: Cloud) -> None:
    async def race(number: int) -> None:
        volume_id = (await cloud.make())["id"]
        attach = cloud.call("POST", *(older, newer)[number % 2](volume_id))
        delete = cloud.call("DELETE", f"/volumes/{volume_id}")
        pair = (attach, delete) if number % 4 < 2 else (delete, attach)
        replies = await asyncio.gather(*pair)
        done = {reply.request.method: reply.status_code for reply in replies}
        assert (done["POST"] in (200, 202)) != (done["DELETE"] == 202), done
        if done["DELETE"] == 202:
            await cloud.until(volume_id, None)
            assert await cloud.attachments_of(volume_id) == []

    for start in range(0, 200, 20):
        await asyncio.gather(*(race(start + number) for number in range(20)))


async def test_a_connection_deleted_while_it_is_made_leaves_no_export(cloud: Cloud) -> None:
    cloud.target.delay = 0.02
    volume_id = (await cloud.make())["id"]
    body = {"attachment": {"volume_uuid": volume_id, "connector": CONNECTOR}}
    making = asyncio.create_task(cloud.call("POST", "/attachments", body))
    while not (found := await cloud.attachments_of(volume_id)):
        await asyncio.sleep(0)
    gone = await cloud.call("DELETE", f"/attachments/{found[0]['id']}")
    assert gone.status_code == 200
    assert (await making).status_code in (200, 404, 503)
    await cloud.until(volume_id, "available")
    assert not cloud.target.devices


# --- OSSA-2023-003 -------------------------------------------------------------------------------------------


async def used_by_a_server(cloud: Cloud) -> tuple[str, str]:
    """A volume in use by a server of the Compute API, and its attachment."""
    volume_id = (await cloud.make())["id"]
    await connect(cloud, volume_id)
    await cloud.act(volume_id, "os-attach", HERE)
    (attached,) = (await cloud.until(volume_id, "in-use"))["attachments"]

    def plug(tx: Transaction) -> None:
        server = {column.name: None for column in tables.servers.c} | {
            "id": SERVER, "project_id": "p", "user_id": "u", "name": "s", "status": "ACTIVE", "flavor": {},
            "metadata": {}, "tags": [], "locked": False, "availability_zone": "nova", "created_at": now(),
        }  # fmt: skip
        tx.execute(sa.insert(tables.servers), server)
        disk = {
            "id": new_id(), "server_id": SERVER, "device": "vdb", "volume_id": volume_id,
            "attachment_id": attached["attachment_id"], "delete_on_termination": False, "created_at": now(),
        }  # fmt: skip
        tx.execute(sa.insert(tables.server_disks), disk)

    await cloud.db.write(plug)
    return volume_id, attached["attachment_id"]


async def test_a_user_cannot_take_a_volume_from_a_server_behind_its_back(cloud: Cloud) -> None:
    volume_id, attachment_id = await used_by_a_server(cloud)
    tried = [
        await cloud.act(volume_id, "os-detach", {"attachment_id": attachment_id}),
        await cloud.act(volume_id, "os-detach"),
        await cloud.act(volume_id, "os-terminate_connection", {"connector": CONNECTOR}),
        await cloud.call("DELETE", f"/attachments/{attachment_id}"),
        await cloud.act(volume_id, "os-force_detach", {"attachment_id": attachment_id}, who="admin"),
    ]
    for reply in tried:
        assert reply.status_code == 409
        message = reply.json()["conflictingRequest"]["message"]
        assert message == f"Detach volume from instance {SERVER} using the Compute API"
    assert cloud.target.devices


async def test_a_service_may_take_a_volume_from_a_server(cloud: Cloud) -> None:
    volume_id, attachment_id = await used_by_a_server(cloud)
    reply = await cloud.call("DELETE", f"/attachments/{attachment_id}", headers=SERVICE)
    assert reply.status_code == 200
    await cloud.until(volume_id, "available")


@pytest.mark.parametrize("token", ["member", "admin"])
async def test_a_token_without_a_services_role_makes_no_service(cloud: Cloud, token: str) -> None:
    _, attachment_id = await used_by_a_server(cloud)
    path, headers = f"/attachments/{attachment_id}", {"X-Service-Token": token}
    assert (await cloud.call("DELETE", path, headers=headers)).status_code == 409
    assert (await cloud.call("DELETE", path, who="both")).status_code == 409
    cloud.service.ctx.tunables = replace(cloud.tunables, service_token_roles=frozenset({token}))
    assert (await cloud.call("DELETE", path, headers=headers)).status_code == 200


async def test_a_service_token_that_is_not_valid_is_refused(cloud: Cloud) -> None:
    _, attachment_id = await used_by_a_server(cloud)
    reply = await cloud.call("DELETE", f"/attachments/{attachment_id}", headers={"X-Service-Token": "x"})
    assert reply.status_code == 401


async def test_the_older_actions_are_no_way_around_it(cloud: Cloud) -> None:
    volume_id, attachment_id = await as_another_nova(cloud)
    await cloud.act(volume_id, "os-reset_status", {"status": "attaching"}, who="admin")
    await connect(cloud, volume_id)
    await cloud.act(volume_id, "os-attach", HERE)
    assert (await cloud.call("DELETE", f"/attachments/{attachment_id}")).status_code == 409
    assert (await cloud.act(volume_id, "os-terminate_connection", {"connector": CONNECTOR})).status_code == 409


async def as_another_nova(cloud: Cloud, *, multiattach: bool = False) -> tuple[str, str]:
    """A volume in use by a server that nobody here knows: reserved, connected, completed; its attachment."""
    volume_id = (await cloud.make())["id"]
    await cloud.db.write(lambda tx: volumes.change(tx, volume_id, multiattach=multiattach))
    attachment_id = await reserved_for(cloud, volume_id, SERVER)
    body = {"attachment": {"connector": {**CONNECTOR, "mountpoint": "/dev/vdb"}}}
    assert (await cloud.call("PUT", f"/attachments/{attachment_id}", body)).status_code == 200
    done = await cloud.call("POST", f"/attachments/{attachment_id}/action", {"os-complete": {}})
    assert done.status_code == 204
    await cloud.until(volume_id, "in-use")
    return volume_id, attachment_id


async def reserved_for(cloud: Cloud, volume_id: str, server_id: str | None) -> str:
    body = {"attachment": {"volume_uuid": volume_id, "instance_uuid": server_id}}
    reply = await cloud.call("POST", "/attachments", body)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["attachment"]["id"])


async def test_a_volume_is_not_taken_from_a_server_of_another_compute_service(cloud: Cloud) -> None:
    volume_id, attachment_id = await as_another_nova(cloud)
    id_only, connector = {"attachment_id": attachment_id}, {"connector": CONNECTOR}
    tried = [
        await cloud.call("DELETE", f"/attachments/{attachment_id}"),
        await cloud.call("DELETE", f"/attachments/{attachment_id}", who="admin"),
        await cloud.act(volume_id, "os-detach", id_only),
        await cloud.act(volume_id, "os-detach"),
        await cloud.act(volume_id, "os-terminate_connection", connector),
        await cloud.act(volume_id, "os-terminate_connection", {"connector": None}),
        await cloud.act(volume_id, "os-force_detach", id_only, who="admin"),
        await cloud.act(volume_id, "os-force_detach", {**id_only, **connector}, who="admin"),
        await cloud.act(volume_id, "os-reset_status", {"attach_status": "detached"}, who="admin"),
    ]
    for reply in tried:
        assert reply.status_code == 409, reply.text
        message = reply.json()["conflictingRequest"]["message"]
        assert message == f"Detach volume from instance {SERVER} using the Compute API"
    await cloud.until(volume_id, "in-use")
    assert cloud.target.devices
    gone = await cloud.call("DELETE", f"/attachments/{attachment_id}", headers=SERVICE)
    assert gone.status_code == 200
    await cloud.until(volume_id, "available")


async def test_which_of_several_servers_is_meant_is_not_guessed(cloud: Cloud) -> None:
    volume_id, _ = await as_another_nova(cloud, multiattach=True)
    other = await reserved_for(cloud, volume_id, new_id())
    assert (await cloud.act(volume_id, "os-detach")).status_code == 409
    assert (await cloud.act(volume_id, "os-detach", headers=SERVICE)).status_code == 400
    assert (await cloud.call("DELETE", f"/attachments/{other}")).status_code == 200  # nobody was connected


@pytest.mark.parametrize("server_id", [None, SERVER])
async def test_what_was_never_connected_to_is_let_go_by_its_owner(cloud: Cloud, server_id: str | None) -> None:
    volume_id = (await cloud.make())["id"]
    attachment_id = await reserved_for(cloud, volume_id, server_id)
    await cloud.until(volume_id, "reserved")
    assert (await cloud.call("DELETE", f"/attachments/{attachment_id}")).status_code == 200
    await cloud.until(volume_id, "available")


@pytest.mark.parametrize("how", ["os-force_detach", "os-detach"])
async def test_a_volume_that_was_put_in_error_is_available_once_it_is_detached(cloud: Cloud, how: str) -> None:
    volume_id = (await cloud.make())["id"]
    await cloud.act(volume_id, "os-attach", HERE)
    await cloud.act(volume_id, "os-reset_status", {"status": "error"}, who="admin")
    await cloud.until(volume_id, "error")
    assert (await cloud.act(volume_id, how, who="admin")).status_code == 202
    await cloud.until(volume_id, "available")
    assert await cloud.attachments_of(volume_id) == []


async def test_metadata_says_whether_a_volume_is_read_only_once_somebody_has_said_it(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    assert (await cloud.until(volume_id, "available"))["metadata"] == {}
    await cloud.act(volume_id, "os-update_readonly_flag", {"readonly": False})
    assert (await cloud.until(volume_id, "available"))["metadata"] == {"readonly": "False"}
    await cloud.act(volume_id, "os-update_readonly_flag", {"readonly": True})
    assert (await cloud.until(volume_id, "available"))["metadata"] == {"readonly": "True"}
    other = (await cloud.make())["id"]
    await cloud.act(other, "os-attach", HERE)
    assert (await cloud.until(other, "in-use"))["metadata"] == {"readonly": "False", "attached_mode": "rw"}


async def test_a_request_that_waits_while_its_process_has_to_end_is_told_to_ask_again(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    await cloud.stop()
    body = {"attachment": {"volume_uuid": volume_id, "connector": CONNECTOR}}
    request = asyncio.create_task(cloud.call("POST", "/attachments", body))
    await cloud.until(volume_id, "attaching")
    request.cancel()
    answer = await request
    assert answer.status_code == 503
    assert "ask again" in answer.json()["serviceUnavailable"]["message"]


# --- addresses change ----------------------------------------------------------------------------------------


async def test_whoever_asks_how_to_connect_is_told_where_the_volume_is_by_now(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    cloud.target.portals = ("192.0.2.1:3260",)
    first = await connect(cloud, volume_id)
    cloud.target.portals = ("192.0.2.2:3261",)
    cloud.target.prefix = "iqn.2031-01.org.moved"
    second = await connect(cloud, volume_id)
    assert second["data"]["target_portal"] == "192.0.2.2:3261"
    assert second["data"]["target_iqn"] == f"iqn.2031-01.org.moved:volume-{volume_id}"
    assert lets_in(cloud.target, second)
    assert second["data"]["auth_password"] == first["data"]["auth_password"]
    (link,) = await cloud.attachments_of(volume_id)
    cloud.target.portals = ("192.0.2.3:3261",)
    body = {"attachment": {"connector": CONNECTOR}}
    told = (await cloud.call("PUT", f"/attachments/{link['id']}", body)).json()["attachment"]
    assert told["connection_info"]["target_portal"] == "192.0.2.3:3261"


# --- the attachments decide, not the word --------------------------------------------------------------------

OTHER_SERVER = "66666666-6666-4666-8666-666666666666"
THERE = {"instance_uuid": OTHER_SERVER, "mountpoint": "/dev/vdb"}
WITH_CONNECTOR = {"connector": {**CONNECTOR, "initiator": "iqn.1993-08.org.debian:01:two"}}


@pytest.mark.parametrize("word", ["available", "attaching", "reserved"])
@pytest.mark.parametrize("first", ["older", "newer"])
async def test_a_volume_that_was_reset_is_attached_no_second_time(cloud: Cloud, first: str, word: str) -> None:
    volume_id = (await cloud.make())["id"]
    if first == "older":
        await cloud.act(volume_id, "os-attach", HERE)
    else:
        volume_id, _ = await as_another_nova(cloud)
    (link,) = await cloud.attachments_of(volume_id)
    assert (await cloud.act(volume_id, "os-reset_status", {"status": word}, who="admin")).status_code == 202
    new = {"volume_uuid": volume_id, "instance_uuid": OTHER_SERVER}
    tried = [
        await cloud.act(volume_id, "os-attach", THERE),
        await cloud.act(volume_id, "os-attach", {"host_name": "h", "mountpoint": "/dev/vdb"}),
        await cloud.call("POST", "/attachments", {"attachment": new}),
        await cloud.call("POST", "/attachments", {"attachment": new | WITH_CONNECTOR}),
    ]
    assert [reply.status_code for reply in tried] == [400] * 4
    await cloud.act(volume_id, "os-initialize_connection", WITH_CONNECTOR)
    assert [one["id"] for one in await cloud.attachments_of(volume_id)] == [link["id"]]


@pytest.mark.parametrize(
    ("action", "value", "who"),
    [
        ("os-extend", {"new_size": 2}, "member"),
        ("revert", None, "member"),
        ("os-unmanage", {}, "admin"),
        ("os-update_readonly_flag", {"readonly": True}, "member"),
        ("transfer", None, "member"),
        ("delete", None, "member"),
    ],
)
async def test_what_has_an_attachment_is_not_available_whatever_it_was_reset_to(
    cloud: Cloud, action: str, value: Any, who: str
) -> None:
    volume_id = (await cloud.make())["id"]
    snapshot = await cloud.call("POST", "/snapshots", {"snapshot": {"volume_id": volume_id}})
    await cloud.until(snapshot.json()["snapshot"]["id"], "available", kind="snapshot")
    await cloud.act(volume_id, "os-attach", HERE)
    await cloud.act(volume_id, "os-reset_status", {"status": "available"}, who="admin")
    if action == "transfer":
        reply = await cloud.call("POST", "/volume-transfers", {"transfer": {"volume_id": volume_id}})
    elif action == "delete":
        reply = await cloud.call("DELETE", f"/volumes/{volume_id}?cascade=true")
    elif action == "revert":
        value = {"snapshot_id": snapshot.json()["snapshot"]["id"]}
        reply = await cloud.act(volume_id, action, value)
    else:
        reply = await cloud.act(volume_id, action, value, who=who)
    assert reply.status_code in (400, 409), reply.text
    await cloud.until(volume_id, "available")


async def test_who_a_servers_host_is_nobody_but_a_service_says(cloud: Cloud) -> None:
    volume_id, attachment_id = await as_another_nova(cloud)
    body = {"attachment": {"connector": {**CONNECTOR, "host": "elsewhere", "ip": "192.0.2.66"}}}
    assert (await cloud.call("PUT", f"/attachments/{attachment_id}", body)).status_code == 200
    (link,) = await cloud.attachments_of(volume_id)
    assert (link["host"], link["connector"].ip) == (CONNECTOR["host"], CONNECTOR["ip"])
    assert (await cloud.call("PUT", f"/attachments/{attachment_id}", body, headers=SERVICE)).status_code == 200
    (link,) = await cloud.attachments_of(volume_id)
    assert (link["host"], link["connector"].ip) == ("elsewhere", "192.0.2.66")
