"""Every hypervisor, by its name in settings: where it keeps what is its own, and how it is opened.

What opens one imports it, there and only then.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pumice.host.daemon import Daemon
from pumice.hypervisor.contract import Hypervisor


@dataclass(frozen=True, slots=True)
class Opening:
    """What a hypervisor is opened with."""

    directory: Path
    """What this host's hypervisors may keep is below it."""
    host: str
    ip: str
    """The address from which the host reaches storage."""
    libvirt_uri: str | None = None
    """That of a libvirtd that is not ours."""


@dataclass(frozen=True, slots=True)
class Driver:
    """One hypervisor."""

    home: Callable[[Opening], Path]
    """The directory in which it keeps disks, logs and its daemon's state."""
    open: Callable[[Opening], tuple[Hypervisor, Daemon | None]]
    """The hypervisor, not started yet, and the daemon of our own that it needs, if any."""


def _libvirt(given: Opening) -> tuple[Hypervisor, Daemon | None]:
    from pumice.hypervisor.libvirt import LibvirtHypervisor
    from pumice.hypervisor.libvirtd import LibvirtDaemon

    home = given.directory
    if given.libvirt_uri:
        return LibvirtHypervisor(home, uri=given.libvirt_uri, host=given.host, ip=given.ip), None
    daemon = LibvirtDaemon(home / "libvirt", home / "cache")
    return LibvirtHypervisor(home, daemon=daemon, host=given.host, ip=given.ip), daemon


def _home_of_fakes(given: Opening) -> Path:
    return given.directory / f"fake-{given.host}"


def _fake(given: Opening) -> tuple[Hypervisor, Daemon | None]:
    from pumice.hypervisor.fake import FakeHypervisor

    return FakeHypervisor(_home_of_fakes(given), host=given.host), None


HYPERVISORS: Mapping[str, Driver] = {
    "libvirt": Driver(lambda given: given.directory, _libvirt),
    "fake": Driver(_home_of_fakes, _fake),
}
