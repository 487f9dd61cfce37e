"""How chunks are compressed: by the names that Cinder's chunked drivers write down beside each object."""

import bz2
import zlib
from collections.abc import Callable, Mapping
from functools import partial

import zstandard

from pumice.backends.backups.contract import Damaged

NAMES = ("zstd", "zlib", "none")
"""What may be chosen. What others have written may be compressed otherwise."""
_ERRORS = (zlib.error, zstandard.ZstdError, OSError, ValueError, EOFError)


def _zstd(data: bytes | memoryview) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def _unzstd(length: int, data: bytes) -> bytes:
    if zstandard.frame_content_size(data) > length:
        raise ValueError("it says that it is larger than it was")
    return zstandard.ZstdDecompressor().decompress(data, max_output_size=length)


def _unzlib(length: int, data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data, length)


def _unbz2(length: int, data: bytes) -> bytes:
    return bz2.BZ2Decompressor().decompress(data, length)


_COMPRESS: Mapping[str, Callable[[bytes | memoryview], bytes]] = {
    "zstd": _zstd,
    "zlib": partial(zlib.compress, level=6),
}
_EXPAND: Mapping[str, Callable[[int, bytes], bytes]] = {
    **dict.fromkeys(("none", "off", "no"), lambda _, data: data),
    **dict.fromkeys(("zlib", "gzip"), _unzlib),
    **dict.fromkeys(("bz2", "bzip2"), _unbz2),
    "zstd": _unzstd,
}


def compressed(algorithm: str, data: bytes | memoryview) -> tuple[str, bytes]:
    """The smaller of the two: compressed, or as it is; and the name of what was done."""
    if algorithm == "none":
        return algorithm, bytes(data)
    smaller = _COMPRESS[algorithm](data)
    return (algorithm, smaller) if len(smaller) < len(data) else ("none", bytes(data))


def expanded(algorithm: str, data: bytes, length: int) -> bytes:
    """The ``length`` bytes that were compressed: never more, whatever is there. Raises ``Damaged``."""
    if (expand := _EXPAND.get(algorithm.lower())) is None:
        raise Damaged(f"An object is compressed by '{algorithm[:40]}', which this version does not know.")
    try:
        return expand(length, data)
    except _ERRORS as error:
        raise Damaged(f"An object cannot be decompressed: {error}.") from None
