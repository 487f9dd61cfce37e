"""What an operator chooses for a target driver: each driver has a schema of its own beside it.

A schema opens its driver and says what of a machine the driver needs. Its values are in the section of the
settings that is called as the driver; those of a driver that a package brings, in ``[targets.NAME]``.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from pumice.backends.targets.contract import Target
from pumice.host.daemon import Daemon
from pumice.model.finding import Probe

NO_EXPORTS = "volumes, snapshots, images; no attachments"


class TargetSettings(BaseModel):
    """The settings that every target driver has."""

    model_config = ConfigDict(extra="forbid")

    why_no_cluster: ClassVar[str] = ""
    """Why the hosts of a cluster cannot take it over from one another; empty when they can."""
    only_for: ClassVar[str] = ""
    """The one backend driver that it can export; empty: all whose volumes are files or block devices."""
    over_network: ClassVar[bool] = True
    """Whether who uses a volume needs an initiator; not where its host opens it directly."""

    def open(self, state_dir: Path) -> tuple[Target, Daemon | None]:
        """The driver, not started yet, and a daemon of our own that it starts."""
        raise NotImplementedError

    def probes(self, state_dir: Path) -> Iterable[Probe]:
        """What ``pumice doctor`` looks at, as these settings need it."""
        return ()
