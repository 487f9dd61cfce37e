"""A server that webhooks are delivered to: it keeps what it is sent, and answers as it is told."""

import threading
from collections.abc import Callable
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from typing import Any

import orjson
from tests.ports import free_port

from pumice.host.outbound import Outbound

LOOPBACK = Outbound(allow=(ip_network("127.0.0.0/8"),))
"""Posts to servers of tests too."""

Request = tuple[str, dict[str, str], bytes]
"""Path, headers with small letters, and body."""


class Receiver:
    """Answers 204 at each path that ``paths`` says nothing else of; what is called there writes its answer."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.paths: dict[str, int | Callable[[Any], None]] = {}
        self.port = free_port()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"] or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.requests.append((self.path, headers, body))
                answer = receiver.paths.get(self.path.partition("?")[0], 204)
                if callable(answer):
                    answer(self)
                    return
                self.send_response(answer)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def at(self, path: str) -> list[Request]:
        return [one for one in list(self.requests) if one[0] == path]

    def messages(self, path: str) -> list[dict[str, Any]]:
        return [orjson.loads(body) for _, _, body in self.at(path)]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@cache
def receiver() -> Receiver:
    """One for all tests of this process; each has a path of its own."""
    return Receiver()
