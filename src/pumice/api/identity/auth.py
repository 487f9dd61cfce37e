"""``/auth``: tokens, and what a token's bearer may ask for."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from pumice.api.booleans import is_set
from pumice.api.call import Call, Reply
from pumice.api.identity import domains, projects
from pumice.api.identity.catalog import catalog
from pumice.api.identity.checks import ADMIN_OR_SELF, READER_SELF_OR_SERVICE
from pumice.api.identity.lists import collection, link, moment
from pumice.api.identity.login import Login
from pumice.api.policy import ANYBODY, Rule
from pumice.api.routing import Route
from pumice.identity import grants, places, users
from pumice.identity.options import METHODS
from pumice.identity.token import Named, Token
from pumice.identity.tokens import LocalTokens
from pumice.model.errors import Forbidden, Invalid, NotFound, Unauthenticated

VALIDATE = Rule("identity:validate_token", READER_SELF_OR_SERVICE)
REVOKE = Rule("identity:revoke_token", ADMIN_OR_SELF)


def local(call: Call) -> LocalTokens:
    """The tokens that this process gives out itself: where Identity is served there are no others."""
    tokens = call.ctx.tokens
    assert isinstance(tokens, LocalTokens)
    return tokens


async def issue(call: Call) -> Reply:
    """``POST /auth/tokens``: a token for a password, an application credential or another token."""
    login = await call.parse(Login, "auth")
    identity, methods = login.identity, set(login.identity.methods)
    if unknown := methods - set(METHODS):
        raise Unauthenticated(f"Attempted to authenticate with an unsupported method: {min(unknown)[:64]}.")
    if len(methods) > 1:
        raise Invalid(f"Log in by one of {', '.join(METHODS)}, not by several.")
    (method,) = methods
    if getattr(identity, method) is None:
        raise Invalid(f"Invalid input: 'identity.{method}' is a required property.")
    token, said = await _issued(call, login, method)
    return await _reply(call, token, said, 201)


async def _issued(call: Call, login: Login, method: str) -> tuple[str, Token]:
    identity, tokens = login.identity, local(call)
    if method == "password" and identity.password:
        user = identity.password.user
        return await call.unless_gone(tokens.by_password(user.reference(), user.password, login.asked()))
    if method == "application_credential" and (one := identity.application_credential):
        if login.scope is not None:
            raise Unauthenticated("Application credentials cannot request a scope.")
        owner = one.user.reference() if one.user else None
        return await call.unless_gone(
            tokens.by_application_credential(one.id, owner, one.name or "", one.secret)
        )
    assert identity.token is not None
    return await tokens.by_token(identity.token.id, login.asked())


async def validate(call: Call) -> Reply:
    """``GET /auth/tokens``: what a token stands for. 404 if for nothing."""
    token, said = await _subject(call)
    call.policy.require(VALIDATE, call.who, user_id=said.user.id)
    return await _reply(call, token, said, 200)


async def revoke(call: Call) -> Reply:
    """``DELETE /auth/tokens``: the end of a token, and unless ``?cascade=false`` of those got by showing it."""
    token, said = await _subject(call)
    call.policy.require(REVOKE, call.who, user_id=said.user.id)
    await local(call).revoke(token, cascade="cascade" not in call.query or is_set(call, "cascade"))
    return Reply(status=204)


async def _subject(call: Call) -> tuple[str, Token]:
    token = call.headers.get("x-subject-token")
    if not token:
        raise NotFound("Token", "in the X-Subject-Token header")
    try:
        return token, await local(call).read(token)
    except Unauthenticated:
        raise NotFound("Token", "in the X-Subject-Token header") from None


async def show_catalog(call: Call) -> Reply:
    """``GET /auth/catalog``."""
    if call.who.project_id is None:
        raise Forbidden("A project-scoped token is required to produce a service catalog.")
    links = {"self": link(call, "auth", "catalog"), "next": None, "previous": None}
    found = await call.ctx.db.read(places.catalog)
    return Reply({"catalog": catalog(call, found, call.who.user_id, call.who.project_id), "links": links})


async def list_projects(call: Call) -> Reply:
    """``GET /auth/projects``: what the caller may ask a token for."""
    rows = await call.ctx.db.read(users.projects_of, call.who.user_id, {"enabled": True})
    return collection(call, "projects", [projects.view(call, dict(row)) for row in rows])


async def list_domains(call: Call) -> Reply:
    """``GET /auth/domains``."""
    rows = await call.ctx.db.read(grants.domains_of, call.who.user_id)
    return collection(call, "domains", [domains.view(call, row) for row in rows])


async def show_system(call: Call) -> Reply:
    """``GET /auth/system``."""
    may = await call.ctx.db.read(grants.has_system_role, call.who.user_id)
    return Reply({"system": [{"all": True}] if may else [], "links": {"self": link(call, "auth", "system")}})


# --- the view -----------------------------------------------------------------------------------


async def _reply(call: Call, token: str, said: Token, status: int) -> Reply:
    body = _view(said)
    if said.scoped and "nocatalog" not in call.query:
        found = await call.ctx.db.read(places.catalog)
        body["catalog"] = catalog(call, found, said.scope.user_id, said.scope.project_id)
    return Reply({"token": body}, status, {"X-Subject-Token": token, "Vary": "X-Auth-Token"})


def _view(token: Token) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "methods": token.methods,
        "user": {**_named(token.user), "password_expires_at": moment(token.password_expires_at)},
        "audit_ids": token.audit_ids,
        "expires_at": _instant(token.expires_at),
        "issued_at": _instant(token.issued_at),
    }
    if token.project:
        shown |= {"project": _named(token.project), "is_domain": False}
    if token.domain:
        shown["domain"] = _named(token.domain)
    if token.system:
        shown["system"] = {"all": True}
    if token.credential:
        rules = [asdict(rule) for rule in token.scope.access_rules]
        shown["application_credential"] = {
            "id": token.credential.id,
            "name": token.credential.name,
            "restricted": token.scope.is_restricted,
            **({"access_rules": rules} if rules else {}),
        }
    if token.scoped:
        shown["roles"] = [_named(role) for role in token.roles]
    return shown


def _named(thing: Named) -> dict[str, Any]:
    domain = {"domain": _named(thing.domain)} if thing.domain else {}
    return {"id": thing.id, "name": thing.name, **domain}


def _instant(at: datetime) -> str:
    return at.isoformat(timespec="microseconds") + "Z"


ROUTES = (
    Route("POST", "/auth/tokens", issue, None),
    Route("GET", "/auth/tokens", validate, VALIDATE),
    Route("DELETE", "/auth/tokens", revoke, REVOKE),
    Route("GET", "/auth/catalog", show_catalog, Rule("identity:get_auth_catalog", ANYBODY)),
    Route("GET", "/auth/projects", list_projects, Rule("identity:get_auth_projects", ANYBODY)),
    Route("GET", "/auth/domains", list_domains, Rule("identity:get_auth_domains", ANYBODY)),
    Route("GET", "/auth/system", show_system, Rule("identity:get_auth_system", ANYBODY)),
)
