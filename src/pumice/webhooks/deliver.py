"""Deliver: tell a webhook of an event.

1. ``enqueue_events``, in the transaction that notes how far the webhook was told (``loops/webhooks.py``)
2. ``send``: the message is posted, signed with the secret of that moment; trouble is met with another try, at
   last an hour apart
3. ``note_delivered``: the webhook works (again)

If it fails nothing is to be undone. A server that answers 410 wants no more, and one that has taken nothing for
a day is taken to be gone: the webhook is disabled, and a message tells the project.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from pumice.host.outbound import NotReachable
from pumice.model.errors import Conflict, PumiceError, Retryable
from pumice.model.ids import ProjectId
from pumice.model.scope import INTERNAL, Scope
from pumice.model.tunables import Tunables
from pumice.model.webhook import Format, Webhook
from pumice.operations.drivers import Drivers
from pumice.operations.operation import Operation, Step, Verb, enqueue, webhooks_place
from pumice.operations.places import WEBHOOKS
from pumice.store import clock, hosts, messages, webhooks
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.webhooks.cinder import notifications
from pumice.webhooks.message import body_of, message_of, signed

KIND = "webhook.deliver"
MOST = 8
"""Deliveries to one webhook that may be under way."""
DAY = 86_400.0
LONGEST_PAUSE = 3600.0
GONE = 410


@dataclass(frozen=True, slots=True)
class DeliverParams:
    """What is sent, and where."""

    webhook_id: str
    message_id: str
    """The message's id, the same at every try and when it is asked for again: who has seen it may skip it."""
    message: dict[str, Any]
    is_test: bool = False
    """Asked for by a person: it is tried once, also while the webhook is disabled."""


def enqueue_events(
    tx: Transaction, webhook_id: str, events: Sequence[Mapping[str, Any]], upto: int
) -> tuple[int, list[str]]:
    """Enqueue deliveries of these events, the earliest first, as far as there is room.

    Up to which number the webhook is told now, at most ``upto``; and the operations that are under way.
    """
    webhook = webhooks.find(tx, webhook_id)
    if webhook is None or not webhook.enabled:
        return upto, []
    events = [event for event in events if event["number"] > webhook.cursor]
    if not events:
        return max(upto, webhook.cursor), []
    most = 1 if webhook.failing_since else MOST
    room = max(most - webhooks.under_way(tx, WEBHOOKS, KIND, webhook), 0)
    told, left = events[:room], events[room:]
    number = told[-1]["number"] if told and left else webhook.cursor if left else upto
    if number > webhook.cursor and not webhooks.move(tx, webhook, number):
        return webhook.cursor, []
    found = _of_cinder(tx, told) if webhook.format == Format.CINDER else _of_ours(tx, told)
    who = replace(INTERNAL, project_id=ProjectId(webhook.project_id))
    params = (DeliverParams(webhook.id, message_id, message) for message_id, message in found)
    return number, [enqueue(tx, DELIVER, each, subject=webhook.id, who=who).id for each in params]


Messages = Iterator[tuple[str, dict[str, Any]]]
"""Each with its id."""


def _of_ours(tx: Transaction, events: Sequence[Mapping[str, Any]]) -> Messages:
    for event in events:
        error = hosts.hidden(tx, event["error"]) if event["error"] else None
        yield f"evt_{event['number']}", message_of(event, error)


def _of_cinder(tx: Transaction, events: Sequence[Mapping[str, Any]]) -> Messages:
    for one in notifications(tx, events, inside=False):
        yield f"evt_{one.number}_{one.message['publisher_id'].partition('.')[0]}", dict(one.envelope())


def enqueue_one(
    tx: Transaction, who: Scope, webhook: Webhook, params: DeliverParams
) -> Operation[DeliverParams]:
    """Enqueue a delivery that a person asks for. Raises ``Conflict`` while there are many."""
    if webhooks.under_way(tx, WEBHOOKS, KIND, webhook) >= MOST:
        raise Conflict(
            f"{MOST} deliveries to webhook {webhook.id} are under way: ask again when some have ended."
        )
    return enqueue(tx, DELIVER, params, subject=webhook.id, who=who)


async def send(op: Operation[DeliverParams], drivers: Drivers) -> None:
    """Post the message."""
    webhook = await drivers.db.read(webhooks.find, op.params.webhook_id)
    if webhook is None:
        raise PumiceError("The webhook was deleted.")
    if not (webhook.enabled or op.params.is_test):
        raise PumiceError("The webhook is disabled.")
    body = body_of(op.params.message)
    try:
        op.notes["status"] = await drivers.post(
            webhook.url, signed(webhook.secret, op.params.message_id, clock.time(), body), body
        )
        if 200 <= op.notes["status"] < 300:
            return
        trouble = f"The server answered {op.notes['status']}."
    except (NotReachable, Retryable) as error:
        op.notes["status"], trouble = None, str(error)
    if op.params.is_test:
        raise PumiceError(trouble)
    if op.notes["status"] == GONE:
        raise PumiceError(f"{trouble} It wants no more.")
    await drivers.db.write(_note_trouble, webhook.id, trouble)
    raise Retryable(trouble)


def _note_trouble(tx: Transaction, webhook_id: str, trouble: str) -> None:
    since = webhooks.note_failing(tx, webhook_id)
    if since and now() - since > timedelta(seconds=DAY):
        _disable(tx, webhook_id, f"Nothing could be delivered since {since:%Y-%m-%d %H:%M} UTC. {trouble}")


def note_delivered(tx: Transaction, op: Operation[DeliverParams], _: Tunables) -> None:
    """The webhook works."""
    webhooks.note_delivered(tx, op.params.webhook_id)


def explain(tx: Transaction, op: Operation[DeliverParams], _error: str) -> None:
    """Disable what wants no more: else the delivery's own error says it all."""
    if op.notes.get("status") == GONE and not op.params.is_test:
        _disable(tx, op.params.webhook_id, "Its server answered 410: it wants no more.")


def _disable(tx: Transaction, webhook_id: str, why: str) -> None:
    webhook = webhooks.find(tx, webhook_id)
    if webhook and webhooks.disable(tx, webhook_id, why):
        text = f"Webhook {webhook_id} was disabled. {why} Enable it when its server is back."
        messages.tell(tx, webhook.project_id, messages.Event.DELIVER_WEBHOOK, webhook_id, text, None)


def again(tx: Transaction, op: Operation[DeliverParams], who: Scope, _: Tunables) -> Operation[DeliverParams]:
    """Deliver the same message once more."""
    return enqueue_one(tx, who, webhooks.visible(tx, who, op.params.webhook_id), op.params)


DELIVER = Verb(
    kind=KIND,
    params=DeliverParams,
    holds=lambda _: (),
    steps=(
        Step(send, at=webhooks_place, tries=100, timeout=60, longest_pause=LONGEST_PAUSE),
        Step(note_delivered, at=webhooks_place),
    ),
    failed=explain,
    again=again,
    deadline=DAY,
    spares_bytes=True,
)
