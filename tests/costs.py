"""What tests cost, a pytest plugin: it measures, prints a table, and has the workers share the work by it.

Of each test it takes the time on the clock and the processor's time, that of the processes it ended included
(those of daemons that outlive their test are not seen). ``--record-costs`` writes both, added up by file, to
``tests/costs.txt``, and the table to ``docs/testing.md``: that is ``make costs``.

Under pytest-xdist a file is one unit of work, and those of ``PARTS`` are several. Two workers take what waits
most, the others what computes most: so the cores have work while daemons and guests are waited for, and
nothing long is left for the end.
"""

import gc
import re
import resource
import time
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kernel_lane import SHARED, guest_of
from tests import warm_start

import kernel

WORKERS = 6
"""How many ``-n auto`` starts, for two cores: most of what is real waits."""
WAITING = ("gw0", "gw1")
"""The workers that take what waits most."""
PARTS = {
    "tests/kill/test_kill_nine.py": 2,
    "tests/operations/test_every_verb.py": 4,
    "tests/loops/test_repair_amid_operations.py": 2,
}
"""Files in so many parts: their tests share nothing, or what each part may have of its own."""
SHARE_A_GUEST = re.compile(
    r"tests/kernel/test_(local_volumes|lvm_backend|reference_stack)\.py|tests/conformance/.*\[(lvm-thin|lio)[-\]]"
)
"""The names of the kernel lane's tests that run in one guest; a run in which another does is refused."""
RECORD = Path(__file__).with_name("costs.txt")
PAGE = Path(__file__).parents[1] / "docs" / "testing.md"
BEGIN, END = "<!-- costs: written by `make costs` -->", "<!-- /costs -->"
LONGEST = 15


@dataclass(slots=True)
class Cost:
    """Of some tests, in seconds."""

    tests: int = 0
    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.tests + other.tests, self.wall + other.wall, self.cpu + other.cpu)

    @property
    def waits(self) -> float:
        """For how long it left the processor to others."""
        return max(self.wall - self.cpu, 0.0)


def add_up(costs: Iterable[tuple[str, Cost]]) -> dict[str, Cost]:
    """The sum for each name, the dearest first."""
    sums: dict[str, Cost] = defaultdict(Cost)
    for name, cost in costs:
        sums[name] += cost
    return dict(sorted(sums.items(), key=lambda item: -item[1].wall))


def table(files: Mapping[str, Cost]) -> str:
    """By room, and the dearest files, as Markdown."""
    rooms = add_up(("/".join(file.split("/")[:2]), cost) for file, cost in files.items())
    total = sum(files.values(), Cost())
    rows = [*rooms.items(), ("all", total), *list(add_up(files.items()).items())[:LONGEST]]
    lines = ["| tests | cases | seconds | of them computing |", "|---|--:|--:|--:|"]
    lines += [f"| {name} | {cost.tests} | {cost.wall:.0f} | {cost.cpu:.0f} |" for name, cost in rows]
    return "\n".join(lines)


def recorded() -> dict[str, Cost]:
    """What each file cost when that was recorded last."""
    found = {}
    for line in filter(None, RECORD.read_text().splitlines() if RECORD.exists() else ()):
        tests, wall, cpu, file = line.split()
        found[file] = Cost(int(tests), float(wall), float(cpu))
    return found


def record(files: Mapping[str, Cost]) -> None:
    """Keep what each file cost, and show it on the page on testing."""
    lines = [f"{cost.tests} {cost.wall:.1f} {cost.cpu:.1f} {file}" for file, cost in sorted(files.items())]
    RECORD.write_text("\n".join(lines) + "\n")
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table(recorded())}\n\n{END}{rest.partition(END)[2]}")


# --- measuring ----------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-costs", action="store_true", help="write tests/costs.txt and docs/testing.md")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Costs(config), "measured-costs")


