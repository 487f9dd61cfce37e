"""What can be done with servers: one verb, one file."""
