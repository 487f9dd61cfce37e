"""qemu-img on bytes that strangers made: convert an image to raw, or say why it cannot be.

In this order: ``qemu-img check`` where the format has one, because qemu-img reads whatever a truncated image
lacks as zeroes and calls that success; then ``qemu-img convert`` into a target that has its size already.

What must never happen, and what keeps it so:

* **A format is never guessed.** The driver is named; a raw image that begins like a qcow2 is copied as it is.
* **A name is only a name.** Files are given as ``json:`` with the ``file`` driver spelled out, so that a path
  such as ``nbd:…`` or ``a,b=c`` cannot turn into a protocol or an option.
* **No other file is opened.** The backing file is forced to null, whatever the header says (CVE-2024-32498).
  External data files and extents that name paths are refused before by ``images/inspect.py``: only an
  inspected image comes here.
* **Nothing grows.** ``-n`` leaves the target as it is; qemu-img refuses a source larger than its target.
* **Nothing runs away.** CPU time and address space are limited, and so is the time on the clock.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pumice.host.command import CommandFailed, Limits, in_memory, run
from pumice.host.durable import forget_cached, sync
from pumice.host.luks import HEADER_BYTES, SECRET_WORDS, Key
from pumice.host.thread import in_thread
from pumice.model.errors import ImageRefused, Invalid, TryAnotherBackend
from pumice.model.units import GIB

DRIVERS = {
    "raw": "raw",
    "iso": "raw",
    "qcow2": "qcow2",
    "vdi": "vdi",
    "vhd": "vpc",
    "vhdx": "vhdx",
    "vmdk": "vmdk",
}
"""The formats that can be converted, in the Image API's words (``disk_format``), and QEMU's names for them."""

_CHECKED = {"qcow2", "vdi", "vhdx", "vmdk"}
_ERRORS_FOUND = 2
_LEAKS_ONLY = 3
"""``qemu-img check``: clusters that nothing refers to. They cost space and harm nobody."""

_MEMORY_BYTES = GIB
_CPU_SECONDS = 60
_CPU_SECONDS_PER_GIB = 10
"""A compressed image costs about 5 seconds of CPU per GiB on a slow core."""

_ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
"""glibc reserves address space per thread; on a host of many cores that alone would pass the limit."""

_EXPORT_OPTIONS = {"vmdk": "subformat=streamOptimized", "vhd": "force_size=on"}
"""VMDK as one file, whose size is not rounded up to cylinders: a volume of that size holds it again."""

_DIFFER = 1
"""``qemu-img compare``: what it has read is not the same."""
_NAMES = "first", "second"
_NO_SPACE = "There is no space left for the bytes."

_PERCENT = re.compile(rb"\((\d+\.\d+)/100%\)")


async def convert(
    source: Path,
    source_format: str,
    target: Path,
    *,
    virtual_size: int,
    progress: Callable[[float], None],
    timeout: float,
    target_is_zero: bool = False,
    key: Key | None = None,
) -> None:
    """Write the disk inside ``source`` to ``target``: a raw file or block device that is large enough already.

    ``source_format`` is a key of ``DRIVERS``; ``virtual_size`` (bytes) is what inspection found and scales the
    CPU limit; ``timeout`` is in seconds. ``target_is_zero`` promises that the target reads as zeroes, as a
    fresh sparse file does: zeroes are then skipped. A target that is LUKS is written through its ``key``.
    Bytes are in the kernel's hands at return, not on disk: the caller syncs. Raises ``ImageRefused``
    (malformed, does not fit, over the limits), ``TryAnotherBackend`` (the target is full or broken) or
    ``CommandTimedOut``, which is ``Retryable``.
    """
    if source_format not in DRIVERS:
        raise ImageRefused(f"Images in format '{source_format}' cannot be converted.")
    limits = Limits(_CPU_SECONDS + _CPU_SECONDS_PER_GIB * virtual_size // GIB, _MEMORY_BYTES)
    image = _image(source, source_format)
    await _check(image, source_format, limits, timeout)
    block_device = await in_thread(target.is_block_device)
    try:
        await run(
            *("qemu-img", "convert", "-p", "-n", "-W", "-O", "luks" if key else "raw"),
            *(SECRET_WORDS if key else ()),
            *(["--target-is-zero"] if target_is_zero else []),
            *("-t", "none" if block_device else "writeback"),
            image,
            _node(target, "host_device" if block_device else "file", encrypted=key is not None),
            timeout=timeout,
            stdin=key.passphrase.encode() if key else None,
            env=_ONE_ARENA,
            limits=limits,
            on_output=_percent_reader(progress),
            public=True,
        )
    except CommandFailed as failure:
        raise _explained(failure) from failure


async def copy(
    source: Path, target: Path, *, length: int, progress: Callable[[float], None], timeout: float
) -> None:
    """Copy the first ``length`` bytes of a block device of ours to another; zeroes are written as zeroes.

    The devices' caches are passed by (O_DIRECT). Raises ``TryAnotherBackend`` when either is full or broken, or
    ``CommandTimedOut``.
    """
    node = {"driver": "raw", "size": length, "read-only": True}
    node["file"] = {"driver": "host_device", "filename": str(source.absolute())}
    try:
        await run(
            *("qemu-img", "convert", "-p", "-n", "-W", "-O", "raw", "-T", "none", "-t", "none"),
            f"json:{json.dumps(node)}",
            _node(target, "host_device", encrypted=False),
            timeout=timeout,
            env=_ONE_ARENA,
            on_output=_percent_reader(progress),
        )
    except CommandFailed as failure:
        raise TryAnotherBackend("The bytes cannot be copied.", failure.stderr.strip()[-200:]) from failure


@dataclass(frozen=True, slots=True)
class IscsiDisk:
    """A disk at an iSCSI target, and the account by which it is read."""

    portal: str
    """``ip:port``"""
    iqn: str
    lun: int
    initiator: str
    username: str
    password: str = field(repr=False)


async def fetch(disk: IscsiDisk, target: Path, *, progress: Callable[[float], None], timeout: float) -> None:
    """Write the bytes of a disk of ours that another host exports to ``target``, which reads as zeroes.

    QEMU's own initiator logs in; zeroes are not written. Bytes are on disk at return. Raises
    ``TryAnotherBackend`` when the target is full, ``CommandFailed`` or ``CommandTimedOut``.
    """
    source = {
        "driver": "iscsi",
        "transport": "tcp",
        "portal": disk.portal,
        "target": disk.iqn,
        "lun": disk.lun,
        "initiator-name": disk.initiator,
        "user": disk.username,
        "password-secret": "chap",
    }
    block_device = await in_thread(target.is_block_device)
    with _a_full_disk_is_told(_NO_SPACE):
        await run(
            *("qemu-img", "convert", "-p", "-n", "-W", "-O", "raw", "--target-is-zero"),
            *("--object", "secret,id=chap,file=/dev/stdin"),
            *("-T", "none", "-t", "none" if block_device else "writeback"),
            f"json:{json.dumps({'driver': 'raw', 'file': source, 'read-only': True})}",
            _node(target, "host_device" if block_device else "file", encrypted=False),
            timeout=timeout,
            stdin=disk.password.encode(),
            env=_ONE_ARENA,
            on_output=_percent_reader(progress),
        )
    await in_thread(sync, target)


async def export(
    device: Path, target: Path, image_format: str, *, progress: Callable[[float], None], timeout: float
) -> None:
    """Write the raw bytes of a volume's ``device`` to ``target``, a new file, as an image.

    ``image_format`` is a key of ``DRIVERS`` (no ``iso``); ``timeout`` is in seconds.
    Raises ``TryAnotherBackend`` (no space), ``Retryable``, or ``Invalid`` for another format.
    """
    if image_format not in DRIVERS or image_format == "iso":
        raise Invalid(f"Volumes cannot be written as images in format '{image_format}'.")
    block_device = await in_thread(device.is_block_device)
    with _a_full_disk_is_told("There is no space left to write the image's bytes."):
        await run(
            *("qemu-img", "convert", "-p", "-U", "-O", DRIVERS[image_format]),
            *(["-o", _EXPORT_OPTIONS[image_format]] if image_format in _EXPORT_OPTIONS else []),
            *("-T", "none" if block_device else "writeback"),
            _node(device, "host_device" if block_device else "file", encrypted=False),
            target,
            timeout=timeout,
            on_output=_percent_reader(progress),
        )


@dataclass(frozen=True, slots=True)
class Locked:
    """A device of ours, and the key that opens what is in it; a plain one has none."""

    device: Path
    key: Key | None


async def rewrite(
    source: Locked, target: Locked, size: int, *, progress: Callable[[float], None], timeout: float
) -> None:
    """Write what is inside ``source`` to ``target``: both of ``size`` bytes, and at least one of them is LUKS.

    A target without a key reads as zeroes. The header takes ``HEADER_BYTES`` of a device: what of a plain one
    does not fit beside it is not written, and ``are_alike`` tells whether anything was there. Neither key is on
    a command line, and what is inside lies nowhere in between. Bytes are on disk at return. Raises
    ``TryAnotherBackend`` when the target is full, ``CommandFailed`` or ``CommandTimedOut``.
    """
    on_block, from_block = [await in_thread(it.device.is_block_device) for it in (target, source)]
    with _secrets(source, target) as (words, files), _a_full_disk_is_told(_NO_SPACE):
        await run(
            *("qemu-img", "convert", "-p", "-n", "-W", "-O", "luks" if target.key else "raw"),
            *([] if target.key else ["--target-is-zero"]),
            *("-T", "none" if from_block else "writeback", "-t", "none" if on_block else "writeback"),
            *words,
            _opened(source, from_block, "first", size if target.key is None else size - HEADER_BYTES),
            _opened(target, on_block, "second"),
            timeout=timeout,
            env=_ONE_ARENA,
            on_output=_percent_reader(progress),
            keep_open=files,
        )
    await in_thread(sync, target.device)


async def are_alike(
    first: Locked, second: Locked, *, progress: Callable[[float], None], timeout: float
) -> bool:
    """Whether the same is inside both, as read from disk; where one has room for more, that is all zeroes.

    Raises ``CommandFailed`` or ``CommandTimedOut``.
    """
    blocks = [await in_thread(it.device.is_block_device) for it in (first, second)]
    for it in (first, second):
        await in_thread(forget_cached, it.device)
    with _secrets(first, second) as (words, files):
        try:
            await run(
                *("qemu-img", "compare", "-p", "-T", "none" if all(blocks) else "writeback"),
                *words,
                _opened(first, blocks[0], "first"),
                _opened(second, blocks[1], "second"),
                timeout=timeout,
                env=_ONE_ARENA,
                on_output=_percent_reader(progress),
                keep_open=files,
            )
        except CommandFailed as failure:
            if failure.code == _DIFFER:
                return False
            raise
    return True


@contextlib.contextmanager
def _secrets(*opened: Locked) -> Iterator[tuple[list[str], list[int]]]:
    """Options that name each device's passphrase, and the files in memory that they are in."""
    words: list[str] = []
    with contextlib.ExitStack() as stack:
        files = []
        for name, one in zip(_NAMES, opened, strict=True):
            if one.key:
                file = stack.enter_context(in_memory(one.key.passphrase.encode()))
                files.append(file)
                words += ["--object", f"secret,id={name},file=/dev/fd/{file}"]
        yield words, files


