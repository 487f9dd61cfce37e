"""Conditions on rows, for lists: what their ``page`` takes as ``filters``."""

from datetime import datetime

import sqlalchemy as sa

from pumice.store.json_columns import has_pair
from pumice.store.tables import attachments, backups, group_snapshots, groups, snapshots, volumes

Condition = sa.ColumnElement[bool]
OPERATORS = ("gt", "gte", "eq", "neq", "lt", "lte")


class Conditions:
    """Conditions on the columns of one table."""

    def __init__(self, table: sa.Table) -> None:
        self._columns = table.c

    def kind(self, column: str) -> type:
        """What the column holds: ``str``, ``int``, ``bool`` or ``datetime``."""
        kind: type = self._columns[column].type.python_type
        return kind

    def equals(self, column: str, value: object) -> Condition:
        """The column has this value."""
        return self._columns[column] == value

    def contains(self, column: str, text: str) -> Condition:
        """The text is somewhere in the column, whatever its case."""
        return self._columns[column].icontains(text, autoescape=True)

    def begins(self, column: str, text: str) -> Condition:
        """The column begins with the text."""
        return self._columns[column].startswith(text, autoescape=True)

    def holds(self, column: str, key: str, value: str) -> Condition:
        """The column's JSON object has this pair."""
        return has_pair(self._columns[column], key, value)

    def when(self, column: str, operator: str, moment: datetime) -> Condition:
        """Compare a time by one of ``OPERATORS``."""
        time = self._columns[column]
        match operator:
            case "gt":
                return time > moment
            case "gte":
                return time >= moment
            case "lt":
                return time < moment
            case "lte":
                return time <= moment
            case "neq":
                return time != moment
            case _:
                return time == moment


def everything() -> Condition:
    """The condition that every row meets."""
    return sa.true()


def nothing() -> Condition:
    """The condition that no row meets."""
    return sa.false()


VOLUMES = Conditions(volumes)
SNAPSHOTS = Conditions(snapshots)
BACKUPS = Conditions(backups)
GROUPS = Conditions(groups)
GROUP_SNAPSHOTS = Conditions(group_snapshots)
ATTACHMENTS = Conditions(attachments)
