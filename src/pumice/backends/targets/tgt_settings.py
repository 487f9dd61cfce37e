"""Settings of the target driver ``tgt``, and what tgtd needs of a machine."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from pumice.backends.targets.contract import Target
from pumice.backends.targets.settings import NO_EXPORTS, TargetSettings
from pumice.host.daemon import Daemon
from pumice.host.parts import cannot_listen, ok, program
from pumice.model.finding import Finding, Probe, Verdict


class TgtSettings(TargetSettings):
    """The iSCSI target daemon."""

    why_no_cluster: ClassVar[str] = (
        "each host's tgtd has exports that no other host can end when it takes over. "
        "Use a target that every member reaches, or give up 'cluster'"
    )

    portal: str = Field("127.0.0.1:13260", description="Address and port that initiators connect to.")
    manage: bool = Field(True, description="Run a tgtd of our own; false uses the system's.")
    iqn_prefix: str = Field("iqn.2010-10.org.openstack", description="What every target's name begins with.")

    def open(self, state_dir: Path) -> tuple[Target, Daemon | None]:
        """See ``TargetSettings``."""
        from pumice.backends.targets.tgt import TgtTarget
        from pumice.backends.targets.tgtd import TgtDaemon

        daemon = TgtDaemon(state_dir / "tgt", self.portal) if self.manage else None
        return TgtTarget(self.portal, iqn_prefix=self.iqn_prefix, daemon=daemon), daemon

    def probes(self, state_dir: Path) -> Iterator[Probe]:
        """The program, and the port that a tgtd of our own listens at."""
        yield Probe("tgtd", _tgtd)
        if self.manage:
            yield Probe("iscsi portal", partial(_portal, self.portal, state_dir / "tgt"))


def _tgtd() -> Finding:
    if path := program("tgtd"):
        return ok("tgtd", path)
    return Finding("tgtd", Verdict.MISSING, "not installed", NO_EXPORTS, "apt-get install tgt")


def _portal(address: str, daemon_dir: Path) -> Finding:
    """The address that our tgtd listens on: free, or already ours."""
    from pumice.backends.targets.tgtd import TgtDaemon

    host, _, port = address.rpartition(":")
    reason = cannot_listen(host.strip("[]"), int(port))
    if reason is None:
        return ok("iscsi portal", f"{address} is free")
    if pid := TgtDaemon(daemon_dir, address).pid():
        return ok("iscsi portal", f"{address}, our tgtd listens there (process {pid})")
    cure = "systemctl disable --now tgt (if it is the system's), or choose another: PUMICE_TGT__PORTAL"
    return Finding("iscsi portal", Verdict.MISSING, f"{address}: {reason}", NO_EXPORTS, cure)
