"""The engine: what an operation is, the course it takes, who carries it out, and how all that is tested."""
