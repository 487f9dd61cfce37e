"""Settings of the target driver ``local``: there are none."""

from pathlib import Path
from typing import ClassVar

from pumice.backends.targets.contract import Target
from pumice.backends.targets.settings import TargetSettings
from pumice.host.daemon import Daemon


class LocalSettings(TargetSettings):
    """Servers of this host open volumes themselves."""

    why_no_cluster: ClassVar[str] = (
        "only the host where the bytes lie opens them. Use a target that every member reaches, or give up "
        "'cluster'"
    )
    over_network: ClassVar[bool] = False

    def open(self, state_dir: Path) -> tuple[Target, Daemon | None]:
        """See ``TargetSettings``."""
        from pumice.backends.targets.local import LocalTarget

        return LocalTarget(), None
