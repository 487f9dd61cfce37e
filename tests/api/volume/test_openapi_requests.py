"""Requests drawn from the OpenAPI documents, by every role, at every microversion: none meets a bug.

Every answer is of a number that the document names; what is accepted the document takes too, and its answer
is of the shape that is promised (the hooks of ``volume_cloud.py``). After all of them, and what they began, the
audit finds nothing. The long form asks 20,000 times:
``pytest -n 0 -m long tests/api/volume/test_openapi_requests.py``.
"""

import random
import re
from typing import Any
from urllib.parse import urlencode

import pytest
from any_body import NASTY
from test_openapi import ALL, document
from volume_cloud import CONNECTOR, OTHER_PROJECT, PROJECT, SCOPES, Cloud

from databases import ON_SQLITE
from pumice.loops.audit import violations
from pumice.model.ids import new_id

pytestmark = ON_SQLITE
SHORT, LONG = 400, 20_000
MOST_THINGS = 80
HONEST = ("in time; it goes on", "Service cinder-backup could not be found.")
"""Of what is answered by 503, as by Cinder: somebody has disabled the service, or waits no longer."""
TEXTS = [
    "1",
    "true",
    "k",
    "__DEFAULT__",
    "available",
    "box@fake",
    "box@fake#fake",
    "box@fake#spare",
    "cinder-volume",
]
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Drawn:
    """Draws requests; what answers name is asked for later."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.things = [new_id(), PROJECT, OTHER_PROJECT]
        self.whole: Any = {}

    def request(self) -> tuple[str, str, Any, dict[str, Any], str]:
        """Method, path, body, what the document says of it, and the microversion."""
        version = self.dice.choice(ALL) if self.dice.random() < 0.6 else ALL[-1]
        self.whole = document(version)
        path, methods = self.dice.choice(list(self.whole["paths"].items()))
        method, told = self.dice.choice(list(methods.items()))
        path = re.sub(r"{\w+}", lambda _: self.dice.choice([*self.things, *TEXTS[2:]]), path)
        words = {
            one["name"]: self.text(one["schema"])
            for one in told["parameters"]
            if one["in"] == "query" and self.dice.random() < 0.15
        }
        body = None
        if asked := told.get("requestBody"):
            body = self.value(asked["content"]["application/json"]["schema"], 0.02)
        return method.upper(), f"{path}?{urlencode(words)}" if words else path, body, told, f"3.{version[1]}"

    def text(self, schema: dict[str, Any]) -> str:
        return str(self.value(schema, 0.1)).replace("\0", "").encode("utf-8", "replace").decode()[:500]

    def value(self, schema: dict[str, Any], wrong: float = 0.08) -> Any:
        """A value that the schema takes, but for a few that are ``wrong``."""
        if self.dice.random() < wrong:
            return self.dice.choice(NASTY)
        if schema.get("title") == "Connector":
            return CONNECTOR
        if "$ref" in schema:
            return self.value(self.whole["components"]["schemas"][schema["$ref"].rpartition("/")[2]], 0)
        if choices := schema.get("anyOf") or schema.get("oneOf"):
            return self.value(self.dice.choice(choices), 0)
        if "enum" in schema or "const" in schema:
            return self.dice.choice(schema.get("enum", [schema.get("const")]))
        kind = schema.get("type")
        if kind == "object":
            return self._object(schema)
        if kind == "array":
            return [self.value(schema.get("items", {})) for _ in range(self.dice.randrange(3))]
        if kind == "string":
            texts = self.things if schema.get("format") == "uuid" else [*TEXTS, *self.things]
            return self.dice.choice(texts)
        plain = {"integer": self.dice.randrange(-1, 4), "boolean": self.dice.random() < 0.5, "null": None}
        return plain.get(kind, {}) if isinstance(kind, str) else self.dice.choice([None, {}])

    def _object(self, schema: dict[str, Any]) -> dict[str, Any]:
        needed, more = schema.get("required", ()), schema.get("additionalProperties")
        found = {
            name: self.value(one)
            for name, one in schema.get("properties", {}).items()
            if name in needed or self.dice.random() < 0.3
        }
        if isinstance(more, dict):
            found |= {
                self.dice.choice(["k", "size", "name"]): self.value(more)
                for _ in range(self.dice.randrange(1, 3))
            }
        return found

    def learn(self, text: str) -> None:
        """Keep some of the ids of an answer."""
        self.things = [*dict.fromkeys([*self.things, *_ID.findall(text)[:3]])][-MOST_THINGS:]


async def ask(cloud: Cloud, count: int, seed: int) -> set[int]:
    drawn, seen = Drawn(seed), set()
    for _ in range(2):
        drawn.learn((await cloud.make())["id"])
    for listed in ("/types", "/snapshots"):
        drawn.learn((await cloud.call("GET", listed, who="admin")).text)
    for number in range(count):
        method, path, body, told, version = drawn.request()
        who = drawn.dice.choice(["admin", "member", drawn.dice.choice(sorted(SCOPES))])
        reply = await cloud.call(method, path.removeprefix("/volume/v3"), body, who=who, version=version)
        asked = f"{number}: {who} {method} {path} {str(body)[:300]} at {version}"
        where = f"{asked}: {reply.status_code} {reply.text[:300]}"
        named = set(told["responses"])
        waits = reply.status_code == 503 and any(one in reply.text for one in HONEST)
        assert reply.status_code < 500 or waits, where
        assert str(reply.status_code) in named or reply.status_code >= 400, where
        seen.add(reply.status_code)
        if reply.status_code < 300:
            drawn.learn(reply.text)
    await cloud.quiet()
    assert await violations(cloud.runner.drivers) == []
    return seen


async def test_no_request_of_the_documents_is_answered_by_a_bug(cloud: Cloud) -> None:
    assert await ask(cloud, SHORT, seed=3) >= {200, 202, 400, 403, 404}


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(4))
async def test_nor_is_any_of_twenty_thousand(cloud: Cloud, seed: int) -> None:
    assert await ask(cloud, LONG // 4, seed) >= {200, 202, 400, 403, 404}
