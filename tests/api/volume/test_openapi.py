"""The OpenAPI document of each microversion is valid, whole and true; what came later is not in it."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest
from api_coverage import answered, surface
from openapi_spec_validator import validate
from test_asked_rules import reached
from volume_cloud import Cloud
from written_answers import written

import pumice.api.volume
from databases import ON_SQLITE
from pumice.api.call import Version
from pumice.api.fields import Body
from pumice.api.routing import Route
from pumice.api.volume import openapi
from pumice.api.volume.bodies import BODIES
from pumice.api.volume.queries import QUERIES
from pumice.api.volume.service import volume_routes
from pumice.api.volume.versions import VERSIONS

ROUTES = volume_routes()
LOWEST, HIGHEST = VERSIONS.lowest, VERSIONS.highest
ALL = [(3, minor) for minor in range(LOWEST[1], HIGHEST[1] + 1)]


@cache
def document(version: Version) -> Any:
    return orjson.loads(orjson.dumps(openapi.document(ROUTES, version)))


def told(version: Version) -> set[str]:
    """The routes and actions of a document, as the tables name them."""
    found = set()
    for path, methods in document(version)["paths"].items():
        for method, operation in methods.items():
            name = f"{method.upper()} {path.removeprefix('/volume/v3')}"
            schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            actions = [action["title"] for action in schema.get("schema", {}).get("oneOf", ())]
            found |= {f"{name} {action}" for action in actions} or {name}
    return found


def properties(version: Version, path: str, method: str = "post") -> set[str]:
    """The keys below the one key of a body."""
    whole = document(version)
    schema = whole["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"]
    while "properties" not in schema or len(schema["properties"]) == 1:
        if "$ref" in schema:
            schema = whole["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        else:
            [schema] = schema["properties"].values()
    return set(schema["properties"])


def query(version: Version, path: str, method: str = "get") -> set[str]:
    parameters = document(version)["paths"][path][method]["parameters"]
    return {one["name"] for one in parameters if one["in"] == "query"}


@pytest.mark.parametrize("version", [LOWEST, HIGHEST])
def test_it_is_valid(version: Version) -> None:
    validate(document(version))


def test_each_of_72_names_every_route_and_action_that_is_there_and_no_other() -> None:
    assert len(ALL) == 72
    for version in ALL:
        there = [route for route in ROUTES if route.rule and route.since <= version <= route.until]
        assert told(version) == {openapi.name_of(route) for route in there}, version
        assert document(version)["info"]["version"] == f"{version[0]}.{version[1]}"


def test_all_of_cinders_surface_is_in_the_newest() -> None:
    routes, named = answered(), told(HIGHEST)
    for asked in surface():
        route = routes.get(asked.key)
        if route is not None and route.rule is not None:
            assert openapi.name_of(route) in named


def test_what_came_later_is_not_told_before() -> None:
    v3 = "/volume/v3"
    for minor, key in ((43, "metadata"), (51, "availability_zone")):
        assert key not in properties((3, minor - 1), f"{v3}/backups")
        assert key in properties((3, minor), f"{v3}/backups")
    assert "mode" not in properties((3, 53), f"{v3}/attachments")
    assert "mode" in properties((3, 54), f"{v3}/attachments")
    assert "no_snapshots" not in properties((3, 54), f"{v3}/volume-transfers")
    assert "no_snapshots" in properties((3, 55), f"{v3}/volume-transfers")
    for minor, name in ((10, "group_id"), (34, "name~"), (45, "with_count"), (60, "created_at")):
        assert name not in query((3, minor - 1), f"{v3}/volumes")
        assert name in query((3, minor), f"{v3}/volumes")
    assert "force" not in query((3, 22), f"{v3}/volumes/{{id}}", "delete")
    assert "force" in query((3, 23), f"{v3}/volumes/{{id}}", "delete")
    assert f"{v3}/default-types" not in document((3, 61))["paths"]
    assert f"{v3}/default-types" in document((3, 62))["paths"]
    assert "POST /volumes/{id}/action os-reimage" not in told((3, 67))


def test_the_tables_name_routes_that_there_are() -> None:
    named = {openapi.name_of(route) for route in ROUTES}
    assert BODIES.keys() <= named
    assert {name for name in QUERIES if not name.endswith("/detail")} <= named


def models(route: Route) -> set[object]:
    return {thing for thing in reached(route.handler) if isinstance(thing, type) and issubclass(thing, Body)}


def test_bodies_are_the_models_that_handlers_parse() -> None:
    for route in ROUTES:
        asks = BODIES.get(openapi.name_of(route))
        said = {shape for shape in asks.shapes if isinstance(shape, type)} if asks else set()
        assert said <= models(route), f"{openapi.name_of(route)} parses none of {said}"
        if route.method in ("POST", "PUT") and asks is None:
            assert not models(route), f"{openapi.name_of(route)} parses what bodies.py does not say"


def test_no_parameter_is_read_that_is_not_told() -> None:
    known = {asked.name for parameters in QUERIES.values() for asked in parameters}
    for path in Path(pumice.api.volume.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("flag", "call.query.get"):
                words = [it.value for it in node.args if isinstance(it, ast.Constant)]
                assert not set(map(str, words)) - known, f"{path.name}:{node.lineno}"


def test_answers_are_those_that_tests_are_held_to() -> None:
    text = openapi.ANSWERS.read_text()
    assert text == written(), "write it: .venv/bin/python tests/api/volume/written_answers.py"


@ON_SQLITE
async def test_it_is_told_to_anybody_at_the_version_that_is_asked_for(cloud: Cloud) -> None:
    ask = cloud.client.get
    path = "/volume/v3/openapi"
    assert (await ask(f"{path}.json")).json()["info"]["version"] == "3.0"
    told = await ask(f"{path}.json", headers={"OpenStack-API-Version": "volume 3.27"})
    assert told.json()["info"]["version"] == "3.27"
    assert (await ask(f"{path}.json?version=3.50")).json()["info"]["version"] == "3.50"
    assert (await ask(f"{path}.json?version=latest")).json()["info"]["version"] == "3.71"
    assert (await ask(f"{path}.json?version=3.72")).status_code == 406
    assert (await ask(f"{path}.json?version=x")).status_code == 400


@ON_SQLITE
async def test_it_is_a_page_too(cloud: Cloud) -> None:
    page = await cloud.client.get("/volume/v3/openapi.html?version=3.71")
    assert page.headers["content-type"] == "text/html; charset=UTF-8"
    assert "os-extend" in page.text and "<script" not in page.text
    assert len(re.findall(r"\?version=3\.\d+", page.text)) >= 72
