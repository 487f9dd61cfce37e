"""Where backups are kept, away from the volumes they are of."""
