"""All that answers at one address: the APIs, each below its prefix, the console, and whether we are well."""

from collections.abc import Callable

import orjson

from pumice.api.console.service import Console, is_for
from pumice.api.console.session import Asgi, Headers, Receive, Scope, Send, with_token
from pumice.api.service import Service


class Application:
    """The ASGI application: the service whose prefix a path begins with, the console, a monitor's page."""

    def __init__(
        self,
        services: tuple[Service, ...],
        console: Console,
        watch: Asgi,
        public_url: str | None,
        trusts: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.console = console
        self.watch = watch
        self.trusts = trusts
        self.services = {service.prefix.split("/")[1]: service for service in services}
        self.forwarded: list[tuple[bytes, bytes]] = []
        if public_url:
            scheme, _, host = public_url.rstrip("/").partition("://")
            self.forwarded = [
                (b"x-forwarded-proto", scheme.encode()),
                (b"x-forwarded-host", host.encode()),
            ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to its service."""
        if scope["type"] != "http":
            return
        first = scope["path"].split("/", 2)[1]
        service = self.services.get(first)
        if service or is_for(scope):
            headers = self._headers(scope)
            scope = {**scope, "headers": headers}
            if service:
                await service({**scope, "headers": with_token(headers, scope)}, receive, send)
            else:
                await self.console(scope, receive, send)
            return
        if first == "healthcheck":
            await self.watch(scope, receive, send)
            return
        if not first:
            status, body = 200, {name: f"/{name}/" for name in self.services}
        else:
            status, body = 404, {"error": f"There is nothing here. Services: {', '.join(self.services)}."}
        headers = [(b"content-type", b"application/json"), (b"vary", b"Accept")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": orjson.dumps(body)})

    def _headers(self, scope: Scope) -> Headers:
        """The request's, with what is said of where it came through only if that may be believed."""
        headers: Headers = scope["headers"]
        if not self.trusts((scope.get("client") or ("",))[0]):
            headers = [pair for pair in headers if not pair[0].startswith(b"x-forwarded-")]
        return [*headers, *self.forwarded]
