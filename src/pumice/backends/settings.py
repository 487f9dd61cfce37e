"""What an operator chooses for a backend, ``[backends.NAME]``: each driver has a schema of its own beside it.

A schema opens its driver, says what of a machine the driver needs, and nothing else of Pumice knows the driver
by name. It imports the driver only to open it: a driver's library is nobody else's burden.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pumice.backends.contract import Backend
from pumice.backends.targets.registry import TARGETS
from pumice.model.errors import Misconfigured
from pumice.model.finding import Probe
from pumice.model.place_name import PlaceName


class BackendSettings(BaseModel):
    """What every backend has. A driver's own begins with ``driver: Literal["its name"]``."""

    model_config = ConfigDict(extra="forbid")

    driver: str = Field(description="Where the bytes live.")
    target: str = Field("tgt", description="How hosts reach them.")
    availability_zone: str | None = Field(None, description="Default: the installation's.")
    filter_function: str | None = Field(
        None, description="Which volumes it takes, as in 'volume.size < 50 and stats.free_capacity_gb > 100'."
    )
    goodness_function: str | None = Field(
        None, description="How well a volume suits it, from 0 to 100: '(volume.size < 10) ? 100 : 50'."
    )
    cluster: PlaceName | None = Field(
        None,
        description="A name shared with the other hosts that serve the same bytes: any of them may die.",
    )
    delay: float = Field(0.0, ge=0, description="For tests: seconds that every call takes longer.")

    @property
    def pools_that_hang_alone(self) -> int:
        """How many of its pools may hang without the others: each has threads of its own."""
        return 1

    def home(self, name: str, state_dir: Path) -> Path | None:
        """The directory of the state directory that is called after the backend ``name``; None without one."""
        return None

    def directories(self, name: str, state_dir: Path) -> Mapping[str, Path]:
        """The directories of its pools, by name, that may hold files beside the bytes; none where none can."""
        return {}

    def open(self, name: str, state_dir: Path) -> Backend:
        """The driver of the backend ``name``, not started yet."""
        raise NotImplementedError

    def probes(self, name: str, state_dir: Path) -> Iterable[Probe]:
        """The probes that ``pumice doctor`` runs for this backend."""
        return ()

    @field_validator("target")
    @classmethod
    def target_is_known(cls, target: str) -> str:
        """A target driver that is installed."""
        try:
            TARGETS.find(target)
        except Misconfigured as error:
            raise ValueError(str(error)) from None
        return target

    @model_validator(mode="after")
    def suits_its_target(self) -> Self:
        """A target that knows one kind of storage is for that alone."""
        if (only := TARGETS.find(self.target).only_for) and only != self.driver:
            raise ValueError(f"target = '{self.target}' is for driver = '{only}' alone")
        return self

    @model_validator(mode="after")
    def can_be_shared(self) -> Self:
        """A cluster's members take over from one another: what one cannot fence off, several must not serve."""
        if self.cluster and (why_not := TARGETS.find(self.target).why_no_cluster):
            raise ValueError(f"target = '{self.target}' cannot have a 'cluster': {why_not}")
        return self


class PoolSettings(BackendSettings):
    """The settings of a backend whose disks are finite."""

    max_over_subscription_ratio: float = Field(
        20.0, ge=1, description="How much more may be promised than there is."
    )
    reserved_percentage: int = Field(0, ge=0, le=100, description="The share of each pool that is kept free.")
