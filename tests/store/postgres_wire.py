"""A wire between us and a PostgreSQL, to be cut at the moment that matters."""

import asyncio
import contextlib
from pathlib import Path
from types import TracebackType
from typing import Literal

from postgres_server import PostgresServer

_SOCKET = ".s.PGSQL.5432"
COMMIT, COMMITTED = b"\0commit\0", b"COMMIT\0"
"""The question as ``store/pipeline.py`` asks it, by a prepared statement's name, and the server's answer."""
SYNC = b"S\0\0\0\4"
"""How what a client says ends when it waits for the answer."""


class Wire:
    """Passes on what clients and the server say to each other, for as long as the ``async with`` lasts."""

    def __init__(self, server: PostgresServer, directory: Path) -> None:
        self.server = server
        self.directory = directory
        self.clients: list[asyncio.StreamWriter] = []
        self._relays: list[asyncio.Task[None]] = []
        self.cut_at: Literal["question", "answer"] | None = None
        """Cut the wire once: when a COMMIT comes by, or when the answer to it does. Neither is passed on."""
        self.trips = 0
        """How often a client has said something after which it waits for an answer."""
        self.server_notices_after = 0.0
        """Seconds from a cut until the server's end is closed too: it may take the client for alive so long."""

    def url(self, url: str) -> str:
        """How to reach a database through the wire."""
        return url.replace(str(self.server.directory), str(self.directory))

    async def __aenter__(self) -> "Wire":
        self._listening = await asyncio.start_unix_server(self._relay, self.directory / _SOCKET)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()
        for relay in self._relays:
            relay.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)

    async def say(self, message: bytes) -> None:
        """Say something to every client in the server's name."""
        for client in self.clients:
            client.write(message)
            await client.drain()

    def cut(self) -> None:
        """Cut every wire there is."""
        for client in self.clients:
            client.close()
        self.clients.clear()

    async def _relay(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._relays.append(task)
        self.clients.append(to_client)
        from_server, to_server = await asyncio.open_unix_connection(self.server.directory / _SOCKET)
        asking = asyncio.create_task(self._pass_on(from_client, to_server, COMMIT, "question"))
        answering = asyncio.create_task(self._pass_on(from_server, to_client, COMMITTED, "answer"))
        try:
            await asyncio.wait({asking, answering}, return_when=asyncio.FIRST_COMPLETED)
            to_client.close()
            if asking.done():
                await asyncio.sleep(self.server_notices_after)
        finally:
            to_client.close()
            to_server.close()
            asking.cancel()
            answering.cancel()
            await asyncio.wait({asking, answering})

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, word: bytes, moment: str
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                self.trips += moment == "question" and piece.endswith(SYNC)
                if self.cut_at == moment and word in piece:
                    self.cut_at = None
                    return
                writer.write(piece)
                await writer.drain()
