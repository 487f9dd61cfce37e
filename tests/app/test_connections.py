"""What one client may send, withhold and hold: each limit, and that others are served meanwhile."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from tests.patience import patience

from pumice.app import monitoring
from pumice.app.limits import Http

LIMITS = Http(
    connections=40,
    url_bytes=2000,
    head_bytes=16_384,
    headers=50,
    pipelined=4,
    head_seconds=0.4,
    stall_seconds=0.4,
)
LARGE = 40_000_000
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


class Told:
    """An application that reads every body and tells how much it was; ``/slow`` waits, ``/large`` is long."""

    def __init__(self) -> None:
        self.headers: list[Any] = []
        self.most = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        read = 0
        self.headers = scope["headers"]
        if scope["path"] == "/slow":
            await asyncio.sleep(1)
        while scope["path"] != "/refuse":
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            read += len(message.get("body", b""))
            if not message.get("more_body"):
                break
        body = bytes(LARGE) if scope["path"] == "/large" else str(read).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """Until the other side closes."""
    found = b""
    with contextlib.suppress(ConnectionError):
        async with patience():
            while piece := await reader.read(65536):
                found += piece
    return found


class Served:
    """A server with these limits, and raw connections to it."""

    def __init__(self, port: int, told: Told) -> None:
        self.port, self.told = port, told

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def send(self, *pieces: bytes, pause: float = 0.0) -> bytes:
        """What comes back until the server closes, or has nothing more to say."""
        reader, writer = await self.open()

        async def write() -> None:
            with contextlib.suppress(ConnectionError):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(pause)

        writing = asyncio.create_task(write())
        found = await read_all(reader)
        writing.cancel()
        writer.close()
        return found

    async def cost(self) -> float:
        """What a small request costs all of this process: CPU seconds, the same on a busy machine."""
        began = time.process_time()
        assert b"200 OK" in await self.send(b"GET /refuse HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return time.process_time() - began


@pytest.fixture
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    told = Told()
    server = monitoring.server(told, getattr(request, "param", LIMITS))
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listening:
        task = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:
            await asyncio.sleep(0.002)
        yield Served(listening.getsockname()[1], told)
        server.should_exit = True
        await task


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("served", [LIMITS.model_copy(update={"connections": 2})], indirect=True)
async def test_who_finds_all_connections_at_work_is_told_when_to_come_again(served: Served) -> None:
    slow = b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    both = [asyncio.create_task(served.send(slow)) for _ in range(2)]
    await asyncio.sleep(0.3)
    answer = await served.send(slow)
    assert (b" 503 " in answer, b"\r\nretry-after: 2\r\n" in answer) == (True, True)
    assert all(b"200 OK" in one for one in await asyncio.gather(*both))


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /?" + b"x=1&" * 5000 + b" HTTP/1.1\r\n\r\n", 414),
        (HEAD + b"X: " + b"y" * 50_000, 431),
        (HEAD + b"X: " + b"y" * 50_000 + b"\r\n\r\n", 431),
        (HEAD + b"y" * 50_000, 431),
        (HEAD + b"X: y\r\n" * 60 + b"\r\n", 431),
        (HEAD + b"".join(b"X-%d: y\r\n" % number for number in range(60)), 431),
        (CHUNKED + b"1\r\na\r\n0\r\n" + b"X: y\r\n" * 60 + b"\r\n", 431),
        (CHUNKED + b"1\r\na\r\n0\r\nX: " + b"y" * 50_000, 431),
        (CHUNKED + b"1;" + b"y" * 50_000, 431),
        (b"\r\n" * 50_000, 431),
        (b"y" * 50_000, 400),
        (HEAD + b"Content-Length: 9" + b"9" * 40 + b"\r\n\r\n", 400),
    ],
)
async def test_what_has_no_end_is_refused_and_the_connection_closed(
    served: Served, sent: bytes, status: int
) -> None:
    answer = await served.send(sent)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:100]
    assert b"connection: close" in answer


async def test_what_is_within_the_limits_is_served(served: Served) -> None:
    headers = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 200) for number in range(40))
    assert b"200 OK" in await served.send(b"GET /?" + b"q" * 1500 + b" HTTP/1.1\r\n" + headers + b"\r\n")
    body = b"z" * 3_000_000
    head = HEAD + b"Content-Length: %d\r\n\r\n" % len(body)
    assert (await served.send(head + body)).endswith(b"\r\n\r\n3000000")
    chunks = b"".join(b"%x\r\n%s\r\n" % (5000, b"z" * 5000) for _ in range(100))
    assert (await served.send(CHUNKED + chunks + b"0\r\nX: y\r\n\r\n")).endswith(b"\r\n\r\n500000")
    assert b"x" not in dict(served.told.headers), "a trailer is no header"


@pytest.mark.parametrize("pieces", [[b"GET / HTTP/1.1\r\nX: y"], [HEAD, *[b"X: y\r\n"] * 20], [b"G"]])
async def test_a_request_that_never_ends_is_cut_off_however_slowly_it_comes(
    served: Served, pieces: list[bytes]
) -> None:
    began = time.monotonic()
    answer = await served.send(*pieces, pause=0.03)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began > 0.3


@pytest.mark.parametrize("pieces", [[], [b"\r\n"] * 20, [b"GET / HTTP/1.1\r\n\r\n", *[b"\r\n"] * 20]])
async def test_a_connection_that_says_nothing_is_closed(served: Served, pieces: list[bytes]) -> None:
    assert b" 408 " not in await served.send(*pieces, pause=0.03)


@pytest.mark.parametrize("head", [HEAD + b"Content-Length: 100000\r\n\r\n", CHUNKED])
async def test_a_body_that_stands_still_or_drips_is_cut_off(served: Served, head: bytes) -> None:
    assert (await served.send(head)).startswith(b"HTTP/1.1 408 ")
    drops = [b"1\r\na\r\n"] * 30
    assert (await served.send(head, *drops, pause=0.03)).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "served", [LIMITS.model_copy(update={"stall_seconds": 5.0})], indirect=True, ids=["5s"]
)
async def test_a_body_that_goes_on_may_take_its_time(served: Served) -> None:
    """Longer than it may stand still, which is longer than a busy machine does."""
    head = HEAD + b"Content-Length: 20000\r\nConnection: close\r\n\r\n"
    assert (await served.send(head, *[b"z" * 1000] * 20, pause=0.3)).endswith(b"20000")


async def test_a_body_that_nobody_wants_does_not_hold_a_connection(served: Served) -> None:
    head = b"POST /refuse HTTP/1.1\r\nContent-Length: 100000\r\n\r\n"
    assert b"200 OK" in await served.send(head, *[b"z"] * 30, pause=0.03)


async def test_an_answer_that_is_not_taken_is_given_up(served: Served) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", served.port))
        deaf.setblocking(False)
        await loop.sock_sendall(deaf, b"GET /large HTTP/1.1\r\n\r\n")
        await asyncio.sleep(1)
        taken = 0
        with contextlib.suppress(ConnectionError):
            async with patience():
                while piece := await loop.sock_recv(deaf, 1 << 20):
                    taken += len(piece)
    assert taken < LARGE


async def test_requests_ahead_of_their_answers_are_few(served: Served) -> None:
    answer = await served.send(b"GET /slow HTTP/1.1\r\n\r\n" * 1000)
    assert answer.count(b"200 OK") <= LIMITS.pipelined
    three = b"GET / HTTP/1.1\r\n\r\n" * 3
    assert (await served.send(three)).count(b"200 OK") == 3


def resident() -> float:
    """This process's memory in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) / 256


