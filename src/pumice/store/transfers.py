"""Transfers: offers of volumes to other projects. A volume has one at most."""

from collections.abc import Sequence

import sqlalchemy as sa

from pumice.model.errors import NotFound
from pumice.model.scope import Scope
from pumice.model.volume import Transfer
from pumice.store.database import Transaction
from pumice.store.tables import transfers
from pumice.store.tenant_rows import TenantRows

_t = transfers.c
_rows = TenantRows(transfers, Transfer, "Transfer")

get = _rows.visible


def insert(tx: Transaction, transfer: Transfer) -> None:
    """Add an offer, in place of an older one of the same volume."""
    tx.execute(sa.delete(transfers).where(_t.volume_id == transfer.volume_id))
    tx.execute(sa.insert(transfers), _rows.row(transfer))


def find(tx: Transaction, transfer_id: str) -> Transfer:
    """An offer, whoever made it: for those who have its key. Raises ``NotFound``."""
    transfer = _rows.get(tx, transfer_id)
    if transfer is None:
        raise NotFound("Transfer", transfer_id)
    return transfer


def visible(tx: Transaction, who: Scope, *, all_projects: bool = False) -> Sequence[Transfer]:
    """The offers that the caller made, the oldest first."""
    query = _rows.select.where(*_rows.seen(who, all_projects)).order_by(_t.created_at, _t.id)
    return _rows.all(tx.execute(query))


def delete(tx: Transaction, transfer_id: str) -> None:
    """Forget an offer."""
    tx.execute(sa.delete(transfers).where(_t.id == transfer_id))
