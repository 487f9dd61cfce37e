"""What more than one part of Pumice's own API asks of its policy."""

from pumice.api.booleans import flag
from pumice.api.call import Call
from pumice.api.policy import ADMIN, Rule
from pumice.model.errors import Forbidden

INSIDE = Rule("pumice:inside", ADMIN)
"""Who is told of hosts, pools and places, and of what only operators read."""


def all_projects(call: Call) -> bool:
    """Whether every project's are asked for. Raises ``Forbidden``."""
    wanted = flag(call, "all_projects")
    if wanted and not call.who.is_admin:
        raise Forbidden("Only an administrator may ask for what is all projects'.")
    return wanted
