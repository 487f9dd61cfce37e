"""The fixtures of block storage's tests."""

from volume_cloud import cloud, rules

__all__ = ["cloud", "rules"]
