"""Deleted volumes and snapshots that are kept for a while, and can be had back."""
