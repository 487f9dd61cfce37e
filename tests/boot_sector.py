"""A guest of 108 bytes, for tests that need one which lets go of its disks and can be powered off, no more.

The little Linux of ``pumice.app.guest_image`` computes for five seconds before it can do either, where the
processor is emulated. This one is a boot sector for a machine of the type ``pc``.
"""

from pumice.model.units import MIB

READY = "PUMICE-GUEST ready"
"""What it says at its serial port once it runs, as the little Linux does."""

_CODE = bytes.fromhex(
    "fa fc 31c0 8ed8 8ed0 bc007c ea107c0000"  # no interrupts; DS = SS = 0, a stack below this code, CS = 0
    "ba0206 b80001 ef"  # out 0x602, 0x100: PM1 enable, so that the power button is told
    "be587c"  # SI: what is to be said; its address is that of the byte after this code
    "bafd03 ec a820 74fb ac 84c0 7406 baf803 ee ebed"  # each byte to 0x3f8, once 0x3fd says that it may be sent
    "fb"  # interrupts: the timer's, 18 times a second
    "ba10ae 6631c0 66ef"  # look: out 0xae10, 0: of PCI bus 0 …
    "ba04ae 66ed 6685c0 7405"  # in 0xae04: … which slots are to be let go, if any
    "ba08ae 66ef"  # out 0xae08: let go of them
    "ba0006 ed f6c401 7407"  # in 0x600: PM1 status, the power button
    "ba0406 b80020 ef"  # out 0x604, 0x2000: PM1 control, off
    "f4 ebd6"  # until the next interrupt; look again
)
"""The ports are QEMU's on an i440FX: docs/specs/acpi_pci_hotplug.rst, and the PIIX4's power management."""


def boot_sector() -> bytes:
    """A raw image of 1 MiB with this guest."""
    return (_CODE + READY.encode() + b"\n\0").ljust(510, b"\0") + b"\x55\xaa" + bytes(MIB - 512)
