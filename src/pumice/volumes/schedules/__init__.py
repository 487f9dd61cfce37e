"""Snapshots and backups that are made by themselves, at times, and pruned."""
