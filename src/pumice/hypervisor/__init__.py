"""Where virtual machines run, and how volumes are plugged into them."""
