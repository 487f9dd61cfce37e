"""Lists of images: filters, order, pages, and queries that make no sense."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from databases import ON_SQLITE


@pytest.fixture
async def three(rig: Any) -> dict[str, str]:
    """Images one, two and three, of 1, 2 and 3 bytes, made in this order."""
    made = {
        "one": await rig.create(name="one", colour="red", tags=["a"]),
        "two": await rig.create(name="two", colour="blue", tags=["a", "b"], protected=True),
        "three": await rig.create(name="three, or so", os_hidden=True, min_disk=7),
    }
    for size, image_id in enumerate(made.values(), 1):
        assert (await rig.upload(image_id, b"x" * size)).status_code == 204
    return made


async def listed(rig: Any, **query: Any) -> list[str]:
    answer = await rig.member.get("/v2/images", params=query)
    assert answer.status_code == 200, answer.text
    return [image["name"] for image in answer.json()["images"]]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, ["two", "one"]),
        ({"name": "one"}, ["one"]),
        ({"name": "eq:one"}, ["one"]),
        ({"name": "none"}, []),
        ({"name": "in:one,two"}, ["two", "one"]),
        ({"name": 'in:one,"three, or so"'}, ["one"]),
        ({"name": 'in:one,"three, or so"', "os_hidden": "true"}, ["three, or so"]),
        ({"name": "a:colon"}, []),
        ({"status": "active"}, ["two", "one"]),
        ({"status": "queued"}, []),
        ({"os_hidden": "true"}, ["three, or so"]),
        ({"protected": "true"}, ["two"]),
        ({"protected": "false"}, ["one"]),
        ({"size_min": "2"}, ["two"]),
        ({"size_max": "1"}, ["one"]),
        ({"size": "2"}, ["two"]),
        ({"min_disk": "7", "os_hidden": "true"}, ["three, or so"]),
        ({"disk_format": "raw", "container_format": "bare"}, ["two", "one"]),
        ({"disk_format": "in:qcow2,vdi"}, []),
        ({"tag": "a"}, ["two", "one"]),
        ({"tag": ["a", "b"]}, ["two"]),
        ({"colour": "red"}, ["one"]),
        ({"colour": "green"}, []),
        ({'a"b\\c$.': "x"}, []),
        ({"visibility": "shared"}, ["two", "one"]),
        ({"visibility": "public"}, []),
        ({"created_at": "gt:2020-01-01T00:00:00Z"}, ["two", "one"]),
        ({"created_at": "lt:2020-01-01T00:00:00Z"}, []),
        ({"updated_at": "gte:2020-01-01T01:00:00+01:00"}, ["two", "one"]),
        ({"sort": "name:asc"}, ["one", "two"]),
        ({"sort": "size:asc,name"}, ["one", "two"]),
        ({"sort_key": "name", "sort_dir": "desc"}, ["two", "one"]),
        ({"sort_key": ["status", "size"], "sort_dir": ["asc", "asc"]}, ["one", "two"]),
        ({"limit": "1"}, ["two"]),
        ({"limit": "0"}, []),
    ],
)
async def test_a_list_holds_what_its_query_asks_for(
    rig: Any, three: dict[str, str], query: dict[str, Any], names: list[str]
) -> None:
    assert await listed(rig, **query) == names


async def test_a_list_is_found_by_id_owner_and_checksum(
    rig: Any, three: dict[str, str], projects: dict[str, str]
) -> None:
    image = (await rig.member.get(f"/v2/images/{three['one']}")).json()
    assert await listed(rig, id=f"in:{three['one']},{three['three']}") == ["one"]
    assert await listed(rig, owner=projects["ours"]) == ["two", "one"]
    assert await listed(rig, owner=projects["theirs"]) == []
    assert await listed(rig, checksum=image["checksum"]) == ["one"]
    assert await listed(rig, os_hash_value=image["os_hash_value"]) == ["one"]


async def test_a_time_shown_is_a_time_found(rig: Any) -> None:
    image = (await rig.member.get(f"/v2/images/{await rig.create()}")).json()
    shown = image["created_at"]
    assert await listed(rig, created_at=f"eq:{shown}") == ["one"]
    assert await listed(rig, created_at=shown) == ["one"]
    assert await listed(rig, created_at=f"gte:{shown}") == ["one"]
    assert await listed(rig, created_at=f"lte:{shown}") == ["one"]
    assert await listed(rig, created_at=f"neq:{shown}") == []
    assert await listed(rig, created_at=f"gt:{shown}") == []
    assert await listed(rig, created_at=f"lt:{shown}") == []


@pytest.mark.parametrize("sort", ["created_at:desc", "name:asc", "size:desc", "disk_format:asc,size:asc"])
async def test_pages_follow_one_another_to_the_end(rig: Any, sort: str) -> None:
    made = [await rig.create(name=name) for name in ("b", "a", "b", None, "c")]
    await rig.upload(made[1], b"bytes")
    await rig.upload(made[3], b"bytes")
    whole = [
        image["id"] for image in (await rig.member.get("/v2/images", params={"sort": sort})).json()["images"]
    ]
    assert sorted(whole) == sorted(made)
    found: list[str] = []
    path = f"/v2/images?limit=2&sort={sort}"
    while path:
        page = (await rig.member.get(path)).json()
        assert page["first"] == f"/v2/images?limit=2&sort={sort.replace(':', '%3A').replace(',', '%2C')}"
        assert page["schema"] == "/v2/schemas/images"
        found += [image["id"] for image in page["images"]]
        path = page.get("next", "")
    assert found == whole


@ON_SQLITE
@pytest.mark.parametrize(
    "query",
    [
        "limit=-1",
        "limit=many",
        "limit=",
        "marker=unknown",
        "sort=colour",
        "sort=name:up",
        "sort=name&sort_key=name",
        "sort_key=name&sort_key=size&sort_dir=asc&sort_dir=asc&sort_dir=asc",
        "sort_dir=up",
        "visibility=secret",
        "member_status=perhaps",
        "os_hidden=maybe",
        "protected=1",
        "size_min=big",
        "size_max=" + "9" * 30,
        "created_at=yesterday",
        "created_at=gt:0001-01-01T00:00:00%2B14:00",
        "name=in:%22a",
        "name=in:" + "a," * 600,
        "changes-since=2020",
        "&".join(f"a{number}=b" for number in range(200)),
    ],
)
async def test_a_query_that_makes_no_sense_is_400(rig: Any, query: str) -> None:
    assert (await rig.member.get(f"/v2/images?{query}")).status_code == 400


FILTERS = (
    "limit",
    "marker",
    "sort",
    "sort_key",
    "sort_dir",
    "visibility",
    "member_status",
    "name",
    "id",
    "tag",
)
MORE_FILTERS = ("size_min", "size", "os_hidden", "protected", "created_at", "updated_at", "owner", "in", "_min")
VALUES = st.text(max_size=15) | st.sampled_from(
    ["in:", "in:a,b", 'in:"', "gt:", "eq:x", "true", "name:asc", "1"]
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    query=st.lists(st.tuples(st.sampled_from(FILTERS + MORE_FILTERS) | st.text(max_size=8), VALUES), max_size=4)
)
async def test_no_query_makes_the_service_fail(rig: Any, query: list[tuple[str, str]]) -> None:
    answer = await rig.member.get("/v2/images", params=query)
    assert answer.status_code in (200, 400)


DOCUMENTED = (
    "limit marker name owner protected status tag visibility os_hidden member_status size_max size_min "
    "created_at updated_at sort_dir sort_key sort id checksum os_hash_algo os_hash_value size virtual_size "
    "min_disk min_ram disk_format container_format changes-since any_property"
)


@ON_SQLITE
async def test_every_documented_query_is_read(rig: Any, three: dict[str, str]) -> None:
    plain = (await rig.member.get("/v2/images")).json()["images"]
    ignored = []
    for name in DOCUMENTED.split():
        answer = await rig.member.get("/v2/images", params={name: "no-sense"})
        if answer.status_code == 200 and answer.json()["images"] == plain:
            ignored.append(name)
    assert ignored == []
