"""How fast and how large one Pumice is, beside Cinder: ``python -m benchmarks`` prints the table."""
