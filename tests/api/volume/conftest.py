"""The fixtures of block storage's tests."""

from volume_cloud import cloud, tunables

__all__ = ["cloud", "tunables"]
