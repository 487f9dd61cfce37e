"""Webhooks: where a project wants to be told what its operations do."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

OUTCOMES = ("start", "end", "error", "done", "retry", "failed", "waiting")
"""What an event tells: the first three of a whole operation, the others of a step."""
BY_DEFAULT = OUTCOMES[:3]


class Format(StrEnum):
    """The words in which it is told."""

    PUMICE = "pumice"
    """The event as the stream has it."""
    CINDER = "cinder"
    """Cinder's notification, in the envelope of oslo.messaging."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook as it was when it was read."""

    id: str
    project_id: str
    url: str
    description: str | None
    kinds: list[str]
    """Kinds of operations, in which ``*`` stands for any characters."""
    outcomes: list[str]
    format: Format
    enabled: bool
    secret: str
    """By which deliveries are signed: ``whsec_`` and base64. Shown once."""
    cursor: int
    """Up to which number of the log its deliveries were enqueued."""
    failing_since: datetime | None
    """When the first try failed of those in a row that have failed."""
    disabled_reason: str | None
    """Why it was disabled, where Pumice did that."""
    created_at: datetime
    updated_at: datetime | None

    def __repr__(self) -> str:
        """Without the secret."""
        return f"Webhook({self.id})"

    def wants(self, kind: str, outcome: str) -> bool:
        """Whether it is to be told of this."""
        return outcome in self.outcomes and any(_pattern(each).fullmatch(kind) for each in self.kinds)


def _pattern(kinds: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, kinds.split("*"))))