def _opened(it: Locked, is_block: bool, name: str, size: int | None = None) -> str:
    node: dict[str, object] = {
        "driver": "host_device" if is_block else "file",
        "filename": str(it.device.absolute()),
    }
    if it.key:
        return f"json:{json.dumps({'driver': 'luks', 'key-secret': name, 'file': node})}"
    return f"json:{json.dumps({'driver': 'raw', 'file': node} | ({'size': size} if size else {}))}"


@contextlib.contextmanager
def _a_full_disk_is_told(words: str) -> Iterator[None]:
    """Raises ``TryAnotherBackend`` with these words where a command failed for lack of space."""
    try:
        yield
    except CommandFailed as failure:
        if _is_full(failure):
            raise TryAnotherBackend(words) from failure
        raise


async def _check(image: str, source_format: str, limits: Limits, timeout: float) -> None:
    """Refuse an image whose tables point outside of it: it is truncated or damaged."""
    if source_format not in _CHECKED:
        return
    try:
        await run("qemu-img", "check", "-q", image, timeout=timeout, env=_ONE_ARENA, limits=limits, public=True)
    except CommandFailed as failure:
        if failure.code == _ERRORS_FOUND:
            raise ImageRefused(
                "The image is truncated or damaged: 'qemu-img check' finds errors in it."
            ) from failure
        if failure.code != _LEAKS_ONLY:
            raise _explained(failure) from failure


