"""What Pumice itself runs into is told to tenants without what is not theirs to know."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import pumice
from pumice.model.errors import Misconfigured, PumiceError, Retryable, TryAnotherBackend

SOURCE = Path(pumice.__file__).parent
ROOMS = ("attachments", "backends", "host", "hypervisor", "images", "operations", "servers", "store", "volumes")
TROUBLE = (Retryable, TryAnotherBackend)
MAY_BE_SAID = (
    *("needed", "size", "growth", "asked.size", "seconds", "timeout", "server", "disk.device", "disk.serial"),
    *(
        "self._seconds",
        "self.seconds",
        "self._longest",
        "_OPEN_SECONDS",
        "_CONNECT_SECONDS",
        "step",
        "name",
        "late",
        "group.id",
    ),
    *("error.strerror", "error.strerror or error", "store.service", "service[:200]"),
)
"""Sizes, times, ids of the tenant's things, a step, the system's word for an error, and who writes backups."""


def raised() -> Iterator[tuple[str, str]]:
    """Where trouble is made, and what is said in it that is not written there."""
    for room in ROOMS:
        for file in sorted((SOURCE / room).rglob("*.py")):
            name = ".".join(("pumice", *file.relative_to(SOURCE).with_suffix("").parts)).removesuffix(
                ".__init__"
            )
            if "migrations" in file.parts:
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                for said in _said(name, node):
                    yield f"{file.relative_to(SOURCE)}:{said.lineno}", ast.unparse(said.value)


def _said(module: str, node: ast.AST) -> Iterator[ast.FormattedValue]:
    """What goes into the message that is made here, if it is one of trouble."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and _is_trouble(module, node.func.id):
        messages = node.args[:1]
    elif isinstance(node, ast.ClassDef) and _is_trouble(module, node.name):
        calls = [it for it in ast.walk(node) if isinstance(it, ast.Call)]
        messages = [it.args[0] for it in calls if ast.unparse(it.func) == "super().__init__"]
    else:
        return
    for message in messages:
        yield from (it for it in ast.walk(message) if isinstance(it, ast.FormattedValue))


def _is_trouble(module: str, name: str) -> bool:
    kind = getattr(importlib.import_module(module), name, None)
    return kind is PumiceError or (isinstance(kind, type) and issubclass(kind, TROUBLE))


def test_trouble_names_no_host_pool_path_or_address() -> None:
    found = list(raised())
    assert found
    wrong = [f"{where}: {said}" for where, said in found if said not in MAY_BE_SAID]
    assert not wrong, f"put what only operators may know into the error's detail: {wrong}"


def test_what_is_not_set_up_is_told_to_operators_alone() -> None:
    error = Misconfigured("Backups cannot be kept in /srv/backups.")
    assert error.in_full == "Backups cannot be kept in /srv/backups." and "/srv" not in error.told


@pytest.mark.parametrize("kind", TROUBLE)
def test_a_detail_is_not_told(kind: type[PumiceError]) -> None:
    error = kind("The pool is full.", "It is 'fast'.")
    assert (error.told, error.in_full) == ("The pool is full.", "The pool is full. It is 'fast'.")
