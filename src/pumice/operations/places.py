"""Where steps run: names for the places that workers serve."""

SCHEDULER = "scheduler"


def volume_host(host: str) -> str:
    """The place of the backend ``host@backend``."""
    return f"volume:{host}"


def compute_host(host: str) -> str:
    """The place of a hypervisor's host."""
    return f"compute:{host}"
