"""User messages: why something a tenant asked for did not happen (api-ref, "Messages")."""

from collections.abc import Sequence
from datetime import timedelta
from enum import Enum

import sqlalchemy as sa

from pumice.model.errors import NotFound
from pumice.model.ids import new_id
from pumice.model.scope import Scope
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.tables import messages

KEEP = timedelta(days=30)
Row = sa.RowMapping
_m = messages.c


class Event(Enum):
    """What did not succeed: the resource, and Cinder's numbers for the action and the detail."""

    CREATE_VOLUME = "VOLUME", "001_002"
    ATTACH_VOLUME = "VOLUME", "002_001"
    UPLOAD_VOLUME = "VOLUME", "003_004"
    DELETE_VOLUME = "VOLUME", "003_005"
    DETACH_VOLUME = "VOLUME", "004_001"
    COPY_IMAGE = "VOLUME", "005_004"
    UNMANAGE_VOLUME = "VOLUME", "006_001"
    EXTEND_VOLUME = "VOLUME", "007_006"
    MANAGE_VOLUME = "VOLUME", "008_001"
    REVERT_VOLUME = "VOLUME", "011_001"
    REIMAGE_VOLUME = "VOLUME", "016_028"
    UNMANAGE_SNAPSHOT = "VOLUME_SNAPSHOT", "006_001"
    CREATE_SNAPSHOT = "VOLUME_SNAPSHOT", "009_001"
    DELETE_SNAPSHOT = "VOLUME_SNAPSHOT", "010_001"
    CREATE_BACKUP = "VOLUME_BACKUP", "013_001"
    DELETE_BACKUP = "VOLUME_BACKUP", "014_001"
    CREATE_GROUP = "VOLUME_GROUP", "001_002"
    DELETE_GROUP = "VOLUME_GROUP", "003_005"
    RESTORE_BACKUP = "VOLUME_BACKUP", "015_001"
    DELIVER_WEBHOOK = "WEBHOOK", "900_900"  # Cinder has neither
    RUN_SCHEDULE = "SCHEDULE", "901_900"


def tell(
    tx: Transaction, project_id: str, event: Event, resource_id: str, text: str, request_id: str | None
) -> None:
    """Leave a message for a project: why ``event`` happened to the resource."""
    resource_type, numbers = event.value
    created = now()
    row = {
        "id": new_id(),
        "project_id": project_id,
        "resource_type": resource_type,
        "resource_id": resource_id,
        "event_id": f"VOLUME_{resource_type}_{numbers}",
        "level": "ERROR",
        "text": text,
        "request_id": request_id,
        "created_at": created,
        "expires_at": created + KEEP,
    }
    tx.send(sa.insert(messages), row)


def visible(tx: Transaction, who: Scope) -> Sequence[Row]:
    """The caller's project's messages, the newest first."""
    query = sa.select(messages).order_by(_m.created_at.desc(), _m.id)
    if not who.is_admin:
        query = query.where(_m.project_id == who.project_id)
    return tx.execute(query).mappings().all()


def get(tx: Transaction, who: Scope, message_id: str) -> Row:
    """A message that the caller may read. Raises ``NotFound``."""
    query = sa.select(messages).where(_m.id == message_id)
    if not who.is_admin:
        query = query.where(_m.project_id == who.project_id)
    found = tx.execute(query).mappings().one_or_none()
    if found is None:
        raise NotFound("Message", message_id)
    return found


def delete(tx: Transaction, who: Scope, message_id: str) -> None:
    """Forget a message that the caller may read. Raises ``NotFound``."""
    tx.execute(sa.delete(messages).where(_m.id == get(tx, who, message_id)["id"]))


def expire(tx: Transaction) -> None:
    """Forget what is too old."""
    tx.execute(sa.delete(messages).where(_m.expires_at < now()))
