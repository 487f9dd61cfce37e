"""Let the C library give back what is freed.

Hashing one password takes 19 MiB for 20 ms. glibc's malloc learns from the first such block to keep the next
ones, in an arena for each thread that ever asked: measured, that held 40 MiB of a process that serves. Two
arenas are enough for threads that take turns, and a fixed threshold lets large blocks come and go by mmap.
"""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
LARGE = 1 << 20
"""Bytes from which on a block is the kernel's, and is given back at once."""


def give_back() -> None:
    """Set malloc's limits, before there are threads. Nothing to do where the C library is not glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 2)
        mallopt(_M_MMAP_THRESHOLD, LARGE)
        mallopt(_M_TRIM_THRESHOLD, LARGE)
