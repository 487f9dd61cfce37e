"""What may not be done to a volume while it is moved to another pool."""

from pumice.model.errors import InvalidState
from pumice.model.volume import Volume


def refuse_moving(volume: Volume, must: str) -> None:
    """Raises ``InvalidState`` while a volume is moved. ``must`` completes "Volume status must …"."""
    if volume.is_moving:
        raise InvalidState(
            f"Invalid volume: Volume status must {must}, but it is being moved to another pool "
            f"(its migration is '{volume.migration_status}')."
        )
