"""Secrets and what is hidden, in every answer that could show them."""

from volume_cloud import CONNECTOR, Cloud


async def test_only_who_may_update_an_attachment_reads_its_account(cloud: Cloud) -> None:
    volume = (await cloud.make())["id"]
    body = {"attachment": {"volume_uuid": volume, "connector": CONNECTOR}}
    made = (await cloud.call("POST", "/attachments", body)).json()["attachment"]
    password = made["connection_info"]["auth_password"]
    for path in (f"/attachments/{made['id']}", "/attachments/detail"):
        assert password in (await cloud.call("GET", path)).text
        reply = await cloud.call("GET", path, who="reader")
        assert reply.status_code == 200
        assert password not in reply.text
        assert "auth_" not in reply.text
        assert made["connection_info"]["target_iqn"] in reply.text


async def test_an_upload_shows_as_much_of_the_type_as_the_type_itself(cloud: Cloud) -> None:
    specs = {"volume_backend_name": "fake", "multiattach": "<is> True"}
    body = {"volume_type": {"name": "fast", "extra_specs": specs}}
    kind = (await cloud.call("POST", "/types", body, who="admin")).json()["volume_type"]["id"]
    volume = (await cloud.make(volume_type="fast"))["id"]
    shown = (await cloud.call("GET", f"/types/{kind}")).json()["volume_type"]["extra_specs"]
    await cloud.stop()
    reply = await cloud.act(volume, "os-volume_upload_image", {"image_name": "x"})
    assert reply.status_code == 202, reply.text
    assert reply.json()["os-volume_upload_image"]["volume_type"]["extra_specs"] == shown
    assert "volume_backend_name" not in reply.text
