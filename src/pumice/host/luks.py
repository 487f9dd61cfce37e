"""LUKS on a volume's file or block device: no device-mapper is needed, and QEMU and dm-crypt both open it.

Version 1, the one that QEMU knows. The header takes the first 2 MiB of the device: a guest sees that much less
than the volume's size. A key is 256 random bits, so that stretching it (PBKDF2) buys nothing and is kept short.
The passphrase reaches commands through a pipe; it is on no command line and in no file.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pumice.host.command import run
from pumice.model.units import MIB

CIPHER: Final = "aes-xts-plain64"
"""The cipher, its mode, and how sectors' initial vectors are made, as dm-crypt writes it."""
KEY_SIZES: Final = (256, 512)
"""bits; XTS halves them: AES-128 and AES-256."""
KEY_SIZE: Final = 512
HEADER_BYTES: Final = 2 * MIB
SECTOR_BYTES: Final = 512
_TIMEOUT = 120.0
SECRET_WORDS: Final = ("--object", "secret,id=luks,file=/dev/stdin")
"""Options of a qemu-img that is handed the passphrase as its standard input: names it ``luks``."""


@dataclass(frozen=True, slots=True)
class Key:
    """The passphrase that opens a device, and how it is encrypted."""

    passphrase: str
    key_size: int = KEY_SIZE
    """bits"""

    def __repr__(self) -> str:
        return f"Key({self.key_size} bits)"


async def format_device(device: Path, key: Key) -> None:
    """Begin ``device`` anew as a LUKS device that ``key`` opens. What it held is lost.

    cryptsetup does it, and not qemu-img, which measures for two seconds how far it can stretch a key, and
    fails where the measuring does. Raises ``CommandFailed``, ``CommandTimedOut`` or ``Misconfigured``.
    """
    await run(
        *("cryptsetup", "luksFormat", "--batch-mode", "--type", "luks1", "--key-file", "-"),
        *("--cipher", CIPHER, "--key-size", str(key.key_size), "--hash", "sha256"),
        *("--pbkdf-force-iterations", "1000", "--align-payload", str(HEADER_BYTES // SECTOR_BYTES)),
        "--disable-locks",  # the operation is what keeps others away
        device,
        timeout=_TIMEOUT,
        stdin=key.passphrase.encode(),
    )
