"""The Block Storage API, version 3."""
