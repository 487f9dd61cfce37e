"""Holds every body that a test sends, and that is accepted, to what the OpenAPI document says of it."""

import json
from functools import cache
from typing import Any

import httpx
import jsonschema
from answers import Answers

from pumice.api.call import Version
from pumice.api.routing import Route
from pumice.api.volume import openapi


@cache
def _validator(route: Route, version: Version) -> Any:
    schema = openapi.body_of(route, version)
    if schema is None:
        return None
    components = {"schemas": openapi.shapes_of(schema)}
    return jsonschema.Draft202012Validator({**schema, "components": components})


class HeldBodies:
    """The bodies of one service's requests."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def hold(self, answer: httpx.Response) -> None:
        """Raises ``AssertionError`` for a body that was accepted and that the document does not know."""
        if answer.status_code >= 400 or answer.request.method not in ("POST", "PUT"):
            return
        route, version = self._answers.route_of(answer.request, answer.headers.get("openstack-api-version", ""))
        if (validator := _validator(route, version)) is None or not answer.request.content:
            return
        body = json.loads(answer.request.content)
        for error in validator.iter_errors(body):
            raise AssertionError(f"{openapi.name_of(route)} at {version}: {error.json_path}: {error.message}")
