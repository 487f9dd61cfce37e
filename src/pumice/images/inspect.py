"""Look at an image that a stranger made, and refuse what could reach beyond itself.

An image format may name other files: a backing file, an external data file, the extents of a VMDK. Whoever
opens such an image reads those files for the stranger (CVE-2022-47951, CVE-2024-32498). So no image is opened
by anything before this module has parsed its header, in this process, in plain Python, and reading at most
32 MiB and the last 4 KiB of it. The parsers are oslo.utils' format inspectors, the ones of Nova, Glance and
Cinder; what they let pass and qemu would still follow is refused here too, each with its reason.

The format that is found counts. What the owner declared must agree with it, for the declared word is what
other programs go by. Content without a known format is raw, and so is a disk that begins with a partition
table (MBR, GPT).

Synchronous: to be called in a thread.
"""

import os
import struct
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pumice.backends.contract import ImageFile, require_fits
from pumice.model.errors import ImageRefused
from pumice.model.units import MIB

if TYPE_CHECKING:
    from oslo_utils.imageutils.format_inspector import FileInspector

__all__ = ["inspect_image", "kept_image", "require_fits"]

FORMATS = frozenset({"raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx", "iso"})
"""The formats that are accepted, in the Image API's words (``disk_format``)."""
RAW = frozenset({"raw", "iso"})
"""The formats whose bytes are a disk's as they are."""

LARGEST = 2**63 - 1
"""Bytes of a disk: more no file can have."""

_PLAIN = frozenset({"raw", "iso", "luks"})

_HEAD = 32 * MIB
"""Headers end well before: the furthest, a VHDX's metadata, lies behind its block allocation table."""

_TAIL = 4096
_PIECE = 4096
"""The inspectors look for one region per piece and cannot go back: small pieces let them find every region."""

_CRYPT_METHOD = slice(32, 36)
"""The field of a qcow2 header for encryption: 0 none, 1 AES, 2 LUKS (QEMU, docs/interop/qcow2.txt)."""

_REASONS = {
    "backing_file": "it refers to a backing file",
    "data_file": "it keeps its data in another file",
    "unknown_features": "it uses features that are not known to be safe",
    "descriptor": "its descriptor names other files or a subformat that is not supported",
    "footer": "its footer does not agree with its header",
    "banned": "its format is not supported",
}


def inspect_image(path: Path, declared: str | None = None) -> ImageFile:
    """The image at ``path`` with its true format and virtual size. Raises ``ImageRefused`` with the reason.

    ``declared`` is the owner's ``disk_format``; ``None`` takes what is found.
    """
    if declared is not None and declared not in FORMATS:
        raise ImageRefused(f"Images in format '{declared}' are not supported.")
    with path.open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        if length == 0:
            return ImageFile(path, "raw", 0)  # Nova's createImage sends none, whatever it declares
        inspector = _recognise(file, length)
        found = "raw" if inspector is None else inspector.NAME
        if declared == "raw" and found in _PLAIN:
            found = "raw"  # bytes that reach nothing beyond themselves: an ISO is a disk too, LUKS fills one
        if found not in FORMATS:
            raise ImageRefused(f"The image's content is in format '{found}', which is not supported.")
        if declared == "vhd" and found == "raw" and _ends_as_fixed_vhd(file, length):
            raise ImageRefused(
                "The image is a fixed VHD, a raw disk with a footer: convert it by "
                "'qemu-img convert -f vpc -O raw', and upload that as 'raw'."
            )
        if declared is not None and declared != found:
            raise ImageRefused(f"The image is declared as '{declared}', but its content is '{found}'.")
        if inspector is None or found in RAW:
            return ImageFile(path, found, length)
        _refuse_unsafe(inspector)
        _refuse_truncated(file, length, found)
        if inspector.virtual_size > LARGEST:
            raise ImageRefused("The image is malformed: its disk would be larger than any can be.")
    return ImageFile(path, found, inspector.virtual_size)


def kept_image(path: Path, disk_format: str | None) -> ImageFile:
    """The image of our own store at ``path``, of the format under which it was accepted.

    Its format is known and not looked for: what is kept as raw is read as raw, whatever a guest wrote there,
    and so is never opened as anything that could reach beyond itself. Raises ``ImageRefused`` as
    ``inspect_image``, for one whose bytes are not what they were.
    """
    if disk_format in RAW:
        return ImageFile(path, disk_format, path.stat().st_size)
    return inspect_image(path, disk_format)


