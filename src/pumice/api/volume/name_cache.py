"""Names of volume types and uuids of services: few, read with every volume, hardly ever changed.

They are remembered for a few seconds instead of read for each request. What is not known yet is looked up at
once, so only a name that another process changed can be shown as it was.
"""

import time
from collections.abc import Iterable, Mapping

from pumice.store import services, types
from pumice.store.database import Transaction

SECONDS = 5.0


class NameCache:
    """The names and uuids that one process remembers."""

    def __init__(self) -> None:
        self._types: tuple[float, Mapping[str, str]] = (0.0, {})
        self._services: tuple[float, Mapping[str, str | None]] = (0.0, {})

    def types(self, tx: Transaction, ids: Iterable[str | None] = ()) -> Mapping[str, str]:
        """The names of types by id, those of ``ids`` among them."""
        until, names = self._types
        if time.monotonic() >= until or any(key not in names for key in ids if key):
            names = types.names(tx)
            self._types = time.monotonic() + SECONDS, names
        return names

    def services(self, tx: Transaction) -> Mapping[str, str | None]:
        """The uuids of volume services by ``host@backend``; None for a cluster, which has many."""
        until, uuids = self._services
        if time.monotonic() >= until:
            uuids = services.uuids(tx)
            self._services = time.monotonic() + SECONDS, uuids
        return uuids

    def forget(self) -> None:
        """Read the names of types again at the next request: one was changed by this process."""
        self._types = (0.0, {})