def _half_sent(number: int) -> bytes:
    return b"GET / HTTP/1.1\r\nX-%d: " % number


async def test_many_half_sent_requests_neither_stop_others_nor_last(served: Served) -> None:
    opened = [await served.open() for _ in range(300)]
    for number, (_, writer) in enumerate(opened):
        writer.write(_half_sent(number))
    assert await served.cost() < 1
    await asyncio.sleep(0.6)
    for reader, writer in opened:
        await read_all(reader)
        writer.close()


@pytest.mark.parametrize(
    "endless", [HEAD + b"X: ", HEAD, CHUNKED + b"0\r\nX: "], ids=["a header", "headers", "a trailer"]
)
async def test_others_are_served_and_memory_stays_while_somebody_sends_without_end(
    served: Served, endless: bytes
) -> None:
    before = resident()
    more = b"X: y\r\n" * 10_000 if endless == HEAD else b"y" * 60_000
    stopping = asyncio.Event()

    async def attack() -> None:
        while not stopping.is_set():
            await served.send(endless, *[more] * 50)

    attackers = [asyncio.create_task(attack()) for _ in range(4)]
    await asyncio.sleep(0.2)
    dearest = max([await served.cost() for _ in range(10)])
    stopping.set()
    await asyncio.gather(*attackers)
    assert dearest < 1
    assert resident() - before < 64
