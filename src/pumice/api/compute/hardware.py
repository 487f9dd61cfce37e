"""A machine as its flavor and its image ask for it: read from their words, or refused (decision 31)."""

from collections.abc import Callable, Mapping
from typing import Any

from pumice.api.compute import hardware_words
from pumice.api.compute.hardware_words import Word
from pumice.model.booleans import is_true
from pumice.model.errors import Invalid
from pumice.model.hardware import MOST, Hardware, Topology, best_topology
from pumice.model.server import Flavor

_PARTS = ("sockets", "cores", "threads")


def hardware_of(flavor: Flavor, image: Mapping[str, Any]) -> Hardware:
    """What the machine has beside its size and disks. Raises ``Invalid`` for what would be dropped.

    ``image``: what the image says, of which the disk that it boots from is a copy.
    """
    properties = {name: str(value) for name, value in image.items()}
    if flavor.swap or flavor.ephemeral:
        raise Invalid(
            f"Flavor {flavor.id} has a swap or an ephemeral disk, which are not offered: "
            "take a flavor without, and attach a blank volume."
        )
    _refuse("flavor", hardware_words.of_flavor, flavor.extra_specs)
    _refuse("image", hardware_words.of_image, properties)
    specs = {name.replace(":", "_", 1): value for name, value in flavor.extra_specs.items() if value}
    action = (properties.get("hw_watchdog_action") or specs.get("hw_watchdog_action", "")).lower()
    hpet = properties.get("hw_time_hpet")
    return Hardware(
        topology=_topology(flavor.vcpus, specs, properties),
        machine=properties.get("hw_machine_type", "").lower()
        or specs.get("hw_machine_type", "").lower()
        or "pc",
        nic=properties.get("hw_vif_model", "").lower() or "virtio",
        watchdog=action if action not in ("", "disabled") else None,
        rng=bool(properties.get("hw_rng_model")) and is_true(flavor.extra_specs.get("hw_rng:allowed", "yes")),
        agent=is_true(properties.get("hw_qemu_guest_agent", "")),
        local_clock=properties.get("os_type", "").lower() == "windows",
        hpet=is_true(hpet) if hpet else None,
    )


def _refuse(whose: str, known: Callable[[str], Word | None], said: Mapping[str, str]) -> None:
    for name, value in said.items():
        word = known(name)
        if word is not None and not word.takes(value):
            raise Invalid(
                f"The {whose}'s {name} is '{value[:50]}', and a server would be made otherwise: {word.why}. "
                "Unset it."
            )


def _topology(vcpus: int, specs: Mapping[str, str], properties: Mapping[str, str]) -> Topology | None:
    """The flavor says what is wanted or else the image, which may not pass the flavor's limits; as in Nova."""
    if not any(
        f"hw_cpu_{kind}{part}" in said
        for said in (specs, properties)
        for kind in ("", "max_")
        for part in _PARTS
    ):
        return None
    limits = _three(specs, "hw_cpu_max_", MOST)
    of_image = _three(properties, "hw_cpu_max_", 0)
    most = Topology(*(theirs or limit for theirs, limit in zip(of_image, limits, strict=True)))
    wanted = _three(specs, "hw_cpu_", 0)
    wanted = wanted if any(wanted) else _three(properties, "hw_cpu_", 0)
    for asked in (of_image, wanted):
        if any(number > limit for number, limit in zip(asked, limits, strict=True)):
            raise Invalid("The image's hw_cpu_… asks for more than the flavor's hw:cpu_max_… allow.")
    best = best_topology(vcpus, Topology(*wanted), most)
    if best is None:
        raise Invalid(f"No topology of {vcpus} vCPUs is within the limits that image and flavor set.")
    return best


def _three(said: Mapping[str, str], prefix: str, default: int) -> tuple[int, int, int]:
    sockets, cores, threads = (int(said.get(prefix + part) or default) for part in _PARTS)
    return sockets, cores, threads
