"""Tokens: given for a password or for another token, shown with every request, taken back.

A token is a random word that means nothing; its SHA-256 digest is the key of the row that says what it stands
for. What was read of a row is remembered for a few seconds, so that a request usually costs no look at the
database. It is forgotten at once when this database writes anything that may matter (``store.tokens.CHANGED``);
what another process writes without a notification counts at the latest ``remember`` seconds later.
"""

import hashlib
import secrets
import time
from datetime import datetime, timedelta
from typing import Any

from pumice.identity import links, lockout, options, passwords, scopes
from pumice.identity.scopes import Asked, Kind, Reference
from pumice.identity.token import REFUSED, Token, read
from pumice.model.errors import Unauthenticated
from pumice.model.scope import Scope
from pumice.store import application_credentials, tokens, users
from pumice.store.columns import now
from pumice.store.database import MISSED, Database, Transaction
from pumice.store.resources import Row

LIFETIME = 3600.0
"""Seconds that a token lasts (Keystone's ``[token] expiration``)."""
REMEMBER = 5.0
MOST_REMEMBERED = 10_000


class LocalTokens:
    """The tokens of this installation's own users."""

    def __init__(self, db: Database, *, lifetime: float = LIFETIME, remember: float = REMEMBER) -> None:
        self._db = db
        self._lifetime = timedelta(seconds=lifetime)
        self._remember = remember
        self._known: dict[str, tuple[float, Token]] = {}
        self._epoch = 0
        db.subscribe(self._hear)

    async def scope_of(self, token: str) -> Scope:
        """The scope of a token: its user, project and roles. Raises ``Unauthenticated``."""
        return (await self.read(token)).scope

    async def read(self, token: str) -> Token:
        """What a token says. Raises ``Unauthenticated`` if it is unknown, revoked, expired or void."""
        digest = _digest(token)
        known = self._known.get(digest)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        self._known.pop(digest, None)
        epoch = self._epoch
        found = await self._db.read(_living, digest)
        if epoch == self._epoch:  # else something was taken back while we read, and this may be from before
            self._keep(digest, found)
        return found

    async def by_password(self, user: Reference, password: str, asked: Asked) -> tuple[str, Token]:
        """A new token for who knows the password. Raises ``Unauthenticated``, whatever is wrong."""
        user_id, hashed = await self._db.read(_credentials, user)
        if not await lockout.matches(self._db, user_id, password, hashed) or user_id is None:
            raise Unauthenticated(REFUSED)
        return await self._issue(user_id, asked, "password", hashed=hashed)

    async def by_application_credential(
        self, credential: str | None, user: Reference | None, name: str, secret: str
    ) -> tuple[str, Token]:
        """A new token for who knows the secret of a credential: of an id, or of a user's and a name."""
        row = await self._db.read(_application_credential, credential, user, name)
        if not await passwords.matches(secret, row["secret_hash"] if row else None) or row is None:
            raise Unauthenticated(REFUSED)
        return await self._issue(row["user_id"], Asked(), "application_credential", credential_id=row["id"])

    async def by_token(self, token: str, asked: Asked) -> tuple[str, Token]:
        """A new token for the bearer of one, which ends when the first one does."""
        shown = await self.read(token)
        return await self._issue(shown.user.id, asked, "token", shown_digest=_digest(token))

    async def by_link(self, link: str) -> str:
        """A new token for who opens a one-time link to the console. Raises ``Unauthenticated``."""
        token = secrets.token_urlsafe(32)
        if await self._db.write(links.use, link, _digest(token), self._lifetime) is None:
            raise Unauthenticated("This link was used already, or is too old: ask for another.")
        return token

    async def revoke(self, token: str, *, cascade: bool = True) -> None:
        """Take a token back, with ``cascade`` also those that were got by showing it."""
        await self._db.write(_revoke, _digest(token), cascade)

    async def _issue(
        self,
        user_id: str,
        asked: Asked,
        method: str,
        *,
        hashed: str | None = None,
        shown_digest: str | None = None,
        credential_id: str | None = None,
    ) -> tuple[str, Token]:
        token, lifetime = secrets.token_urlsafe(32), self._lifetime
        issued = await self._db.write(
            _issue,
            _digest(token),
            user_id,
            asked,
            method,
            lifetime,
            hashed=hashed,
            shown_digest=shown_digest,
            credential_id=credential_id,
        )
        return token, issued

    def _keep(self, digest: str, token: Token) -> None:
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        left = (token.expires_at - now()).total_seconds()
        self._known[digest] = time.monotonic() + min(self._remember, left), token

    def _hear(self, topic: str) -> None:
        if topic in (tokens.CHANGED, MISSED):
            self._epoch += 1
            self._known.clear()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _living(tx: Transaction, digest: str) -> Token:
    row = tokens.living(tx, digest, now())
    if row is None:
        raise Unauthenticated(REFUSED)
    return read(tx, dict(row))


