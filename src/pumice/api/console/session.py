"""A browser's session: a token of Identity in a cookie that no script can read.

``/console/session`` is ``/identity/v3/auth/tokens`` for who has a cookie instead of headers:

    POST    log in (the body is Keystone's, or names a one-time ``link``); without ``identity`` go to another
            project
    GET     who is logged in, for which project, with which roles; ``null`` for nobody
    DELETE  log out: the token is revoked, and what was got by it

The rule against forged requests (CSRF): a cookie counts only beside the header ``X-Pumice-Console``, which no
other site can make a browser send, as that would have to ask first (CORS) and nothing here ever answers that it
may; and never when the browser itself says that another site asks (``Sec-Fetch-Site``). ``SameSite=Strict`` is
a second lock.

A browser's tabs share the cookie, and one of them may log in as somebody else or go to another project. So the
header says which session a page shows, as ``POST`` and ``GET`` told it in a header of that name, and a request
counts in no other: what is done where one project is seen is never done in another. ``1`` is any session.
"""

import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

import orjson

from pumice.api.service import base_url
from pumice.model.errors import Unauthenticated

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]
ByLink = Callable[[str], Awaitable[str]]
"""Turns the secret of a one-time link into a token. Raises ``Unauthenticated``."""
Answer = tuple[int, list[tuple[bytes, bytes]], bytes]

PATH = "/console/session"
MARK = b"x-pumice-console"
"""The header that says that a request is the console's own."""
LONGEST_BODY = 16_384
ANY_SESSION = b"1"
_TOKENS = "/identity/v3/auth/tokens"
_JSON = (b"content-type", b"application/json")
_NOBODY = b'{"token":null}'


def cookie_name(address: str) -> str:
    """The cookie's name: a browser gives cookies to every port of a host, and two Pumices may share one."""
    url = urlsplit(address)
    return f"__Host-pumice-{url.port or 443}" if url.scheme == "https" else f"pumice-{url.port or 80}"


def with_token(headers: Headers, scope: Scope) -> Headers:
    """The headers of a request, with the token of its cookie where that counts and no other is shown."""
    if not any(name == MARK for name, _ in headers) or any(name == b"x-auth-token" for name, _ in headers):
        return headers
    token = token_of(scope)
    return [*headers, (b"x-auth-token", token)] if token else headers


def token_of(scope: Scope) -> bytes | None:
    """The token in the cookie of the console's own request; none for any other request."""
    said: dict[bytes, bytes] = dict(scope["headers"])
    if MARK not in said or said.get(b"sec-fetch-site", b"same-origin") != b"same-origin":
        return None
    cookies = SimpleCookie()
    try:
        cookies.load(said.get(b"cookie", b"").decode("latin-1"))
    except CookieError:
        return None
    found = cookies.get(cookie_name(_address(scope)))
    token = found.value.encode("latin-1", "replace") if found and found.value else b""
    if not token or (said[MARK] != ANY_SESSION and not hmac.compare_digest(said[MARK], name_of(token))):
        return None
    return token


def name_of(token: bytes) -> bytes:
    """What the session of a token is called: it tells nothing of the token."""
    return sha256(b"console session " + token).hexdigest()[:24].encode()


