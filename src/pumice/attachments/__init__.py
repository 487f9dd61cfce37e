"""The link between a volume and whoever uses it, entered through the Block Storage and the Compute API."""
