"""What a run came to: the table, and whatever helps to find out why where something is wrong."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tests.chaos.model import Model


@dataclass(slots=True)
class Verdict:
    """How a run of chaos ended."""

    seed: int
    minutes: float
    network: str
    """Why nothing could be cut; empty where it could."""
    model: Model
    faults: Counter[str]
    started_again: int
    repaired: Sequence[str]
    """What the loops of repair put right."""
    stuck: Sequence[str]
    leaked: Sequence[str]
    logs: Path

    @property
    def good(self) -> bool:
        """Whether everything was as it must be."""
        return not (self.stuck or self.leaked or self.model.violations)

    def show(self) -> None:
        """Print it; what is wrong comes first, the table last."""
        console = Console(width=112)

        def say(title: str, lines: Sequence[str]) -> None:
            for line in lines:
                console.print(f"{title}: {line}", markup=False, soft_wrap=True, highlight=False)

        say("refused", list(self.model.refusals()))
        say("explained", [str(it) for it in self.model.requests if it.outcome == "explained"])
        say("repaired", self.repaired)
        say("STUCK", self.stuck)
        say("LEAKED", self.leaked)
        say("BREACH", self.model.violations)
        if self.network:
            say("THE NETWORK WAS NEVER CUT", [f"no namespaces can be made here: {self.network}"])
        console.print(self._table())
        if not self.good:
            console.print(f"Logs and all that happened: {self.logs}", soft_wrap=True)
        console.print(f"Again: make chaos SEED={self.seed} MINUTES={self.minutes:g}", soft_wrap=True)

    def _table(self) -> Table:
        counted = self.model.count()
        table = Table("chaos", f"seed {self.seed}", title=f"{self.minutes:g} minutes of chaos", min_width=50)
        rows = {
            "operations tried": len(self.model.requests),
            "ended as asked": counted.get("done", 0),
            "ended in explained error": counted.get("explained", 0),
            "refused": counted.get("refused", 0),
            "unanswered": counted.get("unanswered", 0),
            "contents compared": self.model.compared,
            "stuck": len(self.stuck),
            "leaked": len(self.leaked),
            "model violations": len(self.model.violations),
            "processes that ended by themselves": self.started_again,
            "faults": self.faults.total(),
        }
        for what, number in rows.items():
            table.add_row(what, str(number), end_section=what == "faults")
        for fault, number in sorted(self.faults.items()):
            table.add_row(f"  {fault}", str(number))
        return table
