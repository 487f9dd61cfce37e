"""What people call things: names, ids and the first characters of ids, for commands that are typed."""

from collections.abc import Collection

import sqlalchemy as sa

from pumice.store.database import Transaction
from pumice.store.tables import backups, group_snapshots, groups, images, projects, servers, snapshots, volumes

THINGS = (volumes, snapshots, backups, groups, group_snapshots, servers, images)


def of_things(tx: Transaction, ids: Collection[str]) -> dict[str, str]:
    """The names of those of the ids that are volumes, groups, servers, images and the like, and have one."""
    some = [
        sa.select(it.c.id, it.c.name).where(it.c.id.in_(list(ids)), it.c.name.is_not(None)) for it in THINGS
    ]
    return {row.id: row.name for row in tx.execute(sa.union_all(*some)) if row.name}


def of_projects(tx: Transaction, ids: Collection[str]) -> dict[str, str]:
    """The names of projects by their ids."""
    return {row.id: row.name for row in tx.execute(sa.select(projects).where(projects.c.id.in_(list(ids))))}


def things(tx: Transaction, word: str) -> list[str]:
    """The ids of the things that are meant by a name, an id, or the first characters of one."""
    return [found for it in THINGS for found in _meant(tx, it, word)]


def projects_called(tx: Transaction, word: str) -> list[str]:
    """The ids of the projects that are meant."""
    return _meant(tx, projects, word)


def volumes_called(tx: Transaction, word: str) -> list[str]:
    """The ids of the volumes that are meant."""
    return _meant(tx, volumes, word)


def _meant(tx: Transaction, table: sa.Table, word: str) -> list[str]:
    meant = sa.or_(table.c.name == word, table.c.id.startswith(word, autoescape=True))
    return list(tx.execute(sa.select(table.c.id).where(meant)).scalars())