def _credentials(tx: Transaction, user: Reference) -> tuple[str | None, str | None]:
    """The id of the user who wants to log in, and the hash to check the password against."""
    user_id = scopes.user_id(tx, user)
    if user_id is None or (row := users.get(tx, user_id)) is None:
        return None, None
    expires_at = row["password_expires_at"]
    ends = expires_at is not None and not options.of(row).get("ignore_password_expiry")
    if ends and expires_at <= now():
        return user_id, None
    return user_id, users.password_hash(tx, user_id)


def _application_credential(
    tx: Transaction, credential_id: str | None, user: Reference | None, name: str
) -> Row | None:
    if credential_id is not None:
        row = application_credentials.get(tx, credential_id)
    elif user is not None and (user_id := scopes.user_id(tx, user)) is not None:
        row = next(iter(application_credentials.matching(tx, {"user_id": user_id, "name": name})), None)
    else:
        row = None
    return None if row is None or _is_over(row) else row


def _issue(
    tx: Transaction,
    digest: str,
    user_id: str,
    asked: Asked,
    method: str,
    lifetime: timedelta,
    *,
    hashed: str | None,
    shown_digest: str | None,
    credential_id: str | None,
) -> Token:
    """Write the new token's row, if what was shown for it is still good now."""
    issued_at = now()
    row: dict[str, Any] = {
        "digest": digest,
        "user_id": user_id,
        "methods": [method],
        "audit_ids": [secrets.token_urlsafe(16)],
        "issued_at": issued_at,
        "expires_at": issued_at + lifetime,
        "application_credential_id": credential_id,
    }
    if shown_digest is not None:
        row |= _inherited(tx, shown_digest, row, issued_at)
    if hashed is not None and users.password_hash(tx, user_id) != hashed:
        raise Unauthenticated(REFUSED)
    user = users.get(tx, user_id)
    if user is None or not options.let_in(user, row["methods"]):
        raise Unauthenticated(REFUSED)
    if row["application_credential_id"] is not None and asked.kind is Kind.DEFAULT:
        row |= _scope_of_credential(tx, row)
        token = read(tx, row)
    elif asked.kind is Kind.DEFAULT:
        row, token = _by_default(tx, row, user["default_project_id"])
    else:
        row |= _scope(tx, asked)
        token = read(tx, row)
    tokens.insert(tx, row)
    return token


def _inherited(tx: Transaction, digest: str, row: dict[str, Any], at: datetime) -> dict[str, Any]:
    """What passes from a token to the one that is given for it: its end, its methods, its chain."""
    shown = tokens.living(tx, digest, at)
    if shown is None:
        raise Unauthenticated(REFUSED)
    return {
        "expires_at": shown["expires_at"],
        "methods": sorted({*row["methods"], *shown["methods"]}),
        "audit_ids": [*row["audit_ids"], shown["audit_ids"][-1]],
        "application_credential_id": shown["application_credential_id"],
    }


def _by_default(tx: Transaction, row: dict[str, Any], project_id: str | None) -> tuple[dict[str, Any], Token]:
    """A token for the user's default project, or an unscoped one if the user has none or may not use it."""
    unscoped = {**row, **_scope(tx, Asked(Kind.UNSCOPED))}
    token = read(tx, unscoped)
    if project_id is None:
        return unscoped, token
    in_project = {**unscoped, "project_id": project_id}
    try:
        return in_project, read(tx, in_project)
    except Unauthenticated:
        return unscoped, token


def _scope_of_credential(tx: Transaction, row: dict[str, Any]) -> dict[str, Any]:
    """The one project of an application credential, and no longer than that lasts."""
    credential = application_credentials.get(tx, row["application_credential_id"])
    if credential is None or _is_over(credential):
        raise Unauthenticated(REFUSED)
    end = min(row["expires_at"], credential["expires_at"] or row["expires_at"])
    return {"project_id": credential["project_id"], "domain_id": None, "system": False, "expires_at": end}


def _is_over(credential: Row) -> bool:
    return credential["expires_at"] is not None and credential["expires_at"] <= now()


def _scope(tx: Transaction, asked: Asked) -> dict[str, Any]:
    """The columns of a token's row that say what it is good for."""
    project_id = domain_id = None
    if asked.kind is Kind.PROJECT and (project_id := scopes.project_id(tx, asked.reference)) is None:
        raise Unauthenticated(REFUSED)
    if asked.kind is Kind.DOMAIN and (domain_id := scopes.domain_id(tx, asked.reference)) is None:
        raise Unauthenticated(REFUSED)
    return {"project_id": project_id, "domain_id": domain_id, "system": asked.kind is Kind.SYSTEM}


def _revoke(tx: Transaction, digest: str, cascade: bool) -> None:
    row = tokens.living(tx, digest, now())
    if row is None:
        return
    tokens.delete(tx, digest)
    if cascade:
        tokens.delete_derived(tx, row["user_id"], row["audit_ids"][0])
