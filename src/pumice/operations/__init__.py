"""The engine: verbs and operations, their transitions, the runner that carries them out, and their harness."""
