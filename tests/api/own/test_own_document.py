"""The OpenAPI document names every route, and every answer is of the shape that it promises."""

from collections.abc import Awaitable, Callable

import httpx
import jsonschema
from volume_cloud import Cloud

from pumice.api.own import openapi
from pumice.api.own.service import ROUTES, TOLD

Own = Callable[..., Awaitable[httpx.Response]]


async def test_it_names_every_route_and_needs_no_token(own: Own) -> None:
    document = (await own("GET", "/openapi.json", who="")).json()
    named = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert named == {(f"/pumice{route.path}", route.method.lower()) for route in ROUTES if route.rule}
    assert openapi.ANSWERS.keys() == {f"{route.method} {route.path}" for route in TOLD}


async def test_answers_are_what_it_says(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make())["id"]
    document = (await own("GET", "/openapi.json")).json()
    listed = await own("GET", "/operations")
    operation = listed.json()["operations"][0]["id"]
    answers = {
        "/operations": listed,
        "/operations/{id}": await own("GET", f"/operations/{operation}", who="admin"),
        "/why/{id}": await own("GET", f"/why/{volume}"),
        "/audit": await own("GET", "/audit", who="admin"),
        "/explain": await own("POST", "/explain", {"volume": {"size": 1}}, who="admin"),
    }
    for path, answer in answers.items():
        [told] = document["paths"][f"/pumice/v1{path}"].values()
        schema = told["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json(), {**schema, "components": document["components"]})


async def test_the_version_document_names_its_version(own: Own) -> None:
    [version] = (await own("GET", "/", who="")).json()["versions"]
    assert version["status"] == "CURRENT"
    assert version["links"][0]["href"] == "http://cloud:8776/pumice/v1/"
