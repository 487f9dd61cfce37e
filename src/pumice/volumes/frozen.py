"""A frozen backend: what lies there stays as it is, until it is thawed."""

from pumice.model.errors import InvalidState
from pumice.model.volume import host_of
from pumice.store import services
from pumice.store.database import Transaction


def refuse_frozen(tx: Transaction, pool: str | None) -> None:
    """Raises ``InvalidState`` where the pool's backend is frozen."""
    if pool is not None and services.is_frozen(tx, host_of(pool)):
        raise InvalidState(
            "Invalid input received: Modification operations are not allowed on frozen storage backends."
        )
