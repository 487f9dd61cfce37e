"""Bad input: Cinder's code, a message that says what is wrong, and never a 500."""

import string
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from volume_cloud import CONNECTOR, PROJECT, Cloud

from databases import ON_SQLITE
from pumice.api.volume import attachments, snapshots, volumes
from pumice.model.ids import new_id

LONG = "x" * 256


@ON_SQLITE
@pytest.mark.parametrize(
    "volume",
    [
        {"size": 0}, {"size": -1}, {"size": 10**12}, {"size": 10**30}, {"size": 1.5}, {"size": None}, {},
        {"size": "one"}, {"size": "-1"}, {"size": "1.5"}, {"size": ""}, {"size": True}, {"size": [1]},
        {"size": 1, "name": LONG}, {"size": 1, "name": 5}, {"size": 1, "name": ["x"]},
        {"size": 1, "description": LONG}, {"size": 1, "name": "nul\0"},
        {"size": 1, "metadata": {"key": LONG}}, {"size": 1, "metadata": {LONG: "x"}},
        {"size": 1, "metadata": {"": "x"}}, {"size": 1, "metadata": {"k": 1}}, {"size": 1, "metadata": ["k"]},
        {"size": 1, "metadata": {"k": None}}, {"size": 1, "metadata": {"k$": "v"}},
        {"size": 1, "snapshot_id": "x"}, {"size": 1, "source_volid": 5},
        {"size": 1, "imageRef": "no-such-image"}, {"size": 1, "imageRef": ""},
        {"size": 1, "imageRef": new_id()}, {"size": 1, "imageRef": 5},
        {"size": 1, "availability_zone": ""}, {"size": 1, "availability_zone": "nowhere"},
        {"size": 1, "multiattach": True}, {"size": 1, "multiattach": "maybe"},
        {"size": 1, "unknown": 1}, {"size": 1, "backup_id": "x"}, {"size": 1, "volume_type": 5},
        {"size": 1, "snapshot_id": new_id(), "source_volid": new_id(), "imageRef": None},
        "text", [], 5, None,
    ],
)  # fmt: skip
async def test_a_create_that_makes_no_sense_is_refused(cloud: Cloud, volume: Any) -> None:
    reply = await cloud.call("POST", "/volumes", {"volume": volume})
    assert reply.status_code == 400, reply.text
    fault = reply.json()["badRequest"]
    assert fault["code"] == 400
    assert len(fault["message"]) > 10
    assert (await cloud.call("GET", "/volumes")).json() == {"volumes": []}


@pytest.mark.parametrize(
    ("volume", "kind"),
    [
        ({"size": 1, "snapshot_id": new_id()}, "Snapshot"),
        ({"size": 1, "source_volid": new_id()}, "Volume"),
        ({"size": 1, "volume_type": "no-such-type"}, "Volume type"),
        ({"size": 1, "backup_id": new_id()}, "Backup"),
        ({"size": 1, "group_id": new_id()}, "Group"),
    ],
)
async def test_what_a_create_names_must_exist(cloud: Cloud, volume: dict[str, Any], kind: str) -> None:
    reply = await cloud.call("POST", "/volumes", {"volume": volume})
    assert reply.status_code == 404
    assert reply.json()["itemNotFound"]["message"].startswith(f"{kind} ")


async def test_older_versions_ignore_unknown_keys_and_read_older_names(cloud: Cloud) -> None:
    volume = {"size": "2", "display_name": " old ", "display_description": "d", "unknown": 1}
    made = await cloud.call("POST", "/volumes", {"volume": volume}, version="3.52")
    shown = made.json()["volume"]
    assert (made.status_code, shown["size"], shown["name"], shown["description"]) == (202, 2, "old", "d")
    more = {"volume": {"size": 1}, "other": 1}
    assert (await cloud.call("POST", "/volumes", more, version="3.0")).status_code == 400


