"""Webhooks, and how far each has been told."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from pumice.model.scope import Scope
from pumice.model.webhook import Webhook
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.tables import LANE, MOVING, operations, webhooks
from pumice.store.tenant_rows import TenantRows

CHANGED = "webhooks"
"""The topic that is notified when one was made, changed or dropped."""

_w, _o = webhooks.c, operations.c
_rows = TenantRows(webhooks, Webhook, "Webhook")

visible = _rows.visible
find = _rows.get


def every(tx: Transaction, who: Scope, *, all_projects: bool = False) -> Sequence[Webhook]:
    """The webhooks that the caller sees, the oldest first."""
    query = _rows.select.where(*_rows.seen(who, all_projects)).order_by(_w.created_at, _w.id)
    return _rows.all(tx.execute(query))


def enabled(tx: Transaction) -> Sequence[Webhook]:
    """The webhooks that are told of events, whosever they are."""
    return _rows.all(tx.execute(_rows.select.where(_w.enabled.is_(True))))


def number_of(tx: Transaction, project_id: str) -> int:
    """How many a project has."""
    query = sa.select(sa.func.count()).where(_w.project_id == project_id)
    return int(tx.execute(query).scalar_one())


def insert(tx: Transaction, webhook: Webhook) -> None:
    """Add one."""
    tx.execute(sa.insert(webhooks), _rows.row(webhook))
    tx.notify(CHANGED)


def change(tx: Transaction, webhook_id: str, values: Mapping[str, Any]) -> None:
    """Write what a person has changed."""
    tx.execute(sa.update(webhooks).where(_w.id == webhook_id).values(**values, updated_at=now()))
    tx.notify(CHANGED)


def delete(tx: Transaction, webhook_id: str) -> None:
    """Forget one."""
    tx.execute(sa.delete(webhooks).where(_w.id == webhook_id))
    tx.notify(CHANGED)


def note_failing(tx: Transaction, webhook_id: str) -> datetime | None:
    """Note that a try has failed; since when all have."""
    since = sa.func.coalesce(_w.failing_since, sa.bindparam("at", now(), _w.failing_since.type))
    noted = sa.update(webhooks).where(_w.id == webhook_id).values(failing_since=since)
    found: datetime | None = tx.execute(noted.returning(_w.failing_since)).scalar()
    return found


def note_delivered(tx: Transaction, webhook_id: str) -> None:
    """Note that a try has succeeded."""
    failing = sa.update(webhooks).where(_w.id == webhook_id, _w.failing_since.is_not(None))
    tx.execute(failing.values(failing_since=None))


def disable(tx: Transaction, webhook_id: str, reason: str) -> bool:
    """Tell one nothing any more. False where that is so already."""
    here = sa.update(webhooks).where(_w.id == webhook_id, _w.enabled.is_(True))
    tx.notify(CHANGED)
    return bool(tx.execute(here.values(enabled=False, disabled_reason=reason)).rowcount)


def move(tx: Transaction, webhook: Webhook, number: int) -> bool:
    """Note up to which number its deliveries are enqueued; False if somebody else has, or it was disabled."""
    here = sa.update(webhooks).where(_w.id == webhook.id, _w.cursor == webhook.cursor, _w.enabled.is_(True))
    return bool(tx.execute(here.values(cursor=number)).rowcount)


def pass_over(tx: Transaction, ids: Collection[str], number: int) -> None:
    """Note that up to this number there is nothing for these."""
    tx.execute(sa.update(webhooks).where(_w.id.in_(list(ids)), _w.cursor < number).values(cursor=number))


def under_way(tx: Transaction, place: str, kind: str, webhook: Webhook) -> int:
    """How many deliveries to it have not ended."""
    lane = sa.literal_column(f"({LANE})", sa.Text) == f"{webhook.project_id} {kind}"
    query = sa.select(sa.func.count()).where(sa.text(MOVING), _o.place == place, lane, _o.subject == webhook.id)
    return int(tx.execute(query).scalar_one())
