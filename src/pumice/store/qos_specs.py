"""QoS specs, and which volumes are held to them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from pumice.model import qos
from pumice.model.errors import NotFound
from pumice.model.qos import QosSpecs, Resolved
from pumice.store.any_of import any_of
from pumice.store.columns import is_unread, now
from pumice.store.database import Transaction
from pumice.store.rows import Rows
from pumice.store.tables import qos_specs, volume_types, volumes

_q = qos_specs.c
_rows = Rows(qos_specs, QosSpecs)
_of_volumes = (
    sa.select(volumes.c.id, volumes.c.size, _q.specs)
    .join(volume_types, volume_types.c.id == volumes.c.type_id)
    .join(qos_specs, _q.id == volume_types.c.qos_specs_id)
    .where(any_of(volumes.c.id, "ids"), any_of(_q.consumer, qos.FRONT_END))
)


def get(tx: Transaction, specs_id: str) -> QosSpecs:
    """QoS specs by their id. Raises ``NotFound``."""
    found = _rows.get(tx, specs_id)
    if found is None:
        raise NotFound("QoS specs", specs_id)
    return found


def every(tx: Transaction) -> Sequence[QosSpecs]:
    """All QoS specs, by their ids."""
    return _rows.all(tx.execute(_rows.select.order_by(_q.id)))


def named(tx: Transaction, name: str) -> bool:
    """Whether there are QoS specs of this name."""
    return tx.execute(sa.select(_q.id).where(_q.name == name)).first() is not None


def types_of(tx: Transaction, specs_id: str) -> dict[str, str]:
    """The names of the volume types that have them, by id."""
    t = volume_types.c
    return {row.id: row.name for row in tx.execute(sa.select(t.id, t.name).where(t.qos_specs_id == specs_id))}


def of_volumes(tx: Transaction, ids: Collection[str], size: int | None = None) -> Mapping[str, Resolved]:
    """What the front end holds volumes to, by volume: of the ``size`` (GiB) they have, or of another."""
    if not ids:
        return {}
    return {
        row.id: qos.for_size(row.specs, size or row.size)
        for row in tx.execute(_of_volumes, {"ids": list(ids)})
        if not is_unread(row.specs)
    }


def insert(tx: Transaction, row: Mapping[str, Any]) -> None:
    """Add QoS specs."""
    tx.execute(sa.insert(qos_specs), {"created_at": now(), **row})


def change(tx: Transaction, specs_id: str, **changes: Any) -> None:
    """Write columns of QoS specs."""
    tx.execute(sa.update(qos_specs).where(_q.id == specs_id).values(updated_at=now(), **changes))


def delete(tx: Transaction, specs_id: str) -> None:
    """Forget QoS specs that no type has."""
    tx.execute(sa.delete(qos_specs).where(_q.id == specs_id))


def disassociate(tx: Transaction, specs_id: str, type_id: str | None = None) -> None:
    """Take QoS specs from a volume type, or from all."""
    t = volume_types.c
    query = sa.update(volume_types).where(t.qos_specs_id == specs_id)
    if type_id is not None:
        query = query.where(t.id == type_id)
    tx.execute(query.values(qos_specs_id=None, updated_at=now()))
