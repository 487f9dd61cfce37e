"""What an operator chooses, and what the machine must have."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from pumice.backends.contract import Backend
from pumice.backends.settings import PoolSettings
from pumice.backends.targets.contract import Target
from pumice.backends.targets.settings import TargetSettings
from pumice.host.daemon import Daemon
from pumice.host.parts import may_write, ok
from pumice.model.finding import Finding, Probe, Verdict


class ToySettings(PoolSettings):
    """A directory that every host has mounted; its volumes are opened where they are."""

    driver: Literal["toy"] = Field("toy", description="Where the bytes live.")
    target: Literal["toy"] = Field("toy", description="How hosts reach them: by themselves.")
    mounted: Path = Field(description="toy: where every host has mounted it.")

    def open(self, name: str, state_dir: Path) -> Backend:
        """See ``BackendSettings``."""
        from .store import ToyStore

        return ToyStore({"pool": self.mounted}, max_over_subscription_ratio=self.max_over_subscription_ratio)

    def probes(self, name: str, state_dir: Path) -> Iterator[Probe]:
        """The mount."""
        yield Probe(f"toy {name}", self._mount, may_hang=str(self.mounted))

    def _mount(self) -> Finding:
        if may_write(self.mounted):
            return ok("toy mount", str(self.mounted))
        return Finding("toy mount", Verdict.MISSING, "cannot be written", cure=f"mount it at {self.mounted}")


class ToyTargetSettings(TargetSettings):
    """Who may open what is written down, and asked by nobody: it is a toy."""

    def open(self, state_dir: Path) -> tuple[Target, Daemon | None]:
        """See ``TargetSettings``."""
        from .store import ToyDoors

        return ToyDoors(state_dir / "toy-doors"), None
