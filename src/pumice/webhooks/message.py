"""What is sent to a webhook: the event, and the signature by which its server knows who sends it.

The headers and the signature are those of Standard Webhooks 1.0 (https://www.standardwebhooks.com).
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64
"""Bytes of a secret, as Standard Webhooks has them."""


def new_secret() -> str:
    """A secret that nobody else has."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def is_secret(text: str) -> bool:
    """Whether this may be a secret: ``whsec_`` and base64 of 24 to 64 bytes."""
    try:
        return text.startswith(PREFIX) and _SHORTEST <= len(_key(text)) <= _LONGEST
    except (binascii.Error, ValueError):
        return False


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX), validate=True)


def body_of(message: Mapping[str, Any]) -> bytes:
    """A message as it is sent: at every try the same bytes."""
    return orjson.dumps(message)


def signed(secret: str, message_id: str, at: float, body: bytes) -> dict[str, str]:
    """The headers of a message that is sent ``at`` this time, in seconds since the epoch."""
    signature = hmac.digest(_key(secret), f"{message_id}.{int(at)}.".encode() + body, hashlib.sha256)
    return {
        "content-type": "application/json",
        "user-agent": "Pumice-Webhooks/1",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at)),
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


def message_of(event: Mapping[str, Any], error: str | None) -> dict[str, Any]:
    """The message that tells of an event of the log, and why it ended so if that was in an ``error``."""
    names = ("kind", "project_id", "subject", "operation_id", "step", "direction", "outcome")
    at = moment(event["started_at"])
    what = ".".join(filter(None, (event["kind"], event["step"], event["outcome"])))
    data = {"id": event["number"], **{name: event[name] for name in names}, "at": at}
    return {"type": what, "timestamp": at, "data": {**data, "error": error} if error else data}


def moment(at: datetime) -> str:
    """A time as all of Pumice's own API tells it."""
    return f"{at:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
