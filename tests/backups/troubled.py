"""A way to a store that speaks S3 on which things go wrong, as a test says."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.patience import PATIENCE
from tests.ports import free_port
from tests.s3_server import S3Store

Wrong = Callable[["Way"], bool]
"""Answers a request itself, or says that it is to be passed on."""


class Way(BaseHTTPRequestHandler):
    """One request. Set up by ``troubled``."""

    protocol_version = "HTTP/1.1"
    store: S3Store
    troubles: "Troubles"

    def go(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.troubles.asked += 1
        if self.troubles.wrong is not None and self.troubles.wrong(self):
            return
        self.answer(*self.passed_on())

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = go  # noqa: N815 - the names that the parent calls

    def passed_on(self) -> tuple[int, dict[str, str], bytes]:
        """What the store answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.store.port, timeout=PATIENCE)
        connection.request(self.command, self.path, self.body, dict(self.headers))
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        kept = {name: value for name, value in answer.getheaders() if name.lower() in ("content-type", "etag")}
        return answer.status, kept, body

    def answer(self, status: int, headers: dict[str, str], body: bytes, length: int | None = None) -> None:
        """Say it; with a ``length`` that is not the body's, break off after it."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        if length is not None:
            self.close_connection = True

    def refuse(self, status: int, code: str) -> bool:
        """Answer with an error of S3's."""
        text = f"<Error><Code>{code}</Code><Message>{code}, it says.</Message></Error>"
        self.answer(status, {"Content-Type": "application/xml"}, text.encode())
        return True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its parent's name
        """Nobody reads it."""


class Troubles:
    """What goes wrong, and how many requests have come."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.wrong: Wrong | None = None
        self.asked = 0
        self.over = threading.Event()
        """Set when the test ends: what hangs goes on."""

    def hang(self, way: Way) -> bool:
        """Say nothing, and hang up in the end."""
        self.over.wait(PATIENCE)
        way.close_connection = True
        return True

    def first(self, times: int, wrong: Wrong) -> None:
        """So many requests go wrong; those after them do not."""
        left = iter(range(times))
        self.wrong = lambda way: next(left, None) is not None and wrong(way)


@contextmanager
def troubled(store: S3Store) -> Iterator[Troubles]:
    """A way to the store; all is well on it at first."""
    port = free_port()
    troubles = Troubles(f"http://127.0.0.1:{port}")
    handler = type("ThisWay", (Way,), {"store": store, "troubles": troubles})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield troubles
    finally:
        troubles.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
