"""What each route reads from its query, by microversion: told in the OpenAPI document.

``tests/api/volume/test_openapi.py`` finds the parameters that handlers name and that stand nowhere here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pumice.api.call import Version
from pumice.api.collection import Collection, Pages
from pumice.api.volume import (
    attachments,
    backups,
    clusters,
    consistency_groups,
    group_snapshots,
    group_types,
    groups,
    hosts,
    manage,
    messages,
    qos_specs,
    services,
    snapshots,
    transfers,
    types,
    volumes,
)
from pumice.api.volume.filters import CONFIGURED, Filters

EVER: Version = (0, 0)
LIKE: Version = (3, 34)
_NUMBER = {"type": "integer", "minimum": 0}
_YES_OR_NO = {"type": "boolean"}
_TEXT = {"type": "string"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A word of a query."""

    name: str
    since: Version = EVER
    says: str = ""
    schema: Mapping[str, Any] = field(default_factory=_TEXT.copy)


def _pages(collection: Collection[Any]) -> list[Parameter]:
    """What a list reads of pages and of whose things it tells."""
    pages, since = collection.pages, max(collection.since, EVER)
    found: list[Parameter] = []
    if pages is not Pages.NONE:
        found.append(Parameter("limit", since, "At most so many.", _NUMBER))
        if not (pages is Pages.MARKED and collection.is_novas):
            found.append(Parameter("offset", since, "So many are passed over.", _NUMBER))
    if pages is Pages.MARKED:
        since = max(since, collection.ordered_since)
        keys = sorted(map(str, collection.keys))
        pairs = "Keys with `:asc` or `:desc` behind them, and commas between: "
        found.append(Parameter("marker", since, "Only what comes after the thing that it names."))
        found.append(Parameter("sort", since, f"{pairs}{', '.join(keys)}."))
        found.append(Parameter("sort_key", since, "", {"type": "string", "enum": keys}))
        found.append(Parameter("sort_dir", since, "", {"type": "string", "enum": ["asc", "desc"]}))
    if collection.total is not None:
        found.append(Parameter("with_count", (3, 45), "Whether all are counted.", _YES_OR_NO))
    if collection.everywhere is not None:
        words = "Whether every project's are told; for administrators."
        found.append(Parameter("all_tenants", collection.since, words, _YES_OR_NO))
    return found


def _filters(filters: Filters) -> list[Parameter]:
    """What a list is filtered by; an administrator by more than a tenant."""
    configured = CONFIGURED[filters.resource]
    found = []
    for name in sorted({*map(str, filters.readers), *configured}):
        since = filters.since.get(name, EVER)
        says = "" if name in configured else "For administrators."
        found.append(Parameter(name, since, says))
        if name in filters.like:
            found.append(Parameter(f"{name}~", max(since, LIKE), f"What `{name}` has in it. {says}".strip()))
    return found


def _list(
    path: str, collection: Collection[Any], filters: Filters | None = None, *more: Parameter
) -> dict[str, list[Parameter]]:
    """A list, in short and in detail."""
    asked = [*_pages(collection), *(_filters(filters) if filters else ()), *more]
    return {f"GET {path}": asked, f"GET {path}/detail": asked}


def _words(*names: str) -> list[Parameter]:
    return [Parameter(str(name)) for name in names]


_OF_TRANSFERS = _words(*transfers.FILTERED_BY)
_OF_CLUSTERS = [
    Parameter(name, (3, 26) if name in clusters.SINCE_26 else EVER) for name in clusters.FILTERED_BY
]
_PUBLIC = Parameter("is_public", says="For administrators; `none` is any.")
_WHERE = _words("host", "cluster")
_MESSAGES = [Parameter(name, (3, 5)) for name in messages.FILTERED_BY]
_IDS = Parameter("list_volume", (3, 25), "Whether the ids of its volumes are told.", _YES_OR_NO)
_TYPE = [Parameter("vol_type_id", says="The volume type's id: it must be given.")]

QUERIES: Mapping[str, list[Parameter]] = MappingProxyType(
    {
        **_list("/volumes", volumes.LIST, volumes.FILTERS),
        "GET /volumes/summary": [
            Parameter("all_tenants", says="For administrators.", schema=_YES_OR_NO),
            *_filters(volumes.FILTERS),
        ],
        "DELETE /volumes/{id}": [
            Parameter("cascade", says="Whether its snapshots go too.", schema=_YES_OR_NO),
            Parameter("force", (3, 23), "Whatever state it is in; for administrators.", _YES_OR_NO),
        ],
        **_list("/snapshots", snapshots.LIST, snapshots.FILTERS),
        **_list("/backups", backups.LIST, backups.FILTERS),
        **_list("/attachments", attachments.LIST, attachments.FILTERS),
        **_list("/groups", groups.LIST, groups.FILTERS, _IDS),
        "GET /groups/{id}": [_IDS],
        **_list("/group_snapshots", group_snapshots.LIST, group_snapshots.FILTERS),
        **_list("/consistencygroups", consistency_groups.LIST, groups.FILTERS),
        **_list("/cgsnapshots", consistency_groups.SNAPSHOTS),
        **_list("/os-volume-transfer", transfers.LIST, None, *_OF_TRANSFERS),
        **_list("/volume-transfers", transfers.LIST, None, *_OF_TRANSFERS),
        **_list("/types", types.LIST, None, _PUBLIC, Parameter("extra_specs", (3, 52), "`{'key': 'value'}`")),
        **_list("/group_types", group_types.LIST, None, _PUBLIC),
        **_list("/qos-specs", qos_specs.LIST, None, *_words(*qos_specs.FILTERED_BY)),
        "DELETE /qos-specs/{id}": [Parameter("force", says="Also if types have it.", schema=_YES_OR_NO)],
        "GET /qos-specs/{id}/associate": _TYPE,
        "GET /qos-specs/{id}/disassociate": _TYPE,
        **_list("/messages", messages.LIST, None, *_MESSAGES),
        **_list("/os-services", services.LIST, None, *_words("host", "binary")),
        **_list("/os-hosts", hosts.HOSTS, None, *_words("zone")),
        **_list("/clusters", clusters.LIST, None, *_OF_CLUSTERS),
        **_list("/os-volume-manage", manage.LIST, None, *_WHERE),
        **_list("/manageable_volumes", manage.LIST, None, *_WHERE),
        **_list("/os-snapshot-manage", manage.LIST, None, *_WHERE),
        **_list("/manageable_snapshots", manage.LIST, None, *_WHERE),
        "GET /scheduler-stats/get_pools": [
            Parameter("detail", says="Whether all that is known is told.", schema=_YES_OR_NO),
            Parameter("name", (3, 28)),
            Parameter("volume_type", (3, 35)),
        ],
        "GET /os-quota-sets/{project_id}": [
            Parameter("usage", says="Whether what is used is told too.", schema=_YES_OR_NO)
        ],
        "GET /limits": [
            Parameter(name, (3, 39), "For administrators.") for name in ("project_id", "tenant_id")
        ],
        "GET /resource_filters": _words("resource"),
        "GET /openapi.json": _words("version"),
        "GET /openapi.html": _words("version"),
    }
)
"""By ``METHOD /path``, below ``/v3``."""
