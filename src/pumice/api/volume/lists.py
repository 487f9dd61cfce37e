"""What lists have in common: whose rows, and how many."""

from pumice.api.call import Call
from pumice.api.truth import flag


def asks_for_all(call: Call) -> bool:
    """Whether an administrator asks for every project's."""
    return call.who.is_admin and "all_tenants" in call.query and flag(call, "all_tenants")


def counts(call: Call) -> bool:
    """Whether a list shall say how long it is (3.45)."""
    return call.version >= (3, 45) and flag(call, "with_count")
