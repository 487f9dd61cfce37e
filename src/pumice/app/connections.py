"""The server's side of HTTP connections, with a limit on everything that a client may send or withhold.

uvicorn's httptools protocol has none of its own: a header without end is copied again with each packet, headers
and trailers are kept in any number, and a client that says nothing more is waited for. ``limited`` makes a
protocol that answers 431, 414 or 408 instead, and closes; what was refused costs no more than its limit.

    connected --> head --(complete)--> body --> answer --> head …
                   | too long, too late   | too slow  | not taken
                   `--> 431, 414, 408     `--> 408    `--> closed
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pumice.app.limits import Http

SLICE = 16_384
"""Bytes given to the parser at once: what lies between two looks at what it has found."""
BUSY_SECONDS = 2
"""When who finds all connections taken may come again."""
LINGER_SECONDS = 2.0
"""How long a closed connection may take to bring its last answer home."""
_TOO_LONG, _TOO_LATE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, HTTPStatus.REQUEST_TIMEOUT


class _Refused(Exception):
    """Raised inside the parser to make it stop."""


class Connection(HttpToolsProtocol):
    """A client's connection. The class variables are the server's: see ``limited``."""

    limits: ClassVar[Http]
    idle: "ClassVar[dict[Connection, None]]"
    """The connections whose next request has not begun to be answered, the oldest first."""
    leaving: "ClassVar[dict[Connection, None]]"
    """The refused connections that are left open for a moment."""

    _in_head = False
    _quiet = 0
    """Bytes since something was found that is no header."""
    _headers = 0
    _heard = 0
    """Bytes of the body since the clock last looked."""
    _refusal: HTTPStatus | None = None
    _is_refused = False
    _clock: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a head; where there are too many connections, in the place of who has waited longest."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            oldest = next(iter(self.leaving or self.idle), None)
            if oldest is None:
                self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
                return
            oldest.transport.abort()
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks of a connection that is gone."""
        self._forget()
        self._set_clock(None)
        self.resume_writing()
        super().connection_lost(exc)

    def end(self) -> None:
        """Close, and do not wait long for what was not taken yet."""
        self._set_clock(None)
        self.transport.close()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def eof_received(self) -> None:
        """The client is gone: what is not answered yet need not be."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def shutdown(self) -> None:
        """The server stops: what was refused is not waited for."""
        if self._is_refused:
            self.transport.abort()
        else:
            super().shutdown()

    def _forget(self) -> None:
        self.idle.pop(self, None)
        self.leaving.pop(self, None)

    # --- what comes in --------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Feed the parser by slices, for as long as it finds something."""
        for begin in range(0, len(data), SLICE):
            if self._is_refused or self.transport.is_closing() or self.parser is None:
                return
            piece = data[begin : begin + SLICE]
            self._quiet += len(piece)
            super().data_received(piece)
            if self._quiet > self.limits.head_bytes:
                self._refuse(_TOO_LONG)

    def on_message_begin(self) -> None:
        """A request: none of its headers is known."""
        super().on_message_begin()
        self._in_head, self._headers, self._quiet = True, 0, 0

    def on_url(self, url: bytes) -> None:
        """A piece of the URL."""
        if len(self.url) + len(url) > self.limits.url_bytes:
            self._stop(HTTPStatus.REQUEST_URI_TOO_LONG)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header is kept, a trailer is not."""
        self._headers += 1
        if self._headers > self.limits.headers:
            self._stop(_TOO_LONG)
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The request can be answered."""
        self._in_head, self._quiet = False, 0
        self.idle.pop(self, None)
        if len(self.pipeline) >= self.limits.pipelined:
            self._stop(HTTPStatus.TOO_MANY_REQUESTS)
        super().on_headers_complete()
        self._await_body()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._quiet = 0
        self._heard += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The body is there; after an answer that did not wait for it, the next head may come."""
        self._quiet = 0
        self._set_clock(None)
        if self.cycle.response_complete:
            self._await_head()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The next request, if it is not there yet, has as much time as the first."""
        super().on_response_complete()
        if not self.pipeline and self.cycle.response_complete:
            self._await_head()

    # --- what is refused ------------------------------------------------------------------------

    def _stop(self, status: HTTPStatus) -> None:
        self._refusal = status
        raise _Refused

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (the name is the parent's)
        """What the parser would not go on with: our own reason counts before its."""
        self._refuse(self._refusal or HTTPStatus.BAD_REQUEST)

    def _refuse(self, status: HTTPStatus) -> None:
        """Say why, unless another answer is under way, and close.

        What the client is still sending is not read, but left for a moment: closing at once would reset the
        connection, and the answer would be lost.
        """
        if self._is_refused or self.transport.is_closing():
            return
        self._is_refused = True
        is_answering = (
            self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        )
        if not is_answering and not self.pipeline:
            body = orjson.dumps(
                {"error": {"code": status.value, "message": status.phrase, "title": status.phrase}}
            )
            head = (
                f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n"
            )
            if status == HTTPStatus.SERVICE_UNAVAILABLE:
                head += f"retry-after: {BUSY_SECONDS}\r\n"
            self.transport.write(f"{head}\r\n".encode() + body)
            self.transport.pause_reading()
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self._forget()
            self.leaving[self] = None
            self._set_clock(self.end, LINGER_SECONDS)
        else:
            self.end()
        self.eof_received()

    # --- who is too slow ------------------------------------------------------------------------

    def _set_clock(self, late: Callable[[], None] | None, seconds: float = 0.0) -> None:
        if self._clock is not None:
            self._clock.cancel()
        self._clock = self.loop.call_later(seconds, late) if late else None

    def _await_head(self) -> None:
        """A clock that nothing sets back, as what comes may be a byte at a time."""
        self.idle[self] = None
        self._set_clock(self._head_is_late, self.limits.head_seconds)

    def _head_is_late(self) -> None:
        if self._in_head:
            self._refuse(_TOO_LATE)
        else:
            self.end()

    def _await_body(self) -> None:
        self._heard = 0
        self._set_clock(self._look_at_body, self.limits.stall_seconds)

    def _look_at_body(self) -> None:
        """A body must have gone on meanwhile, unless it was us who did not read or ask for it."""
        least = max(self.limits.slowest_body * self.limits.stall_seconds, 1)
        if self._heard >= least or self.flow.read_paused or self.cycle.waiting_for_100_continue:
            self._await_body()
        else:
            self._refuse(_TOO_LATE)

    def pause_writing(self) -> None:
        """The client does not take what it is told: it has some time to go on."""
        super().pause_writing()
        self._stall = self.loop.call_later(self.limits.stall_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again: the time in which it had to is over."""
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None


def limited(limits: Http) -> type[Connection]:
    """The protocol of one server."""
    kept: dict[str, Any] = {"limits": limits, "idle": {}, "leaving": {}}
    return type("LimitedConnection", (Connection,), kept)
