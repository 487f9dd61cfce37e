"""``GET /v3/openapi.json``: Block Storage at one microversion as an OpenAPI 3.1 document.

It is made of the route table, of what each route reads (``bodies.py``, ``queries.py``) and of what it answers:
``answers.json``, written of the schemas and samples that every answer of every test is held to
(``tests/api/volume/written_answers.py``). The microversion is the request's own, by its header, or
``?version=3.NN`` for who cannot send one.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson
from pydantic.json_schema import models_json_schema

from pumice.api.call import Call, Reply, Version
from pumice.api.openapi_page import page
from pumice.api.routing import Handler, Route
from pumice.api.volume.bodies import BODIES, Asks, Shape
from pumice.api.volume.links import PREFIX, VERSION
from pumice.api.volume.queries import QUERIES
from pumice.api.volume.versions import VERSIONS

ANSWERS = Path(__file__).with_name("answers.json")
KEPT = 4
"""Documents that are kept made: each has some hundred thousand bytes."""
_REF = "#/components/schemas/{model}"
_ACTIONS = "Actions, by the key of the body."
_ANY_ACTION = "Its value says nothing."
_TAGGED = "/volumes/{id}/metadata"
_FAULT = {
    "type": "object",
    "description": "The kind of refusal, its number and a sentence.",
    "additionalProperties": {
        "type": "object",
        "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
        "required": ["code", "message"],
    },
    "minProperties": 1,
    "maxProperties": 1,
}


def name_of(route: Route) -> str:
    """A route as the tables name it: ``POST /volumes/{id}/action os-extend``."""
    path = route.path.removeprefix(VERSION)
    return f"{route.method} {path}" + (f" {route.action}" if route.action else "")


def document(routes: Iterable[Route], version: Version) -> dict[str, Any]:
    """The document of a microversion; ``routes`` are all of the service's."""
    there = [route for route in routes if route.rule and route.since <= version <= route.until]
    there.sort(key=lambda route: (route.path, route.method))
    paths: dict[str, dict[str, Any]] = {}
    for (path, method), group in groupby(there, key=lambda route: (route.path, route.method)):
        paths.setdefault(PREFIX + path, {})[method.lower()] = _operation(list(group), version)
    dotted = ".".join(map(str, version))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Block Storage",
            "version": dotted,
            "description": (
                f"At microversion {dotted}: say `OpenStack-API-Version: volume {dotted}`. Every path may have "
                f"the project's id behind `{PREFIX}{VERSION}`."
            ),
        },
        "paths": paths,
        "components": {
            "schemas": shapes_of(paths) | {"Fault": _FAULT},
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
        },
        "security": [{"token": []}],
    }


def _operation(routes: Sequence[Route], version: Version) -> dict[str, Any]:
    """One method of one path; if it is a path of actions, these are all of them."""
    first = routes[0]
    told: dict[str, Any] = {
        "operationId": _identifier(first),
        "tags": [first.path.removeprefix(VERSION).split("/")[1]],
        "summary": _ACTIONS if first.action else _said(first.handler, name_of(first)),
        "parameters": _parameters(first, version),
        "responses": _responses(routes, version),
    }
    if first.action:
        schema: Any = {"oneOf": [_action(route, version) for route in routes]}
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
        return told
    assert first.rule
    told["x-policy"] = first.rule.name
    if (body := body_of(first, version)) is not None:
        content = {"application/json": {"schema": body}}
        told["requestBody"] = {"required": True, "content": content}
    return told


def _action(route: Route, version: Version) -> dict[str, Any]:
    assert route.action and route.rule
    said = {"description": _said(route.handler, route.action), "x-policy": route.rule.name}
    return {"title": route.action, **said, **(body_of(route, version) or {})}


def body_of(route: Route, version: Version) -> dict[str, Any] | None:
    """The schema of what a route reads at a microversion; None where it reads no body."""
    asks = BODIES.get(name_of(route))
    if route.action is not None:
        value = _schema(asks, version) if asks else {"description": _ANY_ACTION}
        if asks and asks.may_be_null:
            value = {"anyOf": [value, {"type": "null"}]}
        return _under(route.action, value, alone=True)
    if asks is None:
        return None
    schema = _schema(asks, version)
    return schema if asks.key is None else _under(asks.key, schema, alone=asks.alone)


def _under(key: str, schema: Mapping[str, Any], *, alone: bool) -> dict[str, Any]:
    beside = {"additionalProperties": False} if alone else {}
    return {"type": "object", "properties": {key: dict(schema)}, "required": [key], **beside}


def _schema(asks: Asks, version: Version) -> dict[str, Any]:
    """The schema of a body, without the keys that are not yet known."""
    shape = asks.at(version)
    if isinstance(shape, Mapping):
        return dict(shape)
    ref = _models()[0][shape]
    if not (unknown := {key for key, since in asks.since.items() if version < since}):
        return ref
    whole: dict[str, Any] = _models()[1][ref["$ref"].rpartition("/")[2]]
    known = {key: value for key, value in whole["properties"].items() if key not in unknown}
    return whole | {"properties": known}


