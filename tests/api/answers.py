"""Holds what a service answers to what OpenStack's own answers, at every microversion.

OpenStack's own suite, Tempest, has a JSON schema for most answers, with every key that may be there and no
other. Where it has none or an old one there is a sample after the api-ref. All answers to tests are held to it.
"""

import importlib
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import jsonschema
from tempest.lib.api_schema import response as tempest
from tempest.lib.common.jsonschema_validator import FORMAT_CHECKER, JSONSCHEMA_VALIDATOR
from tests import drawn

from pumice.api.call import Version
from pumice.api.routing import Route, choose
from pumice.api.service import Service

Samples = list[tuple[Version, Any]]
"""Shapes, each with the version from which it is so."""
Later = Mapping[str, list[tuple[Version, str]]]
"""By the name of a route the keys that its answer has since a version, unknown to the schema."""
EVER: Version = (0, 0)


def name_of(route: Route) -> str:
    """``POST /v3/volumes/{id}/action os-extend``."""
    return f"{route.method} {route.path}" + (f" {route.action}" if route.action else "")


class Answers:
    """The schemas and samples of one service, by the names of its routes; which of them were seen."""

    def __init__(
        self,
        service: Service,
        schemas: Mapping[str, str],
        samples: Mapping[str, Samples],
        later: Later,
        statuses: Mapping[str, int] | None = None,
    ) -> None:
        self.service = service
        self.schemas = schemas
        self.samples = samples
        self.later = later
        self.statuses = statuses
        self.seen: set[str] = set()

    def versions(self, *, of_reads: bool) -> list[Version]:
        """Those at which a route that reads, or one that writes, is new or answers otherwise; the ends.

        To write everything costs a second: of those between the ends some are drawn, and where routes end all.
        """
        assert self.service.versions
        lowest, highest = self.service.versions.lowest, self.service.versions.highest
        kept, others = {lowest, highest}, set[Version]()
        for route in self.service.table.routes:
            if of_reads is (route.method == "GET"):
                (others if route.until >= highest else kept).add(route.since)
                others |= {since for since, _ in self._variants(name_of(route))}
        others -= kept
        chosen = kept | (others if of_reads else drawn.some(others, one_in=3))
        return sorted(version for version in chosen if lowest <= version <= highest)

    def _variants(self, name: str) -> list[tuple[Version, Any]]:
        schema = self.schemas.get(name)
        known = variants(self.service.name, schema) if schema else []
        return [*known, *self.samples.get(name, ()), *self.later.get(name, ())]

    async def hold(self, answer: httpx.Response) -> None:
        """Raises ``AssertionError`` for an answer that OpenStack's service would not give; refusals pass."""
        if answer.status_code >= 400 or answer.status_code == 304 or "/openapi." in answer.request.url.path:
            return
        await answer.aread()
        route, version = self.route_of(answer.request, answer.headers.get("openstack-api-version", ""))
        name = name_of(route)
        self.seen.add(name)
        where = f"{name} at {version}: {answer.status_code} {answer.text}"
        body = json.loads(answer.content) if answer.content else None
        if body is not None:
            self._take_later(name, version, body, where)
        if shapes := [shape for since, shape in self.samples.get(name, ()) if since <= version]:
            assert fits(shapes[-1], body), f"{where} is not of the shape {shapes[-1]}"
            if self.statuses is not None:
                assert answer.status_code == self.statuses.get(name, 200), where
        elif schema := self.schemas.get(name):
            _check(self.service.name, schema, version, answer.status_code, body, where)
        else:
            raise AssertionError(f"{name} has neither a schema nor a sample")

    def _take_later(self, name: str, version: Version, body: dict[str, Any], where: str) -> None:
        """Takes away what a schema does not know of: pages' links and counts, and keys that came later."""
        for key in [key for key in body if key == "count" or key.endswith("_links")]:
            del body[key]
        for since, key in self.later.get(name, ()):
            (things,) = body.values()
            for thing in things if isinstance(things, list) else [things]:
                if version >= since:
                    thing.pop(key, None)

    def route_of(self, request: httpx.Request, said: str) -> tuple[Route, Version]:
        """The route that a request has found, and at which version."""
        numbers = re.search(r"(\d+)\.(\d+)", said)
        version = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
        path = request.url.path.removeprefix(self.service.prefix)
        path, _ = self.service._without_project(path)
        found = self.service.table.node(path)
        assert found, path
        body = json.loads(request.content) if request.content else None
        return choose(*found, request.method, version, body)[0], version


@cache
def variants(service: str, schema: str) -> list[tuple[Version, Any]]:
    """A schema at each version that changed it, the oldest first: ``volumes.show_volume``."""
    module_name, _, attribute = schema.partition(".")
    room = importlib.import_module(f"{tempest.__name__}.{service}")
    found = []
    if hasattr(module := _module(f"{room.__name__}.{module_name}"), attribute):
        found.append((EVER, getattr(module, attribute)))
    for folder in Path(room.__path__[0]).iterdir():
        if (numbers := re.fullmatch(r"v(\d+)_(\d+)", folder.name)) is None:
            continue
        module = _module(f"{room.__name__}.{folder.name}.{module_name}")
        if hasattr(module, attribute):
            found.append(((int(numbers[1]), int(numbers[2])), getattr(module, attribute)))
    assert found, f"there is no schema {schema}"
    return sorted(found, key=lambda pair: pair[0])


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None


@cache
def _validator(service: str, schema: str, version: Version) -> tuple[list[int], Any]:
    found = [variant for since, variant in variants(service, schema) if since <= version][-1]
    body = found.get("response_body")
    return found["status_code"], body and JSONSCHEMA_VALIDATOR(body, format_checker=FORMAT_CHECKER)


_held: set[tuple[str, str, Version, str]] = set()
"""What was found to be as its schema says, but for which ids and times it named: much is answered again."""
_ID_OR_TIME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?")
_ZEROES = str.maketrans(dict.fromkeys("0123456789abcdef", "0"))


def _check(service: str, schema: str, version: Version, status: int, body: Any, where: str) -> None:
    statuses, validator = _validator(service, schema, version)
    assert status in statuses, f"{where}: not one of {statuses}"
    if validator is None:
        assert not body, f"{where}: there should be no body"
        return
    answered = (service, schema, version, _ID_OR_TIME.sub(_form, json.dumps(body)))
    if answered in _held:
        return
    try:
        validator.validate(body)
        _held.add(answered)
    except jsonschema.ValidationError as error:
        raise AssertionError(f"{where}: {error.json_path}: {error.message}") from None


_ZEROES = str.maketrans(dict.fromkeys("123456789abcdef", "0"))


def _form(found: re.Match[str]) -> str:
    """What stands for any other of its form."""
    return found[0].translate(_ZEROES)


def fits(shape: Any, value: Any) -> bool:
    """Whether a value has a shape.

    A dict has these keys and no others, or any where its only key is ``str``; a list has items of one shape; a
    tuple is one of its shapes.
    """
    if isinstance(shape, tuple):
        return any(fits(one, value) for one in shape)
    if isinstance(shape, dict):
        if set(shape) == {str}:
            return isinstance(value, dict) and all(fits(shape[str], one) for one in value.values())
        return (
            isinstance(value, dict)
            and set(shape) == set(value)
            and all(fits(one, value[key]) for key, one in shape.items())
        )
    if isinstance(shape, list):
        return (
            isinstance(value, list) and bool(shape or not value) and all(fits(shape[0], one) for one in value)
        )
    if isinstance(shape, type):
        return isinstance(value, shape) and not (shape is int and isinstance(value, bool))
    return bool(shape is value or shape == value)