async def test_hints_are_heeded_or_refused(cloud: Cloud) -> None:
    other = await cloud.make()

    async def hinted(**hints: Any) -> Any:
        body = {"volume": {"size": 1}, "OS-SCH-HNT:scheduler_hints": hints}
        return await cloud.call("POST", "/volumes", body)

    together = (await hinted(same_host=[other["id"], new_id()])).json()["volume"]["id"]
    await cloud.until(together, "available")
    apart = (await hinted(different_host=other["id"])).json()["volume"]["id"]
    await cloud.until(apart, "error")
    assert (await hinted()).status_code == 202
    lost = (await hinted(local_to_instance=new_id())).json()["volume"]["id"]
    await cloud.until(lost, "error")
    for passed_over in ({"query": '["=", 1, 2]'}, {"query": {"a": 1}}, {"of_another_filter": [1]}):
        await cloud.until((await hinted(**passed_over)).json()["volume"]["id"], "available")
    for wrong in ({"query": 1}, {"query": "x" * 5000}, {"same_host": "x"}, {"local_to_instance": "x"}):
        assert (await hinted(**wrong)).status_code == 400


async def test_json_that_is_none_is_refused(cloud: Cloud) -> None:
    for content in (b"", b"{", b"\xff", b'{"volume": NaN}'):
        reply = await cloud.client.post(
            "/volume/v3/volumes", content=content, headers={"X-Auth-Token": "member"}
        )
        assert reply.status_code == 400, content
        assert "badRequest" in reply.json()


@pytest.mark.parametrize("who", ["unscoped", "domain admin", "system admin"])
async def test_a_token_without_a_project_is_good_for_nothing_here(cloud: Cloud, who: str) -> None:
    volume = (await cloud.call("POST", "/volumes", {"volume": {"size": 1}})).json()["volume"]["id"]
    for method, path, body in (
        ("POST", "/volumes", {"volume": {"size": 1}}),
        ("GET", "/limits", None),
        ("GET", "/volumes?all_tenants=1", None),
        ("GET", f"/volumes/{volume}", None),
        ("DELETE", f"/volumes/{volume}", None),
        ("POST", "/types", {"volume_type": {"name": "new"}}),
        ("GET", "/os-services", None),
    ):
        assert (await cloud.call(method, path, body, who=who)).status_code == 403, (method, path)


@ON_SQLITE
@pytest.mark.parametrize(
    "query",
    [
        "limit=x", "limit=-1", "offset=-1", "offset=99999999999", "limit=1.5", "sort=nothing", "sort=name:up",
        "sort_key=metadata", "sort=name&sort_key=id", "with_count=maybe", "bootable=maybe", "unknown=1",
        "all_tenants=maybe&unknown=1", "created_at=gt:yesterday", "created_at=after:2026-01-01", "metadata=x",
        "consumes_quota=maybe", "f%C3%BC=1", "created_at=", "metadata=[1]", "metadata=((((((",
        "metadata={[]: 1}", "created_at=gt:9999-12-31T23:59:59-23:00",
    ],
)  # fmt: skip
async def test_a_list_that_makes_no_sense_is_refused(cloud: Cloud, query: str) -> None:
    for path in ("/volumes", "/volumes/detail"):
        reply = await cloud.call("GET", f"{path}?{query}")
        assert reply.status_code == 400, reply.text
        assert reply.json()["badRequest"]["message"]


async def test_an_administrator_may_filter_by_anything(cloud: Cloud) -> None:
    for path, columns in (
        ("/volumes", [*volumes.COLUMNS, "glance_metadata", "metadata", "nothing"]),
        ("/snapshots", [*snapshots.COLUMNS, "metadata", "nothing"]),
        ("/attachments", [*attachments.COLUMNS, "nothing"]),
    ):
        for column in columns:
            for value in ("x", "1", "true", "{}", "gt:2020-01-01", ""):
                reply = await cloud.call("GET", f"{path}?{column}={value}", who="admin")
                assert reply.status_code in (200, 400), (path, column, value)


async def test_a_marker_that_does_not_exist_is_not_found(cloud: Cloud) -> None:
    for path in ("/volumes", "/snapshots", "/attachments", "/types"):
        assert (await cloud.call("GET", f"{path}?marker={new_id()}")).status_code == 404


