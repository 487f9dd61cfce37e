"""Make a webhook, change it, try it, drop it: rows alone, so each is one transaction."""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from pumice.host.outbound import NOWHERE, Outbound
from pumice.model.errors import Invalid, OverQuota
from pumice.model.ids import new_id
from pumice.model.scope import Scope
from pumice.model.webhook import BY_DEFAULT, Format, Webhook
from pumice.operations.operation import Operation
from pumice.store import logged, webhooks
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.webhooks.deliver import DeliverParams, enqueue_one
from pumice.webhooks.message import moment, new_secret

_URL = re.compile(r"https?://[!-~]+", re.IGNORECASE)


def create(
    tx: Transaction, who: Scope, outbound: Outbound, most: int, *, url: str, secret: str | None, **asked: Any
) -> Webhook:
    """Make one, which is told what happens from now on. Raises ``Invalid`` or ``OverQuota``."""
    refuse_url(url, outbound)
    project_id = str(who.project)
    if webhooks.number_of(tx, project_id) >= most:
        raise OverQuota(f"A project has at most {most} webhooks: delete one that is not needed any more.")
    chosen = {"description": None, "kinds": ["*"], "outcomes": list(BY_DEFAULT), "format": Format.PUMICE}
    webhook = Webhook(
        id=new_id(),
        project_id=project_id,
        url=url,
        secret=secret or new_secret(),
        cursor=logged.last_line(tx),
        failing_since=None,
        disabled_reason=None,
        created_at=now(),
        updated_at=None,
        **{"enabled": True, **chosen, **asked},
    )
    webhooks.insert(tx, webhook)
    return webhook


def change(
    tx: Transaction, who: Scope, webhook_id: str, outbound: Outbound, values: Mapping[str, Any]
) -> Webhook:
    """Change one. Once it is enabled again, it is told what happens from then on.

    Raises ``NotFound`` or ``Invalid``.
    """
    webhook = webhooks.visible(tx, who, webhook_id)
    if "url" in values:
        refuse_url(values["url"], outbound)
    begins = values.get("enabled") and not webhook.enabled
    anew: dict[str, Any] = {"cursor": logged.last_line(tx), "disabled_reason": None} if begins else {}
    if begins or "url" in values:
        anew["failing_since"] = None
    webhooks.change(tx, webhook_id, {**values, **anew})
    return webhooks.visible(tx, who, webhook_id)


def delete(tx: Transaction, who: Scope, webhook_id: str) -> None:
    """Drop one. What is being delivered ends with its next try. Raises ``NotFound``."""
    webhooks.delete(tx, webhooks.visible(tx, who, webhook_id).id)


def try_out(tx: Transaction, who: Scope, webhook_id: str) -> Operation[DeliverParams]:
    """Send it a message that tells of nothing, once. Raises ``NotFound`` or ``Conflict``."""
    webhook = webhooks.visible(tx, who, webhook_id)
    data = {"webhook_id": webhook.id, "project_id": webhook.project_id}
    message = {"type": "webhook.test", "timestamp": moment(now()), "data": data}
    params = DeliverParams(webhook.id, f"test_{new_id()}", message, is_test=True)
    return enqueue_one(tx, who, webhook, params)


def refuse_url(url: str, outbound: Outbound) -> None:
    """Raise ``Invalid`` for what is no URL that can be posted to; names are resolved with each delivery."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Invalid("The webhook's url is none: its host or port cannot be read.") from None
    if not _URL.fullmatch(url) or not parts.hostname or port == 0:
        raise Invalid(
            "A webhook's url is http:// or https://, a host and a path, in printable ASCII characters."
        )
    if parts.username is not None or parts.password is not None:
        raise Invalid("A webhook's url holds no user and no password: deliveries are signed.")
    if parts.fragment:
        raise Invalid("A webhook's url has no fragment ('#…'): it would not be sent.")
    try:
        address = ip_address(parts.hostname)
    except ValueError:
        return
    if not outbound.permits(address):
        raise Invalid(NOWHERE)
