"""The console: a page at ``/`` for browsers, its files below ``/console/``, and the session of who looks at it.

The page does all that it does by the public APIs, with the session's token (``session.py``). Every path below
``/console/`` that is no file is the page itself: which view it shows is its own matter.
"""

from collections.abc import Mapping

from pumice.api.console import files
from pumice.api.console.files import File
from pumice.api.console.session import PATH as SESSION
from pumice.api.console.session import Asgi, ByLink, Receive, Scope, Send, Session

_POLICY = "; ".join(
    (
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "font-src 'self'"),
        *("connect-src 'self'", "form-action 'none'", "base-uri 'none'", "frame-ancestors 'none'"),
        "require-trusted-types-for 'script'",
    )
)
SAFE: Mapping[str, str] = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""What a browser is told of every file: it loads nothing from elsewhere, and is shown in no frame."""

NOT_BUILT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Pumice</title>
<h1>Pumice serves, and its console was not built</h1>
<p>A wheel brings it along, and whoever runs Pumice from its sources builds it by setting them up. Then start it
anew.</p>
<p>All that it would show is in the APIs: <a href="/volume/">/volume</a>, <a href="/compute/">/compute</a>,
<a href="/image/">/image</a>, <a href="/identity/">/identity</a>,
<a href="/pumice/v1/openapi.json">/pumice/v1</a>.</p>
"""


def is_for(scope: Scope) -> bool:
    """Whether a request is for the console: what is below ``/console``, and ``/`` of who reads pages."""
    path = scope["path"]
    if path in ("", "/"):
        return scope["method"] in ("GET", "HEAD") and b"text/html" in dict(scope["headers"]).get(b"accept", b"")
    return bool(path == "/console" or path.startswith("/console/"))


class Console:
    """The console as an ASGI application."""

    def __init__(self, identity: Asgi, by_link: ByLink, built: Mapping[str, File] | None = None) -> None:
        self.session = Session(identity, by_link)
        self.built = files.read() if built is None else built

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["path"] == SESSION:
            await self.session(scope, receive, send)
            return
        status, headers, body = self._file(scope)
        pairs = [(name.encode(), value.encode("latin-1")) for name, value in {**SAFE, **headers}.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _file(self, scope: Scope) -> tuple[int, dict[str, str], bytes]:
        if scope["method"] not in ("GET", "HEAD"):
            return _text(405, "Files are read.")
        path = scope["path"].removeprefix("/console").removeprefix("/")
        if not self.built:
            return 200, _of(NOT_BUILT.encode(), "text/html; charset=utf-8", "no-store"), NOT_BUILT.encode()
        if not scope["path"].startswith("/console/"):
            return 302, {"location": "/console/", "vary": "Accept", "content-length": "0"}, b""
        file = self.built.get(path)
        if file is None and path.startswith("assets/"):
            return _text(404, "There is no such file. It may be of another version: load the page anew.")
        return _sent(file or self.built[files.PAGE], scope)


def _sent(file: File, scope: Scope) -> tuple[int, dict[str, str], bytes]:
    """A file, in the smallest form that its client reads."""
    said = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    caching = "public, max-age=31536000, immutable" if file.immutable else "no-cache"
    if said.get("if-none-match") == file.etag:
        return 304, {"etag": file.etag, "cache-control": caching, "vary": "Accept-Encoding"}, b""
    reads = {word.partition(";")[0].strip() for word in said.get("accept-encoding", "").split(",")}
    name = next((name for name in file.encoded if name in reads), "")
    body = file.encoded[name] if name else file.plain
    headers = {**_of(body, file.kind, caching), "etag": file.etag, "vary": "Accept-Encoding"}
    return 200, headers | ({"content-encoding": name} if name else {}), body


def _text(status: int, words: str) -> tuple[int, dict[str, str], bytes]:
    return status, _of(words.encode(), "text/plain; charset=utf-8", "no-store"), words.encode()


def _of(body: bytes, kind: str, caching: str) -> dict[str, str]:
    return {"content-type": kind, "cache-control": caching, "content-length": str(len(body))}
