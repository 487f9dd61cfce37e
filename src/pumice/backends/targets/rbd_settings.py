"""Settings of the target driver ``rbd``: there are none, as a backend says which cluster it is in."""

from pathlib import Path
from typing import ClassVar

from pumice.backends.targets.contract import Target
from pumice.backends.targets.settings import TargetSettings
from pumice.host.daemon import Daemon


class RbdTargetSettings(TargetSettings):
    """Whoever uses a volume opens it in the cluster."""

    only_for: ClassVar[str] = "rbd"
    over_network: ClassVar[bool] = False

    def open(self, state_dir: Path) -> tuple[Target, Daemon | None]:
        """See ``TargetSettings``."""
        from pumice.backends.targets.rbd import RbdTarget

        return RbdTarget(), None
