"""What of Cinder's Block Storage API is answered: its own routes and actions, held beside the table of routes.

``surface.txt`` has every route and action of Cinder 29, each with its first microversion. This module, run by
itself, writes the answer: ``docs/api-coverage.md``, and what the README claims.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from pumice.api.call import Version
from pumice.api.routing import Route
from pumice.api.volume.service import volume_routes
from pumice.api.volume.versions import VERSIONS

SURFACE = Path(__file__).with_name("surface.txt")
README = Path(__file__).parents[3] / "README.md"
PAGE = README.parent / "docs/api-coverage.md"
TESTED = "test_volume_answers"
ELSEWHERE: Mapping[str, str] = {
    "GET /v3/clusters/{id}": "test_volume_clusters",
    "PUT /v3/clusters/enable": "test_volume_clusters",
    "PUT /v3/clusters/disable": "test_volume_clusters",
    "POST /v3/os-volume-manage": "test_volume_manage",
    "POST /v3/manageable_volumes": "test_volume_manage",
    "POST /v3/os-snapshot-manage": "test_volume_manage",
    "POST /v3/manageable_snapshots": "test_volume_manage",
    "POST /v3/volumes/{id}/action os-unmanage": "test_volume_manage",
    "POST /v3/volumes/{id}/action os-reimage": "test_volume_changes",
    "POST /v3/volumes/{id}/action os-volume_upload_image": "test_volume_wishes",
    "POST /v3/volumes/{id}/action os-migrate_volume": "test_moves",
    "POST /v3/volumes/{id}/action os-migrate_volume_completion": "test_moves",
    **dict.fromkeys(
        (
            f"POST /v3/groups/{{id}}/action {action}"
            for action in (
                "enable_replication",
                "disable_replication",
                "failover_replication",
                "list_replication_targets",
            )
        ),
        "test_groups",
    ),
    **dict.fromkeys(("GET /v3/openapi.json", "GET /v3/openapi.html"), "test_openapi"),
    "PUT /v3/os-services/failover_host": "test_volume_operators",
    "PUT /v3/os-hosts": "test_volume_operators",
    "POST /v3/volumes/{id}/action os-extend_volume_completion": "test_volume_operators",
}
"""What ``test_volume_answers``, which asks all the rest, leaves to others: it needs more, or is refused."""
IN_VAIN = (
    ("POST", "/v3/groups/{}/action", "create-from-src"),
    *(
        ("POST", "/v3/groups/action", action)
        for action in (
            "delete",
            "disable_replication",
            "enable_replication",
            "failover_replication",
            "list_replication_targets",
            "reset_status",
        )
    ),
    ("PUT", "/v3/os-hosts", None),
)
"""What Cinder 29's router finds a method for that takes an id where there is none, or none where there is one.

It answers 400 whatever is said, and so do we: ``test_groups`` and ``test_volume_operators`` ask for them."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A route of Cinder's, or an action."""

    since: Version
    method: str
    path: str
    action: str | None

    @property
    def key(self) -> tuple[str, str, str | None]:
        """By what it is found, however the parts of its path that vary are called."""
        return self.method, re.sub(r"\{\w+\}", "{}", self.path), self.action

    @property
    def resource(self) -> str:
        """What the path names first."""
        return self.path.split("/")[2] or "versions"


def surface() -> Iterator[Asked]:
    """All of Cinder's."""
    for line in SURFACE.read_text().splitlines():
        since, method, path, *action = line.split()
        major, _, minor = since.partition(".")
        yield Asked((int(major), int(minor)), method, path, action[0] if action else None)


def answered() -> dict[tuple[str, str, str | None], Route]:
    """Our routes by the same keys; one with actions also by itself."""
    found = {}
    for route in volume_routes():
        path = re.sub(r"\{\w+\}", "{}", route.path)
        found[route.method, path, route.action] = route
        found.setdefault((route.method, path, None), route)
    return found


def how(asked: Asked, routes: Mapping[tuple[str, str, str | None], Route]) -> str:
    """``no``, or the test that calls it over HTTP."""
    if asked.key in IN_VAIN:
        return "400, as Cinder's own"
    if (route := routes.get(asked.key)) is None:
        return "no"
    name = f"{route.method} {route.path}" + (f" {asked.action}" if asked.action else "")
    return ELSEWHERE.get(name, TESTED)


def claim() -> str:
    """How much of it is answered, in a sentence."""
    routes = answered()
    told = [(asked, how(asked, routes)) for asked in surface()]
    plain = [said for asked, said in told if asked.action is None]
    actions = [said for asked, said in told if asked.action]
    there = len(plain) - plain.count("no")
    versions = VERSIONS.highest[1] - VERSIONS.lowest[1] + 1
    return (
        f"{there} of {len(plain)} routes, {len(actions) - actions.count('no')} of {len(actions)} actions and "
        f"{versions} of 72 microversions"
    )


def readme() -> str:
    """The README with the claim as it is."""
    counted = r"\d+ of \d+ routes, \d+ of \d+ actions and \d+ of \d+ microversions"
    return re.sub(counted, claim(), README.read_text())


def page() -> str:
    """The page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    routes = answered()
    yield "# What of the Block Storage API is answered"
    yield ""
    yield "Of Cinder 29's API Pumice answers"
    yield f"**{claim()}**."
    yield "`.venv/bin/python tests/api/volume/api_coverage.py` writes this page; a test holds it to the routes."
    yield ""
    yield "What is there is called over HTTP by the test of `tests/api/volume` that is named; its answers are"
    yield "held to Tempest's schemas or to samples. Where it says \"400, as Cinder's own\", Cinder's router"
    yield "finds a method that takes an id where there is none, or none where there is one: it refuses all that"
    yield "is said there, and so does Pumice."
    yield ""
    for resource, these in groupby(sorted(surface(), key=lambda asked: asked.resource), lambda it: it.resource):
        yield f"## {resource}"
        yield ""
        yield "| | since | |"
        yield "|---|---|---|"
        yield from _rows(these, routes)
        yield ""


def _rows(these: Iterable[Asked], routes: Mapping[tuple[str, str, str | None], Route]) -> Iterator[str]:
    for asked in these:
        name = f"{asked.method} {asked.path.removeprefix('/v3')}" + (f" {asked.action}" if asked.action else "")
        yield f"| `{name}` | {asked.since[0]}.{asked.since[1]} | {how(asked, routes)} |"


if __name__ == "__main__":
    PAGE.write_text(page())
    README.write_text(readme())
