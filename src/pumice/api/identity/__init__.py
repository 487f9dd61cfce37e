"""Identity v3 on the wire: one file per resource, one table of routes with their rules."""
