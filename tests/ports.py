"""TCP ports for what tests start: nobody else's, from when they are chosen until they are listened at.

A port that is merely free now may be another's by then: a test's of another worker, or a client's, to whom the
kernel gives any from ``ip_local_port_range`` (32768 and above, where nobody changed it). So each process has a
block of ports below those, which no other process of this machine has as long as it lives, and goes round it.
"""

import itertools
import socket
from collections.abc import Iterator
from contextlib import suppress
from functools import cache

LOWEST, HIGHEST, EACH = 10_000, 32_000, 200


def free_port(address: str = "127.0.0.1") -> int:
    """A port of this address that nobody listens at, and that no other test is given."""
    for port in itertools.islice(_round(), EACH):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((address, port))
            return port
    raise RuntimeError("all ports of this process are in use")


@cache
def _round() -> Iterator[int]:
    return itertools.cycle(range(first := _block(), first + EACH))


def _block() -> int:
    """The first port of a block that is this process's until it ends: then the kernel frees the name."""
    for first in range(LOWEST, HIGHEST, EACH):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0pumice-tests-ports-{first}")
        except OSError:
            claim.close()
        else:
            _claims.append(claim)
            return first
    raise RuntimeError("other processes have all blocks of ports")


_claims: list[socket.socket] = []
