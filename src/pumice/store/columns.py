"""The types of columns, the same on every database."""

import sqlalchemy as sa

from pumice.store.clock import now as now

ID = sa.String(36)
NAME = sa.String(255)
WORD = sa.String(64)
TIME = sa.DateTime()
JSON = sa.JSON()