class Costs:
    """Measures in each process; the one that reports gathers what the workers measured."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._of_tests: list[tuple[str, float, float]] = []
        self._of_workers: dict[str, Cost] = {}

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
        wall, cpu = time.monotonic(), _cpu()
        try:
            return (yield)
        finally:
            used = max(_cpu() - cpu, 0.0)  # what is killed may take the last of it along
            if nextitem is None:  # with it end the daemons of its whole process: they are not its own
                used = 0.0
            self._of_tests.append((item.nodeid.split("::")[0], time.monotonic() - wall, used))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput["costs"] = self._of_tests

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        costs = getattr(node, "workeroutput", {}).get("costs", [])
        self._of_tests += costs
        self._of_workers[node.gateway.id] = sum((Cost(1, wall, cpu) for _, wall, cpu in costs), Cost())

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, exitstatus: pytest.ExitCode
    ) -> None:
        files = add_up((file, Cost(1, wall, cpu)) for file, wall, cpu in self._of_tests)
        if len(files) > 1:
            terminalreporter.section("costs")
            terminalreporter.write_line(table(files))
            for worker, cost in sorted(self._of_workers.items()):
                terminalreporter.write_line(
                    f"worker {worker}: {cost.tests} cases, {cost.wall:.0f} s, computing {cost.cpu:.0f} s"
                )
        is_whole = exitstatus in _WHOLE and not self._config.getoption("lf")  # not those alone that had failed
        if self._config.getoption("record_costs") and is_whole:
            record(files)


_WHOLE = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
"""What a run that came to its end is answered with."""


def _cpu() -> float:
    """Seconds of the processor that this process has used, and what it started that has ended, and guests."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used) + warm_start.computing + kernel.computing()


# --- sharing the work ---------------------------------------------------------------------------


def unit(nodeid: str) -> str:
    """The unit of work that a test belongs to: what shares a guest, its file, or one part of it."""
    if SHARE_A_GUEST.match(nodeid):
        return SHARED
    file = nodeid.split("::")[0]
    parts = PARTS.get(file)
    return f"{file} {zlib.crc32(nodeid.encode()) % parts}" if parts else file


def dearest(
    units: Mapping[str, int], costs: Mapping[str, Cost], *, waiting: bool, under_way: Collection[str] = ()
) -> str:
    """Of units with so many tests the one to be done next. A file that nobody has measured comes first.

    Those of the kernel lane come one at a time, as long as there are others: each has a guest whose
    processor is emulated. Among equals the worker that takes what waits begins at the other end.
    """

    def weight(name: str) -> float:
        cost = costs.get(name.split()[0])
        return units[name] * (cost.waits if waiting else cost.cpu) / cost.tests if cost else float("inf")

    is_taken = any("kernel" in name for name in under_way)
    free = [name for name in units if not (is_taken and "kernel" in name)] or list(units)
    return max(reversed(free) if waiting else free, key=weight)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    for item in items:
        if guest_of(item) == SHARED != unit(item.nodeid):
            raise pytest.UsageError(f"{item.nodeid} shares a guest: say so in SHARE_A_GUEST of {__file__}")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    """What is imported and collected stays until the end: the collector of garbage walks through it once.

    Else to look for garbage in it would be a fifth of what it costs.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    return WORKERS


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class ByCosts(LoadScopeScheduling):
        """Asks ``dearest`` whenever a worker has little left to do."""

        costs = recorded()

        def _split_scope(self, nodeid: str) -> str:
            return unit(nodeid)

        def _assign_work_unit(self, node: Any) -> None:
            under_way = [
                name
                for assigned in self.assigned_work.values()
                for name, tests in assigned.items()
                if not all(tests.values())
            ]
            waiting = node.gateway.id in WAITING
            units = {name: len(tests) for name, tests in self.workqueue.items()}
            chosen = dearest(units, self.costs, waiting=waiting, under_way=under_way)
            self.workqueue.move_to_end(chosen, last=False)
            super()._assign_work_unit(node)

    return ByCosts(config, log)
