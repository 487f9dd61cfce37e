"""What images and flavors may ask of a machine, and what becomes of each word: the one table of it.

A word is an image's property; as a flavor's extra spec it has ``hw:`` for ``hw_`` and ``os:`` for ``os_``. The
names are Nova's (``ImageMetaProps``, the validators of ``extra_specs``; Glance's "useful image properties").
Whoever sets one is not refused, for images come from elsewhere; a server that would be made otherwise than
they ask is (decision 31).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from re import IGNORECASE, fullmatch

from pumice.images.for_volume import SIGNATURE, UNVERIFIED


@dataclass(frozen=True, slots=True)
class Word:
    """What becomes of a word: with which values it is taken, and the sentence for the others, or for all."""

    why: str
    taken: str | None
    """A pattern of the values that are done, or are so already; None: whatever it says has no effect here."""

    def takes(self, value: str) -> bool:
        """Whether a server can be made of which this is asked; who says nothing asks nothing."""
        return self.taken is None or not value or fullmatch(self.taken, value.strip(), IGNORECASE) is not None


def _words(taken: str | None, why: str, names: str) -> dict[str, Word]:
    return dict.fromkeys(names.split(), Word(why, taken))


NUMBER = "[1-9][0-9]{0,8}"
NO = "0|f|false|off|n|no"
EITHER = f"{NO}|1|t|true|on|y|yes"
NEVER = "(?!)"
MACHINE = r"pc|q35|pc-(i440fx|q35)-[0-9]{1,2}\.[0-9]{1,2}"
_SHARED = "vCPUs of every server share their host's processors, which are not pinned or divided"

DONE: Mapping[str, Word] = {
    **_words(
        NUMBER,
        "it is a number, at least 1",
        """
            hw_cpu_cores hw_cpu_max_cores hw_cpu_max_sockets hw_cpu_max_threads hw_cpu_sockets hw_cpu_threads
        """,
    ),
    **_words("virtio|e1000|e1000e|rtl8139|pcnet|ne2k_pci", "that model is not offered", "hw_vif_model"),
    **_words(
        MACHINE, "a machine is 'pc' or 'q35', or one of their versions, as in 'pc-q35-7.2'", "hw_machine_type"
    ),
    **_words("reset|poweroff|pause|none|disabled", "a watchdog has no such action", "hw_watchdog_action"),
    **_words(".*", "any other than 'windows' changes nothing", "os_type"),
    **_words("virtio", "the only such device is 'virtio'", "hw_rng_model"),
    **_words(EITHER, "it is yes or no", "hw_qemu_guest_agent hw_rng:allowed hw_time_hpet"),
}
"""What changes the machine: read by ``hardware.py``."""

ALREADY: Mapping[str, Word] = {
    **_words("virtio", "every disk is on 'virtio'", "hw_disk_bus"),
    **_words("x86_64|amd64|x64|i386|i686", "machines are x86_64", "hw_architecture hw_emulation_architecture"),
    **_words("bios", "every machine starts by its BIOS", "hw_firmware_type"),
    **_words("disabled|optional", "every machine starts by its BIOS, which checks nothing", "os_secure_boot"),
    **_words("hvm", "every machine is fully virtual", "hw_vm_mode"),
    **_words("kvm|qemu", "the hypervisor is QEMU, with KVM where it can", "img_hv_type"),
    **_words("shared", _SHARED, "hw_cpu_policy"),
    **_words("prefer", _SHARED, "hw_cpu_thread_policy"),
    **_words("small|any|4|4kb", "a machine's memory is in pages of 4 KiB", "hw_mem_page_size"),
    **_words("1", "every machine has one serial port, which is its console", "hw_serial_port_count"),
    **_words("none", "no machine has a USB controller", "hw_usb_model"),
    **_words("optional", "there are no configuration drives", "img_config_drive"),
    **_words("0", "no machine has ports to redirect USB to", "hw_redirected_usb_ports"),
    **_words(
        NO,
        "it is not done here",
        """
            hide_hypervisor_id hw_boot_menu hw_cpu_realtime hw_ephemeral_encryption hw_firmware_stateless
            hw_hide_hypervisor_id hw_ipxe_boot hw_locked_memory hw_mem_encryption hw_virtio_packed_ring
            img_hide_hypervisor_id
        """,
    ),
    **_words(
        NEVER,
        _SHARED,
        """
            hw_cpu_dedicated_mask hw_cpu_realtime_mask hw_emulator_threads_policy hw_numa_cpus hw_numa_mem
            hw_numa_nodes
        """,
    ),
    **_words(
        NEVER,
        "it is not done here",
        """
            hw_ephemeral_encryption_format hw_ephemeral_encryption_secret_uuid hw_maxphysaddr_bits
            hw_maxphysaddr_mode hw_mem_encryption_model hw_pmem hw_pmu hw_sound_model hw_tpm_model
            hw_tpm_secret_security hw_tpm_version hw_viommu_model
        """,
    ),
    **_words(
        NEVER, "machines start by their BIOS from a disk, not with a kernel beside it", "kernel_id ramdisk_id"
    ),
    **_words(r"\[\]", "name the disks in block_device_mapping_v2", "img_block_device_mapping"),
    **_words(NEVER, UNVERIFIED, " ".join(SIGNATURE)),
}
"""What a machine is already with the values that are taken; others would be dropped, and are refused."""

_SEEN_BY_NOBODY = "servers have no screen and no sound, as in a Nova whose consoles are off"
_ELSEWHERE = "it is for other hypervisors"

NO_EFFECT: Mapping[str, Word] = {
    **_words(None, "it tells people, and tools, what is in the image", "os_admin_user os_distro os_version"),
    **_words(None, "a server has neither", "hw_cdrom_bus hw_floppy_bus"),
    **_words(None, "no disk is on SCSI", "hw_scsi_model"),
    **_words(
        None,
        _SEEN_BY_NOBODY,
        """
            hw_input_bus hw_pointer_model hw_video:ram_max_mb hw_video_model hw_video_ram
        """,
    ),
    **_words(None, "servers have no networks", "hw_vif_multiqueue_enabled"),
    **_words(None, "servers have no devices of their host's", "hw_pci_numa_affinity_policy"),
    **_words(
        None,
        "no image is made of a server, and a snapshot of a volume asks no guest, as in Cinder",
        "os_require_quiesce",
    ),
    **_words(None, "servers are not rescued", "hw_rescue_bus hw_rescue_device"),
    **_words(None, "without a kernel beside the disk there is no command line", "os_command_line"),
    **_words(None, "how an image is moved is no matter of the machine", "img_bittorrent img_cache_in_nova"),
    **_words(
        None,
        "Nova wrote it, to find again what it made",
        """
            img_bdm_v2 img_mappings img_owner_id img_root_device_name img_version
        """,
    ),
    **_words(
        None,
        _ELSEWHERE,
        """
            hw_auto_disk_config hw_device_id hw_disk_type img_compression_level img_hv_requested_version
            img_linked_clone img_use_agent os_skip_agent_inject_files_at_boot os_skip_agent_inject_ssh
        """,
    ),
}
"""What may be said and changes nothing, as by Nova where there is nothing for it to change."""

LEGACY: Mapping[str, str] = {
    "architecture": "hw_architecture",
    "auto_disk_config": "hw_auto_disk_config",
    "bdm_v2": "img_bdm_v2",
    "bittorrent": "img_bittorrent",
    "block_device_mapping": "img_block_device_mapping",
    "cache_in_nova": "img_cache_in_nova",
    "hypervisor_type": "img_hv_type",
    "hypervisor_version_requires": "img_hv_requested_version",
    "ipxe_boot": "hw_ipxe_boot",
    "mappings": "img_mappings",
    "owner_id": "img_owner_id",
    "root_device_name": "img_root_device_name",
    "vm_mode": "hw_vm_mode",
}
"""Older names of properties."""

_ALIKE = "hosts are not told apart by what they have"

FAMILIES: Mapping[str, Word] = {
    **_words(NEVER, "hosts are not told apart by traits", "trait*:*"),
    **_words(NEVER, "the size of a server is what its flavor says", "resources*:* group_policy"),
    **_words(NEVER, _ALIKE, "capabilities:* aggregate_instance_extra_specs:*"),
    **_words(NEVER, "servers have no devices of their host's", "accel:* pci_passthrough:*"),
    **_words(NEVER, "only disks are held back, by the QoS specs of volume types", "quota:* hw_rng:rate_*"),
    **_words(NEVER, _SHARED, "hw_numa_cpus.* hw_numa_mem.*"),
    **_words(None, _ELSEWHERE, "vmware:* vmware_* powervm:* xenapi_*"),
}
"""Names that are many, as patterns of files are."""

UNKNOWN = Word("there is no such word", NEVER)
WORDS: Mapping[str, Word] = {**DONE, **ALREADY, **NO_EFFECT}


def of_image(name: str) -> Word | None:
    """What becomes of an image's property; None: whatever else people note there."""
    return _known(LEGACY.get(name, name))


def of_flavor(name: str) -> Word | None:
    """What becomes of a flavor's extra spec; None: another's, in a scope of its own."""
    scope, colon, rest = name.partition(":")
    if found := _known(f"{scope}_{rest}" if scope in ("hw", "os") else name):
        return found
    if scope in ("hw", "os", "hw_rng", "hw_video"):
        return UNKNOWN
    return None if colon else Word(_ALIKE, NEVER)


def _known(name: str) -> Word | None:
    families = (word for pattern, word in FAMILIES.items() if fnmatchcase(name, pattern))
    return WORDS.get(name) or next(families, None)
