"""A load client that is not the bottleneck: HTTP/1.1 on a kept-alive connection, one request at a time.

It reads what Pumice answers and no more: a status line, headers, a body of known length. One request costs it
about 20 µs, so that it can share a machine of two cores with the process that is measured.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, cast

import orjson

HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    head: bytes
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)

    def header(self, name: str) -> str:
        """The value of a header; empty when there is none."""
        found = self.head.lower().find(b"\r\n" + name.lower().encode() + b":")
        if found < 0:
            return ""
        return self.head[found + len(name) + 3 :].split(b"\r\n", 1)[0].strip().decode()

    def expect(self, *statuses: int) -> "Answer":
        """This answer, if its status is one of these."""
        if self.status not in statuses:
            raise AssertionError(f"{self.status} instead of {statuses}: {self.body[:500]!r}")
        return self


class Connection(asyncio.Protocol):
    """One connection to a Pumice on this machine, made again after it was idle for too long.

    ``headers`` go with every request.
    """

    def __init__(self, port: int, headers: dict[str, str]) -> None:
        self.port = port
        headers = {"Host": f"127.0.0.1:{port}"} | headers
        self.headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._transport: asyncio.Transport
        self._waiting: asyncio.Future[Answer] | None = None
        self._head = b""
        self._status = 0
        self._missing = 0
        self._pieces = bytearray()

    async def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """Send a request and wait for its answer."""
        sent = b"" if body is None else orjson.dumps(body)
        kind = f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n" if sent else ""
        if self._transport.is_closing():
            await self.connect()
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(f"{method} {path} HTTP/1.1\r\n{self.headers}{kind}\r\n".encode() + sent)
        return await self._waiting

    async def connect(self) -> None:
        """Make the connection."""
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self.port)

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.Protocol``."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.Protocol``."""
        if self._waiting and not self._waiting.done():
            self._waiting.set_exception(exc or ConnectionError("The server hung up."))

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        self._pieces += data
        if not self._head:
            head, end, rest = self._pieces.partition(HEAD_END)
            if not end:
                return
            self._head, self._pieces = bytes(head), rest
            self._status = int(head[9:12])
            found = self._head.find(b"\r\ncontent-length: ")
            if found < 0 and self._status not in (204, 304):
                raise NotImplementedError(f"An answer of unknown length: {self._head!r}")
            length = self._head[found + 18 :].split(b"\r\n", 1)[0] if found >= 0 else b"0"
            self._missing = int(length)
        if len(self._pieces) >= self._missing and self._waiting:
            answer = Answer(self._status, self._head, bytes(self._pieces))
            self._head, self._pieces = b"", bytearray()
            self._waiting.set_result(answer)


async def connect(port: int, headers: dict[str, str]) -> Connection:
    """A new connection."""
    connection = Connection(port, headers)
    await connection.connect()
    return connection
