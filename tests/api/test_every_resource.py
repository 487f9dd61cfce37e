"""``docs/adding-a-resource.md`` held to its word: a resource that misses a place is named, with the place."""

import ast
from pathlib import Path

import pytest

from pumice.model import states
from pumice.operations.holds import Thing
from pumice.store.audit import Kind
from pumice.store.tables import metadata
from pumice.store.things import _TABLES as FOUND_BY_ID

ROOT = Path(__file__).parents[2]
API = ROOT / "src/pumice/api"
GUIDE = (ROOT / "docs/adding-a-resource.md").read_text()

THINGS = sorted(
    table.name for table in metadata.tables.values() if {"status", "operation_id"} <= {*table.c.keys()}
)
"""The tables whose rows operations work on."""


def word_of(table: str) -> str:
    return table.removesuffix("s").upper()


def test_there_are_such_tables() -> None:
    assert {"attachments", "servers", "snapshots", "volumes"} <= {*THINGS}


@pytest.mark.parametrize("table", THINGS)
def test_what_operations_work_on_is_known_in_each_place(table: str) -> None:
    word = word_of(table)
    places = {
        "model/states.py": isinstance(getattr(states, word, None), states.Transitions),
        "operations/holds.py": word in Thing.__members__,
        "store/audit.py": f"STUCK_{word}" in Kind.__members__,
        "store/things.py": table in {one.name for one in FOUND_BY_ID.values()},
    }
    missed = [place for place, is_there in places.items() if not is_there]
    assert not missed, f"{table} have a status and operations, and {missed} know nothing of them: see the guide"
    assert all(f"`{place}`" in GUIDE for place in places)


@pytest.mark.parametrize("service", ["compute", "identity", "image", "volume"])
def test_every_file_of_routes_is_served(service: str) -> None:
    tree = ast.parse((API / service / "service.py").read_text())
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    imported = {
        (node.module or "").rpartition(".")[2]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and all(name.asname or name.name in used for name in node.names)
    }
    files = {path.stem for path in (API / service).glob("*.py") if "Route(" in path.read_text()} - {"service"}
    assert len(files) >= 5
    missed = sorted(files - used - imported)
    assert not missed, f"the routes of {missed} are served by nobody: name them in api/{service}/service.py"
