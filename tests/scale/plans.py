"""What statements were run, by whom, and how a database would go about each."""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from benchmarks.filling import LARGE

from pumice.store.database import Transaction
from pumice.store.tables import metadata

MOST_COST = 2_500.0
"""In the planner's units: about what five hundred rows cost that lie apart."""
_DISABLED = 1e10
"""What the planner adds for a scan where scans are turned off: then there is no other way."""
_PLUMBING = ("database", "rows", "postgres", "sqlite", "threads", "tenant_rows", "stateful")
A_TEST = "a test"
"""Asks what it likes."""
_LIST = re.compile(r"\((?:(?:\$\d+(?:::\w+)?|\?)(?:, )?)+\)")


_PARTIAL = {
    index.name
    for table in metadata.tables.values()
    for index in table.indexes
    if index.dialect_options["postgresql"]["where"] is not None
}
"""Indexes of some rows, which are few."""


@dataclass(frozen=True)
class Asked:
    """One statement, as it was sent."""

    by: str
    """The function that asked, as in ``store.volumes.delete``."""
    text: str
    parameters: Any


@dataclass
class Recorder:
    """Every statement, once: those that differ in the length of a list alone are the same."""

    found: dict[tuple[str, str], Asked] = field(default_factory=dict)

    def note(self, _c: Any, _cursor: Any, text: str, parameters: Any, _context: Any, many: bool) -> None:
        if text.startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")):
            by = _who_asks()
            if by == A_TEST:
                return
            asked = Asked(by, text, parameters[0] if many else parameters)
            self.found.setdefault((by, _LIST.sub("(…)", text)), asked)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        sa.event.listen(sa.Engine, "before_cursor_execute", self.note)
        try:
            yield
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", self.note)


def _who_asks() -> str:
    """The innermost function of ours that is no plumbing."""
    frame: Any = sys._getframe(2)
    while frame:
        name = str(frame.f_globals.get("__name__", ""))
        if name.startswith("pumice.") and name.rpartition(".")[2] not in _PLUMBING:
            return f"{name.removeprefix('pumice.')}.{frame.f_code.co_qualname}"
        frame = frame.f_back
    return A_TEST


def faults(tx: Transaction, asked: Asked) -> list[str]:
    """What is wrong with the way a statement goes, each in a sentence."""
    connection = tx.connection
    if connection.dialect.name == "sqlite":
        steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked.text}", asked.parameters).all()
        return _on_sqlite(asked.text, [step.detail for step in steps])
    found = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {asked.text}", asked.parameters).scalar()
    plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    wrong = list(_on_postgresql(plan, is_cut=False))
    cost = plan["Total Cost"] % _DISABLED
    if not wrong and cost > MOST_COST:
        wrong = [f"costs {cost:.0f}"]
    return wrong


def rows_read(tx: Transaction, asked: Asked) -> int:
    """How many rows of tables PostgreSQL reads for a statement, which is run."""
    text = f"EXPLAIN (ANALYZE, FORMAT JSON) {asked.text}"
    found = tx.connection.exec_driver_sql(text, asked.parameters).scalar()
    return _read((json.loads(found) if isinstance(found, str) else found)[0]["Plan"])


def _read(plan: Mapping[str, Any]) -> int:
    below = sum(_read(each) for each in plan.get("Plans", ()))
    if "Relation Name" not in plan or plan["Node Type"] == "ModifyTable":
        return below
    each = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
    return below + int(each * plan["Actual Loops"])


def _on_postgresql(plan: Mapping[str, Any], *, is_cut: bool) -> Iterator[str]:
    """``is_cut``: a LIMIT ends it before it has read all."""
    kind, table = plan["Node Type"], plan.get("Relation Name")
    if kind == "Seq Scan" and table in LARGE:
        yield f"reads all of {table}"
    if (
        table in LARGE
        and "Index" in kind
        and not (is_cut or "Index Cond" in plan or plan["Index Name"] in _PARTIAL)
    ):
        yield f"reads all of {table} by an index"
    is_cut = kind == "Limit" or (is_cut and kind not in ("Sort", "Aggregate", "Hash"))
    for below in plan.get("Plans", ()):
        yield from _on_postgresql(below, is_cut=is_cut)


def _on_sqlite(text: str, steps: list[str]) -> list[str]:
    names = {alias: table for table, alias in re.findall(r"(\w+) AS (\w+)", text)}
    is_cut = " LIMIT " in text and not any("ORDER BY" in step for step in steps)
    wrong = []
    for step in steps:
        if found := re.fullmatch(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?.*", step):
            table = names.get(found[1], found[1])
            if table in LARGE and not (found[2] and (is_cut or found[2] in _PARTIAL)):
                wrong.append(f"reads all of {table}")
    return wrong
