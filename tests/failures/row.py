"""One row of the table: a fault, what Cinder ended with, what Pumice must end with, and the proof."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.failures.cloud import Cloud
from tests.patience import PATIENCE


@dataclass(frozen=True, slots=True)
class Completion:
    """What a fault ended with, in words; and whether it is what was promised."""

    words: str
    kept: bool


def counted(found: Counter[str], **wanted: int) -> Completion:
    """The ending of things that were counted by their status."""
    return Completion(
        ", ".join(f"{number} {status}" for status, number in sorted(found.items())), found == wanted
    )


@dataclass(frozen=True, slots=True)
class Row:
    """A fault. Cinder's ending was measured on Cinder 29 with PostgreSQL and RabbitMQ."""

    fault: str
    cinder: str
    promise: str
    prove: Callable[..., Completion]
    full: Mapping[str, float]
    """How many of everything, as Cinder was given; ``slow`` are the seconds of each call of a driver."""
    short: Mapping[str, float]
    """The same for a test that must not take long."""
    hypervisor: str = "fake"

    @property
    def name(self) -> str:
        """What it is called in a test's name."""
        return self.prove.__name__


REPAIRED = PATIENCE
"""Seconds that the repair may take for what a killed daemon has lost: exports, one by one, slowed down."""


@dataclass(frozen=True, slots=True)
class Result:
    """A row, and what it ended with."""

    row: Row
    ending: Completion
    violations: list[str]
    seconds: float

    @property
    def kept(self) -> bool:
        """Whether all was as promised, the audit included."""
        return self.ending.kept and not self.violations

    @property
    def words(self) -> str:
        """The same in words."""
        return "; ".join([self.ending.words, *(self.violations or ["audit clean"])])


def repeat(row: Row, cloud: Cloud, numbers: Mapping[str, float]) -> Result:
    """Do the fault to a cloud, and look what becomes of it."""
    began = time.monotonic()
    try:
        ending = row.prove(cloud, **numbers)
        cloud.settle()
    except AssertionError as broken:
        ending = Completion(str(broken), kept=False)
    seconds = time.monotonic() - began
    while (violations := cloud.violations()) and time.monotonic() < began + seconds + REPAIRED:
        time.sleep(1)
    return Result(row, ending, violations, seconds)
