"""Settings of the driver ``fake``."""

import math
from pathlib import Path
from typing import Literal

from pydantic import Field

from pumice.backends.contract import Backend
from pumice.backends.settings import BackendSettings
from pumice.host.paths import GivenPath
from pumice.model.place_name import PlaceName


class FakeSettings(BackendSettings):
    """Pools that hold names and no bytes, and are forgotten with the process."""

    driver: Literal["fake"] = Field("fake", description="Where the bytes live.")
    pools: dict[PlaceName, GivenPath] = Field(
        default_factory=dict, description="fake: the pools' names; what they are set to does not matter."
    )
    capacity_gb: float | None = Field(None, description="Promise no more than this; default: no end.")

    def open(self, name: str, state_dir: Path) -> Backend:
        """See ``BackendSettings``."""
        from pumice.backends.fake import FakeBackend

        capacity = math.inf if self.capacity_gb is None else self.capacity_gb
        return FakeBackend(tuple(self.pools) or ("fake",), capacity_gb=capacity)
