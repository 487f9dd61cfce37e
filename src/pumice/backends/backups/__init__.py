"""Stores of backups, away from the volumes they are of."""
