"""Where the bytes of volumes live, and how hosts reach them (``targets/``)."""
