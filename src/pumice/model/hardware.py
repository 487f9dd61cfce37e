"""What a machine has beside its size and its disks, as its image and flavor asked for it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Final, Self

MOST: Final = 65536
"""The largest number of each part of a topology, where nobody limits it: Nova's own."""


@dataclass(frozen=True, slots=True)
class Topology:
    """How a machine's vCPUs are told to its guest: the product is their number."""

    sockets: int
    cores: int
    """of each socket"""
    threads: int
    """of each core"""


@dataclass(frozen=True, slots=True)
class Hardware:
    """Devices, and how the processor is told. The defaults are the machine of which nobody asks anything."""

    topology: Topology | None = None
    """None: as the hypervisor tells it by itself."""
    nic: str = "virtio"
    """The model of the network interface."""
    watchdog: str | None = None
    """What a watchdog does that the guest let run out: ``reset``, ``poweroff``, ``pause`` or ``none``."""
    rng: bool = False
    """Whether the guest gets random numbers from its host (virtio-rng)."""
    agent: bool = False
    """Whether there is a channel for QEMU's guest agent."""
    local_clock: bool = False
    """Whether its clock shows the host's local time, as Windows reads it, and not UTC."""
    hpet: bool | None = None
    """Whether there is a high precision event timer; None: as the hypervisor has it."""
    machine: str = "pc"
    """The machine: ``pc``, with PCI; ``q35``, with PCI Express; or a version of one, as QEMU names it."""

    @property
    def has_pci_express(self) -> bool:
        """Whether its devices are on PCI Express, where each that comes later needs a port of its own."""
        return "q35" in self.machine

    def to_row(self) -> dict[str, Any]:
        """As a row keeps it. What nobody asked for is not in it: the version before can read the others."""
        plain = asdict(type(self)())
        return {name: value for name, value in asdict(self).items() if value != plain[name]}

    @classmethod
    def from_row(cls, row: Mapping[str, Any] | None) -> Self:
        """What a row kept; a row of before has none."""
        known = dict(row or {})
        topology = known.pop("topology", None)
        return cls(topology=Topology(**topology) if topology else None, **known)


def best_topology(vcpus: int, wanted: Topology, most: Topology) -> Topology | None:
    """The topology of so many vCPUs nearest to the wanted one, within the most of each; None: there is none.

    Nova's choice: as many of the three as wanted agree, then few threads, then many sockets. A wanted 0 is any.
    """
    divisors = [number for number in range(1, min(vcpus, MOST) + 1) if vcpus % number == 0]
    possible = [
        Topology(vcpus // (cores * threads), cores, threads)
        for cores, threads in product(divisors, divisors)
        if vcpus % (cores * threads) == 0 and cores <= most.cores and threads <= most.threads
    ]
    within = [it for it in possible if it.sockets <= most.sockets]

    def rank(it: Topology) -> tuple[int, int, int]:
        agree = (it.sockets == wanted.sockets) + (it.cores == wanted.cores) + (it.threads == wanted.threads)
        return agree, -it.threads, it.sockets

    return max(within, key=rank, default=None)
