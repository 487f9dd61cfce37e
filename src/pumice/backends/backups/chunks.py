"""Chunks of a volume: each is read where there is data, hashed by blocks, and compressed.

Synchronous; called in threads. What is a hole is not read: it is zeroes, of which the hash is known and the
compressed form is made once. A full backup has them as objects all the same: whoever restores it over old
bytes must write them. So a chunk that has holes of some size is several objects.
"""

import hashlib
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from pumice.backends.backups.compression import compressed

BLOCK = 32768
"""Bytes of which one hash tells whether they have changed: Cinder's ``backup_sha_block_size_bytes``."""

HOLE = 8 << 20
"""Bytes, aligned, that are a hole of their own in a full backup: so holes have few lengths, each made once."""


@dataclass(frozen=True, slots=True)
class ChunkObject:
    """A run of a chunk's bytes that becomes one object."""

    offset: int
    length: int
    compression: str
    md5: str
    """The MD5 of the bytes before they were compressed."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a volume: the hash of each of its blocks, and what is to be kept of it."""

    hashes: Sequence[str]
    pieces: Sequence[ChunkObject]


def md5_of(data: bytes | memoryview) -> str:
    """The MD5 of a chunk, as Cinder writes it down; against accidents, not against people."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@lru_cache(maxsize=4)
def _hash_of_zeroes(length: int) -> str:
    return hashlib.sha256(bytes(length)).hexdigest()


@lru_cache(maxsize=64)
def md5_of_zeroes(length: int) -> str:
    """The MD5 of zeroes: an object that has it need not be read."""
    return md5_of(bytes(length))


@lru_cache(maxsize=64)
def zeroes(length: int, algorithm: str) -> tuple[str, bytes]:
    """How so many zeroes are kept: made once."""
    return compressed("zlib" if algorithm == "none" else algorithm, bytes(length))


def read_chunk(
    file: int,
    offset: int,
    length: int,
    data: Sequence[tuple[int, int]],
    algorithm: str,
    before: Sequence[str] | None,
) -> Chunk:
    """Read, hash and compress; with the hashes from ``before`` only the blocks that differ are kept.

    ``data`` are the ranges of the file, within the chunk, that are no holes.
    """
    ranges = [(start - offset, end - offset) for start, end in data]
    sizes = [min(BLOCK, length - at) for at in range(0, length, BLOCK)]
    hashes = [_hash_of_zeroes(size) for size in sizes]
    if not ranges and list(before or ()) == hashes:  # a hole that was one
        return Chunk(hashes, [])
    view = memoryview(mmap.mmap(-1, length))  # of it only what is written takes memory, or time
    for start, end in ranges:
        _read(file, view[start:end], offset + start)
        for block in range(start // BLOCK, -(-end // BLOCK)):
            hashes[block] = hashlib.sha256(view[block * BLOCK : block * BLOCK + sizes[block]]).hexdigest()
    if before is None:
        runs = _data_and_holes(ranges, length)
    else:
        runs = [(first * BLOCK, min(last * BLOCK, length), False) for first, last in _different(hashes, before)]
    pieces = []
    for start, end, is_hole in runs:
        if is_hole:
            (done, kept), md5 = zeroes(end - start, algorithm), md5_of_zeroes(end - start)
        else:
            (done, kept), md5 = compressed(algorithm, view[start:end]), md5_of(view[start:end])
        pieces.append(ChunkObject(offset + start, end - start, done, md5, bytes(kept)))
    return Chunk(hashes, pieces)


def _data_and_holes(ranges: Sequence[tuple[int, int]], length: int) -> list[tuple[int, int, bool]]:
    """The runs of a chunk: the first byte, the one behind it, and whether nothing was ever written there."""
    runs: list[tuple[int, int, bool]] = []
    for start in range(0, length, HOLE):
        end = min(start + HOLE, length)
        is_hole = not any(first < end and start < last for first, last in ranges)
        if runs and runs[-1][2] == is_hole:
            runs[-1] = (runs[-1][0], end, is_hole)
        else:
            runs.append((start, end, is_hole))
    return runs


def _read(file: int, view: memoryview, offset: int) -> None:
    done = 0
    while done < len(view):
        got = os.preadv(file, [view[done:]], offset + done)
        if not got:
            raise OSError("it ended before its size")
        done += got


def _different(hashes: Sequence[str], before: Sequence[str]) -> list[tuple[int, int]]:
    """The runs of blocks whose hashes differ, by the numbers of their first blocks and of those behind them."""
    runs: list[tuple[int, int]] = []
    for number, (new, old) in enumerate(zip(hashes, before, strict=True)):
        if new == old:
            continue
        if runs and runs[-1][1] == number:
            runs[-1] = (runs[-1][0], number + 1)
        else:
            runs.append((number, number + 1))
    return runs
