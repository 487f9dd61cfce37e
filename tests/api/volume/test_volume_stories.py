"""What clients do all day: create, attach through either door, detach, delete."""

from volume_cloud import CONNECTOR, PROJECT, Cloud


async def test_versions_are_told_without_a_token(cloud: Cloud) -> None:
    every = await cloud.client.get("/volume/")
    this = await cloud.client.get("/volume/v3/")
    assert (every.status_code, this.status_code) == (300, 200)
    assert every.json() == this.json() == (await cloud.client.get("/volume/v3")).json()
    (version,) = this.json()["versions"]
    assert (version["id"], version["min_version"], version["version"]) == ("v3.0", "3.0", "3.71")


async def test_a_volume_is_created_and_deleted(cloud: Cloud) -> None:
    volume = await cloud.make(3, name="data", metadata={"key": "value"})
    assert (volume["size"], volume["name"], volume["metadata"]) == (3, "data", {"key": "value"})
    assert (await cloud.call("DELETE", f"/volumes/{volume['id']}")).status_code == 202
    await cloud.until(volume["id"], None)


async def test_a_project_in_the_path_is_the_tokens_own_or_refused(cloud: Cloud) -> None:
    own = await cloud.call("GET", f"/{PROJECT}/volumes")
    foreign = await cloud.call("GET", "/44444444444444444444444444444444/volumes")
    assert (own.status_code, foreign.status_code) == (200, 400)


async def test_the_attachments_api_goes_all_the_way(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    body = {"attachment": {"volume_uuid": volume_id, "connector": {**CONNECTOR, "mountpoint": "/dev/vdb"}}}
    made = (await cloud.call("POST", "/attachments", body)).json()["attachment"]
    info = made["connection_info"]
    assert cloud.target.admits(
        info["target_iqn"], CONNECTOR["initiator"], info["auth_username"], info["auth_password"]
    )
    await cloud.until(volume_id, "attaching")
    done = await cloud.call("POST", f"/attachments/{made['id']}/action", {"os-complete": {}})
    assert done.status_code == 204
    (shown,) = (await cloud.until(volume_id, "in-use"))["attachments"]
    assert (shown["attachment_id"], shown["device"]) == (made["id"], "/dev/vdb")
    gone = await cloud.call("DELETE", f"/attachments/{made['id']}")
    assert (gone.status_code, gone.json()) == (200, {"attachments": []})
    assert not cloud.target.devices
    await cloud.until(volume_id, "available")


async def test_a_reservation_is_connected_later(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    body = {"attachment": {"volume_uuid": volume_id}}
    made = (await cloud.call("POST", "/attachments", body)).json()["attachment"]
    assert (made["status"], made["connection_info"]) == ("reserved", {})
    await cloud.until(volume_id, "reserved")
    update = {"attachment": {"connector": CONNECTOR}}
    updated = (await cloud.call("PUT", f"/attachments/{made['id']}", update)).json()["attachment"]
    assert (updated["status"], updated["connection_info"]["driver_volume_type"]) == ("attaching", "iscsi")
    again = await cloud.call("PUT", f"/attachments/{made['id']}", update)
    assert again.json()["attachment"] == updated
