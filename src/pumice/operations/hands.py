"""Who does the work outside: the drivers of this process, by the place they serve."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pumice.backends.contract import Backend
from pumice.backends.targets.contract import Target
from pumice.hypervisor.contract import Hypervisor
from pumice.store.database import Database


@dataclass(frozen=True, slots=True)
class Hands:
    """The drivers a step may use. A step finds here what its place promises, and nothing else."""

    db: Database
    image_path: Callable[[str], Path]
    """Where the bytes of an image are."""
    backends: Mapping[str, Backend] = field(default_factory=dict)
    """By ``host@backend``."""
    targets: Mapping[str, Target] = field(default_factory=dict)
    """By ``host@backend``: each backend exports through one target driver."""
    hypervisors: Mapping[str, Hypervisor] = field(default_factory=dict)
    """By host name."""
    detach_seconds: float = 60.0
    """How long a guest may take to let go of a disk."""
