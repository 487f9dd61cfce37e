"""Names of the places where steps run, which workers serve."""

SCHEDULER = "scheduler"
WEBHOOKS = "webhooks"
"""Where messages are posted to tenants' servers, by any scheduler: they hang by themselves."""
IMAGES = "images"
"""Where the images' bytes are, which steps of other places read and write: it hangs by itself."""


def volume_host(host: str) -> str:
    """The place of the backend ``host@backend``."""
    return f"volume:{host}"


def compute_host(host: str) -> str:
    """The place of a hypervisor's host."""
    return f"compute:{host}"
