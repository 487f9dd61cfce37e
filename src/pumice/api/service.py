"""One API as an ASGI application: from the bytes of a request to a handler and back.

The order is the same for every request: version, route, token, policy, body, handler. Whatever goes wrong on
the way becomes a fault of the API's own shape; nothing that a client sends can make it answer 500.
"""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import structlog
from structlog.contextvars import bind_contextvars

from pumice.api import live
from pumice.api.absent import GONE
from pumice.api.access_rules import allow
from pumice.api.call import Call, Receive, Reply, Version
from pumice.api.context import ApiContext
from pumice.api.faults import Fault, HttpError, status_of
from pumice.api.microversions import Versions
from pumice.api.policy import Policy, Rule, Words
from pumice.api.routing import Route, Table, checks_of, choose
from pumice.model.errors import Forbidden, Invalid, PumiceError, Retryable, Unauthenticated
from pumice.model.ids import UserId
from pumice.model.scope import Scope

logger = structlog.get_logger(__name__)

_AGAIN_SECONDS = {429: "2", 503: "30"}
"""Seconds after which asking again may help, by the status of the refusal."""

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

NOBODY = Scope(UserId(""), None, frozenset())


@dataclass(slots=True)
class _Seen:
    """What was learnt of a request before it was answered, for its line in the log."""

    route: str = ""
    project_id: str | None = None
    call: Call | None = None

    @property
    def waited(self) -> float:
        """Seconds for which it waited as its client wished."""
        return self.call.waited if self.call else 0.0


