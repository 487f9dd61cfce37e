"""The schema, version by version; ``schema.py`` runs it. A file that has landed is never changed again."""
