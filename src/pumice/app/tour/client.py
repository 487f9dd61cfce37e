"""The tour's own view of the cloud: what any client sees over HTTP, and nothing more."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx

from pumice.model.errors import PumiceError

COMPUTE = {"OpenStack-API-Version": "compute 2.89"}
VOLUME = {"OpenStack-API-Version": "volume 3.71"}
PIECE = 1024 * 1024


class TourFailed(PumiceError):
    """Something did not go as the tour tells it."""


class Client:
    """A user of the project ``admin``."""

    def __init__(self, url: str, password: str, cacert: Path | None = None) -> None:
        trusted = ssl.create_default_context(cafile=cacert) if cacert else True
        self._http = httpx.AsyncClient(base_url=url, timeout=120, verify=trusted)
        self._password = password

    async def log_in(self) -> None:
        """Get a token."""
        user = {"name": "admin", "domain": {"id": "default"}, "password": self._password}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        answer = await self._http.post("/identity/v3/auth/tokens", json=body)
        self._must(answer)
        self._http.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.aclose()

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request; return the answer's JSON. Raises ``TourFailed`` with the fault."""
        headers = COMPUTE if path.startswith("/compute") else VOLUME if path.startswith("/volume") else {}
        answer = await self._http.request(method, path, json=body, headers=headers)
        self._must(answer)
        return answer.json() if answer.content else None

    async def upload(self, image_id: str, file: Path, progress: Callable[[float], None]) -> None:
        """Send an image's bytes."""
        size = file.stat().st_size

        async def pieces() -> AsyncIterator[bytes]:
            sent = 0
            with file.open("rb") as source:
                while piece := source.read(PIECE):
                    yield piece
                    sent += len(piece)
                    progress(sent / size)

        answer = await self._http.put(
            f"/image/v2/images/{image_id}/file",
            content=pieces(),
            headers={"Content-Type": "application/octet-stream"},
        )
        self._must(answer)

    async def wait_for(
        self, path: str, key: str, status: str, seconds: float = 120, each: Callable[[Any], None] | None = None
    ) -> dict[str, Any]:
        """Look at a thing until it has a status. Raises ``TourFailed`` when it comes to an error instead."""
        give_up = time.monotonic() + seconds
        while True:
            thing: dict[str, Any] = (await self.call("GET", path))[key]
            if each:
                each(thing)
            if thing["status"] == status:
                return thing
            if "error" in thing["status"].lower() or time.monotonic() > give_up:
                reason = thing.get("fault", {}).get("message") or await self._last_message(thing["id"])
                raise TourFailed(f"The {key} is {thing['status']}, not {status}. {reason}")
            await asyncio.sleep(0.05)

    async def wait_until_gone(self, path: str, seconds: float = 60) -> None:
        """Look at a thing until it is not found."""
        give_up = time.monotonic() + seconds
        while (answer := await self._http.get(path)).status_code != 404:
            if time.monotonic() > give_up:
                raise TourFailed(f"{path} is still there after {seconds:g} seconds: {answer.text[:200]}")
            await asyncio.sleep(0.05)

    async def console(self, server_id: str) -> str:
        """Read what the guest wrote to its serial port."""
        body = {"os-getConsoleOutput": {"length": None}}
        answer = await self.call("POST", f"/compute/v2.1/servers/{server_id}/action", body)
        return str(answer["output"])

    async def wait_for_console(self, server_id: str, words: str, seconds: float = 120) -> str:
        """The first line of the console that contains ``words``."""
        give_up = time.monotonic() + seconds
        while True:
            output = await self.console(server_id)
            for line in output.splitlines():
                if words in line:
                    return line.strip()
            if time.monotonic() > give_up:
                raise TourFailed(
                    f"The guest did not say '{words}' within {seconds:g} s. Its last words:\n{output[-800:]}"
                )
            await asyncio.sleep(0.1)

    async def _last_message(self, resource_id: str) -> str:
        messages = (await self.call("GET", "/volume/v3/messages"))["messages"]
        return next((str(m["user_message"]) for m in messages if m["resource_uuid"] == resource_id), "")

    @staticmethod
    def _must(answer: httpx.Response) -> None:
        if answer.status_code >= 400:
            asked = f"{answer.request.method} {answer.request.url.path}"
            raise TourFailed(f"{asked} was answered {answer.status_code}: {answer.text[:500]}")
