"""Settings of the target driver ``nvmet``, and what it needs of a machine."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pydantic import Field

from pumice.backends.targets.contract import Target
from pumice.backends.targets.settings import NO_EXPORTS, TargetSettings
from pumice.host.daemon import Daemon
from pumice.host.parts import kernel_module
from pumice.model.finding import Probe


class NvmetSettings(TargetSettings):
    """The kernel's NVMe over TCP target."""

    portals: list[str] = Field(
        ["127.0.0.1:4420"],
        min_length=1,
        description="Addresses and ports to listen at: several are several paths.",
    )
    nqn_prefix: str = Field("nqn.2010-10.org.openstack", description="What every subsystem's name begins with.")

    def open(self, state_dir: Path) -> tuple[Target, Daemon | None]:
        """See ``TargetSettings``."""
        from pumice.backends.targets.nvmet import NvmetTarget

        return NvmetTarget(self.portals, nqn_prefix=self.nqn_prefix), None

    def probes(self, state_dir: Path) -> Iterator[Probe]:
        """The probes of the kernel's module."""
        yield Probe("nvmet", partial(kernel_module, "nvmet", "nvmet-tcp", NO_EXPORTS))
