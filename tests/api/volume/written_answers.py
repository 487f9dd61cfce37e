"""Writes ``src/pumice/api/volume/answers.json``: what each route answers, for the OpenAPI documents.

It is made of what every answer of every test is held to (``volume_answers.py``): what is written is tested.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from answers import EVER, name_of, variants
from volume_answers import LATER, SAMPLES, SCHEMAS, STATUSES

from pumice.api.call import Version
from pumice.api.volume import openapi
from pumice.api.volume.service import volume_routes

_NAMES = {str: "string", int: "integer", bool: "boolean", dict: "object", list: "array", type(None): "null"}


def told(shape: Any) -> dict[str, Any]:
    """A sample's shape as a JSON schema."""
    if isinstance(shape, tuple):
        return {"anyOf": [told(one) for one in shape]}
    if isinstance(shape, dict) and set(shape) == {str}:
        return {"type": "object", "additionalProperties": told(shape[str])}
    if isinstance(shape, dict):
        keys = {"properties": {key: told(one) for key, one in shape.items()}, "required": list(shape)}
        return {"type": "object", **keys, "additionalProperties": False}
    if isinstance(shape, list):
        return {"type": "array", **({"items": told(shape[0])} if shape else {"maxItems": 0})}
    return {"type": _NAMES[shape]} if isinstance(shape, type) else {"const": shape}


def _with_what_came_later(body: Mapping[str, Any], keys: list[str]) -> dict[str, Any]:
    """A schema of Tempest's with the keys that it does not know of, and with what stands beside a list."""
    copied: dict[str, Any] = json.loads(json.dumps(body))
    names = copied.get("properties", {})
    if len(names) != 1:
        return copied
    [thing] = names.values()
    if thing.get("type") == "array":
        copied["patternProperties"] = {"^(count|.*_links)$": {}}
        thing = thing["items"]
    if keys:
        thing["properties"] |= {key: {} for key in keys}
    return copied


def _bodies(name: str) -> list[tuple[Version, Any]]:
    """The schemas of a route's bodies, the oldest first; None where there is no body."""
    if name in SAMPLES:
        return [(since, None if shape is None else told(shape)) for since, shape in SAMPLES[name]]
    known = variants("volume", SCHEMAS[name])
    later = LATER.get(name, [])
    found = []
    for at in sorted({since for since, _ in (*known, *later)} | {EVER}):
        if schemas := [schema for since, schema in known if since <= at]:
            body = schemas[-1].get("response_body")
            keys = [key for since, key in later if since <= at]
            found.append((at, body and _with_what_came_later(body, keys)))
    return found


def _status(name: str) -> int:
    if name in SAMPLES:
        return STATUSES.get(name, 200)
    [status] = {schema["status_code"][0] for _, schema in variants("volume", SCHEMAS[name])}
    return int(status)


def written() -> str:
    """The file. What is always refused is not in it."""
    answers = {}
    for route in volume_routes():
        if route.rule is None:
            continue
        name = name_of(route)
        shown = re.sub(" /v3", " ", name, count=1)
        if name in SAMPLES or name in SCHEMAS:
            answers[shown] = {"status": _status(name), "bodies": _bodies(name)}
    return json.dumps(answers, separators=(",", ":"), sort_keys=True) + "\n"


if __name__ == "__main__":
    Path(openapi.ANSWERS).write_text(written())
