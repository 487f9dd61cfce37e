"""An OpenAPI document as a page to read: without scripts, and without anything from elsewhere."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

import orjson

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}
code,pre{font-family:ui-monospace,monospace;font-size:.9em}
pre{overflow:auto;max-height:30rem;padding:.6rem;border:1px solid #8886}
summary{cursor:pointer}details{margin:.2rem 0 .2rem .5rem}table{border-collapse:collapse}
td,th{border:1px solid #8886;padding:.2rem .5rem;text-align:left;vertical-align:top}
@media(prefers-color-scheme:dark){body{background:#111;color:#eee}a{color:#8cf}}
"""


def page(document: Mapping[str, Any], versions: Sequence[str] = ()) -> bytes:
    """The page; with links to its other ``versions``."""
    return "".join(_lines(document, versions)).encode()


def _lines(document: Mapping[str, Any], versions: Sequence[str]) -> Iterator[str]:
    info = document["info"]
    title = escape(f"{info['title']} {info['version']}")
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    yield '<meta name="viewport" content="width=device-width">'
    yield f"<style>{_STYLE}</style></head><body><main><h1>{title}</h1><p>{escape(info['description'])}</p>"
    yield '<p><a href="openapi.json'
    yield f'?version={escape(info["version"])}">The OpenAPI document</a></p>' if versions else '">JSON</a></p>'
    if versions:
        links = [f'<a href="?version={escape(one)}">{escape(one)}</a>' for one in versions]
        yield f"<nav><details><summary>Microversions</summary>{' '.join(links)}</details></nav>"
    room = None
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            if (tag := next(iter(told.get("tags", ())), None)) != room:
                room = tag
                yield f"<h2>{escape(str(tag))}</h2>"
            yield f"<details><summary><code>{method.upper()} {escape(path)}</code> "
            yield f"{escape(told.get('summary', ''))}</summary>"
            yield from _operation(told)
            yield "</details>"
    yield "<h2>Shapes</h2>"
    for name, schema in document["components"]["schemas"].items():
        yield f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>'
        yield f"{_json(schema)}</details>"
    yield "</main></body></html>"


def _operation(told: Mapping[str, Any]) -> Iterable[str]:
    if policy := told.get("x-policy"):
        yield f"<p>Policy: <code>{escape(policy)}</code></p>"
    if told.get("parameters"):
        yield "<table><tr><th>Parameter</th><th>in</th><th></th></tr>"
        for one in told["parameters"]:
            says = escape(one.get("description", ""))
            yield f"<tr><td><code>{escape(one['name'])}</code></td><td>{one['in']}</td><td>{says}</td></tr>"
        yield "</table>"
    if body := told.get("requestBody"):
        schema = body["content"]["application/json"]["schema"]
        for action in schema.get("oneOf", ()):
            words = f"<code>{escape(action['title'])}</code> {escape(action['description'])}"
            yield f"<details><summary>{words}</summary>{_json(action)}</details>"
        if "oneOf" not in schema:
            yield f"<p>Body</p>{_json(schema)}"
    for status, answer in told["responses"].items():
        yield f"<p>{escape(status)}: {escape(answer['description'])}</p>"
        for content in answer.get("content", {}).values():
            yield _json(content["schema"])


def _json(schema: Any) -> str:
    return f"<pre>{escape(orjson.dumps(schema, option=orjson.OPT_INDENT_2).decode())}</pre>"