class Service:
    """An API: its routes, versions, policies and the shape of its faults."""

    def __init__(
        self,
        ctx: ApiContext,
        *,
        prefix: str,
        routes: Iterable[Route],
        fault: Fault,
        policy_file: Path | None = None,
        policy_words: Words | None = None,
        versions: Versions | None = None,
        statuses: Mapping[type[PumiceError], int] | None = None,
        types: Collection[str] = (),
        project_in_path: bool = False,
        project_below: str = "",
        ignores_last_slash: bool = False,
        media_types: Collection[str] = (),
        absent: Mapping[str, str] | None = None,
        removed: Collection[str] = (),
        domain_of: Callable[[Call], Awaitable[str | None]] | None = None,
    ) -> None:
        self.ctx = ctx
        self.prefix = prefix
        """What every path of this service begins with: ``/volume/v3``."""
        self.name = prefix.split("/")[1]
        self.table = Table(routes)
        self.policy = Policy(checks_of(self.table.routes), policy_file, policy_words)
        self.fault = fault
        self.versions = versions
        self.statuses = statuses or {}
        self.types = types
        """What the catalog calls it: the access rules of application credentials name it so."""
        self.project_in_path = project_in_path
        self.project_below = project_below
        """What a project follows, where that is not the prefix itself: ``/v3``."""
        self.ignores_last_slash = ignores_last_slash
        self.media_types = media_types
        self.absent = absent or {}
        """What OpenStack's service has and this does not: a sentence by a word of its path or its action."""
        self.removed = frozenset(removed)
        """What OpenStack's service had once: parts of paths."""
        self.domain_of = domain_of
        """For a service whose rules speak of domains: whose domain a request is about. The others are all about
        projects, and refuse a token of no project, be its bearer admin of a domain or of the system."""

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        began, request_id, seen = time.perf_counter(), f"req-{uuid.uuid4()}", _Seen()
        bind_contextvars(request_id=request_id)  # each request is a task, and has a context of its own
        said = {"x-openstack-request-id": request_id, "x-compute-request-id": request_id}
        try:
            version: Version = (0, 0)
            if self.versions:
                version = self.versions.asked(headers)
                said |= self.versions.headers(version)
            reply = _encoded(await self._answer(scope, headers, receive, version, request_id, seen))
        except HttpError as error:
            said |= error.headers
            reply = self._fault(error.status, str(error))
        except PumiceError as error:
            status = status_of(error, self.statuses)
            if status == 401:
                said["WWW-Authenticate"] = f'Keystone uri="{base_url(scope, headers)}/identity"'
            if status in _AGAIN_SECONDS:
                said["Retry-After"] = _AGAIN_SECONDS[status]
            if status >= 500:
                logger.warning("api.trouble", path=scope["path"], status=status, error=error.in_full)
            reply = self._fault(status, error.told)
        except asyncio.CancelledError:  # this process must end, and has given its requests some time before
            reply = self._fault(
                503, "The service is being restarted before it could answer: look, and ask again."
            )
        except Exception:
            logger.exception("api.bug", method=scope["method"], path=scope["path"])
            reply = self._fault(500, f"The server has an unexpected problem; its log names it by {request_id}.")
        self._account(scope, seen, reply.status, time.perf_counter() - began)
        await _send(send, reply, said, head=scope["method"] == "HEAD")

    async def _answer(
        self,
        scope: MutableMapping[str, Any],
        headers: Mapping[str, str],
        receive: Receive,
        version: Version,
        request_id: str,
        seen: "_Seen",
    ) -> Reply:
        path = scope["path"].removeprefix(self.prefix)
        if self.ignores_last_slash:
            path = path.rstrip("/") or "/"
        path, project_id = self._without_project(path)
        found = self.table.node(path)
        method = "GET" if scope["method"] == "HEAD" and not self._has_head(found) else scope["method"]
        call = Call(
            ctx=self.ctx,
            method=method,
            path=scope["path"],
            query_string=scope["query_string"].decode("latin-1"),
            headers=headers,
            stream=_body(receive),
            receive=receive,
            who=NOBODY,
            version=version,
            base_url=base_url(scope, headers),
            policy=self.policy,
            media_types=self.media_types,
        )
        call.refuse_many_terms()
        public = found is not None and any(r.rule is None for rs in found[0].routes.values() for r, _ in rs)
        if not public:
            call.who = await self._who(headers, request_id, scope)
        if found is None:
            raise self._explained(HttpError(404, "The resource could not be found."), call)
        node, values = found
        seen.project_id = call.who.project_id
        body = await call.json() if any(action for _, action in node.routes) and method == "POST" else None
        try:
            route, call.args = choose(node, values, method, version, body)
        except HttpError as refusal:
            raise self._explained(refusal, call, body) from None
        call.policy, call.action = self.policy.only(route.rules), route.action
        seen.route = f"{self.prefix}{route.path}" + (f" {route.action}" if route.action else "")
        seen.call = call
        if route.rule is not None:
            if call.who is NOBODY:
                call.who = await self._who(headers, request_id, scope)
            if project_id is not None and project_id != call.who.project_id:
                raise Invalid("Malformed request url: the project in it is not the token's.")
            if self.domain_of is None and call.who.project_id is None:
                raise Forbidden("This needs a token that is scoped to a project.")
            await self._require(route.rule, call)
            call.judge = self._judge(route.rule, call, request_id, scope)
            if route.makes and (why := self.ctx.refuses_new()):
                raise Retryable(why)
            if route.takes_a_turn:
                async with self.ctx.turn(call.who.project_id):
                    return await route.handler(call)
            if route.live:
                return await live.answer(call, self._shower(route, call))
        return await route.handler(call)

    async def _require(self, rule: Rule, call: Call) -> None:
        """Raise ``Forbidden`` unless the caller may: it is about a user or project that the path names."""
        domain_id = await self.domain_of(call) if self.domain_of else None
        about = call.args
        self.policy.require(rule, call.who, about.get("project_id"), about.get("user_id"), domain_id)

    def _judge(
        self, rule: Rule, call: Call, request_id: str, asked: MutableMapping[str, Any]
    ) -> Callable[[], Awaitable[None]]:
        async def judge() -> None:
            call.who = await self._who(call.headers, request_id, asked)
            await self._require(rule, call)

        return judge

    def _shower(self, route: Route, call: Call) -> Callable[[], Awaitable[Reply]]:
        """What shows a thing, whenever it is asked."""

        async def show() -> Reply:
            if call.waited:
                await call.judge()
            return _encoded(await route.handler(call))

        return show

    def _account(self, scope: MutableMapping[str, Any], seen: "_Seen", status: int, seconds: float) -> None:
        """Count the request and write its line; a read that went well is worth one only at level debug."""
        method = scope["method"]
        self.ctx.metrics.request(self.name, method, seen.route, status, seconds - seen.waited)
        tell = logger.debug if status < 400 and method in ("GET", "HEAD") else logger.info
        waited = {"waited": round(seen.waited, 4)} if seen.waited else {}
        tell(
            "api.request",
            method=method,
            path=scope["path"],
            status=status,
            seconds=round(seconds - seen.waited, 4),
            project=seen.project_id,
            **waited,
        )

    def _without_project(self, path: str) -> tuple[str, str | None]:
        """``/{project_id}/volumes`` and ``/volumes`` are the same resource."""
        below = self.project_below
        if not self.project_in_path or not path.startswith(f"{below}/"):
            return path, None
        first, _, rest = path[len(below) + 1 :].partition("/")
        if not first or not rest or self.table.knows(first, below):
            return path, None
        return f"{below}/{rest}", first

    def _explained(self, refusal: HttpError, call: Call, body: Any = None) -> HttpError:
        """The refusal; a sentence of its own where what is asked for is not part of this version."""
        parts = call.path.split("/")
        words = [*parts, *(body if isinstance(body, dict) else ())]
        words += [word for part in parts for word in (f"{call.method} {part}", f"{part} {parts[-1]}")]
        if refusal.status == 404 and not self.removed.isdisjoint(parts):
            return HttpError(410, GONE)
        told = [self.absent[word] for word in words if word in self.absent]
        return HttpError(404 if refusal.status == 404 else 501, told[0]) if told else refusal

    @staticmethod
    def _has_head(found: Any) -> bool:
        return found is not None and ("HEAD", None) in found[0].routes

    async def _who(self, headers: Mapping[str, str], request_id: str, asked: MutableMapping[str, Any]) -> Scope:
        token = headers.get("x-auth-token")
        if not token:
            raise Unauthenticated("The request you have made requires authentication.")
        who = await self.ctx.tokens.scope_of(token)
        paths = asked["path"], asked["path"].removeprefix(f"/{self.name}")
        if who.access_rules and not allow(who.access_rules, self.types, asked["method"], paths):
            raise Unauthenticated("The access rules of the application credential do not allow this request.")
        service_roles: frozenset[str] = frozenset()
        if service_token := headers.get("x-service-token"):
            service_roles = (await self.ctx.tokens.scope_of(service_token)).roles
        is_service = not service_roles.isdisjoint(self.ctx.tunables.service_token_roles)
        who = replace(who, request_id=request_id, service_roles=service_roles, is_service=is_service)
        named_admin = self.policy.names_admin(who)
        return who if named_admin is None else replace(who, named_admin=named_admin)

    def _fault(self, status: int, message: str) -> Reply:
        body = self.fault(status, message)
        kind = "text/html; charset=UTF-8" if isinstance(body, bytes) else "application/json"
        return Reply(body, status, content_type=kind)


