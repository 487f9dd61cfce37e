"""Choosing a pool: filters say which can, weighers which is best. Pure: facts in, a pool out."""
