"""``python -m pumice``: the command."""

from pumice.app.cli import main

main()
