"""The types of columns, the same on every database."""

from datetime import UTC, datetime

import sqlalchemy as sa


def now() -> datetime:
    """The present, in UTC without a zone: the way every time is stored. Microseconds."""
    return datetime.now(UTC).replace(tzinfo=None)


ID = sa.String(36)
NAME = sa.String(255)
WORD = sa.String(64)
TIME = sa.DateTime()
JSON = sa.JSON()
