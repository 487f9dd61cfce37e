"""What can be done with snapshots: one verb, one file."""
