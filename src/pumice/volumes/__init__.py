"""What can be done with volumes: one verb, one file."""
