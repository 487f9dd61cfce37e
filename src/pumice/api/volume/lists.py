"""What lists have in common: whose rows, how many, and how a page of them looks."""

from collections.abc import Sequence
from typing import Any

from pumice.api import paging
from pumice.api.call import Call
from pumice.api.truth import flag


def asks_for_all(call: Call) -> bool:
    """Whether an administrator asks for every project's."""
    return call.who.is_admin and "all_tenants" in call.query and flag(call, "all_tenants")


def counts(call: Call) -> bool:
    """Whether a list shall say how long it is (3.45)."""
    return call.version >= (3, 45) and flag(call, "with_count")


def listed(
    call: Call, name: str, rows: Sequence[dict[str, Any]], page: paging.Page, count: int | None
) -> dict[str, Any]:
    """A page on the wire: with the link to the next, if there is one, and the count, if it was asked for."""
    body: dict[str, Any] = {name: rows}
    if links := paging.next_link(call, rows, page):
        body[f"{name}_links"] = links
    if count is not None:
        body["count"] = count
    return body
