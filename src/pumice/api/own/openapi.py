"""``GET /openapi.json``: Pumice's own API as an OpenAPI 3.1 document, made of its routes and shapes."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from pumice import __version__
from pumice.api.own import children, connectors, process, shapes
from pumice.api.own.explain import ExplainBody
from pumice.api.own.schedules import NewScheduleBody, ScheduleChangesBody
from pumice.api.own.webhooks import ChangeBody, WebhookBody
from pumice.api.routing import Route

ANSWERS: Mapping[str, tuple[int, type[BaseModel] | None]] = {
    "GET /operations": (200, shapes.Operations),
    "GET /operations/{id}": (200, shapes.OneOperation),
    "POST /operations/{id}/actions/cancel": (202, None),
    "POST /operations/{id}/actions/retry": (202, shapes.Retried),
    "GET /why/{id}": (200, shapes.Why),
    "POST /explain": (200, shapes.Explanation),
    "GET /audit": (200, shapes.Audit),
    "POST /audit/actions/repair": (200, process.Repair),
    "GET /settings": (200, process.Settings),
    "GET /doctor": (200, process.Doctor),
    "GET /volumes/{id}/connectors": (200, connectors.Connectors),
    "GET /volumes/{id}/children": (200, children.Children),
    "POST /volumes/{id}/actions/flatten": (202, shapes.Begun),
    "GET /events": (200, shapes.Event),
    "GET /webhooks": (200, shapes.Webhooks),
    "POST /webhooks": (201, shapes.OneWebhook),
    "GET /webhooks/{id}": (200, shapes.OneWebhook),
    "PUT /webhooks/{id}": (200, shapes.OneWebhook),
    "DELETE /webhooks/{id}": (204, None),
    "POST /webhooks/{id}/actions/test": (202, shapes.Begun),
    "GET /recycle-bin": (200, shapes.RecycleBin),
    "GET /recycle-bin/{id}": (200, shapes.OneRecycled),
    "POST /recycle-bin/{id}/actions/restore": (204, None),
    "DELETE /recycle-bin/{id}": (202, shapes.Purged),
    "GET /usage": (200, shapes.Usage),
    "GET /schedules": (200, shapes.ManySchedules),
    "POST /schedules": (201, shapes.OneSchedule),
    "GET /schedules/{id}": (200, shapes.OneSchedule),
    "PUT /schedules/{id}": (200, shapes.OneSchedule),
    "DELETE /schedules/{id}": (204, None),
    "POST /schedules/{id}/actions/delete_with_made": (202, None),
    "POST /schedules/{id}/actions/run": (202, shapes.OneRun),
    "GET /schedules/{id}/runs": (200, shapes.Runs),
    "GET /schedules/{id}/runs/{run_id}": (200, shapes.OneRunInFull),
    "GET /image-cache": (200, shapes.ImageBases),
    "POST /image-cache/{id}/actions/evict": (202, shapes.Begun),
}
"""What each route answers with: its status and its shape."""
BODIES: Mapping[str, type[BaseModel]] = {
    "POST /explain": ExplainBody,
    "POST /webhooks": WebhookBody,
    "PUT /webhooks/{id}": ChangeBody,
    "POST /schedules": NewScheduleBody,
    "PUT /schedules/{id}": ScheduleChangesBody,
}
_PAGES = ("limit", "marker", "offset", "sort", "sort_key", "sort_dir")
QUERIES: Mapping[str, tuple[str, ...]] = {
    "GET /operations": (
        *("kind", "subject", "volume_id", "state", "parent_id", "limit", "marker", "offset"),
        *("sort", "sort_key", "sort_dir", "all_projects"),
    ),
    "GET /usage": ("from", "to", "project_id", "all_projects", "format"),
    "GET /schedules": (*_PAGES, "name", "volume_id", "group_id", "all_projects"),
    "GET /schedules/{id}/runs": _PAGES,
    "GET /events": ("all_projects", "last_event_id"),
    "GET /webhooks": (
        *("url", "format", "limit", "marker", "offset", "sort", "sort_key", "sort_dir", "all_projects"),
    ),
    "GET /recycle-bin": (
        *("kind", "name", "volume_id", "project_id", "limit", "marker", "offset"),
        *("sort", "sort_key", "sort_dir", "all_projects"),
    ),
}
_SAYS = {
    "subject": "The id of what operations are about, or up to 50 ids with commas between them.",
    "volume_id": "A volume's id.",
}
"""What is said of a parameter whose name does not say it."""
_REF = "#/components/schemas/{model}"


def document(routes: Iterable[Route], prefix: str) -> dict[str, Any]:
    """The document; ``routes`` are those of ``ANSWERS``, below ``prefix``."""
    models: list[Any] = [(model, "serialization") for _, model in ANSWERS.values() if model]
    models += [(model, "validation") for model in BODIES.values()]
    refs, schemas = models_json_schema(models, ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        key = f"{route.method} {route.path}"
        paths.setdefault(prefix + route.path, {})[route.method.lower()] = _operation(key, route, refs)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Pumice", "version": __version__, "description": (__doc__ or "").splitlines()[0]},
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
        },
        "security": [{"token": []}],
    }


def _operation(key: str, route: Route, refs: Mapping[Any, Any]) -> dict[str, Any]:
    status, model = ANSWERS[key]
    answer: dict[str, Any] = {"description": "Done." if model is None else (model.__doc__ or "")}
    if model is not None:
        kind = "text/event-stream" if key == "GET /events" else "application/json"
        answer["content"] = {kind: {"schema": refs[model, "serialization"]}}
    names = re.findall(r"{(\w+)}", route.path)
    parameters = [_parameter(name, "path") for name in names]
    parameters += [_parameter(name, "query") for name in QUERIES.get(key, ())]
    if route.live:
        parameters += [_parameter(name, "header") for name in ("If-None-Match", "Prefer")]
    told: dict[str, Any] = {
        "summary": (route.handler.__doc__ or key).splitlines()[0],
        "parameters": parameters,
        "responses": {str(status): answer},
    }
    if body := BODIES.get(key):
        content = {"application/json": {"schema": refs[body, "validation"]}}
        told["requestBody"] = {"required": True, "content": content}
    return told


def _parameter(name: str, where: str) -> dict[str, Any]:
    said = {"description": _SAYS[name]} if name in _SAYS else {}
    return {"name": name, "in": where, "required": where == "path", "schema": {"type": "string"}, **said}
