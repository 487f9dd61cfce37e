"""The keys of encrypted volumes. A volume and its key come and go in one transaction.

They lie in the database, away from the bytes they open: whoever carries a disk away has nothing to read.
Whoever reads the database can open every volume: keep it, and its backups, as safe as the keys should be.
"""

import secrets
from collections.abc import Collection

import sqlalchemy as sa

from pumice.model.ids import new_id
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.tables import volume_keys, volumes

_k = volume_keys.c


def make(tx: Transaction) -> str:
    """A new key of 256 random bits, written as 64 hexadecimal digits. Its id."""
    return _insert(tx, secrets.token_hex(32))


def copy(tx: Transaction, key_id: str) -> str:
    """A key of its own for a copy of encrypted bytes: it opens what the original's key opens. Its id."""
    return _insert(tx, passphrase(tx, key_id))


def _insert(tx: Transaction, words: str) -> str:
    key_id = new_id()
    tx.execute(sa.insert(volume_keys), {"id": key_id, "passphrase": words, "created_at": now()})
    return key_id


def is_known(tx: Transaction, key_id: str) -> bool:
    """Whether there is this key."""
    return tx.execute(sa.select(_k.id).where(_k.id == key_id)).first() is not None


def passphrase(tx: Transaction, key_id: str) -> str:
    """The passphrase that opens the bytes."""
    words: str = tx.execute(sa.select(_k.passphrase).where(_k.id == key_id)).scalar_one()
    return words


def of_volumes(tx: Transaction, ids: Collection[str]) -> dict[str, str]:
    """The passphrases of those of the volumes that are encrypted, by volume."""
    if not ids:
        return {}
    joined = sa.select(volumes.c.id, _k.passphrase).join(volume_keys, _k.id == volumes.c.encryption_key_id)
    return {row.id: row.passphrase for row in tx.execute(joined.where(volumes.c.id.in_(list(ids))))}


def forget(tx: Transaction, key_id: str | None) -> None:
    """Forget a key: nothing opens its bytes any more."""
    if key_id is not None:
        tx.execute(sa.delete(volume_keys).where(_k.id == key_id))
