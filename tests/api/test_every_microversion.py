"""``docs/adding-a-microversion.md`` held to its word: what a microversion misses is named, with the place."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.api.compute.versions import VERSIONS as COMPUTE
from pumice.api.microversions import Versions
from pumice.api.volume.versions import VERSIONS as VOLUME
from pumice.app.tour import client
from pumice.identity.clouds import clouds_yaml

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/adding-a-microversion.md").read_text()


def said(versions: Versions, room: str) -> Iterator[tuple[str, int, tuple[int, int]]]:
    """Each version that a service's room names: the file, the line, the version."""
    for path in sorted((ROOT / "src/pumice/api" / room).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Tuple) or len(node.elts) != 2:
                continue
            match [it.value for it in node.elts if isinstance(it, ast.Constant)]:
                case [int(major), int(minor)] if major == versions.lowest[0]:
                    yield path.name, node.lineno, (major, minor)


@pytest.mark.parametrize(("versions", "room"), [(VOLUME, "volume"), (COMPUTE, "compute")])
def test_nothing_waits_for_a_version_that_is_not_spoken(versions: Versions, room: str) -> None:
    found = list(said(versions, room))
    assert len(found) > 20, "it does not look where versions are"
    late = [it for it in found if not versions.lowest <= it[2] <= versions.highest]
    assert not late, "raise the highest of VERSIONS: nobody can ask for these"


def test_what_we_ask_for_ourselves_is_the_highest() -> None:
    highest = ".".join(map(str, VOLUME.highest))
    assert f"block_storage_default_microversion: '{highest}'" in clouds_yaml("http://x", {"admin": "p"})
    assert client.VOLUME["OpenStack-API-Version"] == f"volume {highest}"


def test_the_guide_names_places_that_there_are() -> None:
    named = set(
        re.findall(r"`((?:src/pumice/|tests/|api/|app/|identity/|docs/)?[\w/]+\.(?:py|txt|md|yaml))`", GUIDE)
    )
    roots = (ROOT, ROOT / "src/pumice", ROOT / "src/pumice/api/volume")
    assert len(named) > 8
    assert not [place for place in named if not any((root / place).exists() for root in roots)]
