"""Which cases of what costs much a run of all tests takes: some of each rule's, drawn anew by each commit.

A pytest plugin. The others are ``long`` in that run. What is drawn follows from a seed, which every run prints
first: the commit, so that a run is repeated by running it again, anywhere. ``TEST_SEED=…`` before a command
draws otherwise, and ``TEST_SEED=all`` leaves nothing out, as ``make whole`` does. Nor is anything left out for
whoever names files, folders or tests.
"""

import os
import re
import subprocess
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")
SEED, ALL = "TEST_SEED", "all"
ONE_IN = "TEST_ONE_IN"
"""For a quick look, as ``make fast`` is: of each file's tests one in so many is taken, of slow ones none."""
SLOW = 5.0
"""Seconds that a test of a slow file takes, by ``costs.txt``."""
SHARES: Mapping[str, int] = {
    # What is killed, broken and taken away: real processes that start and end, and guests that idle.
    r"tests/kill/test_kill_nine\.py::test_killed_\w+\[undo": 8,
    r"tests/kill/test_kill_nine\.py::test_killed_\w+\[": 3,
    r"tests/failures/test_failures\.py": 2,
    r"tests/clients/(?=test_(own|moving)_commands)": 2,
    r"tests/(roles|trouble|app|clients|hypervisor|console)/[^:]+::\w+": 3,
    # Guests whose processor is emulated, and clusters of Ceph.
    r"tests/conformance/test_backends\.py(?=::.*\[lvm-thin\])": 4,
    r"tests/conformance/test_backends\.py(?=::.*\[rbd\])": 3,
    r"tests/conformance/test_targets\.py(?=::.*\[(lio|rbd)[-\]])": 4,
    r"tests/kernel/test_lvm_backend\.py": 3,
    r"tests/kernel/(?=test_(reference_stack|local_volumes)\.py)": 2,
    r"tests/ceph/test_rbd_backend\.py": 3,
    r"tests/ceph/(?=test_(bytes_of_images|servers)\.py)": 2,
    r"tests/(conformance|ceph)/[^:]+::\w+": 2,
    # Trials of the same rule, by the hundred.
    r"tests/operations/test_every_verb\.py::\w+_on_postgresql": 4,
    r"tests/operations/test_every_verb\.py::test_it_ends\w+": 2,
    r"tests/operations/test_restored_database\.py::\w+": 2,
    r"tests/loops/test_repair_amid_operations\.py": 3,
    r"tests/pairs/test_pairs\.py::\w+": 3,
    # Routes, views and repairs where it is not about SQL: tests/scale/test_plans.py asks all of it on both.
    r"tests/(api|loops)/[^:]+(?=::.*[\[-]postgresql[\]-])": 8,
    r"tests/(api|loops|store|operations|backups)/[^:]+::\w+": 2,
}
"""One in so many is taken, of those in which the first pattern that matches has found the same words."""


def seed() -> str:
    """That of this run; workers are told the one of the process that starts them."""
    return os.environ.get(SEED) or os.environ.setdefault(SEED, _commit())


def _commit() -> str:
    """The commit that is checked out; in what is no clone always the same word."""
    here = Path(__file__).parent
    told = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    return told.stdout.strip()[:12] or "none"


def rank(name: str) -> int:
    """In which order names are drawn."""
    return zlib.crc32(f"{seed()} {name}".encode())


def some(things: Collection[T], *, one_in: int) -> set[T]:
    """One in so many of them, and at least one if there is any."""
    if seed() == ALL:
        return {*things}
    return {*sorted(things, key=lambda thing: rank(str(thing)))[: -(-len(things) // one_in)]}


def taken(names: Iterable[str]) -> set[str]:
    """Those tests that this run takes: some of each group, and of each file."""
    groups: dict[tuple[str, int], list[str]] = defaultdict(list)
    for name in names:
        groups[_group(name)].append(name)
    files = defaultdict(list)
    for (_, one_in), group in groups.items():
        for name in some(group, one_in=one_in):
            files[name.split("::")[0]].append(name)
    one_in = int(os.environ.get(ONE_IN, "1"))
    slow = _slow() if one_in > 1 else ()
    return {name for file, tests in files.items() if file not in slow for name in some(tests, one_in=one_in)}


def _slow() -> set[str]:
    from costs import recorded

    return {file for file, cost in recorded().items() if cost.wall > SLOW * cost.tests}


def _group(name: str) -> tuple[str, int]:
    for pattern, one_in in SHARES.items():
        if found := re.match(pattern, name):
            return found.group(), one_in
    return name, 1


def pytest_configure(config: pytest.Config) -> None:
    if config.args_source is pytest.Config.ArgsSource.ARGS:
        os.environ.setdefault(SEED, ALL)
    seed()


def pytest_report_header() -> str:
    return f"drawn by {SEED}={seed()}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that come first have said by now what is long anyway."""
    short = [item for item in items if not item.get_closest_marker("long")]
    chosen = taken(item.nodeid for item in short)
    for item in short:
        if item.nodeid not in chosen:
            item.add_marker(pytest.mark.long)
