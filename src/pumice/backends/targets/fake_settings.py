"""Settings of the target driver ``fake``."""

from pathlib import Path

from pumice.backends.targets.contract import Target
from pumice.backends.targets.settings import TargetSettings
from pumice.host.daemon import Daemon


class FakeTargetSettings(TargetSettings):
    """A target that exports nothing."""

    def open(self, state_dir: Path) -> tuple[Target, Daemon | None]:
        """See ``TargetSettings``."""
        from pumice.backends.targets.fake import FakeTarget

        return FakeTarget(), None
