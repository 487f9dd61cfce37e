"""This machine: running commands, converting images. Knows nothing of volumes or servers."""
