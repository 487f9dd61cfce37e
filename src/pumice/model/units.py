"""Units. Volumes are sized in whole GiB on the wire, in bytes where bytes are moved."""

GIB = 1024**3
MIB = 1024**2


def gib_to_hold(size_bytes: int) -> int:
    """The smallest whole number of GiB that holds ``size_bytes``."""
    return -(-size_bytes // GIB)
