"""Settings of the driver ``rbd``."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from pumice.backends.ceph_user import CephUser
from pumice.backends.contract import Backend
from pumice.backends.settings import PoolSettings
from pumice.model.finding import Probe
from pumice.model.place_name import PlaceName


class RbdSettings(CephUser, PoolSettings):
    """Images in pools of a Ceph cluster, which any number of hosts may serve."""

    driver: Literal["rbd"] = Field("rbd", description="Where the bytes live.")
    target: Literal["rbd"] = Field("rbd", description="How hosts reach them: by themselves.")
    pool: PlaceName | None = Field(None, description="rbd: the cluster's pool; its name is the pool's.")
    pools: dict[PlaceName, PlaceName] = Field(
        default_factory=dict, description="rbd: instead of 'pool', several by their names here."
    )
    max_clone_depth: int = Field(
        5,
        ge=0,
        le=14,
        description="rbd: a copy of more copies of copies is flattened in the background; 0: every copy.",
    )
    secret_uuid: UUID | None = Field(
        None,
        description="rbd: by which a Nova's libvirt knows the user's key; Pumice's own compute needs none.",
    )

    @model_validator(mode="after")
    def has_pools(self) -> Self:
        """Either word, and not both; and no pool twice, as what one has were nobody's in the other."""
        if bool(self.pool) == bool(self.pools):
            raise ValueError("driver = 'rbd' needs either 'pool' or 'pools'")
        if len(set(self.pools.values())) < len(self.pools):
            raise ValueError("two of 'pools' are the same pool of the cluster")
        return self

    def open(self, name: str, state_dir: Path) -> Backend:
        """See ``BackendSettings``."""
        from pumice.backends.rbd import RbdBackend

        return RbdBackend(
            self.ceph_cluster(str(self.secret_uuid) if self.secret_uuid else ""),
            self._pools(),
            state_dir / "rbd" / name,
            max_over_subscription_ratio=self.max_over_subscription_ratio,
            reserved_percentage=self.reserved_percentage,
            deep=self.max_clone_depth,
        )

    def probes(self, name: str, state_dir: Path) -> Iterator[Probe]:
        """What the user needs at this host and in each pool."""
        return self.ceph_probes(name, self._pools())

    def _pools(self) -> Mapping[str, str]:
        return self.pools or {str(self.pool): str(self.pool)}
