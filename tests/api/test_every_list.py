"""No handler cuts a list by itself: what a query says of pages is read where lists are declared."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pumice.api

API = Path(pumice.api.__file__).parent
OF_PAGES = {"limit", "marker", "offset", "sort", "sort_key", "sort_dir", "with_count"}
DECLARED_WITH = {
    "paging.py": "Cinder's and Nova's",
    "collection.py": "the declaration itself",
    "image/filters.py": "Glance's",
    "identity/lists.py": "Keystone's",
}
"""The files that read those words of a query, and whose words they are."""


def read_of_queries(tree: ast.AST) -> Iterator[str]:
    """The names by which something is looked up: ``query["limit"]``, ``query.get("limit")``, ``flag(…)``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            yield from (part.value for part in [node.slice] if isinstance(part, ast.Constant))
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in {
            "get",
            "flag",
            "is_set",
            "_whole",
            "_number",
        }:
            yield from (part.value for part in node.args if isinstance(part, ast.Constant))


def test_what_a_query_says_of_pages_is_read_where_lists_are_declared() -> None:
    readers = {
        str(path.relative_to(API))
        for path in API.rglob("*.py")
        if OF_PAGES & {*read_of_queries(ast.parse(path.read_text()))}
    }
    assert readers == DECLARED_WITH.keys()
