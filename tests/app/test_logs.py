"""The log: it never fails what is being logged."""

import io
import sys
from collections.abc import Iterator

import pytest
import structlog

from pumice.app import logs
from pumice.app.settings import Settings


@pytest.fixture(autouse=True)
def reset() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_a_log_that_cannot_be_written_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    monkeypatch.setattr(sys, "stderr", closed)
    logs.set_up(Settings(log_format="json"))
    log = structlog.get_logger("test")
    log.warning("seen")
    assert '"event": "seen"' in closed.getvalue()
    closed.close()
    log.warning("dropped")


def test_the_log_goes_where_standard_error_goes_now(monkeypatch: pytest.MonkeyPatch) -> None:
    logs.set_up(Settings(log_format="json"))
    log = structlog.get_logger("test")
    log.warning("first")
    later = io.StringIO()
    monkeypatch.setattr(sys, "stderr", later)
    log.warning("second")
    assert '"event": "second"' in later.getvalue()
