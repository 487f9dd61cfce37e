"""Images as things with attributes: create, show, update, tag, delete, and what is refused."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from databases import ON_SQLITE
from pumice.images.for_volume import image_for_volume
from pumice.model.errors import Invalid, NotFound
from pumice.model.ids import ProjectId, UserId, new_id
from pumice.model.scope import Scope

PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}


async def change(rig: Any, image_id: str, *patches: Any) -> Any:
    return await rig.member.request("PATCH", f"/v2/images/{image_id}", json=list(patches), headers=PATCH)


async def test_a_new_image_is_queued_and_has_the_shape_of_the_api(rig: Any, projects: dict[str, str]) -> None:
    body = {
        "name": "cirros",
        "disk_format": "qcow2",
        "container_format": "bare",
        "min_disk": 1,
        "tags": ["blue", "blue"],
        "hw_disk_bus": "virtio",
    }
    answer = await rig.member.post("/v2/images", json=body)
    assert answer.status_code == 201
    image = answer.json()
    image_id = image.pop("id")
    assert answer.headers["location"] == f"http://images/image/v2/images/{image_id}"
    assert image.pop("created_at") == image.pop("updated_at")
    assert image == {
        "name": "cirros",
        "status": "queued",
        "visibility": "shared",
        "owner": projects["ours"],
        "disk_format": "qcow2",
        "container_format": "bare",
        "size": None,
        "virtual_size": None,
        "checksum": None,
        "os_hash_algo": None,
        "os_hash_value": None,
        "min_disk": 1,
        "min_ram": 0,
        "protected": False,
        "os_hidden": False,
        "tags": ["blue"],
        "hw_disk_bus": "virtio",
        "self": f"/v2/images/{image_id}",
        "file": f"/v2/images/{image_id}/file",
        "schema": "/v2/schemas/image",
    }
    assert (await rig.member.get(f"/v2/images/{image_id}")).json() == answer.json()


async def test_a_client_may_choose_an_id_that_is_free(rig: Any) -> None:
    wanted = new_id()
    assert await rig.create(id=wanted.upper()) == wanted
    assert (await rig.member.post("/v2/images", json={"id": wanted})).status_code == 409
    assert (await rig.stranger.post("/v2/images", json={"id": wanted})).status_code == 409
    for nonsense in ("../../etc/passwd", wanted.replace("-", ""), 5, ""):
        assert (await rig.member.post("/v2/images", json={"id": nonsense})).status_code == 400


@ON_SQLITE
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([], 400),
        (None, 400),
        ({"name": "x" * 256}, 400),
        ({"name": 5}, 400),
        ({"disk_format": "floppy"}, 400),
        ({"container_format": "box"}, 400),
        ({"visibility": "secret"}, 400),
        ({"min_disk": -1}, 400),
        ({"min_disk": 2**31}, 400),
        ({"min_ram": 10**12}, 400),
        ({"min_ram": 10**30}, 400),
        ({"min_ram": "1"}, 400),
        ({"protected": "yes"}, 400),
        ({"tags": "blue"}, 400),
        ({"tags": ["x" * 256]}, 400),
        ({"tags": [str(number) for number in range(129)]}, 413),
        ({"property": 5}, 400),
        ({"property": None}, 400),
        ({"x" * 256: "value"}, 400),
        ({str(number): "value" for number in range(129)}, 413),
        ({"status": "active"}, 403),
        ({"size": 5}, 403),
        ({"checksum": "abc"}, 403),
        ({"self": "me"}, 403),
        ({"deleted": True}, 403),
        ({"locations": []}, 403),
        ({"os_glance_stage_host": "there"}, 403),
    ],
)
async def test_a_create_that_makes_no_sense_is_refused(rig: Any, body: Any, code: int) -> None:
    answer = await rig.member.post("/v2/images", json=body)
    assert answer.status_code == code
    assert answer.headers["content-type"].startswith("text/html")
    assert (await rig.member.get("/v2/images")).json()["images"] == []


@ON_SQLITE
@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 5000, b'"\\ud800"', b"x" * 200_000])
async def test_a_body_that_is_no_json_is_refused(rig: Any, content: bytes) -> None:
    image_id = await rig.create()
    created = await rig.member.post("/v2/images", content=content)
    changed = await rig.member.request("PATCH", f"/v2/images/{image_id}", content=content, headers=PATCH)
    assert {created.status_code, changed.status_code} <= {400, 413}


async def test_an_update_changes_attributes_and_properties_in_its_order(rig: Any) -> None:
    image_id = await rig.create(first="1")
    answer = await change(
        rig,
        image_id,
        {"op": "replace", "path": "/name", "value": "two"},
        {"op": "add", "path": "/min_disk", "value": 3},
        {"op": "replace", "path": "/tags", "value": ["b", "a"]},
        {"op": "add", "path": "/second", "value": "2"},
        {"op": "replace", "path": "/second", "value": "two"},
        {"op": "remove", "path": "/first"},
        {"op": "add", "path": "/a~1b~0c", "value": "pointed"},
    )
    assert answer.status_code == 200
    image = answer.json()
    assert (image["name"], image["min_disk"], image["tags"]) == ("two", 3, ["a", "b"])
    assert (image["second"], image["a/b~c"]) == ("two", "pointed")
    assert "first" not in image
    assert (await rig.member.get(f"/v2/images/{image_id}")).json() == image


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ("rename", 400),
        ({}, 400),
        ({"op": "move", "from": "/name", "path": "/other"}, 400),
        ({"op": "add", "path": "/other"}, 400),
        ({"op": "add", "path": "other", "value": "x"}, 400),
        ({"op": "add", "path": "/", "value": "x"}, 400),
        ({"op": "add", "path": "/a/b", "value": "x"}, 400),
        ({"op": "add", "path": "/a~2", "value": "x"}, 400),
        ({"op": "add", "path": 5, "value": "x"}, 400),
        ({"op": ["add"], "path": "/a", "value": "x"}, 400),
        ({"op": "add", "path": "/" + "x" * 256, "value": "x"}, 400),
        ({"op": "add", "path": "/other", "value": 5}, 400),
        ({"op": "replace", "path": "/name", "value": "x" * 256}, 400),
        ({"op": "replace", "path": "/min_disk", "value": -1}, 400),
        ({"op": "replace", "path": "/protected", "value": None}, 400),
        ({"op": "replace", "path": "/visibility", "value": "secret"}, 400),
        ({"op": "replace", "path": "/status", "value": "active"}, 403),
        ({"op": "replace", "path": "/id", "value": "x"}, 403),
        ({"op": "replace", "path": "/os_hash_value", "value": "x"}, 403),
        ({"op": "remove", "path": "/name"}, 403),
        ({"op": "replace", "path": "/locations", "value": []}, 403),
        ({"op": "replace", "path": "/absent", "value": "x"}, 409),
        ({"op": "remove", "path": "/absent"}, 409),
    ],
)
async def test_an_update_that_cannot_be_changes_nothing(rig: Any, patch: Any, code: int) -> None:
    image_id = await rig.create()
    before = (await rig.member.get(f"/v2/images/{image_id}")).json()
    answer = await change(rig, image_id, {"op": "add", "path": "/good", "value": "x"}, patch)
    assert answer.status_code == code
    assert (await rig.member.get(f"/v2/images/{image_id}")).json() == before


async def test_the_formats_of_an_active_image_stay(rig: Any) -> None:
    image_id = await rig.create(disk_format="qcow2")
    patch = {"op": "replace", "path": "/disk_format", "value": "raw"}
    assert (await change(rig, image_id, patch)).status_code == 200
    await rig.upload(image_id, b"bytes")
    assert (await change(rig, image_id, patch)).status_code == 403


async def test_an_update_of_another_media_type_is_415(rig: Any) -> None:
    answer = await rig.member.request("PATCH", f"/v2/images/{await rig.create()}", json=[])
    assert answer.status_code == 415
    assert answer.headers["accept-patch"] == PATCH["Content-Type"]


async def test_a_path_with_an_empty_part_names_nothing(rig: Any) -> None:
    for path in ("/v2/images/", "/v2//images", "/v2/images//tags/x"):
        for method in ("GET", "POST", "PATCH", "DELETE"):
            assert (await rig.member.request(method, path, json={})).status_code == 404, (method, path)


async def test_an_update_of_the_older_media_type_has_its_operation_as_a_key(rig: Any) -> None:
    image_id = await rig.create()
    older = {"Content-Type": "application/openstack-images-v2.0-json-patch"}
    path = f"/v2/images/{image_id}"
    body: list[Any] = [{"add": "/colour", "value": "blue"}, {"replace": "/name", "value": "n"}]
    answer = await rig.member.request("PATCH", path, json=body, headers=older)
    assert (answer.status_code, answer.json()["colour"], answer.json()["name"]) == (200, "blue", "n")
    answer = await rig.member.request("PATCH", path, json=[{"remove": "/colour"}], headers=older)
    assert "colour" not in answer.json()
    for wrong in ({"op": "add", "path": "/x", "value": "y"}, {"add": "/x", "remove": "/x"}, {"add": "/x"}, 5):
        answer = await rig.member.request("PATCH", path, json=[wrong], headers=older)
        assert answer.status_code == 400, wrong


async def test_tags_come_and_go(rig: Any) -> None:
    image_id = await rig.create()
    for _ in range(2):
        assert (await rig.member.put(f"/v2/images/{image_id}/tags/sky blue")).status_code == 204
    assert (await rig.member.get(f"/v2/images/{image_id}")).json()["tags"] == ["sky blue"]
    assert (await rig.member.delete(f"/v2/images/{image_id}/tags/sky blue")).status_code == 204
    assert (await rig.member.delete(f"/v2/images/{image_id}/tags/sky blue")).status_code == 404
    assert (await rig.member.put(f"/v2/images/{image_id}/tags/{'x' * 256}")).status_code == 400


async def test_a_deleted_image_is_gone_with_its_bytes(rig: Any) -> None:
    image_id = await rig.create()
    await rig.upload(image_id, b"bytes")
    assert rig.bytes_left() == [image_id]
    answer = await rig.member.delete(f"/v2/images/{image_id}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert rig.bytes_left() == []
    for path in (f"/v2/images/{image_id}", f"/v2/images/{image_id}/file"):
        assert (await rig.member.get(path)).status_code == 404
    assert (await rig.member.delete(f"/v2/images/{image_id}")).status_code == 404


async def test_a_protected_image_is_not_deleted(rig: Any) -> None:
    image_id = await rig.create(protected=True)
    await rig.upload(image_id, b"bytes")
    assert (await rig.member.delete(f"/v2/images/{image_id}")).status_code == 403
    assert (await rig.member.get(f"/v2/images/{image_id}/file")).content == b"bytes"
    await change(rig, image_id, {"op": "replace", "path": "/protected", "value": False})
    assert (await rig.member.delete(f"/v2/images/{image_id}")).status_code == 204


async def test_the_service_tells_what_it_can_do(rig: Any) -> None:
    choices = await rig.member.get("/")
    assert choices.status_code == 300
    versions = (await rig.member.get("/versions")).json()["versions"]
    assert choices.json()["versions"] == versions
    assert [v["id"] for v in versions if v["status"] == "CURRENT"] == ["v2.9"]
    assert versions[0]["links"] == [{"rel": "self", "href": "http://images/image/v2/"}]
    assert (await rig.member.get("/v2/info/import")).json()["import-methods"]["value"] == []
    assert (await rig.member.get("/v2/info/stores")).status_code == 404
    for name in ("image", "images", "member", "members"):
        assert (await rig.member.get(f"/v2/schemas/{name}")).json()["name"] == name


async def test_the_schema_knows_every_attribute_that_is_shown(rig: Any) -> None:
    image = (await rig.member.get(f"/v2/images/{await rig.create()}")).json()
    schema = (await rig.member.get("/v2/schemas/image")).json()
    assert image.keys() == schema["properties"].keys()


async def test_a_volume_is_told_what_its_image_is(rig: Any, projects: dict[str, str]) -> None:
    who = Scope(UserId("u"), ProjectId(projects["ours"]), frozenset({"member"}))
    stranger = Scope(UserId("u"), ProjectId(projects["theirs"]), frozenset({"member"}))
    image_id = await rig.create(min_disk=2, hw_disk_bus="virtio")
    with pytest.raises(Invalid, match="not active"):
        await rig.db.read(image_for_volume, who, image_id)
    await rig.upload(image_id, b"bytes")
    image = await rig.db.read(image_for_volume, who, image_id)
    assert (image.size, image.virtual_size, image.min_disk, image.disk_format) == (5, 5, 2, "raw")
    assert image.metadata() == {
        "image_id": image_id,
        "image_name": "one",
        "checksum": "4b3a6218bb3e3a7303e8a171a60fcf92",
        "container_format": "bare",
        "disk_format": "raw",
        "min_disk": "2",
        "min_ram": "0",
        "size": "5",
        "hw_disk_bus": "virtio",
    }
    with pytest.raises(NotFound):
        await rig.db.read(image_for_volume, stranger, image_id)


ATTRIBUTES = ("id", "name", "visibility", "protected", "owner", "disk_format", "min_disk", "tags", "os_hidden")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(ATTRIBUTES) | st.text(max_size=10)
PATCHES = st.fixed_dictionaries(
    {},
    optional={
        "op": st.sampled_from(["add", "replace", "remove"]) | JSON,
        "path": KEYS.map("/{}".format) | JSON,
        "value": JSON,
    },
)
MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MANY
@given(body=JSON | st.dictionaries(KEYS, JSON, max_size=5))
async def test_no_create_makes_the_service_fail(rig: Any, body: Any) -> None:
    answer = await rig.member.post("/v2/images", json=body)
    assert answer.status_code in (201, 400, 403, 409, 413)


@MANY
@given(body=JSON | st.lists(PATCHES, max_size=3))
async def test_no_update_makes_the_service_fail(rig: Any, body: Any) -> None:
    image_id = await rig.create()
    answer = await rig.member.request("PATCH", f"/v2/images/{image_id}", json=body, headers=PATCH)
    assert answer.status_code in (200, 400, 403, 409, 413)


async def test_a_property_is_as_long_as_a_volume_may_have_it_and_no_longer(rig: Any) -> None:
    longest = "x" * 65_535
    image_id = await rig.create(k=longest)
    too_long = {"op": "replace", "path": "/k", "value": f"{longest}x"}
    assert (await change(rig, image_id, too_long)).status_code == 400
    assert (await rig.member.get(f"/v2/images/{image_id}")).json()["k"] == longest
    assert (await rig.member.post("/v2/images", json={"k": f"{longest}x"})).status_code == 400


async def test_what_is_not_part_of_this_version_says_so(rig: Any) -> None:
    paths = "tasks stores metadefs/namespaces cache images/x/import images/x/stage images/x/locations"
    for path in paths.split():
        answer = await rig.member.get(f"/v2/{path}")
        assert (answer.status_code, "not part of this version of Pumice: " in answer.text) == (404, True), path
