"""The table of what images and flavors may ask of a machine: it has every word of Nova's, and a page tells it.

PYTHONPATH=tests .venv/bin/python tests/api/compute/test_hardware_words.py > docs/operating/hardware.md
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.api.compute import hardware_words
from pumice.api.compute.hardware import hardware_of
from pumice.api.compute.hardware_words import ALREADY, DONE, FAMILIES, LEGACY, NO_EFFECT, WORDS, Word
from pumice.catalog.flavors import new
from pumice.model.errors import Invalid
from pumice.model.hardware import Hardware, Topology, best_topology

PAGE = Path(__file__).parents[3] / "docs/operating/hardware.md"

NOVAS_PROPERTIES = """
    hw_architecture hw_emulation_architecture hw_auto_disk_config hw_boot_menu hw_cdrom_bus hw_cpu_cores
    hw_cpu_sockets hw_cpu_max_cores hw_cpu_max_sockets hw_cpu_max_threads hw_cpu_policy hw_cpu_thread_policy
    hw_cpu_realtime_mask hw_cpu_threads hw_device_id hw_disk_bus hw_disk_type hw_floppy_bus hw_firmware_type
    hw_firmware_stateless hw_input_bus hw_ipxe_boot hw_locked_memory hw_machine_type hw_mem_encryption
    hw_mem_encryption_model hw_mem_page_size hw_numa_nodes hw_numa_cpus hw_numa_mem hw_pci_numa_affinity_policy
    hw_pointer_model hw_pmu hw_qemu_guest_agent hw_rescue_bus hw_rescue_device hw_rng_model hw_time_hpet
    hw_serial_port_count hw_scsi_model hw_video_model hw_video_ram hw_vif_model hw_viommu_model hw_vm_mode
    hw_watchdog_action hw_vif_multiqueue_enabled hw_tpm_model hw_tpm_version hw_ephemeral_encryption
    hw_ephemeral_encryption_format hw_ephemeral_encryption_secret_uuid hw_virtio_packed_ring hw_maxphysaddr_mode
    hw_maxphysaddr_bits hw_sound_model hw_usb_model hw_redirected_usb_ports img_bittorrent img_bdm_v2
    img_block_device_mapping img_cache_in_nova img_compression_level img_hv_requested_version img_hv_type
    img_config_drive img_linked_clone img_mappings img_owner_id img_root_device_name img_use_agent img_version
    img_signature img_signature_hash_method img_signature_certificate_uuid img_signature_key_type
    img_hide_hypervisor_id os_admin_user os_command_line os_distro os_require_quiesce os_secure_boot
    os_skip_agent_inject_files_at_boot os_skip_agent_inject_ssh os_type kernel_id ramdisk_id
    trait:HW_CPU_X86_AVX2 hw_numa_cpus.0 hw_numa_mem.1
"""
"""The fields of Nova's ``ImageMetaProps`` 1.44, and what it reads of images beside them."""

NOVAS_SPECS = """
    hw:emulator_threads_policy quota:cpu_period quota:cpu_quota quota:cpu_shares hw:cpu_dedicated_mask
    hw:mem_page_size hw:locked_memory hw:numa_nodes hw:numa_cpus.0 hw:numa_mem.0 accel:device_profile
    hide_hypervisor_id pci_passthrough:alias vmware:hw_version hw:cpu_realtime hw_rng:allowed
    hw_video:ram_max_mb os:secure_boot hw:pci_numa_affinity_policy hw:cpu_sockets hw:cpu_cores
    hw:cpu_threads hw:cpu_max_sockets
    hw:cpu_max_cores hw:cpu_max_threads hw_rng:rate_bytes hw_rng:rate_period hw:cpu_realtime_mask hw:boot_menu
    hw:vif_multiqueue_enabled group_policy hw:mem_encryption hw:mem_encryption_model hw:pmem hw:pmu
    resources:CUSTOM_GOLD resources1:VCPU trait:CUSTOM_GOLD trait1:CUSTOM_GOLD hw:serial_port_count hw:tpm_model
    hw:tpm_version hw:tpm_secret_security hw:hide_hypervisor_id aggregate_instance_extra_specs:ssd
    capabilities:hypervisor_type hw:watchdog_action hw:viommu_model hw:virtio_packed_ring hw:sound_model
    hw:usb_model hw:redirected_usb_ports hw:ephemeral_encryption hw:ephemeral_encryption_format hw:cpu_policy
    hw:cpu_thread_policy quota:disk_read_bytes_sec quota:vif_inbound_average vmware:storage_policy
"""
"""Nova 34's validators of extra specs, one for each of their names and families."""


@pytest.mark.parametrize("name", NOVAS_PROPERTIES.split())
def test_every_property_of_novas_is_in_the_table(name: str) -> None:
    assert hardware_words.of_image(name) is not None


@pytest.mark.parametrize("name", NOVAS_SPECS.split())
def test_every_extra_spec_of_novas_is_in_the_table(name: str) -> None:
    word = hardware_words.of_flavor(name)
    assert word is not None and word is not hardware_words.UNKNOWN


def test_the_table_is_of_one_piece() -> None:
    assert len(WORDS) == len(DONE) + len(ALREADY) + len(NO_EFFECT)
    assert all(new in WORDS for new in LEGACY.values())


