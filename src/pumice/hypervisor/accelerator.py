"""Is KVM of any use on this machine? Asked by booting something, because ``/dev/kvm`` alone does not tell.

Inside many rented virtual machines the device exists, libvirt lists it, and a guest then takes minutes or
never starts. So a boot sector of our own, which does nothing but leave, is started under KVM with a short
limit; only a machine where it leaves in time gets KVM guests, every other one is emulated (TCG). The answer
is kept in a file, under a key of kernel and QEMU version, since the probe of a bad KVM costs the whole limit.
"""

import json
import os
import tempfile
from enum import StrEnum
from pathlib import Path

import structlog

from pumice.host.command import CommandFailed, CommandTimedOut, run

log = structlog.get_logger(__name__)

QEMU = "qemu-system-x86_64"
LIMIT_SECONDS = 2.0
"""A working KVM needs about 0.2 s, a bad one was seen to need 3.7 to 8 s."""

# 16-bit code, loaded by the BIOS at 0000:7c00:
#   b0 10   mov $0x10, %al
#   e6 f4   out %al, $0xf4     isa-debug-exit: QEMU ends with exit code 2 * 0x10 + 1
#   f4      hlt
#   eb fd   jmp .-1            back to the hlt
_LEAVE = bytes.fromhex("b010e6f4f4ebfd").ljust(510, b"\0") + b"\x55\xaa"
_LEFT = 2 * 0x10 + 1


class Accelerator(StrEnum):
    """How guests run; the value is libvirt's ``<domain type=…>``."""

    KVM = "kvm"
    TCG = "qemu"


async def choose(cache: Path) -> Accelerator:
    """What guests of this machine should run under; ``cache`` is the file that remembers the answer.

    Raises ``Misconfigured`` when QEMU is not installed.
    """
    version = (await run(QEMU, "--version", timeout=10)).partition("\n")[0]
    usable = os.access("/dev/kvm", os.R_OK | os.W_OK)
    key = f"{os.uname().release} | {version} | {'/dev/kvm' if usable else 'no /dev/kvm'}"
    known = _remembered(cache)
    if key not in known:
        known = {key: Accelerator.KVM if usable and await boots("kvm") else Accelerator.TCG}
        _remember(cache, known)
        log.info("accelerator chosen", accelerator=known[key].name, key=key)
    return known[key]


async def boots(accelerator: str) -> bool:
    """Whether the boot sector ran to its end in time."""
    with tempfile.NamedTemporaryFile(prefix="pumice-probe-") as disk:
        disk.write(_LEAVE)
        disk.flush()
        drive = f"file={disk.name},format=raw,if=ide,snapshot=on"
        words = ("-accel", accelerator, "-m", "16", "-nodefaults", "-display", "none", "-drive", drive)
        try:
            await run(QEMU, *words, "-device", "isa-debug-exit,iobase=0xf4", timeout=LIMIT_SECONDS)
        except CommandFailed as ended:
            return ended.code == _LEFT
        except CommandTimedOut:
            return False
    return False


def _remembered(cache: Path) -> dict[str, Accelerator]:
    try:
        return {key: Accelerator(word) for key, word in json.loads(cache.read_text()).items()}
    except (OSError, ValueError, AttributeError):
        return {}  # absent or damaged: the probe is asked again


def _remember(cache: Path, known: dict[str, Accelerator]) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=cache.parent, delete=False) as fresh:
        json.dump(known, fresh)
    Path(fresh.name).replace(cache)