@ON_SQLITE
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/volumes/{volume}", {"volume": {}}),
        ("PUT", "/volumes/{volume}", {"volume": {"size": 5}}),
        ("PUT", "/volumes/{volume}", {"volume": {"name": LONG}}),
        ("PUT", "/volumes/{volume}", {"volume": {"metadata": {"k": 1}}}),
        ("POST", "/volumes/{volume}/metadata", {"metadata": {"k": LONG}}),
        ("POST", "/volumes/{volume}/metadata", {"metadata": None}),
        ("PUT", "/volumes/{volume}/metadata/a", {"meta": {"b": "1"}}),
        ("PUT", "/volumes/{volume}/metadata/a", {"meta": {"a": "1", "b": "2"}}),
        ("PUT", "/volumes/{volume}/metadata/a", {"meta": {}}),
        ("POST", "/volumes/{volume}/action", {"os-extend": {"new_size": 1}}),
        ("POST", "/volumes/{volume}/action", {"os-extend": {"new_size": 10**12}}),
        ("POST", "/volumes/{volume}/action", {"os-extend": {"new_size": None}}),
        ("POST", "/volumes/{volume}/action", {"os-extend": {}}),
        ("POST", "/volumes/{volume}/action", {"os-set_bootable": {"bootable": "maybe"}}),
        ("POST", "/volumes/{volume}/action", {"os-extend": {}, "os-reserve": {}}),
        ("POST", "/volumes/{volume}/action", {"os-update_readonly_flag": {"readonly": None}}),
        ("POST", "/volumes/{volume}/action", {}),
        ("POST", "/attachments", {"attachment": {"volume_uuid": "x"}}),
        ("POST", "/attachments", {"attachment": {"volume_uuid": "{volume}", "connector": {"ip": "x"}}}),
        ("POST", "/attachments", {"attachment": {"volume_uuid": "{volume}", "mode": "wild"}}),
        ("POST", "/attachments", {"attachment": {"volume_uuid": "{volume}", "instance_uuid": "x"}}),
        ("POST", "/attachments", {"attachment": {}}),
        ("POST", "/snapshots", {"snapshot": {"volume_id": "x"}}),
        ("POST", "/snapshots", {"snapshot": {"volume_id": "{volume}", "name": LONG}}),
        ("POST", "/snapshots", {"snapshot": {"volume_id": "{volume}", "force": False}}),
        ("POST", "/snapshots", {"snapshot": {"volume_id": "{volume}", "size": 1}}),
        ("DELETE", "/volumes/{volume}?force=maybe", None),
    ],
)
async def test_requests_that_make_no_sense_are_refused(cloud: Cloud, method: str, path: str, body: Any) -> None:
    volume_id = (await cloud.make())["id"]
    if isinstance(body, dict) and isinstance(inner := next(iter(body.values()), None), dict):
        inner = {key: volume_id if value == "{volume}" else value for key, value in inner.items()}
        body = {next(iter(body)): inner, **dict(list(body.items())[1:])}
    reply = await cloud.call(method, path.format(volume=volume_id), body)
    assert reply.status_code == 400, reply.text
    assert reply.json()["badRequest"]["message"]


async def test_unknown_ids_are_not_found(cloud: Cloud) -> None:
    gone, update = new_id(), {"attachment": {"connector": CONNECTOR}}
    for path, method, body in (
        (f"/volumes/{gone}", "GET", None),
        ("/volumes/not-an-id", "GET", None),
        (f"/volumes/{gone}", "DELETE", None),
        (f"/volumes/{gone}/action", "POST", {"os-reserve": {}}),
        (f"/volumes/{gone}/action", "POST", {"os-extend": {"new_size": 5}}),
        (f"/volumes/{gone}/metadata", "GET", None),
        (f"/volumes/{gone}/metadata/key", "GET", None),
        (f"/snapshots/{gone}", "GET", None),
        ("/snapshots", "POST", {"snapshot": {"volume_id": gone}}),
        (f"/attachments/{gone}", "DELETE", None),
        (f"/attachments/{gone}", "PUT", update),
        (f"/attachments/{gone}/action", "POST", {"os-complete": {}}),
        ("/attachments", "POST", {"attachment": {"volume_uuid": gone}}),
        (f"/types/{gone}", "GET", None),
        (f"/messages/{gone}", "GET", None),
        (f"/extensions/{gone}", "GET", None),
        ("/no/such/thing", "GET", None),
    ):
        reply = await cloud.call(method, path, body)
        assert reply.status_code == 404, (path, reply.text)
        assert reply.json()["itemNotFound"]["message"]


