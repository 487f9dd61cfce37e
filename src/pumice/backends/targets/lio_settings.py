"""Settings of the target driver ``lio``, and what it needs of a machine."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from pumice.backends.targets.contract import Target
from pumice.backends.targets.settings import NO_EXPORTS, TargetSettings
from pumice.host.daemon import Daemon
from pumice.host.parts import kernel_module
from pumice.model.finding import Finding, Probe, Verdict


class LioSettings(TargetSettings):
    """The kernel's iSCSI target."""

    portals: list[str] = Field(
        ["127.0.0.1:3260"],
        min_length=1,
        description="Addresses and ports to listen at: several are several paths.",
    )
    iqn_prefix: str = Field("iqn.2010-10.org.openstack", description="What every target's name begins with.")
    mutual_username: str | None = Field(
        None, description="The name by which targets prove who they are; hosts have it in their iscsid.conf."
    )
    mutual_password: str | None = Field(
        None, description="The password that goes with it; not shorter than 12."
    )

    def open(self, state_dir: Path) -> tuple[Target, Daemon | None]:
        """See ``TargetSettings``."""
        from pumice.backends.targets.lio import LioTarget

        mutual = (self.mutual_username, self.mutual_password or "") if self.mutual_username else None
        return LioTarget(self.portals, iqn_prefix=self.iqn_prefix, mutual_account=mutual), None

    def probes(self, state_dir: Path) -> Iterator[Probe]:
        """The kernel's iSCSI target, and the library that tells it what to do."""
        yield Probe("lio", _lio)


async def _lio() -> Finding:
    if importlib.util.find_spec("rtslib_fb") is None:
        cure = "pip install 'pumice[kernel]'"
        return Finding("lio", Verdict.MISSING, "rtslib-fb is not installed", NO_EXPORTS, cure)
    return await kernel_module("lio", "iscsi_target_mod", NO_EXPORTS)