def _image(path: Path, image_format: str) -> str:
    """The untrusted image as a QEMU block node: format fixed, read-only, without a backing file."""
    node: dict[str, object] = {
        "driver": DRIVERS[image_format],
        "file": {"driver": "file", "filename": str(path.absolute())},
        "read-only": True,
    }
    if image_format != "raw":
        node["backing"] = None
    if image_format == "vhd":
        # Else QEMU computes the size from the disk geometry for some creators, and differs from inspection.
        node["force_size_calc"] = "current_size"
    return f"json:{json.dumps(node)}"


def _node(path: Path, protocol: str, *, encrypted: bool) -> str:
    node: dict[str, object] = {"driver": protocol, "filename": str(path.absolute())}
    node = (
        {"driver": "luks", "key-secret": "luks", "file": node} if encrypted else {"driver": "raw", "file": node}
    )
    return f"json:{json.dumps(node)}"


def _percent_reader(progress: Callable[[float], None]) -> Callable[[bytes], None]:
    """Reads ``(12.50/100%)`` out of the output, also where a piece of output ends in the middle of it."""
    unread = b""

    def read(piece: bytes) -> None:
        nonlocal unread
        unread += piece
        found = None
        for found in _PERCENT.finditer(unread):
            progress(float(found[1]) / 100)
        unread = unread[found.end() if found else 0 :][-64:]

    return read


