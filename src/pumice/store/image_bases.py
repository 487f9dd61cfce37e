"""Bases of images: every read and write of their rows. States change as volumes' do."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pumice.model.errors import InvalidState
from pumice.model.image_base import ImageBase
from pumice.model.states import IMAGE_BASE, ImageBaseStatus
from pumice.store import tombstones
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.stateful import StatefulRows
from pumice.store.tables import forgotten_hosts, image_bases, images

_b = image_bases.c
_rows = StatefulRows(image_bases, ImageBase, "Image base", IMAGE_BASE)

change = _rows.change
put = _rows.put

_insert = sa.insert(image_bases)
_of = _rows.select.where(_b.pool == sa.bindparam("b_pool"), _b.image_id == sa.bindparam("b_image"))
_used = (
    sa.update(image_bases)
    .where(_b.id == sa.bindparam("b_id"))
    .values(uses=_b.uses + 1, used_at=sa.bindparam("b_now"))
)
_bury = tombstones.burial(
    tombstones.grave(tombstones.Kind.VOLUME, _b.id, _b.pool, _b.id == sa.bindparam("b_id"))
)
_delete = sa.delete(image_bases).where(_b.id == sa.bindparam("b_id"))


def insert(tx: Transaction, base: ImageBase) -> None:
    """Add a base."""
    tx.send(_insert, _rows.row(base))


def find(tx: Transaction, base_id: str) -> ImageBase | None:
    """A base, if it still exists."""
    return _rows.get(tx, base_id)


def of_image(tx: Transaction, pool: str, image_id: str) -> ImageBase | None:
    """The one base of an image in a pool."""
    return _rows.first(tx.execute(_of, {"b_pool": pool, "b_image": image_id}))


def every(tx: Transaction) -> Sequence[ImageBase]:
    """Every base, what was used last first."""
    return _rows.all(tx.execute(_rows.select.order_by(_b.pool, _b.used_at.desc(), _b.id)))


def used(tx: Transaction, base_id: str) -> None:
    """Note that a volume begins with it."""
    tx.send(_used, {"b_id": base_id, "b_now": now()})


def move(
    tx: Transaction, base_id: str, start: Collection[ImageBaseStatus], end: ImageBaseStatus, **changes: Any
) -> None:
    """Move a base from one of the states ``start`` to ``end``. Raises ``NotFound`` or ``InvalidState``."""

    def refusal(base: ImageBase) -> InvalidState:
        must = " or ".join(sorted(start))
        return InvalidState(f"Image base {base.id} must be {must}, but it is {base.status}.")

    _rows.move(tx, base_id, start, end, refusal, **changes)


def reset(tx: Transaction, base_id: str, status: ImageBaseStatus, operation_id: str) -> None:
    """Give a base that ``operation_id`` holds another state, if it holds it still."""
    _rows.settle(tx, base_id, operation_id, status=status)


def delete(tx: Transaction, base_id: str) -> bool:
    """Forget a base, and bury it. False when it is gone already."""
    tombstones.bury(tx, _bury, b_id=base_id)
    return bool(tx.execute(_delete, {"b_id": base_id}).rowcount)


@dataclass(frozen=True, slots=True)
class Kept:
    """A base, and what became of its image."""

    base: ImageBase
    image_status: str | None
    """None where the image was deleted."""
    content: str | None
    """What the image holds now, as ``content_of`` says it."""
    is_lost: bool
    """Whether its host is gone for good."""


def kept(tx: Transaction) -> list[Kept]:
    """Every base with its image, what was used last first."""
    i = images.c
    content = i.disk_format + " " + sa.func.coalesce(i.os_hash_value, i.checksum)
    query = sa.select(_b.id, i.status, content.label("content")).join(images, i.id == _b.image_id)
    bases = every(tx)
    if not bases:
        return []
    now_ = {row.id: (row.status, row.content) for row in tx.execute(query)}
    gone = set(tx.execute(sa.select(forgotten_hosts.c.name)).scalars())
    return [
        Kept(base, *now_.get(base.id, (None, None)), not gone.isdisjoint(_places(base.pool))) for base in bases
    ]


def _places(pool: str) -> tuple[str, str]:
    """``host`` and ``host@backend`` of a pool."""
    return pool.partition("@")[0], pool.partition("#")[0]
