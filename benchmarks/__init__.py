"""How fast and how large one Pumice is, beside the incumbent: ``python -m benchmarks`` prints the table."""