class _Ends:
    """The beginning and the end of a file as one stream: all that the inspectors look at."""

    def __init__(self, file: IO[bytes], length: int) -> None:
        self._file = file
        self._tail_at = max(0, length - _TAIL)

    def read(self, size: int) -> bytes:
        if _HEAD <= self._file.tell() < self._tail_at:
            self._file.seek(self._tail_at)
        return self._file.read(size)


def _recognise(file: IO[bytes], length: int) -> "FileInspector | None":
    """The inspector of the one format that the content has, or ``None`` for raw bytes.

    Any error of a parser is the image's fault: it was fed nothing but the image.
    """
    from oslo_utils.imageutils.format_inspector import InspectWrapper  # costs 0.1 s, needed by few processes

    try:
        stream = InspectWrapper(_Ends(file, length))  # type: ignore[arg-type]  # it only calls read()
        while stream.formats is None and stream.read(_PIECE):
            pass
        if stream.formats is None:
            stream.close()
        matches = {match.NAME: match for match in stream.formats or []}
    except Exception as error:
        raise ImageRefused("The image's header cannot be understood.") from error
    if len(matches) > 1:
        matches.pop("gpt", None)  # a bootable ISO carries a partition table in its unused first sectors
    if len(matches) > 1:
        raise ImageRefused(f"The image looks like several formats at once: {', '.join(sorted(matches))}.")
    matches.pop("raw", None)
    matches.pop("gpt", None)
    return next(iter(matches.values()), None)


def _refuse_unsafe(inspector: "FileInspector") -> None:
    from oslo_utils.imageutils.format_inspector import SafetyCheckFailed

    try:
        inspector.safety_check()
        virtual_size = inspector.virtual_size
    except SafetyCheckFailed as failed:
        reasons = [_REASONS.get(name, f"its {name} is not safe") for name in failed.failures]
        raise ImageRefused(f"The image is not safe to use: {' and '.join(reasons)}.") from failed
    except Exception as error:  # a parser's: see _recognise
        raise ImageRefused("The image is truncated or malformed: its header is not complete.") from error
    if inspector.NAME == "qcow2" and any(inspector.region("header").data[_CRYPT_METHOD]):
        raise ImageRefused("The image is encrypted, and nobody here has its key: decrypt it before the upload.")
    if inspector.NAME == "vmdk":
        _refuse_ambiguous_descriptor(getattr(inspector, "desc_text", None) or "")
    if virtual_size == 0:
        raise ImageRefused("The image is malformed: its header tells no virtual size.")


def _refuse_ambiguous_descriptor(descriptor: str) -> None:
    """What QEMU reads out of a VMDK's descriptor (lower-cased here) although the inspector passes it.

    A second ``createType`` in another case counts for QEMU and not for the inspector, and its extents are
    files beside the image: those of other tenants. A parent is a backing file by another name.
    """
    if descriptor.count("createtype") != 1:
        raise ImageRefused("The image is not safe to use: its descriptor tells its type more than once.")
    if "parentfilenamehint" in descriptor:
        raise ImageRefused("The image is not safe to use: it refers to a parent file.")


def _ends_as_fixed_vhd(file: IO[bytes], length: int) -> bool:
    file.seek(max(length - 512, 0))
    footer: bytes = file.read(8)
    return footer == b"conectix"


def _refuse_truncated(file: IO[bytes], length: int, found: str) -> None:
    """What ``qemu-img check`` does not find: it knows no check for VHD, and takes a VDI's header as true."""
    if found == "vhd":
        file.seek(-512, os.SEEK_END)
        truncated = not file.read(8).startswith(b"conectix")  # a dynamic disk ends with a copy of its footer
    elif found == "vdi":
        file.seek(0x158)
        (data_offset,) = struct.unpack("<I", file.read(4))
        file.seek(0x178)
        block_size, _, _, blocks_allocated = struct.unpack("<IIII", file.read(16))
        truncated = length < data_offset + block_size * blocks_allocated
    else:
        return
    if truncated:
        raise ImageRefused("The image is truncated: its end is missing.")
