"""Delete for good what is in the recycle bin: the verbs that delete, on what is hidden."""

from pumice.model.scope import Scope
from pumice.store import recycle_bin, snapshots, volumes
from pumice.store.database import Transaction
from pumice.store.recycle_bin import Entry
from pumice.volumes import delete_with_snapshots
from pumice.volumes.snapshots import delete as delete_snapshot


def accept(tx: Transaction, who: Scope, entry_id: str) -> str | None:
    """Answer the request; the operation's id. Raises ``NotFound`` or ``InvalidState``."""
    return begin(tx, who, recycle_bin.get(tx, who, entry_id))


def begin(tx: Transaction, who: Scope, entry: Entry) -> str | None:
    """Begin to delete it; a volume's snapshots go with it. Raises ``InvalidState``."""
    if entry.kind == "volume":
        volume = volumes.find(tx, entry.id)
        assert volume is not None
        return delete_with_snapshots.begin(tx, who, volume)
    snapshot = snapshots.find(tx, entry.id)
    assert snapshot is not None
    return delete_snapshot.begin(tx, who, snapshot)
