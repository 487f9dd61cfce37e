"""A storage that hosts reach by themselves, as somebody else's package brings it: all that a driver takes."""
