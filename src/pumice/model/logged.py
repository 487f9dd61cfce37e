"""An operation as people are shown it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class LoggedOperation:
    """A row of the log, as it was when it was read."""

    id: str
    kind: str
    subject: str
    project_id: str
    """The tenant's; None for what Pumice does by itself."""
    request_id: str | None
    parent_id: str | None
    notes: Mapping[str, Any]
    steps: Sequence[str]
    state: str
    position: int
    place: str
    error: str | None
    settled: bool
    cancelled: bool
    tries: int
    run_at: float
    deadline: float
    progress: float | None
    created_at: datetime
    finished_at: datetime | None

    @property
    def is_under_way(self) -> bool:
        """Whether something is left to do."""
        return self.state in ("running", "waiting", "undoing")

    @property
    def step(self) -> str | None:
        """The step in hand."""
        return self.steps[self.position] if self.is_under_way and 0 <= self.position < len(self.steps) else None

    @property
    def others(self) -> list[str]:
        """The operations that it waits for."""
        if self.state != "waiting" or self.step is None:
            return []
        return list(self.notes.get(self.step.removeprefix("wait_for_"), ()))
