"""One network that goes nowhere: gophercloud's tests look for it before they make a server."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

NETWORK = {
    "id": "5e7e4a5f-5a2b-4f7b-9a3e-0f0f0f0f0f0f",
    "name": "nowhere",
    "status": "ACTIVE",
    "admin_state_up": True,
    "shared": True,
    "subnets": [],
}
_VERSION = {"id": "v2.0", "status": "CURRENT", "links": [{"rel": "self", "href": "/v2.0/"}]}


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """A list of versions, or of networks; anything else is an empty list."""
        path = self.path.partition("?")[0].rstrip("/")
        body: dict[str, object] = {path.rpartition("/")[2].replace("-", "_") or "versions": []}
        if path.endswith("/networks"):
            body = {"networks": [NETWORK]}
        elif path in ("", "/v2.0"):
            body = {"versions": [_VERSION]}
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Networks:
    """A network service for as long as the ``with`` lasts."""

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