async def test_quotas_below_use_and_unknown_resources_are_refused(cloud: Cloud) -> None:
    await cloud.make(5)
    path = f"/os-quota-sets/{PROJECT}"
    for wanted in ({"volumes": 0}, {"gigabytes": 4}, {"horses": 1}, {"volumes": -2}, {"volumes": "x"}):
        reply = await cloud.call("PUT", path, {"quota_set": wanted}, who="admin")
        assert reply.status_code == 400, reply.text
    for wanted in (
        {"volumes": "9"},
        {"volumes": True},
        {"volumes": 9.0},
        {"volumes": None},
        {"force": True},
        {},
    ):
        reply = await cloud.call("PUT", path, {"quota_set": wanted}, who="admin")
        assert reply.status_code == 400, reply.text
    said = {"volumes": -1, "tenant_id": PROJECT}
    assert (await cloud.call("PUT", path, {"quota_set": said}, who="admin")).status_code == 200
    classes = {"quota_class_set": {"volumes": "9"}}  # Cinder's schema of a class takes digits
    assert (await cloud.call("PUT", "/os-quota-class-sets/default", classes, who="admin")).status_code == 200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
fields = st.sampled_from(
    [
        "size", "name", "description", "metadata", "imageRef", "snapshot_id", "source_volid", "volume_type",
        "availability_zone", "volume_uuid", "connector", "instance_uuid", "mode", "volume_id", "force",
        "extra_specs", "new_size", "bootable", "mountpoint", "host_name", "attachment_id", "status",
    ]
)  # fmt: skip
bodies = st.dictionaries(fields, json_values, max_size=5)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(inner=bodies | json_values)
async def test_no_body_is_answered_with_a_bug(cloud: Cloud, inner: Any) -> None:
    thing = new_id()
    for method, path, key in (
        ("POST", "/volumes", "volume"),
        ("PUT", f"/volumes/{thing}", "volume"),
        ("POST", "/attachments", "attachment"),
        ("POST", "/snapshots", "snapshot"),
        ("POST", "/types", "volume_type"),
        ("POST", f"/volumes/{thing}/action", "os-attach"),
        ("POST", f"/volumes/{thing}/action", "os-detach"),
        ("POST", f"/volumes/{thing}/action", "os-reset_status"),
        ("PUT", f"/os-quota-sets/{thing}", "quota_set"),
    ):
        try:
            reply = await cloud.call(method, path, {key: inner}, who="admin")
        except UnicodeEncodeError:
            return  # not JSON: the client cannot even send it
        assert reply.status_code < 500, reply.text


PARAMETERS = [
    "limit", "offset", "marker", "sort", "sort_key", "sort_dir", "with_count", "all_tenants", "name", "name~",
    "metadata", "created_at", "size", "bootable", "status", "glance_metadata", "is_public", "extra_specs",
    "project_id",
]  # fmt: skip
words = st.text(alphabet=string.printable, max_size=20)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    key=st.sampled_from(PARAMETERS),
    value=words,
)
async def test_no_query_is_answered_with_a_bug(cloud: Cloud, key: str, value: str) -> None:
    for path in ("/volumes", "/volumes/detail", "/volumes/summary", "/snapshots", "/attachments", "/types"):
        for who in ("admin", "member"):
            request = cloud.client.build_request(
                "GET",
                f"/volume/v3{path}",
                params={key: value},
                headers={"X-Auth-Token": who, "OpenStack-API-Version": "volume latest"},
            )
            assert (await cloud.client.send(request)).status_code < 500


@pytest.mark.parametrize("size", [-1, 0, 2**31])
async def test_a_size_out_of_range_is_named_with_the_limit_that_it_passes(cloud: Cloud, size: int) -> None:
    reply = await cloud.call("POST", "/volumes", {"volume": {"size": size}})
    limit = "less than the minimum of 1" if size < 1 else "greater than the maximum of 2147483647"
    message = f"Invalid input for field/attribute size. Value: {size}. {size} is {limit}."
    assert (reply.status_code, reply.json()["badRequest"]["message"]) == (400, message)
