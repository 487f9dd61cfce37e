"""The catalog as an operator changes it: services, endpoints and regions, and what tokens then tell."""

from typing import Any

import pytest
from identity_cloud import Cloud, login, project

from databases import ON_SQLITE
from pumice.model.tunables import Tunables

pytestmark = ON_SQLITE


async def made(cloud: Cloud, admin: str, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await cloud.ask("POST", f"/{kind}s", admin, {kind: body})
    assert answer.status_code == 201, answer.text
    return dict(answer.json()[kind])


async def catalog(cloud: Cloud) -> dict[str, dict[str, Any]]:
    answer = await cloud.ask("POST", "/auth/tokens", body=login("demo", "secret-d", project("demo")))
    return {service["type"]: service for service in answer.json()["token"]["catalog"]}


async def test_a_service_and_its_endpoints_are_in_the_next_token(cloud: Cloud, admin: str) -> None:
    service = await made(cloud, admin, "service", {"type": "object-store", "name": "swift", "description": "d"})
    assert service["enabled"] is True and service["description"] == "d"
    asked = {"service_id": service["id"], "interface": "public", "region_id": "RegionOne"}
    url = "https://objects.example:8080/v1/AUTH_%(project_id)s"
    endpoint = await made(cloud, admin, "endpoint", {**asked, "url": url})
    assert endpoint["region"] == endpoint["region_id"] == "RegionOne"
    assert endpoint["url"] == url
    (told,) = (await catalog(cloud))["object-store"]["endpoints"]
    assert told["url"].startswith("https://objects.example:8080/v1/AUTH_") and "%" not in told["url"]
    assert told.keys() == {"id", "interface", "region", "region_id", "url"}

    for kind, thing in (("service", service), ("endpoint", endpoint)):
        path = f"/{kind}s/{thing['id']}"
        off = await cloud.ask("PATCH", path, admin, {kind: {"enabled": False}})
        assert off.status_code == 200, off.text
        offered = (await catalog(cloud)).get("object-store", {"endpoints": []})
        assert offered["endpoints"] == []
        assert (await cloud.ask("PATCH", path, admin, {kind: {"enabled": True}})).status_code == 200
    assert (await cloud.ask("DELETE", f"/services/{service['id']}", admin)).status_code == 204
    assert (await cloud.ask("GET", f"/endpoints/{endpoint['id']}", admin)).status_code == 404
    assert "object-store" not in await catalog(cloud)


async def test_the_services_of_this_installation_can_be_told_elsewhere(cloud: Cloud, admin: str) -> None:
    (found,) = (await cloud.ask("GET", "/services?type=image", admin)).json()["services"]
    query = f"/endpoints?service_id={found['id']}&interface=public"
    (place,) = (await cloud.ask("GET", query, admin)).json()["endpoints"]
    assert place["url"] == "http://cloud/image"
    change = {"endpoint": {"url": "https://images.example"}}
    assert (await cloud.ask("PATCH", f"/endpoints/{place['id']}", admin, change)).status_code == 200
    urls = {one["interface"]: one["url"] for one in (await catalog(cloud))["image"]["endpoints"]}
    assert urls == {
        "public": "https://images.example",
        "internal": "http://cloud/image",
        "admin": "http://cloud/image",
    }


async def test_regions_are_made_under_a_chosen_id_and_above_one_another(cloud: Cloud, admin: str) -> None:
    top = await made(cloud, admin, "region", {"id": "north", "description": "n"})
    put = await cloud.ask("PUT", "/regions/south", admin, {"region": {"parent_region_id": "north"}})
    assert put.status_code == 201
    assert put.json()["region"]["description"] == ""
    assert top["parent_region_id"] is None
    children = (await cloud.ask("GET", "/regions?parent_region_id=north", admin)).json()["regions"]
    assert [region["id"] for region in children] == ["south"]
    assert (await cloud.ask("POST", "/regions", admin, {"region": {"id": "north"}})).status_code == 409
    assert (await made(cloud, admin, "region", {}))["id"]
    circle = await cloud.ask("PATCH", "/regions/north", admin, {"region": {"parent_region_id": "south"}})
    assert circle.status_code == 400
    orphan = await cloud.ask("POST", "/regions", admin, {"region": {"parent_region_id": "none"}})
    assert orphan.status_code == 404
    other = await cloud.ask("PUT", "/regions/west", admin, {"region": {"id": "east"}})
    assert other.status_code == 400
    assert (await cloud.ask("DELETE", "/regions/RegionOne", admin)).status_code == 403
    assert (await cloud.ask("DELETE", "/regions/north", admin)).status_code == 204
    assert (await cloud.ask("GET", "/regions/south", admin)).status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"interface": "outer"},
        {"url": "no address"},
        {"url": "https://x/%(password)s"},
        {"url": "https://x/%"},
        {"service_id": "none"},
        {"region_id": "none"},
        {"url": "https://x/" + "x" * 250},
        {"enabled": "yes"},
    ],
)
async def test_an_endpoint_that_makes_no_sense_is_refused(
    cloud: Cloud, admin: str, wrong: dict[str, Any]
) -> None:
    service = (await made(cloud, admin, "service", {"type": "x"}))["id"]
    right = {"service_id": service, "interface": "public", "url": "https://x"}
    answer = await cloud.ask("POST", "/endpoints", admin, {"endpoint": {**right, **wrong}})
    assert answer.status_code == 400, answer.text
    endpoint = await made(cloud, admin, "endpoint", right)
    assert (
        await cloud.ask("PATCH", f"/endpoints/{endpoint['id']}", admin, {"endpoint": wrong})
    ).status_code == 400


async def test_the_older_word_for_a_region_makes_it(cloud: Cloud, admin: str) -> None:
    service = (await made(cloud, admin, "service", {"type": "x"}))["id"]
    body = {"service_id": service, "interface": "public", "url": "https://x", "region": "new"}
    assert (await made(cloud, admin, "endpoint", body))["region_id"] == "new"
    assert (await cloud.ask("GET", "/regions/new", admin)).status_code == 200


async def test_an_alias_names_a_service_a_second_time(cloud: Cloud) -> None:
    cloud.service.ctx.tunables = Tunables(catalog_aliases={"volumev2": "volumev3", "network": "no-such"})
    told = await catalog(cloud)
    assert told["volumev2"]["endpoints"] == told["volumev3"]["endpoints"]
    assert (told["volumev2"]["name"], told["volumev3"]["name"]) == ("cinderv2", "cinderv3")
    assert "network" not in told