def base_url(scope: MutableMapping[str, Any], headers: Mapping[str, str]) -> str:
    """Scheme and host as the client sees them, also behind a proxy that says so."""
    scheme = headers.get("x-forwarded-proto", scope.get("scheme", "http"))
    host = headers.get("x-forwarded-host") or headers.get("host")
    if not host:
        address, port = scope.get("server") or ("127.0.0.1", 80)
        host = f"{address}:{port}"
    return f"{scheme}://{host}"


def _encoded(reply: Reply) -> Reply:
    """The reply with its body as bytes. What the fast way refuses (many levels) goes the slow way."""
    if reply.body is None or isinstance(reply.body, bytes | AsyncIterator):
        return reply
    try:
        body = orjson.dumps(reply.body)
    except TypeError:
        body = json.dumps(reply.body).encode()
    return replace(reply, body=body)


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Invalid("The client went away before the request was complete.")
        if piece := message.get("body", b""):
            yield piece
        if not message.get("more_body"):
            return


async def _send(send: Send, reply: Reply, said: Mapping[str, str], *, head: bool) -> None:
    stream = reply.body if isinstance(reply.body, AsyncIterator) else None
    body = b""
    if stream is None and reply.body is not None:
        body = reply.body if isinstance(reply.body, bytes) else orjson.dumps(reply.body)
    headers = {**said, **reply.headers}
    pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    if body or stream is not None:
        pairs.append((b"content-type", reply.content_type.encode("latin-1")))
    if stream is None and reply.status not in (204, 304):
        pairs.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": pairs})
    if stream is not None and not head:
        async for piece in stream:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        body = b""
    await send({"type": "http.response.body", "body": b"" if head else body})
