"""``/explain`` answers what a create would come to, to tenants without names and figures of pools."""

from collections.abc import Awaitable, Callable

import httpx
import pytest
from volume_cloud import POOL, Cloud

Own = Callable[..., Awaitable[httpx.Response]]


async def test_the_pool_that_is_named_is_the_one_where_a_volume_comes(cloud: Cloud, own: Own) -> None:
    told = (await own("POST", "/explain", {"volume": {"size": 1}}, who="admin")).json()["explanation"]
    assert (told["fits"], told["winner"], told["advice"]) == (True, POOL, [])
    [pool] = told["pools"]
    assert all(verdict["passes"] for verdict in pool["verdicts"])
    assert "GiB are free" in next(it["figures"] for it in pool["verdicts"] if it["filter"] == "CapacityFilter")
    made = await cloud.make(who="admin")
    assert made["os-vol-host-attr:host"] == told["winner"]


async def test_a_tenant_is_told_how_many_pools_and_what_to_change(own: Own) -> None:
    reply = await own("POST", "/explain", {"volume": {"size": 900_000_000}}, who="reader")
    told = reply.json()["explanation"]
    assert not told["fits"]
    assert (told["pools"], told["winner"], told["looked_at"]) == ([], None, 1)
    assert [left["pools"] for left in told["left"] if left["filter"] == "CapacityFilter"] == [0]
    [advice] = told["advice"]
    assert advice.startswith("Ask for at most ")
    size = int(advice.split()[4])
    assert POOL not in reply.text
    again = await own("POST", "/explain", {"volume": {"size": size}}, who="reader")
    assert again.json()["explanation"]["fits"]


async def test_it_is_alike_a_volume(cloud: Cloud, own: Own) -> None:
    volume = await cloud.make(3)
    told = (await own("POST", "/explain", {"volume": {}, "like": volume["id"]})).json()["explanation"]
    assert told["size"] == 3
    assert (await own("POST", "/explain", {"volume": {}, "like": volume["id"]}, who="other")).status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"volume": {"size": 0}}, 400),
        ({"volume": {"size": 1, "colour": "red"}}, 400),
        ({"volume": {"size": 1, "volume_type": "none"}}, 404),
        ({"volume": {"size": 1, "availability_zone": "none"}}, 400),
    ],
)
async def test_what_a_create_refuses_is_refused(own: Own, body: object, status: int) -> None:
    assert (await own("POST", "/explain", body)).status_code == status


async def test_nothing_is_made(cloud: Cloud, own: Own) -> None:
    await own("POST", "/explain", {"volume": {"size": 1}})
    assert (await cloud.call("GET", "/volumes")).json()["volumes"] == []
    assert (await own("GET", "/operations")).json()["operations"] == []
