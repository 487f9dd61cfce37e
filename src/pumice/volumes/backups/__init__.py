"""What can be done with backups: one verb, one file."""
