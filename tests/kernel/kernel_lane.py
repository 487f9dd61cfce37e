"""The kernel lane, a pytest plugin: tests marked ``kernel`` run in a guest, and are reported as any others.

    pytestmark = pytest.mark.kernel

Outside, no fixture and no test function of theirs is called: a guest is booted, pytest runs in it, and each
report that it writes to file descriptor 3 becomes the report of the test outside. A guest that dies fails the
test in hand, with its console; the next test has a new one.

To boot and to import is most of what a short test costs there. So all that are neither ``long`` nor ask for
more than what ``USUAL`` has share one guest, whatever their module: each leaves the disks, the targets and the
sessions as it found them. Any other guest is of one module. Tests of one guest come one after another, on one
worker of pytest-xdist (``costs.py``).
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from kernel import GuestError, Kernel, why_not

USUAL = {
    "disks": ["300G", "6G", "1G", "1G", "20G"],
    "modules": [
        *("dm-thin-pool", "dm-snapshot", "dm-multipath"),
        *("iscsi_tcp", "target_core_iblock", "iscsi_target_mod", "nvmet-tcp", "nvme-tcp"),
    ],
}
"""What a guest has where the mark says nothing else; who uses which disk: ``DISK`` in their modules."""
SHARED = "tests/kernel shared"
"""The name of the guest that is shared, and of its tests as a unit of work."""
_INSIDE = "TEST_KERNEL_LANE"
_NOTES = 3
_WITHOUT = ("-p", "no:xdist", "-p", "no:hypothesispytest", "-o", "cache_dir=/tmp/pytest-cache")
"""Plugins that the tests in a guest have no use for, where each import takes long."""
_DEFAULT_LIMIT = 120.0
_GRACE = 60.0
"""Seconds that pytest in the guest has to start, and to notice a test's time limit by itself."""


def pytest_configure(config: pytest.Config) -> None:
    """Inside the guest this plugin only tells; outside it runs guests."""
    if os.environ.get(_INSIDE):
        config.pluginmanager.register(Teller(config), "kernel-teller")
    else:
        config.pluginmanager.register(Lane(config), "kernel-lane")


class Teller:
    """In the guest: sends each report out."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One line for each phase of each test."""
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        line = json.dumps(data).encode() + b"\n"
        while line:
            line = line[os.write(_NOTES, line) :]


class Lane:
    """Outside: one guest at a time, for the marked tests that come one after another."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._run: GuestRun | None = None

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Iterator[None]:
        """Note each guest test's limit; where there can be no guest, say so instead.

        Of a file in which some tests are marked ``short`` the others are ``long`` in a guest. Guests come last,
        each with all of its tests.
        """
        reason = why_not()
        shortened = {item.path for item in items if item.get_closest_marker("short")}
        for item in items:
            if not _is_ours(item):
                continue
            if item.path in shortened and not item.get_closest_marker("short"):
                item.add_marker(pytest.mark.long)
            if reason:
                item.add_marker(pytest.mark.skip(reason=f"NO KERNEL LANE: {reason}"))
            else:
                item.stash[_LIMIT] = _limit(item)
                item.add_marker(pytest.mark.timeout(0), append=False)  # the guest's pytest minds the limit
        yield  # others say of more that it is long
        items.sort(key=guest_of)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Run a marked test in the guest instead of here."""
        ours = _LIMIT in item.stash
        if ours:
            item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
            for report in self._reports(item):
                item.ihook.pytest_runtest_logreport(report=report)
            item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
            # What earlier tests of the module had set up out here is to go with its last test, as ever.
            item.session._setupstate.teardown_exact(nextitem)
        if nextitem is None or guest_of(nextitem) != guest_of(item):
            self._end()
        return True if ours else None

    def pytest_sessionfinish(self) -> None:
        """Also when the session ends before its time."""
        self._end()

    def _reports(self, item: pytest.Item) -> Iterator[pytest.TestReport]:
        try:
            if self._run is None:
                items = item.session.items
                rest = [it for it in items[items.index(item) :] if guest_of(it) == guest_of(item)]
                self._run = GuestRun(self._config, rest)
            for data in self._run.reports(item.nodeid):
                report = self._config.hook.pytest_report_from_serializable(config=self._config, data=data)
                report.nodeid = item.nodeid
                if isinstance(report.longrepr, list):  # where a test was skipped; JSON knows no tuples
                    report.longrepr = tuple(report.longrepr)
                yield report
        except Exception as error:
            self._end()
            told = str(error) if isinstance(error, GuestError) else f"{type(error).__name__}: {error}"
            keywords = dict.fromkeys(item.keywords, 1)
            yield pytest.TestReport(item.nodeid, item.location, keywords, "failed", told, "call")

    def _end(self) -> None:
        if self._run is not None:
            self._run.guest.close()
            self._run = None


class GuestRun:
    """One guest, and the pytest that runs some tests in it."""

    def __init__(self, config: pytest.Config, items: Sequence[pytest.Item]) -> None:
        mark = items[0].get_closest_marker("kernel")
        assert mark is not None
        self.guest = Kernel(**USUAL | mark.kwargs)
        self.guest.__enter__()
        names = [item.nodeid for item in items]
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "TMP"))}
        env |= {_INSIDE: "1", "PYTHONPATH": f"{Path(__file__).parent}:{env.get('PYTHONPATH', '')}"}
        self._events = self.guest.follow(
            [sys.executable, "-m", "pytest", "-q", "-m", "", "-p", "kernel_lane", *_WITHOUT, *names],
            silence=max(item.stash[_LIMIT] for item in items) + _GRACE,
            cwd=str(config.rootpath),
            env=env,
        )
        self._reports: dict[str, list[dict[str, object]]] = {}
        self._output = ""
        self._unread = ""

    def reports(self, name: str) -> Iterator[dict[str, object]]:
        """The reports of one test as they come, those of its teardown last."""
        told = self._reports.setdefault(name, [])
        passed = 0
        while True:
            while passed < len(told):
                yield told[passed]
                if told[passed]["when"] == "teardown":
                    return
                passed += 1
            kind, value = next(self._events)
            if kind == "exit":
                raise GuestError(
                    f"pytest in the guest ended ({value}) without a word on this test.\n{self._output}"
                )
            if kind != "note":
                self._output = (self._output + str(value))[-20000:]
                continue
            *lines, self._unread = (self._unread + str(value)).split("\n")
            for data in map(json.loads, lines):
                self._reports.setdefault(data["nodeid"], []).append(data)


_LIMIT = pytest.StashKey[float]()
"""Of each test that is to run in a guest: its time limit in seconds."""


def _is_ours(item: pytest.Item) -> bool:
    return item.get_closest_marker("kernel") is not None


def guest_of(item: pytest.Item) -> str:
    """Which guest a test runs in: none, the shared one, or that of its module."""
    mark = item.get_closest_marker("kernel")
    if mark is None:
        return ""
    return str(item.path) if mark.kwargs or item.get_closest_marker("long") else SHARED


def _limit(item: pytest.Item) -> float:
    mark = item.get_closest_marker("timeout")
    return float(mark.args[0]) if mark and mark.args else float(item.config.getini("timeout") or _DEFAULT_LIMIT)
