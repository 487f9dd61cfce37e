"""What is told of usage, and to whom."""

import csv
import time
from collections.abc import Awaitable, Callable, Iterator

import httpx
import jsonschema
import pytest
from volume_cloud import Cloud

from pumice.store import clock

Own = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture(autouse=True)
def the_time() -> Iterator[None]:
    yield
    clock.CLOCK.__init__()  # type: ignore[misc]


def goes_on(hours: float) -> None:
    clock.CLOCK.set(clock.time() + hours * 3600, time.monotonic())


async def test_gib_hours_are_told_by_day_and_type_as_json_and_csv(cloud: Cloud, own: Own) -> None:
    await cloud.make(size=4)
    goes_on(48)
    reply = await own("GET", "/usage")
    days = reply.json()["usage"]
    assert [one["kind"] for one in days] == ["volume"] * 3
    assert {one["volume_type"] for one in days} == {"__DEFAULT__"}
    assert days[1]["gib_hours"] == pytest.approx(96, abs=0.01)
    assert sum(one["gib_hours"] for one in days) == pytest.approx(4 * 48, abs=1)
    [yesterday] = (await own("GET", f"/usage?from={days[1]['day']}&to={days[1]['day']}")).json()["usage"]
    assert yesterday == days[1]
    for told in (await own("GET", "/usage?format=csv"), await own("GET", "/usage", Accept="text/csv")):
        assert told.headers["Content-Type"].startswith("text/csv")
        rows = list(csv.DictReader(told.text.splitlines()))
        assert [row["day"] for row in rows] == [one["day"] for one in days]
    document = (await own("GET", "/openapi.json")).json()
    told = document["paths"]["/pumice/v1/usage"]["get"]["responses"]["200"]
    schema = told["content"]["application/json"]["schema"]
    jsonschema.validate(reply.json(), {**schema, "components": document["components"]})


async def test_a_tenant_sees_its_own_and_an_administrator_all(cloud: Cloud, own: Own) -> None:
    await cloud.make(who="other")
    goes_on(1)
    assert (await own("GET", "/usage")).json()["usage"] == []
    theirs, *_ = (await own("GET", "/usage", who="other")).json()["usage"]  # two just before midnight
    project = theirs["project_id"]
    for query in (f"project_id={project}", "all_projects=1"):
        assert (await own("GET", f"/usage?{query}")).status_code == 403
        found = (await own("GET", f"/usage?{query}", who="admin")).json()["usage"]
        assert project in {one["project_id"] for one in found}
    assert (await own("GET", "/usage", who="reader")).status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "from=yesterday",
        "from=2026-02-30",
        "from=2026-02-02&to=2026-02-01",
        "from=2020-01-01",
        "to=0001-01-01",
        "from=9999-12-31",
        "x=1",
        "format=xml",
    ],
)
async def test_what_makes_no_sense_is_refused(own: Own, query: str) -> None:
    reply = await own("GET", f"/usage?{query}")
    assert reply.status_code == 400
    [fault] = reply.json().values()
    assert len(fault["message"]) > 20
