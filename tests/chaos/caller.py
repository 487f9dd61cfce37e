"""Make requests, wait for what they began, look at things: what must be true of any request is judged here."""

import asyncio
import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx
from tests.chaos.model import GONE, RESTING, Effect, Facts, Model, Request, Thing
from tests.chaos.world import World

VOLUMES, SNAPSHOTS, BACKUPS, GROUPS, GROUP_SNAPSHOTS, SERVERS, IMAGES = (
    "/volume/v3/volumes",
    "/volume/v3/snapshots",
    "/volume/v3/backups",
    "/volume/v3/groups",
    "/volume/v3/group_snapshots",
    "/compute/v2.1/servers",
    "/image/v2/images",
)
PATHS = {
    "volume": VOLUMES,
    "snapshot": SNAPSHOTS,
    "backup": BACKUPS,
    "group": GROUPS,
    "group_snapshot": GROUP_SNAPSHOTS,
    "server": SERVERS,
    "image": IMAGES,
}
WITH_SIZE = ("volume", "snapshot", "backup")
GIB = 1024**3
MARK_AT, MARK = 512 * 1024 * 1024, 64
"""Where marks are written, far from what a guest writes, and how many bytes they are."""
PATIENCE = 90.0
"""How long a client waits for what it asked for, before it turns to something else."""
TOLD = ("volume.", "snapshot.", "backup.", "group.", "server.attach", "server.detach")
"""The kinds of operations whose failure must be found in the tenant's messages."""
NOTHING = bytes(MARK)