def test_the_flavor_speaks_before_the_image() -> None:
    def made(vcpus: int, specs: dict[str, str], **image: str) -> Hardware:
        flavor = new("f", "f", vcpus=vcpus, ram=64, disk=1)
        flavor.extra_specs.update(specs)
        return hardware_of(flavor, image)

    assert made(8, {"hw:cpu_cores": "4"}, hw_cpu_cores="2").topology == Topology(2, 4, 1)
    assert made(8, {"hw:cpu_max_sockets": "2"}).topology == Topology(2, 4, 1)
    assert made(8, {}, hw_cpu_max_sockets="1", hw_cpu_threads="2").topology == Topology(1, 4, 2)
    assert made(1, {}, hw_cpu_cores="4").topology == Topology(1, 1, 1)
    assert made(1, {"hw:watchdog_action": "reset"}, hw_watchdog_action="disabled").watchdog is None
    assert not made(1, {"hw_rng:allowed": "False"}, hw_rng_model="virtio").rng
    for specs, image in (
        ({"hw:cpu_max_sockets": "2"}, {"hw_cpu_max_sockets": "4"}),
        ({"hw:cpu_max_sockets": "2"}, {"hw_cpu_sockets": "4"}),
        ({"hw:cpu_max_sockets": "1", "hw:cpu_max_cores": "2", "hw:cpu_max_threads": "1"}, {}),
    ):
        with pytest.raises(Invalid):
            made(4, specs, **image)


def test_a_machine_may_be_of_one_version() -> None:
    flavor = new("f", "f", vcpus=1, ram=64, disk=1)
    old = hardware_of(flavor, {"hw_machine_type": "pc-i440fx-7.2"})
    new_one = hardware_of(flavor, {"hw_machine_type": "pc-q35-7.2"})
    assert (old.machine, old.has_pci_express) == ("pc-i440fx-7.2", False)
    assert (new_one.machine, new_one.has_pci_express) == ("pc-q35-7.2", True)
    for other in ("pc-q35", "q35-7.2", "microvm", "pc-q35-7.2 x", "s390-ccw-virtio"):
        with pytest.raises(Invalid, match="'pc' or 'q35'"):
            hardware_of(flavor, {"hw_machine_type": other})


def test_a_topology_has_the_vcpus_that_there_are() -> None:
    anything, any_limit = Topology(0, 0, 0), Topology(64, 64, 64)
    for vcpus in range(1, 65):
        best = best_topology(vcpus, anything, any_limit)
        assert best == Topology(vcpus, 1, 1)
    assert best_topology(6, Topology(0, 3, 0), any_limit) == Topology(2, 3, 1)
    assert best_topology(7, anything, Topology(2, 2, 2)) is None
    assert best_topology(2**31 - 1, anything, any_limit) is None


def test_what_a_row_keeps_is_read_back() -> None:
    hardware = Hardware(Topology(1, 2, 3), "e1000", "reset", rng=True, agent=True, local_clock=True, hpet=False)
    assert Hardware.from_row(hardware.to_row()) == hardware
    assert Hardware(watchdog="reset", machine="q35").to_row() == {"watchdog": "reset", "machine": "q35"}
    assert Hardware.from_row(None) == Hardware.from_row({}) == Hardware()


HEAD = """\
# What images and flavors may ask of a machine

Anything may be set on an image or a flavor, as in Glance and Nova: images come from elsewhere, and are not
changed to fit. What counts is the boot. There each word is done, or is so already; or the server is refused
with a 400 that names it; or it has no effect, where Nova too would have nothing for it to change. Properties
that are not here are people's own notes, and mean nothing.

An image's property `hw_…` is a flavor's extra spec `hw:…`, and `os_…` is `os:…`. What was set when the server
was made counts for as long as it lives. A flavor with a swap or an ephemeral disk is refused too. This page is
written by `tests/api/compute/test_hardware_words.py`.

How fast a disk may be is said by the QoS specs of its volume's type (consumer `front-end` or `both`), in
Nova's words: `total_`, `read_` or `write_` with `bytes_sec` or `iops_sec`, each also with `_max`, `_per_gb`
and `_per_gb_min`; and `size_iops_sec`. Other keys are kept, as in Cinder, for whoever reads them, and hold
nothing back: mind their spelling.
"""
PARTS = {"Done": DONE, "Already so, or refused": ALREADY, "Without effect": NO_EFFECT, "Families": FAMILIES}
IN_WORDS = {
    None: "anything",
    "(?!)": "nothing",
    ".*": "anything",
    hardware_words.NUMBER: "a number",
    hardware_words.NO: "no",
    hardware_words.EITHER: "yes, no",
    hardware_words.MACHINE: "`pc`, `q35`; or a version of one, as in `pc-i440fx-7.2`, `pc-q35-7.2`",
}


def page() -> Iterator[str]:
    yield HEAD
    for title, words in PARTS.items():
        yield f"## {title}\n\n| words | taken with | |\n|---|---|---|"
        for word in dict.fromkeys(words.values()):
            names = ", ".join(_code(name) for name, other in words.items() if other == word)
            yield f"| {names} | {_values(word)} | {word.why} |"
        yield ""


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def _values(word: Word) -> str:
    if word.taken in IN_WORDS:
        return IN_WORDS[word.taken]
    return ", ".join(map(_code, (word.taken or "").replace("\\", "").split("|")))


def test_the_page_tells_the_table() -> None:
    assert PAGE.read_text() == "\n".join(page()), "see the top of this file"


if __name__ == "__main__":
    print("\n".join(page()), end="")
