"""The stories of servers and their volumes: boot, attach, detach, delete, and what goes wrong in them."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from compute_cloud import HOST, LIMIT, POOL, Cloud

from pumice.app import rotation
from pumice.attachments import rotate
from pumice.hypervisor.contract import IscsiSource
from pumice.model.errors import PumiceError, Retryable
from pumice.model.export import NvmeExport
from pumice.model.ids import new_id
from pumice.model.states import VolumeStatus
from pumice.store import attachments, operations, volumes
from pumice.store.services import Heartbeat, heartbeat
from pumice.volumes import extend


async def attachments_of(cloud: Cloud, server_id: str) -> list[dict[str, Any]]:
    return list((await cloud.get(f"/servers/{server_id}/os-volume_attachments"))["volumeAttachments"])


async def test_a_server_boots_from_a_copy_of_an_image(cloud: Cloud) -> None:
    server_id = await cloud.server()
    shown = (await cloud.get(f"/servers/{server_id}"))["server"]
    assert shown["image"]["id"]
    assert shown["os-extended-volumes:volumes_attached"] == []
    await cloud.check_invariants()


async def test_a_server_boots_from_a_volume_and_leaves_it_behind(cloud: Cloud) -> None:
    volume_id = await cloud.volume(bootable=True)
    server_id = await cloud.server(block_device_mapping_v2=[cloud.from_volume(volume_id)])
    assert await cloud.volume_status(volume_id) == "in-use"
    shown = (await cloud.get(f"/servers/{server_id}"))["server"]
    assert shown["image"] == ""
    assert [volume["id"] for volume in shown["os-extended-volumes:volumes_attached"]] == [volume_id]
    await cloud.check_invariants()
    assert (await cloud.ask("DELETE", f"/servers/{server_id}")).status_code == 204
    await cloud.until_gone(server_id)
    await cloud.until_quiet()
    assert await cloud.volume_status(volume_id) == "available"
    await cloud.check_invariants()


async def test_a_server_boots_from_a_volume_made_of_an_image_and_takes_it_along(cloud: Cloud) -> None:
    image = await cloud.image()
    root = {
        "source_type": "image",
        "destination_type": "volume",
        "uuid": image,
        "boot_index": 0,
        "volume_size": 1,
        "delete_on_termination": True,
    }
    data = {"source_type": "blank", "destination_type": "volume", "volume_size": 2, "boot_index": -1}
    server_id = await cloud.server(block_device_mapping_v2=[root, data])
    first, second = await attachments_of(cloud, server_id)
    assert (first["device"], second["device"]) == ("/dev/vda", "/dev/vdb")
    await cloud.check_invariants()
    await cloud.ask("DELETE", f"/servers/{server_id}")
    await cloud.until_gone(server_id)
    await cloud.until_volume(first["volumeId"], None)
    await cloud.until_quiet()
    assert await cloud.volume_status(second["volumeId"]) == "available"
    await cloud.check_invariants()


async def test_an_attachment_is_there_from_the_moment_it_is_answered(cloud: Cloud) -> None:
    server_id, volume_id = await cloud.server(), await cloud.volume()
    cloud.target.free.clear()
    path = f"/servers/{server_id}/os-volume_attachments"
    answer = await cloud.post(path, {"volumeAttachment": {"volumeId": volume_id}}, expect=200)
    assert answer["volumeAttachment"]["device"] == "/dev/vdb"
    assert [one["volumeId"] for one in await attachments_of(cloud, server_id)] == [volume_id]
    assert await cloud.volume_status(volume_id) == "attaching"
    cloud.target.free.set()
    await cloud.until_volume(volume_id, "in-use")
    await cloud.check_invariants()


async def test_a_volume_is_attached_and_detached(cloud: Cloud) -> None:
    server_id, volume_id = await cloud.server(), await cloud.volume()
    await cloud.attach(server_id, volume_id)
    assert volume_id in await cloud.hypervisor.disks(server_id)
    answer = await cloud.ask("DELETE", f"/servers/{server_id}/os-volume_attachments/{volume_id}")
    assert answer.status_code == 202
    await cloud.until_volume(volume_id, "available")
    assert await attachments_of(cloud, server_id) == []
    assert volume_id not in await cloud.hypervisor.disks(server_id)
    await cloud.check_invariants()


async def test_a_swap_of_volumes_is_answered_as_where_nothing_is_migrated(cloud: Cloud) -> None:
    server_id, volume_id, other = await cloud.server(), await cloud.volume(), await cloud.volume()
    await cloud.attach(server_id, volume_id)
    path, body = f"/servers/{server_id}/os-volume_attachments", {"volumeAttachment": {"volumeId": other}}
    answer = await cloud.ask("PUT", f"{path}/{volume_id}", body, caller="admin")
    assert (answer.status_code, "should only be called by Cinder" in answer.text) == (409, True), answer.text
    assert (await cloud.ask("PUT", f"{path}/{volume_id}", body)).status_code == 403
    assert (await cloud.ask("PUT", f"{path}/{other}", body, caller="admin")).status_code == 404
    assert [one["volumeId"] for one in await attachments_of(cloud, server_id)][-1] == volume_id
    await cloud.check_invariants()


async def test_twenty_attaches_at_once_get_twenty_devices(cloud: Cloud) -> None:
    server_id = await cloud.server()
    volume_ids = [await cloud.volume() for _ in range(20)]
    answers = await asyncio.gather(*(cloud.attach(server_id, volume_id) for volume_id in volume_ids))
    assert len({answer["device"] for answer in answers}) == 20
    await cloud.check_invariants()


async def test_of_two_attaches_of_one_volume_exactly_one_wins_fifty_times_of_fifty(cloud: Cloud) -> None:
    one, other = await cloud.server(), await cloud.server()
    volume_id = await cloud.volume()
    body = {"volumeAttachment": {"volumeId": volume_id}}
    for _ in range(50):
        answers = await asyncio.gather(
            *(cloud.ask("POST", f"/servers/{server}/os-volume_attachments", body) for server in (one, other))
        )
        assert sorted(answer.status_code for answer in answers) == [200, 400]
        winner = one if answers[0].status_code == 200 else other
        await cloud.until_volume(volume_id, "in-use")
        await cloud.ask("DELETE", f"/servers/{winner}/os-volume_attachments/{volume_id}")
        await cloud.until_volume(volume_id, "available")


async def test_an_attach_and_a_delete_of_one_volume_never_both_succeed(cloud: Cloud) -> None:
    from pumice.model.errors import InvalidState
    from pumice.volumes import delete

    server_id = await cloud.server()
    for _ in range(20):
        volume_id = await cloud.volume()
        attach, gone = await asyncio.gather(
            cloud.ask(
                "POST",
                f"/servers/{server_id}/os-volume_attachments",
                {"volumeAttachment": {"volumeId": volume_id}},
            ),
            cloud.db.write(delete.accept, cloud.who(), volume_id),
            return_exceptions=True,
        )
        assert not isinstance(attach, BaseException)
        assert (attach.status_code == 200) == isinstance(gone, InvalidState)
        await cloud.until_quiet()
        await cloud.ask("DELETE", f"/servers/{server_id}/os-volume_attachments/{volume_id}")
        await cloud.until_quiet()


async def test_a_failed_attach_frees_the_volume_and_says_why(cloud: Cloud) -> None:
    server_id, volume_id = await cloud.server(), await cloud.volume()
    cloud.hypervisor.fail_next["attach"] = PumiceError("No more PCI slots.")
    path = f"/servers/{server_id}/os-volume_attachments"
    await cloud.post(path, {"volumeAttachment": {"volumeId": volume_id}}, expect=200)
    await cloud.until_volume(volume_id, "available")
    assert await attachments_of(cloud, server_id) == []
    assert await cloud.messages_of(volume_id) == ["No more PCI slots."]
    await cloud.check_invariants()


async def test_trouble_while_attaching_is_met_with_another_try(cloud: Cloud) -> None:
    server_id, volume_id = await cloud.server(), await cloud.volume()
    cloud.hypervisor.fail_next["attach"] = Retryable("libvirtd restarts")
    cloud.target.fail_next["grant"] = Retryable("tgtd restarts")
    await cloud.attach(server_id, volume_id)
    await cloud.check_invariants()


async def test_a_guest_that_keeps_its_disk_keeps_the_volume(cloud: Cloud) -> None:
    server_id, volume_id = await cloud.server(), await cloud.volume()
    await cloud.attach(server_id, volume_id, delete_on_termination=True)
    cloud.hypervisor.guests_keep_disks = True
    await cloud.ask("DELETE", f"/servers/{server_id}/os-volume_attachments/{volume_id}")
    await cloud.until_volume(volume_id, "in-use")
    assert "did not release" in (await cloud.messages_of(volume_id))[0]
    assert (await attachments_of(cloud, server_id))[0]["delete_on_termination"] is True
    await cloud.check_invariants()
    cloud.hypervisor.guests_keep_disks = False
    await cloud.ask("DELETE", f"/servers/{server_id}/os-volume_attachments/{volume_id}")
    await cloud.until_volume(volume_id, "available")


async def test_a_detach_that_was_cancelled_when_the_guest_had_let_go_is_asked_for_again(cloud: Cloud) -> None:
    server_id, volume_id = await cloud.server(), await cloud.volume()
    await cloud.attach(server_id, volume_id)
    cloud.target.free.clear()
    path = f"/servers/{server_id}/os-volume_attachments/{volume_id}"
    await cloud.ask("DELETE", path)

    async def has_let_go() -> bool:
        return volume_id not in await cloud.hypervisor.disks(server_id)

    await cloud.until(has_let_go, lambda: asyncio.sleep(0.01))
    asked = {"states": None, "kind": "server.detach_volume", "subject": None, "limit": 1}
    [operation] = await cloud.db.read(lambda tx: operations.page(tx, **asked))
    assert await cloud.db.write(operations.ask_to_cancel, operation["id"])
    cloud.target.free.set()
    await cloud.until_volume(volume_id, "in-use")
    assert "cancelled" in (await cloud.messages_of(volume_id))[0]
    assert (await cloud.ask("DELETE", path)).status_code == 202
    await cloud.until_volume(volume_id, "available")
    await cloud.check_invariants()


async def test_a_volume_comes_and_goes_while_the_server_is_off(cloud: Cloud) -> None:
    server_id, one, other = await cloud.server(), await cloud.volume(), await cloud.volume()
    await cloud.post(f"/servers/{server_id}/action", {"os-stop": None})
    await cloud.until_status(server_id, "SHUTOFF")
    await cloud.attach(server_id, one)
    await cloud.attach(server_id, other)
    await cloud.ask("DELETE", f"/servers/{server_id}/os-volume_attachments/{one}")
    await cloud.until_volume(one, "available")
    await cloud.post(f"/servers/{server_id}/action", {"os-start": None})
    await cloud.until_status(server_id, "ACTIVE")
    await cloud.check_invariants()


async def test_a_server_that_starts_waits_for_a_disk_that_is_just_coming(cloud: Cloud) -> None:
    server_id, volume_id = await cloud.server(), await cloud.volume()
    await cloud.post(f"/servers/{server_id}/action", {"os-stop": None})
    await cloud.until_status(server_id, "SHUTOFF")
    cloud.target.free.clear()
    path = f"/servers/{server_id}/os-volume_attachments"
    await cloud.post(path, {"volumeAttachment": {"volumeId": volume_id}}, expect=200)
    await cloud.post(f"/servers/{server_id}/action", {"os-start": None})
    await asyncio.sleep(0.2)
    cloud.target.free.set()
    await cloud.until_status(server_id, "ACTIVE")
    assert await cloud.volume_status(volume_id) == "in-use"
    await cloud.check_invariants()


async def test_a_failed_boot_says_why_and_leaves_nothing(cloud: Cloud) -> None:
    existing = await cloud.volume(bootable=True)
    made = {"source_type": "blank", "destination_type": "volume", "volume_size": 1, "boot_index": -1}
    root = cloud.from_volume(existing, delete_on_termination=True)
    cloud.hypervisor.fail_next["start"] = PumiceError("No KVM here.")
    answer = await cloud.post("/servers", cloud.body(block_device_mapping_v2=[root, made]))
    server_id = answer["server"]["id"]
    await cloud.until_status(server_id, "ERROR")
    await cloud.until_quiet()
    shown = (await cloud.get(f"/servers/{server_id}"))["server"]
    assert shown["fault"]["message"] == "No KVM here."
    assert shown["os-extended-volumes:volumes_attached"] == []
    assert await cloud.volume_status(existing) == "available"
    everything = await cloud.db.read(
        volumes.page, cloud.who(), limit=10, marker=None, sort=(("created_at", True),)
    )
    assert [volume.id for volume in everything] == [existing]
    await cloud.check_invariants()
    await cloud.ask("DELETE", f"/servers/{server_id}")
    await cloud.until_gone(server_id)
    await cloud.until_quiet()
    assert await cloud.volume_status(existing) == "available"


async def test_a_volume_that_cannot_be_made_fails_the_boot_with_its_reason(cloud: Cloud) -> None:
    cloud.backend.fail_next["create_from_image"] = PumiceError("The image is not for you.")
    root = {
        "source_type": "image",
        "destination_type": "volume",
        "uuid": await cloud.image(),
        "boot_index": 0,
        "volume_size": 1,
    }
    answer = await cloud.post("/servers", cloud.body(block_device_mapping_v2=[root]))
    server = await cloud.until_status(answer["server"]["id"], "ERROR")
    assert "The image is not for you." in server.fault["message"]
    await cloud.until_quiet()
    everything = await cloud.db.read(
        volumes.page, cloud.who(), limit=10, marker=None, sort=(("created_at", True),)
    )
    assert everything == []
    await cloud.check_invariants()


async def test_a_server_is_deleted_while_it_boots(cloud: Cloud) -> None:
    existing = await cloud.volume(bootable=True)
    cloud.target.delay = 0.2
    made = {
        "source_type": "blank",
        "destination_type": "volume",
        "volume_size": 1,
        "boot_index": -1,
        "delete_on_termination": True,
    }
    for pause in (0.0, 0.1, 0.3, 0.5):
        body = cloud.body(block_device_mapping_v2=[cloud.from_volume(existing), made])
        server_id = (await cloud.post("/servers", body))["server"]["id"]
        await asyncio.sleep(pause)
        assert (await cloud.ask("DELETE", f"/servers/{server_id}")).status_code == 204
        await cloud.until_gone(server_id)
        await cloud.until_quiet()
        assert await cloud.volume_status(existing) == "available"
        everything = await cloud.db.read(
            volumes.page, cloud.who(), limit=10, marker=None, sort=(("created_at", True),)
        )
        assert [volume.id for volume in everything] == [existing]
        await cloud.check_invariants()


async def test_a_server_is_deleted_while_disks_come_and_go(cloud: Cloud) -> None:
    server_id = await cloud.server()
    coming, going, staying = [await cloud.volume() for _ in range(3)]
    await cloud.attach(server_id, going, delete_on_termination=True)
    await cloud.attach(server_id, staying, delete_on_termination=True)
    cloud.target.delay = cloud.hypervisor.delay = 0.1
    path = f"/servers/{server_id}/os-volume_attachments"
    await cloud.post(path, {"volumeAttachment": {"volumeId": coming}}, expect=200)
    await cloud.ask("DELETE", f"{path}/{going}")
    assert (await cloud.ask("DELETE", f"/servers/{server_id}")).status_code == 204
    assert (await cloud.ask("DELETE", f"/servers/{server_id}")).status_code == 204
    await cloud.until_gone(server_id)
    await cloud.until_quiet()
    statuses = [await cloud.volume_status(volume_id) for volume_id in (coming, going, staying)]
    assert statuses == ["available", "available", None]
    await cloud.check_invariants()


async def test_an_attach_whose_host_stays_away_keeps_the_volume_until_the_host_has_let_go(
    cloud: Cloud,
) -> None:
    from pumice.operations.places import SCHEDULER, volume_host
    from pumice.operations.state_machine import StateMachine

    server_id, volume_id = await cloud.server(), await cloud.volume()
    await cloud.kill()
    cloud.start("2", places=(SCHEDULER, volume_host(POOL.partition("#")[0])))
    path = f"/servers/{server_id}/os-volume_attachments"
    await cloud.post(path, {"volumeAttachment": {"volumeId": volume_id}}, expect=200)

    async def attach_operation() -> operations.Row:
        rows = await cloud.db.read(
            operations.page, states=None, kind="server.attach_volume", subject=None, limit=1
        )
        return rows[0]

    async def waits_for_host() -> bool:
        return bool((await attach_operation())["place"] == "compute:here")

    await cloud.until(waits_for_host, lambda: asyncio.sleep(0))
    from compute_cloud import VERBS

    state_machine = StateMachine({verb.kind: verb for verb in VERBS}, "here:2", frozenset())
    assert await cloud.db.write(state_machine.give_up, (await attach_operation())["id"], 1e12)
    assert await cloud.volume_status(volume_id) == VolumeStatus.ATTACHING
    assert "was not done by the deadline" in (await cloud.messages_of(volume_id))[0]
    await cloud.kill()
    cloud.start("3")
    await cloud.until_volume(volume_id, "available")
    await cloud.until_quiet()
    assert await attachments_of(cloud, server_id) == []
    await cloud.check_invariants()


async def test_a_restart_finishes_what_was_begun(cloud: Cloud) -> None:
    server_id, volume_id = await cloud.server(), await cloud.volume()
    cloud.hypervisor.delay = 0.3
    path = f"/servers/{server_id}/os-volume_attachments"
    await cloud.post(path, {"volumeAttachment": {"volumeId": volume_id}}, expect=200)
    await asyncio.sleep(0.1)
    await cloud.kill()
    cloud.start("2")
    await cloud.until_volume(volume_id, "in-use")
    await cloud.check_invariants()


async def test_a_multiattach_volume_serves_two_servers_and_none_twice(cloud: Cloud) -> None:
    one, other, volume_id = await cloud.server(), await cloud.server(), await cloud.volume(multiattach=True)
    body = {"volumeAttachment": {"volumeId": volume_id}}
    old = await cloud.ask("POST", f"/servers/{one}/os-volume_attachments", body, version="2.59")
    assert old.status_code == 400
    await cloud.attach(one, volume_id)
    again = await cloud.ask("POST", f"/servers/{one}/os-volume_attachments", body)
    assert again.status_code == 400
    await cloud.attach(other, volume_id)
    await cloud.until_quiet()
    await cloud.check_invariants()
    await cloud.ask("DELETE", f"/servers/{one}/os-volume_attachments/{volume_id}")
    await cloud.until_quiet()
    assert await cloud.volume_status(volume_id) == "in-use"
    await cloud.ask("DELETE", f"/servers/{other}/os-volume_attachments/{volume_id}")
    await cloud.until_volume(volume_id, "available")


async def test_a_server_starts_from_its_local_disk_when_the_image_is_gone(cloud: Cloud) -> None:
    server_id = await cloud.server()
    for action, status in (({"os-stop": None}, "SHUTOFF"), ({"os-start": None}, "ACTIVE")):
        for image in cloud.path.glob("????????-*"):
            image.unlink()
        await cloud.post(f"/servers/{server_id}/action", action)
        await cloud.until_status(server_id, status)
    assert LIMIT > 0


REBOOT = {"reboot": {"type": "HARD"}}


@pytest.mark.parametrize("how", ["os-start", "reboot"])
async def test_a_server_starts_where_its_volumes_are_by_now(cloud: Cloud, how: str) -> None:
    """Portal, port, the target's name and the host's own name and address have all changed since it ran."""
    root, second = await cloud.volume(bootable=True), await cloud.volume()
    server_id = await cloud.server(block_device_mapping_v2=[cloud.from_volume(root)])
    await cloud.attach(server_id, second)
    await cloud.post(f"/servers/{server_id}/action", {"os-stop": None})
    await cloud.until_status(server_id, "SHUTOFF")
    cloud.target.portals = ("192.0.2.9:3999",)
    cloud.target.prefix = "iqn.2031-01.org.moved"
    cloud.target.forget()
    moved = {"connector": {"initiator": "iqn.2031-01.org.moved:here", "host": HOST, "ip": "192.0.2.5"}}
    await cloud.db.write(lambda tx: heartbeat(tx, [Heartbeat("nova-compute", HOST, "nova", moved)]))
    await cloud.post(f"/servers/{server_id}/action", {how: None} if how == "os-start" else REBOOT)
    await cloud.until_status(server_id, "ACTIVE")
    for volume_id in (root, second):
        source = cloud.hypervisor.sources[volume_id]
        assert isinstance(source, IscsiSource)
        assert (source.portal, source.initiator) == ("192.0.2.9:3999", "iqn.2031-01.org.moved:here")
        assert cloud.target.admits(source.iqn, source.initiator, source.username, source.password)
    await cloud.check_invariants()


async def test_a_password_that_was_rotated_is_what_a_running_server_gets_by_its_next_hard_reboot(
    cloud: Cloud,
) -> None:
    root = await cloud.volume(bootable=True)
    server_id = await cloud.server(block_device_mapping_v2=[cloud.from_volume(root)])
    [link] = await cloud.db.read(attachments.of_server, server_id)
    for meant in (link.id[:8], root[:8], server_id):
        assert await cloud.db.read(rotation.meant, [meant]) == [link.id]
    assert await cloud.db.read(attachments.of_our_servers) == [link.id]
    without = {"portal": NvmeExport("nqn.2031-01.org:x", ("192.0.2.9:4420",), 1, new_id())}
    await cloud.db.write(lambda tx: attachments.change(tx, link.id, **without))
    assert await cloud.db.read(attachments.of_our_servers) == [], "it has no password"
    await cloud.db.write(lambda tx: attachments.change(tx, link.id, portal=link.portal))
    before = cloud.hypervisor.sources[root]
    operation = await cloud.db.write(rotate.accept, link.id)
    assert await cloud.completions.wait(operation, LIMIT) == (True, None)
    assert cloud.hypervisor.sources[root] == before
    await cloud.post(f"/servers/{server_id}/action", REBOOT)
    await cloud.until_status(server_id, "ACTIVE")
    after = cloud.hypervisor.sources[root]
    assert isinstance(before, IscsiSource) and isinstance(after, IscsiSource)
    assert after == replace(before, password=after.password) != before
    assert cloud.target.admits(after.iqn, after.initiator, after.username, after.password)
    assert not cloud.target.admits(before.iqn, before.initiator, before.username, before.password)
    await cloud.check_invariants()


async def test_a_server_starts_although_its_volumes_host_is_away(cloud: Cloud) -> None:
    """What serves its volume may go on without the process that would say where it is."""
    root = await cloud.volume(bootable=True)
    server_id = await cloud.server(block_device_mapping_v2=[cloud.from_volume(root)])
    await cloud.post(f"/servers/{server_id}/action", {"os-stop": None})
    await cloud.until_status(server_id, "SHUTOFF")

    class Down(dict[str, Exception]):
        def pop(self, key: str, *default: Any) -> Exception:
            return self[key]

    cloud.target.fail_next = Down(grant=Retryable("The daemon is down."))
    await cloud.post(f"/servers/{server_id}/action", {"os-start": None})
    await cloud.until_status(server_id, "ACTIVE")


async def test_a_volume_that_was_reset_is_given_to_no_second_server(cloud: Cloud) -> None:
    volume_id = await cloud.volume()
    one, two = await cloud.server(), await cloud.server()
    await cloud.attach(one, volume_id)
    await cloud.db.write(volumes.put, volume_id, VolumeStatus.AVAILABLE)
    body = {"volumeAttachment": {"volumeId": volume_id}}
    told = await cloud.post(f"/servers/{two}/os-volume_attachments", body, expect=400)
    assert f"server {one} has it" in told["badRequest"]["message"]
    await cloud.db.write(volumes.put, volume_id, VolumeStatus.IN_USE)
    await cloud.check_invariants()


async def test_that_a_volume_was_extended_is_among_its_servers_actions(cloud: Cloud) -> None:
    server_id, volume_id = await cloud.server(), await cloud.volume()
    await cloud.attach(server_id, volume_id)
    who = replace(cloud.who(), request_id="req-extend")
    await cloud.db.write(lambda tx: extend.accept(tx, who, volume_id, 2, cloud.tunables, in_use=True))
    await cloud.until_quiet()
    path = f"/servers/{server_id}/os-instance-actions"
    [newest, *_] = (await cloud.get(path))["instanceActions"]
    assert (newest["action"], newest["instance_uuid"]) == ("extend_volume", server_id)
    action = (await cloud.get(f"{path}/req-extend"))["instanceAction"]
    events = [(event["event"], event["result"]) for event in action["events"]]
    assert events == [("compute_extend_volume", "Success")]
