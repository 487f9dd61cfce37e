"""QoS specs over HTTP: made, changed, given to types, told to who connects."""

from typing import Any

import pytest
from volume_cloud import CONNECTOR, Cloud

from pumice.model.ids import new_id


async def make(cloud: Cloud, name: str = "fast", **specs: Any) -> str:
    body = {"qos_specs": {"name": name, **specs}}
    answer = await cloud.call("POST", "/qos-specs", body, who="admin")
    assert answer.status_code == 200, answer.text
    made: str = answer.json()["qos_specs"]["id"]
    return made


async def a_type(cloud: Cloud, name: str = "gold") -> str:
    answer = await cloud.call("POST", "/types", {"volume_type": {"name": name}}, who="admin")
    made: str = answer.json()["volume_type"]["id"]
    return made


async def ask(cloud: Cloud, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    answer = await cloud.call(method, f"/qos-specs{path}", body, who="admin")
    return answer.status_code, answer.json() if answer.content else None


async def specs_of(cloud: Cloud, specs_id: str) -> Any:
    status, shown = await ask(cloud, "GET", f"/{specs_id}")
    assert status == 200
    return shown["qos_specs"]


async def test_they_are_made_changed_and_forgotten(cloud: Cloud) -> None:
    specs_id = await make(cloud, " fast ", consumer="both", total_iops_sec="500", vendor="x")
    shown = await specs_of(cloud, specs_id)
    assert shown == {
        "id": specs_id,
        "name": "fast",
        "consumer": "both",
        "specs": {"total_iops_sec": "500", "vendor": "x"},
    }
    asked = {"qos_specs": {"consumer": "front-end", "total_iops_sec": "600"}}
    assert await ask(cloud, "PUT", f"/{specs_id}", asked) == (200, asked)
    assert await ask(cloud, "PUT", f"/{specs_id}/delete_keys", {"keys": ["vendor"]}) == (202, None)
    shown = await specs_of(cloud, specs_id)
    assert (shown["consumer"], shown["specs"]) == ("front-end", {"total_iops_sec": "600"})
    assert await ask(cloud, "DELETE", f"/{specs_id}") == (202, None)
    assert (await ask(cloud, "GET", f"/{specs_id}"))[0] == 404


async def test_without_a_word_the_back_end_keeps_to_them(cloud: Cloud) -> None:
    assert (await specs_of(cloud, await make(cloud)))["consumer"] == "back-end"


async def test_they_come_by_page_filter_and_order(cloud: Cloud) -> None:
    ids = [await make(cloud, name, consumer="both") for name in "abc"]
    other = await make(cloud, "d")

    async def names(query: str) -> str:
        status, body = await ask(cloud, "GET", query)
        assert status == 200
        return "".join(one["name"] for one in body["qos_specs"])

    assert await names("") == "dcba"
    assert await names("?sort=name:asc") == "abcd"
    assert await names("?consumer=both&sort=name:asc&limit=2") == "ab"
    assert await names(f"?sort=name:asc&marker={ids[0]}&limit=1") == "b"
    assert await names("?name=c") == "c"
    assert await names(f"?id={other}") == "d"
    assert await names("?colour=red") == ""
    assert (await ask(cloud, "GET", f"?marker={new_id()}"))[0] == 404


async def test_types_have_them_one_each(cloud: Cloud) -> None:
    fast, slow, gold = await make(cloud), await make(cloud, "slow"), await a_type(cloud)
    for _ in range(2):
        assert await ask(cloud, "GET", f"/{fast}/associate?vol_type_id={gold}") == (202, None)
    status, body = await ask(cloud, "GET", f"/{slow}/associate?vol_type_id={gold}")
    assert (status, "already associated with another qos specs" in str(body)) == (400, True)
    kind = (await cloud.call("GET", f"/types/{gold}", who="admin")).json()["volume_type"]
    assert kind["qos_specs_id"] == fast
    associations = [{"association_type": "volume_type", "name": "gold", "id": gold}]
    assert await ask(cloud, "GET", f"/{fast}/associations") == (200, {"qos_associations": associations})
    status, body = await ask(cloud, "DELETE", f"/{fast}")
    assert (status, "in use by volume types: gold" in str(body)) == (400, True)
    for _ in range(2):
        assert await ask(cloud, "GET", f"/{fast}/disassociate?vol_type_id={gold}") == (202, None)
    assert await ask(cloud, "GET", f"/{slow}/associate?vol_type_id={gold}") == (202, None)
    assert await ask(cloud, "GET", f"/{slow}/disassociate_all") == (202, None)
    assert await ask(cloud, "GET", f"/{slow}/associations") == (200, {"qos_associations": []})
    await ask(cloud, "GET", f"/{slow}/associate?vol_type_id={gold}")
    assert await ask(cloud, "DELETE", f"/{slow}?force=True") == (202, None)
    kind = (await cloud.call("GET", f"/types/{gold}", who="admin")).json()["volume_type"]
    assert kind["qos_specs_id"] is None


@pytest.mark.parametrize(
    ("specs", "word"),
    [
        ({"name": ""}, "can not be empty"),
        ({"name": "  "}, "can not be empty"),
        ({"name": "x" * 256}, "255"),
        ({"name": 5}, "string"),
        ({}, "'name' is a required property"),
        ({"name": "x", "consumer": "me"}, "'front-end', 'back-end' or 'both'"),
        ({"name": "x", "key": 5}, "string"),
        ({"name": "x", "key": "y" * 256}, "255"),
        ({"name": "x", "": "y"}, "at least 1"),
        ({"name": "x", "consumer": "front-end", "read_iops_sec": "many"}, "must be a whole number"),
        ({"name": "x", "consumer": "front-end", "read_iops_sec": "-1"}, "must be a whole number"),
        ({"name": "x", "consumer": "both", "read_bytes_sec": "9" * 250}, "must be a whole number"),
        ({"name": "x", "consumer": "both", "total_iops_sec_per_gb": "1.5"}, "must be a whole number"),
        (
            {"name": "x", "consumer": "both", "total_iops_sec": "1", "read_iops_sec": "1"},
            "either 'total_iops_sec'",
        ),
        ({"name": "x", "consumer": "both", "read_iops_sec_max": "1"}, "needs a 'read_iops_sec'"),
        (
            {"name": "x", "consumer": "both", "read_bytes_sec_max": "1", "read_bytes_sec": "2"},
            "needs a 'read_bytes_sec'",
        ),
        (
            {"name": "x", "consumer": "both", "size_iops_sec": "4096", "total_bytes_sec": "1"},
            "limit of requests",
        ),
    ],
)
async def test_what_nobody_could_keep_to_is_refused_before_it_is_there(
    cloud: Cloud, specs: dict[str, Any], word: str
) -> None:
    status, body = await ask(cloud, "POST", "", {"qos_specs": specs})
    assert (status, word in str(body)) == (400, True), body
    assert await ask(cloud, "GET", "") == (200, {"qos_specs": []})


async def test_a_change_is_refused_as_a_whole(cloud: Cloud) -> None:
    specs_id = await make(cloud, consumer="front-end", total_iops_sec="5", total_iops_sec_max="9")
    before = await specs_of(cloud, specs_id)
    for path, body, expected in (
        ("", {"qos_specs": {"total_iops_sec_max": "1", "other": "y"}}, 400),
        ("", {"qos_specs": {"consumer": "nobody"}}, 400),
        ("", {"qos_specs": {"bad*key": "1"}}, 400),
        ("", {"qos_specs": []}, 400),
        ("/delete_keys", {"keys": ["total_iops_sec_max", "colour"]}, 404),
        ("/delete_keys", {"keys": ["total_iops_sec"]}, 400),
        ("/delete_keys", {"keys": ["total_iops_sec_max"] * 2}, 400),
        ("/delete_keys", {"keys": [5]}, 400),
        ("/delete_keys", {}, 400),
    ):
        assert (await ask(cloud, "PUT", f"/{specs_id}{path}", body))[0] == expected, (path, body)
    assert await specs_of(cloud, specs_id) == before


async def test_what_is_not_there_is_said_to_be_missing(cloud: Cloud) -> None:
    specs_id, nowhere = await make(cloud), new_id()
    for path in ("", "/associations", f"/associate?vol_type_id={nowhere}", "/disassociate_all"):
        assert (await ask(cloud, "GET", f"/{nowhere}{path}"))[0] == 404, path
    for verb in ("associate", "disassociate"):
        assert (await ask(cloud, "GET", f"/{specs_id}/{verb}?vol_type_id={nowhere}"))[0] == 404
        assert (await ask(cloud, "GET", f"/{specs_id}/{verb}"))[0] == 400
    assert (await ask(cloud, "DELETE", f"/{nowhere}"))[0] == 404
    assert (await ask(cloud, "DELETE", f"/{specs_id}?force=perhaps"))[0] == 400
    assert (await ask(cloud, "POST", "", {"qos_specs": {"name": "fast"}}))[0] == 409


@pytest.mark.parametrize("who", ["member", "reader", "other"])
async def test_they_are_for_administrators(cloud: Cloud, who: str) -> None:
    specs_id = await make(cloud)
    for method, path in (
        ("GET", ""),
        ("POST", ""),
        ("GET", f"/{specs_id}"),
        ("PUT", f"/{specs_id}"),
        ("DELETE", f"/{specs_id}"),
        ("PUT", f"/{specs_id}/delete_keys"),
        ("GET", f"/{specs_id}/associations"),
        ("GET", f"/{specs_id}/associate"),
        ("GET", f"/{specs_id}/disassociate"),
        ("GET", f"/{specs_id}/disassociate_all"),
    ):
        answer = await cloud.call(method, f"/qos-specs{path}", {}, who=who)
        assert answer.status_code == 403, (method, path)


@pytest.mark.parametrize(
    ("specs", "told"),
    [
        (
            {"consumer": "front-end", "total_bytes_sec": "1048576", "vendor": "x"},
            {"total_bytes_sec": "1048576", "vendor": "x"},
        ),
        ({"consumer": "both", "read_iops_sec_per_gb": "100"}, {"read_iops_sec": 300}),
        (
            {"consumer": "both", "read_iops_sec_per_gb": "100", "read_iops_sec_per_gb_min": "500"},
            {"read_iops_sec": 500},
        ),
        (
            {"consumer": "both", "read_iops_sec_per_gb": "100", "read_iops_sec_max": "200"},
            {"read_iops_sec": 200},
        ),
        ({"consumer": "back-end", "total_bytes_sec": "1048576"}, None),
    ],
)
async def test_who_connects_is_told_what_the_front_end_is_to_keep_to(
    cloud: Cloud, specs: dict[str, Any], told: Any
) -> None:
    fast, gold = await make(cloud, **specs), await a_type(cloud)
    assert await ask(cloud, "GET", f"/{fast}/associate?vol_type_id={gold}") == (202, None)
    volume = await cloud.make(3, volume_type="gold")
    body = {"attachment": {"volume_uuid": volume["id"], "connector": CONNECTOR}}
    made = (await cloud.call("POST", "/attachments", body)).json()["attachment"]
    assert made["connection_info"]["qos_specs"] == told
    shown = (await cloud.call("GET", f"/attachments/{made['id']}")).json()["attachment"]
    (listed,) = (await cloud.call("GET", "/attachments/detail")).json()["attachments"]
    assert made == shown == listed
    older = await cloud.make(3, volume_type="gold")
    asked = {"os-initialize_connection": {"connector": CONNECTOR}}
    answer = await cloud.call("POST", f"/volumes/{older['id']}/action", asked)
    assert answer.json()["connection_info"]["data"]["qos_specs"] == told
