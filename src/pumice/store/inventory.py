"""How much there is of everything, for whoever watches: how many are in each status, and what each pool has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pumice.model.volume import Pool
from pumice.store import pools, services
from pumice.store.database import Transaction
from pumice.store.tables import attachments, backups, group_snapshots, groups, servers, snapshots, volumes

COUNTED = {
    "volumes": volumes,
    "snapshots": snapshots,
    "backups": backups,
    "groups": groups,
    "group_snapshots": group_snapshots,
    "attachments": attachments,
    "servers": servers,
}


@dataclass(frozen=True, slots=True)
class Inventory:
    """The numbers of things by status and pool, at one moment."""

    numbers: Mapping[str, Mapping[str, int]]
    """How many there are in each status, by kind: volumes, snapshots, backups, groups, attachments, servers."""
    pools: Sequence[Pool]
    services: Sequence[services.Row]


def inventory(tx: Transaction) -> Inventory:
    """Count: what is in no status is left out."""

    def by_status(table: sa.Table) -> dict[str, int]:
        query = sa.select(table.c.status, sa.func.count().label("number")).group_by(table.c.status)
        return {str(row.status): int(row.number) for row in tx.execute(query)}

    numbers = {name: by_status(table) for name, table in COUNTED.items()}
    return Inventory(numbers, pools.every(tx), services.every(tx))
