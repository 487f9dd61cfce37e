"""What ``pumice doctor`` finds of one part of a machine."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a part is."""

    OK = "ok"
    DEGRADED = "degraded"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a look at one part of a machine."""

    part: str
    verdict: Verdict
    found: str
    without: str = ""
    """What works all the same."""
    cure: str = ""
    """The exact command that installs it, or what else to do."""
    needed: bool = False
    """The volume API cannot serve without it."""

    @property
    def fatal(self) -> bool:
        """Whether this keeps the volume API from serving."""
        return self.needed and self.verdict is Verdict.MISSING


@dataclass(frozen=True, slots=True)
class Probe:
    """A look at one part. It starts nothing for good, changes nothing, and leaves nothing behind."""

    part: str
    look: Callable[[], Finding | Awaitable[Finding]]
    may_hang: str = ""
    """A path that it touches without a limit of time: the doctor then looks from a process of its own."""
