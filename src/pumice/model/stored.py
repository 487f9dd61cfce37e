"""What backends hold and rows know of: the bytes of volumes and snapshots."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, order=True)
class StoredObject:
    """Bytes in a pool: a volume's or a snapshot's, whole or left by a call that was cut short."""

    kind: Literal["volume", "snapshot"]
    id: str
    pool: str
    """The backend's own name for it."""
    whole: bool = True
