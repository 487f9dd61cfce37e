"""A daemon that Pumice runs, and that outlives it."""

from typing import Protocol


class Daemon(Protocol):
    """The daemon of a target or a hypervisor, with what it can be asked."""

    @property
    def name(self) -> str:
        """The name of its program."""

    @property
    def of_target(self) -> str | None:
        """The target driver whose daemon it is; None for a hypervisor's."""

    def pid(self) -> int | None:
        """The id of the daemon's process, if it runs."""

    async def stop(self, *, force: bool = False) -> None:
        """Stop the daemon. Raises ``Conflict`` while somebody uses it, unless ``force``."""
