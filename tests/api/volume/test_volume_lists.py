"""Lists: pages, sorting, filters, counts."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from volume_cloud import Cloud

from pumice.api.volume.volumes import COLUMNS
from pumice.store import tables
from pumice.store.database import Transaction


async def some(cloud: Cloud, number: int = 23) -> list[str]:
    """Volumes of few sizes, with names twice, some without: every sort has ties and gaps."""
    made = []
    for index in range(number):
        wanted: dict[str, Any] = {"size": index % 4 + 1, "metadata": {"parity": str(index % 2)}}
        if index % 3:
            wanted["name"] = f"name{index % 7}"
        reply = await cloud.call("POST", "/volumes", {"volume": wanted})
        made.append(reply.json()["volume"]["id"])
    await asyncio.gather(*(cloud.until(volume_id, "available") for volume_id in made))

    def set_bootable(tx: Transaction) -> None:
        table = tables.volumes
        tx.execute(sa.update(table).where(table.c.size == 2).values(bootable=True, updated_at=None))

    await cloud.db.write(set_bootable)
    return made


async def walk(cloud: Cloud, query: str, path: str = "/volumes/detail") -> list[dict[str, Any]]:
    """Every page, by the links from one to the next."""
    rows: list[dict[str, Any]] = []
    url: str | None = f"/volume/v3{path}?{query}"
    headers = {"X-Auth-Token": "member", "OpenStack-API-Version": "volume 3.71"}
    while url:
        body = (await cloud.client.get(url, headers=headers)).json()
        rows += body["volumes"]
        links = body.get("volumes_links", [])
        url = None
        if links:
            parts = urlsplit(links[0]["href"])
            url = f"{parts.path}?{parts.query}"
    return rows


async def test_pages_walk_every_volume_exactly_once_in_every_sort(cloud: Cloud) -> None:
    made = sorted(await some(cloud))
    for key in sorted(COLUMNS):
        for direction in ("asc", "desc"):
            for limit in (1, 5, 23, 24):
                rows = await walk(cloud, f"sort={key}:{direction}&limit={limit}")
                assert sorted(row["id"] for row in rows) == made, (key, direction, limit)
            whole = [row["id"] for row in await walk(cloud, f"sort={key}:{direction}")]
            assert whole == [row["id"] for row in rows]


async def test_a_sort_by_two_keys_is_one(cloud: Cloud) -> None:
    await some(cloud)
    rows = await walk(cloud, "sort=size:asc,name:desc&limit=4")
    pairs = [(row["size"], row["name"] or "") for row in rows]
    assert [size for size, _ in pairs] == sorted(size for size, _ in pairs)
    for size in range(1, 5):
        names = [name for other, name in pairs if other == size]
        assert names == sorted(names, reverse=True)


async def test_the_newest_comes_first_unless_asked_otherwise(cloud: Cloud) -> None:
    made = await some(cloud, 5)
    assert [row["id"] for row in await walk(cloud, "", "/volumes")] == made[::-1]
    assert [row["id"] for row in await walk(cloud, "sort_dir=asc", "/volumes")] == made
    assert [row["id"] for row in await walk(cloud, "offset=1&limit=2", "/volumes")][:2] == made[::-1][1:3]
    assert await walk(cloud, "limit=0") == []


def every(_: dict[str, Any]) -> bool:
    return True


def none(_: dict[str, Any]) -> bool:
    return False


@pytest.mark.parametrize(
    ("query", "passes"),
    [
        ("name=name1", lambda row: row["name"] == "name1"),
        ("name~=NAME", lambda row: row["name"] is not None),
        ("name~=e4", lambda row: row["name"] == "name4"),
        ("name~=%25", none),
        ("status=available", every),
        ("status=error", none),
        ("size=3", lambda row: row["size"] == 3),
        ("size=x", none),
        (f"size={'9' * 30}", none),
        (f"size={'9' * 5000}", none),
        ("bootable=true", lambda row: row["bootable"] == "true"),
        ("bootable=F", lambda row: row["bootable"] == "false"),
        ("availability_zone=nova", every),
        ("availability_zone=moon", none),
        ("metadata={'parity': '1'}", lambda row: row["metadata"]["parity"] == "1"),
        ("metadata={'parity': '1', 'other': 'x'}", none),
        ("metadata={}", every),
        ("created_at=gt:2020-01-01T00:00:00,lt:2999-01-01", every),
        ("created_at=lt:2020-01-01T00:00:00Z", none),
        ("consumes_quota=true", every),
        ("consumes_quota=false", none),
        ("group_id=x", none),
        ("all_tenants=1&name=name1", lambda row: row["name"] == "name1"),
    ],
)
async def test_filters_keep_what_they_name(cloud: Cloud, query: str, passes: Any) -> None:
    await some(cloud, 12)
    whole = await walk(cloud, "")
    kept = await walk(cloud, f"{query}&limit=3")
    assert [row["id"] for row in kept] == [row["id"] for row in whole if passes(row)]
    count = await cloud.call("GET", f"/volumes?{query}&limit=1&with_count=true")
    assert count.json()["count"] == len(kept)


async def test_older_versions_ignore_what_tenants_cannot_filter_by(cloud: Cloud) -> None:
    await some(cloud, 3)
    for query in ("unknown=1", "user_id=x", "created_at=gt:yesterday"):
        reply = await cloud.call("GET", f"/volumes?{query}", version="3.0")
        assert len(reply.json()["volumes"]) == 3
    admins = await cloud.call("GET", "/volumes?unknown=1", version="3.0", who="admin")
    assert admins.json() == {"volumes": []}


async def test_an_administrator_sees_every_project_when_asked_to(cloud: Cloud) -> None:
    one = (await cloud.make())["id"]
    two = (await cloud.make(who="other"))["id"]

    async def ids(query: str) -> set[str]:
        reply = await cloud.call("GET", f"/volumes?{query}", who="admin")
        return {row["id"] for row in reply.json()["volumes"]}

    assert await ids("") == {one}
    assert await ids("all_tenants=1") == {one, two}
    project = (await cloud.call("GET", f"/volumes/{two}", who="admin")).json()["volume"]
    assert await ids(f"all_tenants=1&project_id={project['os-vol-tenant-attr:tenant_id']}") == {two}
    assert await ids("all_tenants=1&host=box@fake%23fake") == {one, two}


async def test_the_summary_adds_up(cloud: Cloud) -> None:
    await some(cloud, 5)
    summary = (await cloud.call("GET", "/volumes/summary")).json()["volume-summary"]
    assert summary["total_count"] == 5
    assert summary["total_size"] == 1 + 2 + 3 + 4 + 1
    assert sorted(summary["metadata"]["parity"]) == ["0", "1"]
    older = (await cloud.call("GET", "/volumes/summary", version="3.12")).json()["volume-summary"]
    assert set(older) == {"total_count", "total_size"}


async def test_few_statements_answer_a_request(cloud: Cloud) -> None:
    made = await some(cloud, 10)
    await cloud.stop()  # whatever the runner asks at the same time is none of the request's
    for method, path, body, most in (
        ("GET", f"/volumes/{made[0]}", None, 3),
        ("GET", "/volumes/detail", None, 4),
        ("GET", "/volumes?with_count=true", None, 5),
    ):
        await cloud.call(method, path, body)
        cloud.statements.clear()
        await cloud.call(method, path, body)
        assert len(cloud.statements) <= most, cloud.statements


async def test_a_create_takes_few_statements_too(cloud: Cloud) -> None:
    await cloud.make()
    await cloud.stop()
    cloud.statements.clear()
    assert (await cloud.call("POST", "/volumes", {"volume": {"size": 1}})).status_code == 202
    assert len(cloud.statements) <= 6, cloud.statements
