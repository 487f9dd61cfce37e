"""QoS specs: how fast a volume may be, for all volumes of a type.

Cinder's administration guide, "Quality-of-service support for the Block Storage service"; the front end's words
are those of libvirt's ``<iotune>``, which Nova passes on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pumice.model.errors import Invalid

CONSUMERS = ("front-end", "back-end", "both")
FRONT_END = ("front-end", "both")
"""The consumers of which the hypervisor is one."""
MOST = 10**15
"""QEMU's largest rate."""

Specs = Mapping[str, str | None]
Resolved = Mapping[str, str | int | None]
"""QoS specs with what they come to for a volume of some size."""

_RATES = tuple(f"{way}_{unit}_sec" for unit in ("bytes", "iops") for way in ("total", "read", "write"))
_SIZE = "size_iops_sec"
LIMITS = (*_RATES, *(f"{rate}_max" for rate in _RATES), _SIZE)
"""What can be said of a disk, by libvirt's names."""
_NUMBERS = (*LIMITS, *(f"{rate}_per_gb{end}" for rate in _RATES for end in ("", "_min")))


@dataclass(frozen=True, slots=True)
class QosSpecs:
    """QoS specs as they were when they were read."""

    id: str
    name: str
    consumer: str
    """The side that keeps the volumes to them: one of ``CONSUMERS``."""
    specs: dict[str, str | None]
    created_at: datetime
    updated_at: datetime | None


def for_size(specs: Specs, size: int) -> Resolved:
    """What holds for a volume of ``size`` GiB: rates per GiB become rates, from ``…_min`` to ``…_max``."""
    found: dict[str, str | int | None] = dict(specs)
    for rate in _RATES:
        if per_gib := found.pop(f"{rate}_per_gb", None):
            least = found.pop(f"{rate}_per_gb_min", None) or 0
            value = max(int(least), int(per_gib) * size)
            found[rate] = min(value, int(found.pop(f"{rate}_max", None) or value))
    return found


def disk_limits(specs: Resolved) -> dict[str, int]:
    """The limits of a disk by libvirt's names: bytes and requests a second, and ``size_iops_sec`` in bytes.

    What is none of them is for others to read.
    """
    return {name: int(specs[name] or 0) for name in LIMITS if specs.get(name) is not None}


def refuse(consumer: str, specs: Specs) -> None:
    """Raises ``Invalid`` for limits that no disk could have, which its guest would find out much later."""
    if consumer not in FRONT_END:
        return
    for name in _NUMBERS:
        value = specs.get(name)
        if value is not None and not (value.isascii() and value.isdigit() and int(value[:17]) <= MOST):
            raise Invalid(f"Invalid qos specs: '{name}' must be a whole number up to {MOST}, not '{value}'.")
    limits = disk_limits(for_size(specs, 1))
    for unit in ("bytes", "iops"):
        total, read, write = (limits.get(f"{way}_{unit}_sec", 0) for way in ("total", "read", "write"))
        if total and (read or write):
            raise Invalid(
                f"Invalid qos specs: a disk has either 'total_{unit}_sec' or limits for reading and writing."
            )
    for rate in _RATES:
        burst, steady = limits.get(f"{rate}_max", 0), limits.get(rate, 0)
        if burst and not 0 < steady <= burst:
            raise Invalid(f"Invalid qos specs: '{rate}_max' needs a '{rate}' that is not larger.")
    if limits.get(_SIZE) and not any(limits.get(rate) for rate in _RATES if "iops" in rate):
        raise Invalid(f"Invalid qos specs: '{_SIZE}' needs a limit of requests, such as 'total_iops_sec'.")