def asked_for(kind: str, operations: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Of what a request began, the oldest first, the operation of its kind. Later ones clean up behind it."""
    return next((it for it in operations if it["kind"] == kind), None)


class Caller:
    """A user of the API with a model of it."""

    def __init__(self, name: str, world: World, model: Model, headers: Mapping[str, str]) -> None:
        self.name = name
        self.world = world
        self.model = model
        self.http = httpx.AsyncClient(base_url=world.url, headers=dict(headers), timeout=45)

    async def ask(
        self, what: str, kind: str, effects: tuple[Effect, ...], method: str, path: str, **body: Any
    ) -> tuple[Request, Any]:
        """Make a request; what it was answered, None if that is no success."""
        request = self.model.request(self.name, what, kind, *effects)
        try:
            answer = await self.answered(method, path, **body)
        except httpx.HTTPError as error:
            request.said = type(error).__name__
            return self._settled(request, "unanswered"), None
        request.answer = answer.status_code
        request.request_id = answer.headers.get("x-openstack-request-id", "")
        if answer.status_code < 400:
            return request, answer.json() if answer.content else {}
        request.said = answer.text[:300]
        if answer.status_code == 500:
            self.model.violation(f"{request} was answered 500, which is a bug", effects[0].thing)
        return self._settled(request, "refused" if answer.status_code < 500 else "unanswered"), None

    async def answered(self, method: str, path: str, **body: Any) -> httpx.Response:
        """The answer to a request, which is made again while nobody takes it: then nothing has happened."""
        while True:
            try:
                return await self.http.request(method, path, **body)
            except httpx.ConnectError:
                await asyncio.sleep(0.3)

    def _settled(self, request: Request, outcome: str) -> Request:
        request.settle(outcome)
        for effect in request.effects:
            effect.thing.lost |= outcome == "unanswered"
        self.world.tell(str(request))
        return request

    async def end(self, request: Request, patience: float = PATIENCE) -> bool:
        """Wait for what was accepted, judge how it ended, and look at its things. Whether it did end."""
        give_up = time.monotonic() + patience
        while operations := await self._operations(request):
            if all(it["state"] in ("done", "failed") for it in operations):
                break
            if time.monotonic() > give_up:
                for effect in request.effects:
                    effect.thing.lost = True
                self.world.tell(f"given up: {request}")
                return False
            await asyncio.sleep(0.15)
        asked = asked_for(request.kind, operations)
        if asked is None or asked["state"] == "done":
            self._settled(request, "done")
        elif asked["error"] and await self._is_told(request):
            request.said = asked["error"]
            self._settled(request, "explained")
        else:
            self._settled(request, "explained").outcome = "unexplained"
            self.model.violation(f"{request}: it failed, and nobody was told why", request.effects[0].thing)
        for effect in request.effects:
            await self.look(effect.thing)
        return True

    async def _operations(self, request: Request) -> list[Any]:
        query = "SELECT id, kind, state, error FROM operations WHERE request_id = $1 ORDER BY created_at"
        return await self.world.rows(query, request.request_id) if request.request_id else []

    async def _is_told(self, request: Request) -> bool:
        if request.kind == "server.boot":
            shown = await self.get(f"{SERVERS}/{request.effects[0].thing.id}")
            return shown is None or bool(shown["server"].get("fault", {}).get("message"))
        if request.kind == "volume.migrate":
            shown = await self.get(f"{VOLUMES}/{request.effects[0].thing.id}")
            return shown is None or shown["volume"]["os-vol-mig-status-attr:migstat"] == "error"
        if not request.kind.startswith(TOLD):
            return True
        told = await self.get("/volume/v3/messages?limit=1000")
        return any(it["request_id"] == request.request_id for it in told["messages"])

    # --- looking --------------------------------------------------------------------------------

    async def get(self, path: str) -> Any:
        """What a GET answers, waited for while nobody does; None for what is not there."""
        while True:
            with contextlib.suppress(httpx.HTTPError):
                answer = await self.http.get(path)
                if answer.status_code == 404:
                    return None
                if answer.status_code < 300:
                    return answer.json()
                if answer.status_code != 503:
                    self.model.violation(f"GET {path} was answered {answer.status_code}: {answer.text[:300]}")
                    return None
            await asyncio.sleep(0.3)

    async def look(self, thing: Thing) -> None:
        """Compare a thing with the model: its state, and its bytes."""
        give_up = time.monotonic() + PATIENCE
        while (seen := await self._facts(thing)) not in thing.may and time.monotonic() < give_up:
            if seen == GONE or seen.status in RESTING[thing.kind]:
                break
            await asyncio.sleep(0.2)
        self.model.observe(thing, seen)
        if thing.kind not in ("volume", "snapshot") or seen == GONE or seen.status == "error_deleting":
            return
        if thing.filled or seen.status in ("available", "in-use"):
            await self._compare(thing, seen)

    async def _facts(self, thing: Thing) -> Facts:
        if not thing.id:
            return GONE
        shown = await self.get(f"{PATHS[thing.kind]}/{thing.id}")
        if shown is None:
            return GONE
        it = shown.get(thing.kind, shown)
        if thing.kind == "server":
            return Facts(it["OS-EXT-STS:task_state"] or it["status"])
        names = {known.id: known.name for known in self.model.things if known.kind == "server"}
        links = it.get("attachments", [])
        users = frozenset(names.get(link["server_id"], link["server_id"] or "outside") for link in links)
        return Facts(it["status"], it["size"] if thing.kind in WITH_SIZE else 0, users)

    async def file_of(self, thing: Thing) -> Path | None:
        """The file of a volume or snapshot in the pool that its row names, if it is there."""
        query = "SELECT pool FROM volumes WHERE id = $1 UNION SELECT pool FROM snapshots WHERE id = $1"
        pools = await self.world.rows(query, thing.id)
        return self.world.file(pools[0]["pool"], thing.kind, thing.id) if pools else None

    async def _compare(self, thing: Thing, seen: Facts) -> None:
        """Look into its file. Nobody else deletes it."""
        path = await self.file_of(thing)
        if path is None:
            self.model.violation(f"{thing} has no bytes", thing)
            return
        thing.filled = True
        if path.stat().st_size < seen.size * GIB:
            self.model.violation(f"{thing} has fewer bytes than its size says", thing)
        for offset in list(thing.contents):
            with path.open("rb") as file:
                self.model.compare(thing, offset, os.pread(file.fileno(), MARK, offset))
