"""Backups whose objects are missing, and objects of backups that have no row.

Objects that this installation has let go of are removed. All others are told and left alone: the store may be
another installation's as well, and what lies there may wait to be imported.
"""

from collections.abc import Collection
from functools import partial

from pumice.backends.backups.contract import BackupStore, Found
from pumice.loops.violation import Orphan, Violation, unknown
from pumice.model.errors import PumiceError
from pumice.operations.drivers import Drivers
from pumice.store import backups, ownership, tombstones
from pumice.store.database import Transaction
from pumice.store.tombstones import Kind

SECONDS = 3600.0
"""A check lists the whole store, and compares it with all rows."""


async def check(drivers: Drivers) -> list[Violation]:
    """At the store of backups, where this process has one."""
    if drivers.backups is None:
        return []
    try:
        return await _at(drivers, drivers.backups)
    except PumiceError as error:
        return [Violation(f"the store of backups does not answer: {error.in_full}")]


async def unknown_objects(drivers: Drivers, store: BackupStore) -> list[Found]:
    """The objects of backups of which nothing here knows."""
    containers = {container for container, _ in (await drivers.db.read(backups.whole)).values()}
    there = await store.inventory(containers)

    def read(tx: Transaction) -> frozenset[str]:
        left = _nobodys(tx, {it.id for it in there})
        return left - tombstones.buried(tx, Kind.BACKUP, left)

    unknown = await drivers.db.read(read)
    return [it for it in there if it.id in unknown]


def place_of(store: BackupStore) -> str:
    """What a store is called where it is told of."""
    return f"the store of backups, {store.driver}"


async def _at(drivers: Drivers, store: BackupStore) -> list[Violation]:
    before = await drivers.db.read(backups.whole)
    there = await store.inventory({container for container, _ in before.values()})
    whole, ids = {it.prefix for it in there if it.whole}, {it.id for it in there}

    def read(tx: Transaction) -> tuple[frozenset[str], frozenset[str], Collection[str]]:
        left = _nobodys(tx, ids)
        lost = {key for key, (_, prefix) in backups.whole(tx).items() if key in before and prefix not in whole}
        return left, tombstones.buried(tx, Kind.BACKUP, left), lost

    left, gone, lost = await drivers.db.read(read)
    place = place_of(store)
    return [
        *(Violation(f"backup {each} has no objects in {place}", is_lost=True) for each in sorted(lost)),
        *(
            _let_go(drivers, store, it, place) if it.id in gone else unknown("objects of backup", it.id, place)
            for it in there
            if it.id in left
        ),
    ]


def _nobodys(tx: Transaction, ids: Collection[str]) -> frozenset[str]:
    """The ids that no backup has, and no operation is about."""
    return frozenset(ids) - backups.known(tx, ids) - ownership.in_hand(tx, ids)


def _let_go(drivers: Drivers, store: BackupStore, found: Found, place: str) -> Violation:
    def is_orphan(tx: Transaction) -> bool:
        return bool(_nobodys(tx, {found.id}) & tombstones.buried(tx, Kind.BACKUP, {found.id}))

    why = "the backup was deleted here"
    return Orphan("objects of backup", found.id, place, why, is_orphan, partial(store.free, found)).violation(
        drivers
    )
