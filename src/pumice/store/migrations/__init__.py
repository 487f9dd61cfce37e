"""The schema, version by version. ``schema.py`` runs it; the first one is made by ``make schema``."""