def _is_full(failure: CommandFailed) -> bool:
    return "No space left on device" in failure.stderr or "Disk quota exceeded" in failure.stderr


def _explained(failure: CommandFailed) -> ImageRefused | TryAnotherBackend:
    if _is_full(failure):
        return TryAnotherBackend("There is no space left to write the image's bytes.")
    if "error while writing" in failure.stderr:
        return TryAnotherBackend("The image's bytes cannot be written.", failure.stderr.strip()[-200:])
    if failure.code < 0:
        return ImageRefused("The image needs more CPU time or memory to convert than an image is allowed.")
    if "output file is smaller than input file" in failure.stderr:
        return ImageRefused("The disk inside the image is larger than what the volume has room for.")
    if "No such file or directory" in failure.stderr:
        return ImageRefused("The image was deleted before its bytes were copied.")
    if "Parameter 'key-secret' is required" in failure.stderr or "encrypted" in failure.stderr:
        return ImageRefused("The image is encrypted, and nobody here has its key.")
    return ImageRefused(f"qemu-img cannot read the image: {_last_words(failure)}")


def _last_words(failure: CommandFailed) -> str:
    """What a command said last, without the description of files that it begins with."""
    words = failure.stderr.strip().rpartition("\n")[2].rpartition("}': ")[2]
    return words[-200:] or f"it ended with {failure.code}"
