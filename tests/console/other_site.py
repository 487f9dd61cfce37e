"""A site of somebody else's, who wishes to do things in the console of whoever comes by.

It is at another port of the console's own host: for a browser that is the same *site*, so that cookies go along
and ``SameSite`` is no help. Under another name of that host, ``localhost``, it is another site.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.ports import free_port


class OtherSite:
    """Serves whatever pages it is given."""

    def __init__(self, port: int) -> None:
        self.near, self.far = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
        self.pages: dict[str, str] = {}

    def page(self, body: str) -> str:
        """The path of a page with this body."""
        path = f"/{len(self.pages)}"
        self.pages[path] = f"<!doctype html><title>other</title><body>{body}</body>"
        return path


@contextmanager
def other_site() -> Iterator[OtherSite]:
    """One that serves until the end."""
    port = free_port()
    site = OtherSite(port)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = site.pages.get(self.path, "").encode()
            self.send_response(200 if content else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield site
        finally:
            server.shutdown()
            serving.join()