@cache
def _models() -> tuple[Mapping[Shape, dict[str, Any]], Mapping[str, Any]]:
    """A reference for each model that a body has, and what the references stand for."""
    shapes = [shape for asks in BODIES.values() for shape in asks.shapes]
    models = list(dict.fromkeys(shape for shape in shapes if isinstance(shape, type)))
    refs, told = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    return {model: refs[model, "validation"] for model in models}, told["$defs"]


def shapes_of(told: Any) -> dict[str, Any]:
    """The schemas that are referred to, and those that these refer to, by their names."""
    found: dict[str, Any] = {}
    schemas = _models()[1]
    left = [told]
    while left:
        names = re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(left.pop()))
        for name in names:
            if name in schemas and name not in found:
                found[name] = schemas[name]
                left.append(schemas[name])
    return dict(sorted(found.items()))


def _parameters(route: Route, version: Version) -> list[dict[str, Any]]:
    found = [_parameter(name, "path") for name in re.findall(r"{(\w+)}", route.path)]
    asked = [one for one in QUERIES.get(name_of(route), ()) if version >= one.since]
    found += [_parameter(one.name, "query", one.says, one.schema) for one in asked]
    if route.live:
        found += [_parameter(name, "header") for name in ("If-None-Match", "Prefer")]
    if version >= (3, 15) and route.method == "PUT" and route.path.startswith(f"{VERSION}{_TAGGED}"):
        found.append(_parameter("If-Match", "header"))
    return found


def _parameter(
    name: str, where: str, says: str = "", schema: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    said = {"description": says} if says else {}
    schema = {"type": "string"} if schema is None else dict(schema)
    return {"name": name, "in": where, "required": where == "path", "schema": schema, **said}


def _responses(routes: Sequence[Route], version: Version) -> dict[str, Any]:
    """The answers by their numbers; that of several actions is that of one of them."""
    shapes: dict[str, list[Any]] = {}
    for route in routes:
        if (known := _answers().get(name_of(route))) is None:
            continue  # it is always refused
        body = [shape for since, shape in known["bodies"] if tuple(since) <= version][-1]
        shapes.setdefault(str(known["status"]), []).append(body)
    told = {status: _response(bodies) for status, bodies in sorted(shapes.items())}
    refusal = {"application/json": {"schema": {"$ref": _REF.format(model="Fault")}}}
    told["4XX"] = {"description": "It is refused.", "content": refusal}
    told["503"] = {"description": "Asking again may help, after `Retry-After` seconds.", "content": refusal}
    return told


def _response(bodies: Sequence[Any]) -> dict[str, Any]:
    distinct = [body for place, body in enumerate(bodies) if body is not None and body not in bodies[:place]]
    if not distinct:
        return {"description": "Done; there is no body."}
    schema = distinct[0] if len(distinct) == 1 else {"anyOf": distinct}
    return {"description": "Done.", "content": {"application/json": {"schema": schema}}}


@cache
def _answers() -> Mapping[str, Any]:
    """The status of each route, and its bodies with the versions since which they are so."""
    told: Mapping[str, Any] = orjson.loads(ANSWERS.read_bytes())
    return told


def _identifier(route: Route) -> str:
    return "_".join([route.method.lower(), *re.findall(r"[A-Za-z0-9]+", route.path.removeprefix(VERSION))])


def _said(handler: Handler, otherwise: str) -> str:
    """The first line of what a handler says of itself."""
    said = getattr(handler, "__doc__", None) or otherwise
    return otherwise if said.startswith("partial(") else said.splitlines()[0]


class Documents:
    """The document of each microversion, as JSON and as a page."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes
        self._made = lru_cache(KEPT)(self._make)
        self._page = lru_cache(KEPT)(self._make_page)

    async def json(self, call: Call) -> Reply:
        """This API at the request's microversion, as an OpenAPI document."""
        return Reply(self._made(_version(call)))

    async def html(self, call: Call) -> Reply:
        """This API at the request's microversion, as a page to read."""
        return Reply(self._page(_version(call)), content_type="text/html; charset=UTF-8")

    def _make(self, version: Version) -> bytes:
        return orjson.dumps(document(self._routes, version))

    def _make_page(self, version: Version) -> bytes:
        (major, least), (_, most) = VERSIONS.lowest, VERSIONS.highest
        return page(document(self._routes, version), [f"{major}.{minor}" for minor in range(least, most + 1)])


def _version(call: Call) -> Version:
    """The microversion that the query names; else the request's. Raises ``HttpError`` for none of ours."""
    asked = call.query.get("version")
    named = {"openstack-api-version": f"{VERSIONS.service_type} {asked}"}
    return VERSIONS.asked(named) if asked else call.version
