"""Two operations that can touch one thing, in every order of their steps; then a model says what must be."""
