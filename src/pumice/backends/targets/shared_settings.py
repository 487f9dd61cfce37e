"""Settings of the target driver ``shared``."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from pumice.backends.targets.contract import Target
from pumice.backends.targets.settings import TargetSettings
from pumice.host.daemon import Daemon
from pumice.host.paths import GivenPath


class SharedSettings(TargetSettings):
    """Directories that every host has mounted at the same path."""

    over_network: ClassVar[bool] = False

    shares: dict[Path, str] = Field(
        default_factory=dict,
        description="What is mounted at which directory, for clients that mount it themselves: "
        "{ '/srv/shared' = 'nfs.example:/volumes' }. Default: they are told the path.",
    )
    options: str = Field("", pattern=r"^\S*$", description="How those mount it, as for 'mount -o'.")
    mount_point_base: GivenPath = Field(
        Path("/var/lib/cinder/mnt"),
        description="The directory below which those mount it, unless they know better.",
    )

    def open(self, state_dir: Path) -> tuple[Target, Daemon | None]:
        """See ``TargetSettings``."""
        from pumice.backends.targets.shared import SharedTarget

        return SharedTarget(self.shares, options=self.options, base=self.mount_point_base), None
