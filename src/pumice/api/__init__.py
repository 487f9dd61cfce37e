"""HTTP: parse, call a verb, show the result. Wire words live here and nowhere else."""
