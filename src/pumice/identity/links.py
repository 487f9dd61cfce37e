"""One-time links to the console: whoever opens one is logged in as its user, once, within minutes.

A link is a row of ``tokens`` under a digest that no token has (BLAKE2s, where theirs are SHA-256): so it opens
no API by itself, and ends, and goes with its user, that one's password and the project, as a token does.
"""

import hashlib
import secrets
from datetime import timedelta

from pumice.identity import scopes
from pumice.identity.bootstrap import DOMAIN
from pumice.identity.scopes import Reference
from pumice.identity.token import Token, read
from pumice.model.errors import NotFound
from pumice.store import tokens
from pumice.store.columns import now
from pumice.store.database import Transaction

LIFETIME = timedelta(minutes=10)


def digest(secret: str) -> str:
    """What of a link's secret is stored."""
    return hashlib.blake2s(secret.encode()).hexdigest()


def make(tx: Transaction, user: str, project: str, lifetime: timedelta = LIFETIME) -> str:
    """A new link's secret, for a user and a project of the domain Default, by their names.

    Raises ``NotFound``, or ``Unauthenticated`` for who has no role there.
    """
    user_id = scopes.user_id(tx, Reference(None, user, DOMAIN, None))
    if user_id is None:
        raise NotFound("User", user)
    project_id = scopes.project_id(tx, Reference(None, project, DOMAIN, None))
    if project_id is None:
        raise NotFound("Project", project)
    secret, at = secrets.token_urlsafe(32), now()
    row = {
        "digest": digest(secret),
        "user_id": user_id,
        "project_id": project_id,
        "domain_id": None,
        "system": False,
        "methods": ["token"],
        "audit_ids": [secrets.token_urlsafe(16)],
        "issued_at": at,
        "expires_at": at + lifetime,
        "application_credential_id": None,
    }
    read(tx, row)
    tokens.insert(tx, row)
    return secret


def use(tx: Transaction, secret: str, token_digest: str, lifetime: timedelta) -> Token | None:
    """Turn a link into a token of this digest; none for a link that is unknown, used or too old."""
    row = tokens.take(tx, digest(secret), at := now())
    if row is None:
        return None
    issued = {**row, "digest": token_digest, "issued_at": at, "expires_at": at + lifetime}
    token = read(tx, issued)
    tokens.insert(tx, issued)
    return token
