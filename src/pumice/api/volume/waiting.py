"""Requests that must answer with a result wait for their operation to end."""

from collections.abc import Iterable

from pumice.api.call import Call
from pumice.model.errors import Retryable


async def ended(call: Call, operation_id: str | None, doing: str) -> None:
    """Wait for an operation, if there is one. Raises ``Retryable`` when it failed or goes on.

    ``doing`` completes the sentence "Unable to …".
    """
    if operation_id is None:
        return
    try:
        well, error = await call.ctx.completions.wait(operation_id, call.ctx.tunables.api_wait_seconds)
    except TimeoutError:
        raise Retryable(f"Unable to {doing} in time; it goes on. Ask again.") from None
    if not well:
        raise Retryable(f"Unable to {doing}: {error}")


async def all_ended(call: Call, operations: Iterable[str], doing: str) -> None:
    """Wait for several operations, as ``ended`` does for one."""
    for operation_id in operations:
        await ended(call, operation_id, doing)