def _address(scope: Scope) -> str:
    return base_url(
        scope, {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    )


class Session:
    """Answers at ``/console/session``, by asking Identity."""

    def __init__(self, identity: Asgi, by_link: ByLink) -> None:
        self.identity = identity
        self.by_link = by_link

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        status, headers, body = await self._answer(scope, receive)
        headers = [pair for pair in headers if pair[0] != b"x-subject-token"]  # no script reads a token
        headers = [*headers, (b"cache-control", b"no-store"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        if MARK not in dict(scope["headers"]):
            return _refused(
                403, "Only the console's own page may ask here; for all else there is X-Auth-Token."
            )
        token = token_of(scope)
        match scope["method"]:
            case "POST":
                return await self._log_in(scope, receive, token)
            case "GET" | "HEAD":
                status, headers, body = (
                    await self._ask(scope, receive, "GET", token) if token else _refused(401, "")
                )
                if status in (401, 404) or token is None:
                    return 200, [_JSON], _NOBODY
                return status, [*headers, (MARK, name_of(token))], body
            case "DELETE" if token:
                status, headers, body = await self._ask(scope, receive, "DELETE", token)
                ended = 204 if status in (401, 404) else status
                return ended, [*headers, _cookie(scope, "", ended=True)], b"" if ended == 204 else body
            case "DELETE":
                return _refused(401, "Nobody is logged in.")
        return _refused(405, "There are GET, POST and DELETE.")

    async def _log_in(self, scope: Scope, receive: Receive, token: bytes | None) -> Answer:
        said = await _body(receive)
        if said is None:
            return _refused(413, "Nobody's name and password are so long.")
        try:
            body = json.loads(said)
        except ValueError:
            return _refused(400, "Malformed request body: it is no JSON.")
        if isinstance(body, dict) and isinstance(link := body.get("link"), str):
            return await self._by_link(scope, receive, link)
        auth = body.get("auth") if isinstance(body, dict) else None
        if not isinstance(auth, dict):
            return _refused(400, "Invalid input: 'auth' is a required property.")
        moves = "identity" not in auth
        if moves:
            if not token:
                return _refused(401, "Nobody is logged in.")
            auth["identity"] = {"methods": ["token"], "token": {"id": token.decode("latin-1")}}
        status, headers, answer = await self._ask(scope, receive, "POST", None, orjson.dumps(body))
        issued = dict(headers).get(b"x-subject-token")
        if status != 201 or issued is None:
            return status, headers, answer
        if token:  # what it was got by goes, and takes nothing along
            await self._ask(scope, receive, "DELETE", token, query=b"cascade=false")
        return status, [*headers, *_begun(scope, issued)], answer

    async def _by_link(self, scope: Scope, receive: Receive, link: str) -> Answer:
        try:
            token = await self.by_link(link)
        except Unauthenticated as error:
            return _refused(401, str(error))
        status, headers, body = await self._ask(scope, receive, "GET", token.encode())
        return 201 if status == 200 else status, [*headers, *_begun(scope, token.encode())], body

    async def _ask(
        self,
        scope: Scope,
        receive: Receive,
        method: str,
        token: bytes | None,
        body: bytes = b"",
        query: bytes = b"nocatalog",
    ) -> Answer:
        """Ask Identity for, about, or to end a token."""
        named = {b"x-auth-token", b"x-subject-token", b"cookie", b"content-length", b"content-type"}
        headers = [pair for pair in scope["headers"] if pair[0] not in named] + [_JSON]
        if token:
            headers += [(b"x-auth-token", token), (b"x-subject-token", token)]
        asked = {**scope, "method": method, "path": _TOKENS, "query_string": query, "headers": headers}
        messages: list[MutableMapping[str, Any]] = []
        pieces: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

        async def hear() -> MutableMapping[str, Any]:
            return pieces.pop() if pieces else await receive()

        async def send(message: MutableMapping[str, Any]) -> None:
            messages.append(message)

        await self.identity(asked, hear, send)
        first, *rest = messages
        kept = [pair for pair in first["headers"] if pair[0] not in (b"content-length", b"www-authenticate")]
        return first["status"], kept, b"".join(it.get("body", b"") for it in rest)


def _cookie(scope: Scope, token: str, *, ended: bool = False) -> tuple[bytes, bytes]:
    address = _address(scope)
    secure = "; Secure" if address.startswith("https:") else ""
    words = f"{cookie_name(address)}={token}; Path=/; HttpOnly; SameSite=Strict{secure}"
    return b"set-cookie", (words + ("; Max-Age=0" if ended else "")).encode("latin-1")


def _begun(scope: Scope, token: bytes) -> Headers:
    """The headers of who is logged in from now on."""
    return _cookie(scope, token.decode("latin-1")), (MARK, name_of(token))


def _refused(status: int, message: str) -> Answer:
    return status, [_JSON], orjson.dumps({"error": {"code": status, "message": message}})


async def _body(receive: Receive) -> bytes | None:
    """The whole body; none if it is longer than any log-in's."""
    body: bytes = b""
    while len(body) <= LONGEST_BODY:
        message = await receive()
        if message["type"] != "http.request":
            return body
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body
    return None
