"""What changes volumes, snapshots and types: names, metadata, sizes, states, and their ends."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from volume_cloud import CONNECTOR, HOST, OTHER_PROJECT, POOL_FACTS, PROJECT, Cloud

from pumice.images.for_volume import SIGNATURE
from pumice.model.ids import new_id
from pumice.model.units import GIB, MIB
from pumice.operations.harness import eventually
from pumice.store import audit, pools, quotas, tables
from pumice.store.columns import now
from pumice.store.database import Transaction


async def snapshot_of(cloud: Cloud, volume_id: str, **wanted: Any) -> dict[str, Any]:
    body = {"snapshot": {"volume_id": volume_id, **wanted}}
    reply = await cloud.call("POST", "/snapshots", body)
    assert reply.status_code == 202, reply.text
    return await cloud.until(reply.json()["snapshot"]["id"], "available", kind="snapshot")


async def test_names_and_metadata_are_changed(cloud: Cloud) -> None:
    path = f"/volumes/{(await cloud.make(name='a', metadata={'k': 'v'}))['id']}"
    changed = (await cloud.call("PUT", path, {"volume": {"name": "b"}})).json()["volume"]
    assert (changed["name"], changed["metadata"]) == ("b", {"k": "v"})
    wanted = {"display_description": "d", "metadata": {"x": "y"}}
    changed = (await cloud.call("PUT", path, {"volume": wanted})).json()["volume"]
    assert (changed["name"], changed["description"], changed["metadata"]) == ("b", "d", {"x": "y"})


@pytest.mark.parametrize("kind", ["volumes", "snapshots"])
async def test_metadata_is_kept_key_by_key(cloud: Cloud, kind: str) -> None:
    thing = (await cloud.make(metadata={"a": "1"}))["id"]
    if kind == "snapshots":
        thing = (await snapshot_of(cloud, thing, metadata={"a": "1"}))["id"]
    path = f"/{kind}/{thing}/metadata"
    assert (await cloud.call("GET", path)).json() == {"metadata": {"a": "1"}}
    added = await cloud.call("POST", path, {"metadata": {"b": "2"}})
    assert added.json() == {"metadata": {"a": "1", "b": "2"}}
    assert (await cloud.call("GET", f"{path}/b")).json() == {"meta": {"b": "2"}}
    assert (await cloud.call("PUT", f"{path}/b", {"meta": {"b": "3"}})).json() == {"meta": {"b": "3"}}
    assert (await cloud.call("DELETE", f"{path}/a")).status_code == 200
    assert (await cloud.call("DELETE", f"{path}/a")).status_code == 404
    assert (await cloud.call("GET", f"{path}/a")).status_code == 404
    assert (await cloud.call("PUT", path, {"metadata": {"c": "4"}})).json() == {"metadata": {"c": "4"}}


async def test_metadata_that_changed_meanwhile_is_not_overwritten(cloud: Cloud) -> None:
    path = f"/volumes/{(await cloud.make(metadata={'a': '1'}))['id']}/metadata"
    tag = (await cloud.call("GET", path)).headers["etag"]
    one, two = {"metadata": {"a": "2"}}, {"metadata": {"a": "3"}}
    assert (await cloud.call("PUT", path, one, headers={"If-Match": f'"{tag}"'})).status_code == 200
    assert (await cloud.call("PUT", path, two, headers={"If-Match": f'"{tag}"'})).status_code == 412
    assert (await cloud.call("GET", path)).json() == one
    assert "etag" not in (await cloud.call("GET", path, version="3.14")).headers


async def test_a_volume_grows(cloud: Cloud) -> None:
    volume_id = (await cloud.make(1))["id"]
    assert (await cloud.act(volume_id, "os-extend", {"new_size": "3"})).status_code == 202
    assert (await cloud.until(volume_id, "available"))["size"] == 3


async def test_flags_are_set(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    assert (await cloud.act(volume_id, "os-set_bootable", {"bootable": "True"})).status_code == 200
    assert (await cloud.act(volume_id, "os-update_readonly_flag", {"readonly": True})).status_code == 202
    volume = await cloud.until(volume_id, "available")
    assert (volume["bootable"], volume["metadata"]) == ("true", {"readonly": "True"})
    attach = {"host_name": "node1", "mountpoint": "/dev/vdb"}
    assert (await cloud.act(volume_id, "os-attach", attach)).status_code == 400
    assert (await cloud.act(volume_id, "os-attach", {**attach, "mode": "ro"})).status_code == 202


async def test_image_metadata_is_remembered_and_forgotten(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    wanted = {"metadata": {"image_name": "debian", "os": "linux"}}
    assert (await cloud.act(volume_id, "os-set_image_metadata", wanted)).json() == wanted
    assert (await cloud.act(volume_id, "os-show_image_metadata")).json() == wanted
    assert (await cloud.act(volume_id, "os-unset_image_metadata", {"key": "os"})).status_code == 200
    assert (await cloud.act(volume_id, "os-unset_image_metadata", {"key": "os"})).status_code == 404
    volume = await cloud.until(volume_id, "available")
    assert volume["volume_image_metadata"] == {"image_name": "debian"}
    found = await cloud.call("GET", "/volumes?glance_metadata={'image_name': 'debian'}", who="admin")
    assert len(found.json()["volumes"]) == 1


async def test_snapshots_live_and_hold_their_volume(cloud: Cloud) -> None:
    volume_id = (await cloud.make(2))["id"]
    snapshot = await snapshot_of(cloud, volume_id, name="s", metadata={"k": "v"})
    assert (snapshot["size"], snapshot["os-extended-snapshot-attributes:progress"]) == (2, "100%")
    refused = await cloud.call("DELETE", f"/volumes/{volume_id}")
    assert refused.status_code == 400
    changed = await cloud.call("PUT", f"/snapshots/{snapshot['id']}", {"snapshot": {"name": "t"}})
    assert changed.json()["snapshot"]["name"] == "t"
    body = {"volume": {"snapshot_id": snapshot["id"]}}
    copy = (await cloud.call("POST", "/volumes", body)).json()["volume"]
    assert (await cloud.until(copy["id"], "available"))["size"] == 2
    for query, number in (("name=t", 1), ("name=s", 0), (f"volume_id={volume_id}", 1), ("status=error", 0)):
        reply = (await cloud.call("GET", f"/snapshots?{query}&with_count=1")).json()
        assert (len(reply["snapshots"]), reply["count"]) == (number, number)
    assert (await cloud.call("DELETE", f"/snapshots/{snapshot['id']}")).status_code == 202
    await cloud.until(snapshot["id"], None, kind="snapshot")
    assert (await cloud.call("DELETE", f"/volumes/{volume_id}")).status_code == 202


async def test_a_volume_in_use_is_snapshotted_by_force_or_from_3_66(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    await cloud.act(volume_id, "os-attach", {"host_name": "node1", "mountpoint": "/dev/vdb"})
    body = {"snapshot": {"volume_id": volume_id}}
    forced = {"snapshot": {"volume_id": volume_id, "force": "true"}}
    assert (await cloud.call("POST", "/snapshots", body, version="3.65")).status_code == 400
    assert (await cloud.call("POST", "/snapshots", forced, version="3.65")).status_code == 202
    assert (await cloud.call("POST", "/snapshots", body, version="3.66")).status_code == 202
    assert (await cloud.call("POST", "/snapshots", forced, version="3.66")).status_code == 202


async def test_a_cascade_takes_the_snapshots_along(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    found = [await snapshot_of(cloud, volume_id) for _ in range(3)]
    assert (await cloud.call("DELETE", f"/volumes/{volume_id}?cascade=true")).status_code == 202
    await cloud.until(volume_id, None)
    for snapshot in found:
        await cloud.until(snapshot["id"], None, kind="snapshot")
    inventory = await cloud.backend.inventory()
    assert not inventory.volumes
    assert not inventory.snapshots


async def test_a_volume_with_a_snapshot_says_which(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    reply = await cloud.call("POST", "/snapshots", {"snapshot": {"volume_id": volume_id}})
    snapshot_id = reply.json()["snapshot"]["id"]
    await cloud.until(snapshot_id, "available", kind="snapshot")
    refused = await cloud.call("DELETE", f"/volumes/{volume_id}")
    assert refused.status_code == 400
    assert f"but it has snapshot {snapshot_id}" in refused.text


async def test_force_deletes_from_any_state_but_not_under_an_attachment(cloud: Cloud) -> None:
    one, two = (await cloud.make())["id"], (await cloud.make())["id"]
    await cloud.act(one, "os-reserve")
    assert (await cloud.call("DELETE", f"/volumes/{one}")).status_code == 400
    assert (await cloud.call("DELETE", f"/volumes/{one}?force=true")).status_code == 403
    assert (await cloud.call("DELETE", f"/volumes/{one}?force=true", who="admin")).status_code == 202
    await cloud.until(one, None)
    await cloud.act(two, "os-attach", {"host_name": "node1", "mountpoint": "/dev/vdb"})
    assert (await cloud.act(two, "os-force_delete", who="admin")).status_code == 400


async def test_an_administrator_resets_what_nothing_holds(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    for status in ("error", "maintenance", "available"):
        reply = await cloud.act(volume_id, "os-reset_status", {"status": status}, who="admin")
        assert reply.status_code == 202
        await cloud.until(volume_id, status)
    for value in ({"status": "in-use"}, {"status": "deleting"}, {"status": "new"}, {}):
        reply = await cloud.act(volume_id, "os-reset_status", value, who="admin")
        assert reply.status_code == 400, value
    await cloud.act(volume_id, "os-attach", {"host_name": "node1", "mountpoint": "/dev/vdb"})
    detached = {"status": "available", "attach_status": "detached"}
    assert (await cloud.act(volume_id, "os-reset_status", detached, who="admin")).status_code == 202
    assert (await cloud.until(volume_id, "available"))["attachments"] == []


async def test_what_an_operation_holds_is_not_reset(cloud: Cloud) -> None:
    cloud.backend.free.clear()
    reply = await cloud.call("POST", "/volumes", {"volume": {"size": 1}})
    volume_id = reply.json()["volume"]["id"]
    reset = await cloud.act(volume_id, "os-reset_status", {"status": "error"}, who="admin")
    assert reset.status_code == 409
    cloud.backend.free.set()
    await cloud.until(volume_id, "available")


# --- types ---------------------------------------------------------------------------------------------------


async def new_type(cloud: Cloud, **wanted: Any) -> dict[str, Any]:
    reply = await cloud.call("POST", "/types", {"volume_type": wanted}, who="admin")
    assert reply.status_code == 200, reply.text
    kind: dict[str, Any] = reply.json()["volume_type"]
    return kind


async def test_types_come_and_go(cloud: Cloud) -> None:
    kind = await new_type(
        cloud, name="fast", extra_specs={"volume_backend_name": "fake", "multiattach": "<is> True"}
    )
    path = f"/types/{kind['id']}"
    assert (await cloud.call("GET", path)).json()["volume_type"]["extra_specs"] == {"multiattach": "<is> True"}
    again = await cloud.call("POST", "/types", {"volume_type": {"name": "fast"}}, who="admin")
    assert again.status_code == 409
    volume = await cloud.make(1, volume_type="fast")
    assert (volume["volume_type"], volume["multiattach"]) == ("fast", True)
    assert (await cloud.call("DELETE", path, who="admin")).status_code == 400
    await cloud.call("PUT", path, {"volume_type": {"name": "faster"}}, who="admin")
    shown = await cloud.until(volume["id"], "available")
    assert shown["volume_type"] == "faster"
    await cloud.call("DELETE", f"/volumes/{volume['id']}")
    await cloud.until(volume["id"], None)
    assert await cloud.db.read(quotas.usage_by_rows) == {}
    assert (await cloud.call("DELETE", path, who="admin")).status_code == 202
    assert (await cloud.call("GET", path)).status_code == 404
    default = (await cloud.call("GET", "/types/default")).json()["volume_type"]["id"]
    assert (await cloud.call("DELETE", f"/types/{default}", who="admin")).status_code == 400


async def test_extra_specs_are_kept_key_by_key(cloud: Cloud) -> None:
    path = f"/types/{(await new_type(cloud, name='a'))['id']}/extra_specs"

    async def ask(method: str, path: str, body: Any = None) -> Any:
        return await cloud.call(method, path, body, who="admin")

    assert (await ask("POST", path, {"extra_specs": {"a": "1"}})).json() == {"extra_specs": {"a": "1"}}
    assert (await ask("PUT", f"{path}/a", {"a": "2"})).json() == {"a": "2"}
    assert (await ask("GET", f"{path}/a")).json() == {"a": "2"}
    assert (await cloud.call("GET", f"{path}/a")).status_code == 404
    assert (await ask("PUT", f"{path}/a", {"b": "2"})).status_code == 400
    assert (await ask("DELETE", f"{path}/a")).status_code == 202
    assert (await ask("DELETE", f"{path}/a")).status_code == 404
    assert (await ask("GET", path)).json() == {"extra_specs": {}}


async def test_a_private_type_is_for_those_who_have_access(cloud: Cloud) -> None:
    kind = await new_type(cloud, name="secret", **{"os-volume-type-access:is_public": False})
    path = f"/types/{kind['id']}"
    assert (await cloud.call("GET", path)).status_code == 404
    add = {"addProjectAccess": {"project": PROJECT}}
    assert (await cloud.call("POST", f"{path}/action", add, who="admin")).status_code == 202
    assert (await cloud.call("POST", f"{path}/action", add, who="admin")).status_code == 409
    assert (await cloud.call("GET", path)).status_code == 200
    assert (await cloud.call("GET", path, who="other")).status_code == 404
    listed = (await cloud.call("GET", f"{path}/os-volume-type-access", who="admin")).json()
    assert listed == {"volume_type_access": [{"volume_type_id": kind["id"], "project_id": PROJECT}]}
    remove = {"removeProjectAccess": {"project": PROJECT}}
    assert (await cloud.call("POST", f"{path}/action", remove, who="admin")).status_code == 202
    assert (await cloud.call("POST", f"{path}/action", remove, who="admin")).status_code == 404
    names = {
        query: [kind["name"] for kind in reply.json()["volume_types"]]
        for query in ("", "?is_public=false", "?is_public=none")
        for reply in [await cloud.call("GET", f"/types{query}", who="admin")]
    }
    assert (len(names[""]), len(names["?is_public=false"]), len(names["?is_public=none"])) == (1, 1, 2)


# --- quotas and services -------------------------------------------------------------------------------------


async def test_quotas_equal_the_rows_after_a_storm(cloud: Cloud) -> None:
    path = f"/os-quota-sets/{PROJECT}"
    await cloud.call("PUT", path, {"quota_set": {"volumes": 20, "gigabytes": 45}}, who="admin")

    async def live(number: int) -> int:
        made = await cloud.call("POST", "/volumes", {"volume": {"size": number % 3 + 1}})
        if made.status_code != 202:
            assert made.json()["overLimit"]["code"] == 413
            return 413
        volume_id = made.json()["volume"]["id"]
        await cloud.until(volume_id, "available")
        if number % 2:
            await cloud.call("POST", "/snapshots", {"snapshot": {"volume_id": volume_id}})
        elif number % 4:
            await cloud.call("DELETE", f"/volumes/{volume_id}")
        else:
            await cloud.act(volume_id, "os-extend", {"new_size": 4})
        return 202

    codes = await asyncio.gather(*(live(number) for number in range(60)))
    assert set(codes) == {202, 413}
    await cloud.quiet()

    def compare(tx: Transaction) -> None:
        used = {name: n for name, n in quotas.usage(tx, PROJECT).items() if n}
        assert used == {name: n for (_, name), n in quotas.usage_by_rows(tx).items() if n}
        (pool,) = pools.every(tx)
        assert (pool.claimed_gb, pool.volumes) == pools.claimed_by_rows(tx)[pool.name]

    await cloud.db.read(compare)
    shown = (await cloud.call("GET", f"{path}?usage=1")).json()["quota_set"]
    assert shown["volumes"]["in_use"] <= 20
    assert (await cloud.call("DELETE", path, who="admin")).status_code == 200
    assert (await cloud.call("GET", path)).json()["quota_set"]["volumes"] == 2000


async def test_the_default_class_limits_everybody(cloud: Cloud) -> None:
    body = {"quota_class_set": {"volumes": 1}}
    changed = await cloud.call("PUT", "/os-quota-class-sets/default", body, who="admin")
    assert changed.json()["quota_class_set"]["volumes"] == 1
    shown = (await cloud.call("GET", f"/os-quota-sets/{OTHER_PROJECT}", who="other")).json()["quota_set"]
    assert shown["volumes"] == 1
    await cloud.make()
    refused = await cloud.call("POST", "/volumes", {"volume": {"size": 1}})
    assert refused.status_code == 413
    assert refused.json()["overLimit"]["message"].startswith("VolumeLimitExceeded")


async def test_a_disabled_service_gets_no_volumes(cloud: Cloud) -> None:
    which = {"host": HOST, "binary": "cinder-volume"}
    why = {**which, "disabled_reason": "repair"}
    disabled = await cloud.call("PUT", "/os-services/disable-log-reason", why, who="admin")
    assert disabled.json() == {
        **which, "service": "", "disabled": True, "status": "disabled", "disabled_reason": "repair",
    }  # fmt: skip
    listed = await cloud.call("GET", "/os-services?binary=cinder-volume", who="admin")
    (service,) = listed.json()["services"]
    assert (service["status"], service["disabled_reason"]) == ("disabled", "repair")
    reply = await cloud.call("POST", "/volumes", {"volume": {"size": 1}})
    await cloud.until(reply.json()["volume"]["id"], "error")
    (message,) = (await cloud.call("GET", "/messages")).json()["messages"]
    assert "No valid backend" in message["user_message"]
    enabled = await cloud.call("PUT", "/os-services/enable", which, who="admin")
    assert enabled.json()["status"] == "enabled"
    missing = {"host": "nowhere", "binary": "cinder-volume"}
    assert (await cloud.call("PUT", "/os-services/enable", missing, who="admin")).status_code == 404


async def test_a_volume_is_made_of_another(cloud: Cloud) -> None:
    source = await cloud.make(2, metadata={"k": "v"})
    reply = await cloud.call("POST", "/volumes", {"volume": {"source_volid": source["id"], "size": 3}})
    copy = await cloud.until(reply.json()["volume"]["id"], "available")
    assert (copy["size"], copy["source_volid"]) == (3, source["id"])
    small = {"volume": {"source_volid": source["id"], "size": 1}}
    assert (await cloud.call("POST", "/volumes", small)).status_code == 400


async def images(cloud: Cloud, tmp_path: Path) -> tuple[str, str]:
    """An image for volumes of 2 GiB or more, and one that is larger inside than it needs to say."""
    image_id, large_id = new_id(), new_id()
    (tmp_path / image_id).write_bytes(bytes(MIB))

    def add(tx: Transaction) -> None:
        row = {column.name: None for column in tables.images.c} | {
            "id": image_id, "owner": PROJECT, "name": "debian", "status": "active", "visibility": "private",
            "disk_format": "raw", "container_format": "bare", "size": MIB, "virtual_size": MIB,
            "checksum": "c", "min_disk": 2, "min_ram": 0, "protected": False, "os_hidden": False, "tags": [],
            "properties": {"os_distro": "debian"}, "created_at": now(), "updated_at": now(),
        }  # fmt: skip
        large = {"id": large_id, "name": "large", "min_disk": 0, "virtual_size": 2 * GIB}
        tx.execute(sa.insert(tables.images), [row, row | large])

    await cloud.db.write(add)
    return image_id, large_id


async def reimaged(cloud: Cloud, volume: str, image: str, who: str = "member", **wanted: Any) -> Any:
    body = {"os-reimage": {"image_id": image, **wanted}}
    return await cloud.call("POST", f"/volumes/{volume}/action", body, version="3.68", who=who)


async def test_a_volume_has_an_images_bytes_instead_of_its_own(cloud: Cloud, tmp_path: Path) -> None:
    image_id, large_id = await images(cloud, tmp_path)
    volume = (await cloud.make(2, metadata={"k": "v"}))["id"]
    assert (await reimaged(cloud, volume, image_id)).status_code == 202
    after = await cloud.until(volume, "available")
    assert (after["bootable"], after["metadata"], after["size"]) == ("true", {"k": "v"}, 2)
    assert after["volume_image_metadata"]["os_distro"] == "debian"
    await cloud.quiet()
    assert (await cloud.backend.inventory()).volumes == {volume}
    body = {"attachment": {"volume_uuid": volume, "instance_uuid": new_id()}}
    attachment = (await cloud.call("POST", "/attachments", body)).json()["attachment"]["id"]
    refused = await reimaged(cloud, volume, image_id)
    assert refused.status_code == 400 and "it is reserved" in refused.text
    assert (await reimaged(cloud, volume, image_id, reimage_reserved=True)).status_code == 202
    await cloud.until(volume, "reserved")
    await cloud.call("DELETE", f"/attachments/{attachment}", who="both")
    small = (await cloud.make(1))["id"]
    for which, status in ((image_id, 400), (large_id, 400), (new_id(), 404), ("no id", 400)):
        assert (await reimaged(cloud, small, which)).status_code == status, which
    assert (await reimaged(cloud, volume, image_id, who="reader")).status_code == 403
    assert (await reimaged(cloud, volume, image_id, who="other")).status_code == 404
    body = {"os-reimage": {"image_id": image_id}}
    assert (await cloud.call("POST", f"/volumes/{volume}/action", body, version="3.67")).status_code != 202


async def test_a_volume_that_is_connected_is_not_reimaged(cloud: Cloud, tmp_path: Path) -> None:
    image_id, _ = await images(cloud, tmp_path)
    volume = (await cloud.make(2))["id"]
    body = {"attachment": {"volume_uuid": volume, "connector": CONNECTOR, "instance_uuid": new_id()}}
    assert (await cloud.call("POST", "/attachments", body)).status_code == 200
    for status in ("error", "reserved"):
        await cloud.act(volume, "os-reset_status", {"status": status}, who="admin")
        refused = await reimaged(cloud, volume, image_id, reimage_reserved=True)
        assert refused.status_code == 400 and "nothing may be connected" in refused.text


async def test_a_volume_whose_image_is_lost_keeps_its_bytes_and_is_in_error(
    cloud: Cloud, tmp_path: Path
) -> None:
    image_id, _ = await images(cloud, tmp_path)
    volume = (await cloud.make(2))["id"]
    (tmp_path / image_id).unlink()
    assert (await reimaged(cloud, volume, image_id)).status_code == 202
    assert (await cloud.until(volume, "error"))["bootable"] == "false"
    await cloud.quiet()
    assert (await cloud.backend.inventory()).volumes == {volume}


async def test_a_volume_is_made_of_an_image_by_id_url_or_name(cloud: Cloud, tmp_path: Path) -> None:
    image_id, large_id = await images(cloud, tmp_path)
    for key, reference in (
        ("imageRef", image_id),
        ("image_id", image_id),
        ("imageRef", f"http://cloud/image/v2/images/{image_id}"),
        ("imageRef", "debian"),
    ):
        volume = await cloud.make(2, **{key: reference})
        assert volume["bootable"] == "true"
        assert volume["volume_image_metadata"]["image_id"] == image_id
        assert volume["volume_image_metadata"]["os_distro"] == "debian"
    small = await cloud.call("POST", "/volumes", {"volume": {"size": 1, "imageRef": image_id}})
    foreign = await cloud.call("POST", "/volumes", {"volume": {"size": 2, "imageRef": image_id}}, who="other")
    assert (small.status_code, foreign.status_code) == (400, 400)
    too_large = await cloud.call("POST", "/volumes", {"volume": {"size": 1, "imageRef": large_id}})
    assert too_large.status_code == 400 and "needs 2 GiB" in too_large.text
    kind = (await cloud.call("POST", "/types", {"volume_type": {"name": "secret"}}, who="admin")).json()
    encryption = {"encryption": {"provider": "luks", "control_location": "front-end"}}
    await cloud.call("POST", f"/types/{kind['volume_type']['id']}/encryption", encryption, who="admin")
    wanted = {"size": 2, "imageRef": large_id, "volume_type": "secret"}
    no_room = await cloud.call("POST", "/volumes", {"volume": wanted})
    assert no_room.status_code == 400 and "header" in no_room.text and "needs 3 GiB" in no_room.text


async def set_properties(cloud: Cloud, image_id: str, properties: dict[str, str]) -> None:
    def change(tx: Transaction) -> None:
        this = tables.images.c.id == image_id
        tx.execute(sa.update(tables.images).where(this).values(properties=properties))

    await cloud.db.write(change)


@pytest.mark.parametrize("parts", [SIGNATURE, *((part,) for part in SIGNATURE)])
async def test_no_volume_has_the_bytes_of_a_signed_image(
    cloud: Cloud, tmp_path: Path, parts: tuple[str, ...]
) -> None:
    image_id, _ = await images(cloud, tmp_path)
    await set_properties(cloud, image_id, dict.fromkeys(parts, ""))
    volume = (await cloud.make(2))["id"]
    made = await cloud.call("POST", "/volumes", {"volume": {"size": 2, "imageRef": image_id}})
    for refused in (made, await reimaged(cloud, volume, image_id)):
        assert refused.status_code == 400 and parts[0] in refused.text
        assert "signatures of images are not verified" in refused.text
    assert [it["id"] for it in (await cloud.call("GET", "/volumes")).json()["volumes"]] == [volume]
    assert (await cloud.until(volume, "available"))["bootable"] == "false"
    await set_properties(cloud, image_id, {"signature_verified": "False"})
    assert (await reimaged(cloud, volume, image_id)).status_code == 202


async def test_a_volume_of_a_snapshot_is_as_its_volume_was_at_that_moment(cloud: Cloud) -> None:
    source = await cloud.make(name="source")
    path = f"/volumes/{source['id']}/action"
    await cloud.call("POST", path, {"os-set_bootable": {"bootable": True}})
    await cloud.call("POST", path, {"os-set_image_metadata": {"metadata": {"os_distro": "then"}}})
    snapshot = await snapshot_of(cloud, source["id"])
    await cloud.call("POST", path, {"os-set_bootable": {"bootable": False}})
    await cloud.call("POST", path, {"os-set_image_metadata": {"metadata": {"os_distro": "now", "more": "now"}}})
    await cloud.call("POST", path, {"os-extend": {"new_size": 2}})
    await cloud.until(source["id"], "available")
    copy = await cloud.make(None, snapshot_id=snapshot["id"])
    assert (copy["bootable"], copy["size"]) == ("true", 1)
    assert copy["volume_image_metadata"] == {"os_distro": "then"}


async def test_a_volume_takes_the_room_of_two_while_it_is_reimaged(cloud: Cloud, tmp_path: Path) -> None:
    image_id, _ = await images(cloud, tmp_path)
    volume = (await cloud.make(2))["id"]

    async def claimed() -> int:
        [pool] = await cloud.db.read(pools.every)
        return pool.claimed_gb

    cloud.backend.free.clear()
    assert (await reimaged(cloud, volume, image_id)).status_code == 202
    await eventually(cloud.db, is_true(claimed, 4))
    cloud.backend.free.set()
    await cloud.until(volume, "available")
    await cloud.quiet()
    assert await claimed() == 2
    assert await cloud.db.read(audit.wrong_rows) == []
    small = POOL_FACTS | {"total_gb": 3.0, "free_gb": 3.0, "thin": False}
    await cloud.db.write(pools.report, {HOST: [small]})
    assert (await reimaged(cloud, volume, image_id)).status_code == 202
    await cloud.until(volume, "error")
    await cloud.quiet()
    assert (await cloud.backend.inventory()).volumes == {volume}
    [told] = (await cloud.call("GET", f"/messages?resource_uuid={volume}")).json()["messages"]
    assert "no room for 2 GiB" in told["user_message"]
    assert await claimed() == 2


def is_true(value: Callable[[], Awaitable[int]], wanted: int) -> Callable[[], Awaitable[bool | None]]:
    async def look() -> bool | None:
        return True if await value() == wanted else None

    return look
