"""What is known of a test of a client's suite once it has run."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one test ended: ``passed``, ``failed`` or ``skipped``, and what it said."""

    test: str
    ended: str
    said: str
