"""The image cache: an image's base in a pool, of which volumes are cloned."""
