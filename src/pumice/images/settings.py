"""Where images are kept, and how many: the settings of ``[images]``."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from pumice.backends.ceph_user import CephUser
from pumice.images.files import ImageFiles
from pumice.model.finding import Probe
from pumice.model.image import ImageQuota
from pumice.model.place_name import PlaceName


class ImagesInRbd(CephUser):
    """A pool of Ceph for images: the settings of ``[images.rbd]``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pool: PlaceName = Field(description="Images: the cluster's pool, in which nothing else is.")


class Images(BaseModel):
    """The image store, and how much of it a project may have: the settings of ``[images]``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    project_count: int = Field(1000, ge=-1, description="Images of one project; -1 is no limit.")
    project_gigabytes: int = Field(1000, ge=-1, description="GiB of one project's images; -1 is no limit.")
    answer_seconds: float = Field(
        30.0, gt=0, description="How long a request waits for a directory of images that hangs."
    )
    show_locations: bool = Field(
        False,
        description="Tell who sees an image where it lies in a pool of Ceph, as Glance's show_image_direct_url "
        "and show_multiple_locations do: a Cinder or Nova beside clones it there.",
    )
    rbd: ImagesInRbd | None = Field(
        None, description="Keep images in a pool of Ceph: 'pool', 'conf', 'user', 'keyring'."
    )

    def quota(self) -> ImageQuota:
        """The quota of images, by number and in bytes."""
        return ImageQuota(
            self.project_count, self.project_gigabytes * 1024**3 if self.project_gigabytes >= 0 else -1
        )

    def open(self, state_dir: Path) -> ImageFiles:
        """The images of an installation."""
        store = None
        if self.rbd:
            from pumice.images.in_rbd import RbdStore

            store = RbdStore(self.rbd.ceph_cluster(), self.rbd.pool, state_dir / "rbd" / "images of this host")
        return ImageFiles(
            state_dir / "images",
            answer_seconds=self.answer_seconds,
            quota=self.quota(),
            shows_url=self.show_locations,
            store=store,
        )

    def probes(self) -> Iterator[Probe]:
        """The probes that ``pumice doctor`` runs for images."""
        if self.rbd:
            yield from self.rbd.ceph_probes("images", {self.rbd.pool: self.rbd.pool})
