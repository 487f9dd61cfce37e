"""Where an image lies in a cluster of Ceph: Glance's ``rbd://`` location, whoever keeps it there."""

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, unquote

SNAPSHOT = "snap"
"""What Glance, and so everybody, calls the protected snapshot that an image is."""
_FSID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class RbdLocation:
    """A snapshot in a pool of the cluster that has this ``fsid``, which no other cluster of any name has."""

    fsid: str
    pool: str
    image: str
    snapshot: str

    @classmethod
    def parse(cls, url: str) -> Self | None:
        """None for what is no ``rbd://FSID/POOL/IMAGE/SNAPSHOT``."""
        scheme, _, rest = url.partition("://")
        parts = [unquote(part) for part in rest.split("/")]
        if scheme != "rbd" or len(parts) != 4 or not all(parts) or not _FSID.fullmatch(parts[0]):
            return None
        return cls(*parts)

    @property
    def url(self) -> str:
        """As Glance writes it."""
        return "rbd://" + "/".join(
            quote(part, "") for part in (self.fsid, self.pool, self.image, self.snapshot)
        )
