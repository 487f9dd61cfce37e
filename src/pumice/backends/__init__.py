"""Backends, which keep the bytes of volumes, and targets, by which hosts reach them (``targets/``)."""
