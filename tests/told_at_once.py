"""A pytest plugin: a failure beside other workers is told when it happens, not only when a long run ends."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("numprocesses", None):  # that is who starts workers, and is none
        config.pluginmanager.register(Teller(config), "told-at-once")


class Teller:
    """Writes a line for each failure."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell what failed, and how its error begins."""
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and reporter is not None:
            crash = getattr(report.longrepr, "reprcrash", None)
            told = crash.message if crash else report.longreprtext
            reporter.write_line(f"\nFAILED {report.nodeid}: {told[:300]}")
