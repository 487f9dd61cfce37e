"""The metadata of volumes and snapshots, key by key (api-ref, "Volume metadata")."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from pydantic import Field

from pumice.api.call import Call, Reply, check
from pumice.api.faults import HttpError
from pumice.api.fields import Body, Metadata
from pumice.api.policy import MEMBER, READER, Rule
from pumice.api.routing import Route
from pumice.model.errors import Invalid, TooLarge
from pumice.model.scope import Scope
from pumice.operations.at_once import AtOnce, Owned, record
from pumice.store import snapshots, volumes
from pumice.store.database import Transaction


class AllOfIt(Body):
    """The body of a request about several keys."""

    metadata: Metadata


class OneOfIt(Body):
    """The body of a request about one key."""

    meta: Metadata = Field(min_length=1, max_length=1)


class Described(Owned, Protocol):
    """A value that has metadata."""

    @property
    def metadata(self) -> dict[str, str]: ...


@dataclass(frozen=True)
class MetadataOf:
    """The sub-resource ``/{collection}/{id}/metadata`` of one kind of thing."""

    collection: str
    get: Callable[[Transaction, Scope, str], Described]
    change: Callable[..., None]
    kind: AtOnce
    """What a change is called in the log."""
    rules: Mapping[str, Rule]
    """Policies by verb: ``get``, ``create``, ``update``, ``delete``."""
    tagged: bool = False
    """Whether answers have an ``Etag`` and writes respect ``If-Match``, from 3.15."""

    def routes(self) -> tuple[Route, ...]:
        """The six routes of the metadata of this kind of thing."""
        every, one = f"/{self.collection}/{{id}}/metadata", f"/{self.collection}/{{id}}/metadata/{{key}}"
        return (
            Route("GET", every, self.index, self.rules["get"]),
            Route("POST", every, self.add, self.rules["create"]),
            Route("PUT", every, self.replace, self.rules["update"]),
            Route("GET", one, self.show, self.rules["get"]),
            Route("PUT", one, self.update, self.rules["update"]),
            Route("DELETE", one, self.remove, self.rules["delete"]),
        )

    async def index(self, call: Call) -> Reply:
        """Show all metadata of a thing."""
        metadata = (await call.ctx.db.read(self.get, call.who, call.args["id"])).metadata
        headers = {"Etag": _tag(metadata)} if self._tags(call) else {}
        return Reply({"metadata": metadata}, headers=headers)

    async def show(self, call: Call) -> Reply:
        """Show one key and its value."""
        metadata = (await call.ctx.db.read(self.get, call.who, call.args["id"])).metadata
        key = call.args["key"]
        self._must_have(metadata, call.args["id"], key)
        return Reply({"meta": {key: metadata[key]}})

    async def add(self, call: Call) -> Reply:
        """Add keys or change them."""
        more = check(AllOfIt, await call.json()).metadata
        return Reply({"metadata": await self._write(call, lambda known: {**known, **more}, None)})

    async def replace(self, call: Call) -> Reply:
        """Replace all keys by these."""
        wanted = check(AllOfIt, await call.json()).metadata
        return Reply({"metadata": await self._write(call, lambda _: wanted, self._match(call))})

    async def update(self, call: Call) -> Reply:
        """Write one key of a thing's metadata."""
        meta = check(OneOfIt, await call.json()).meta
        if call.args["key"] not in meta:
            raise Invalid("Request body and URI mismatch")
        await self._write(call, lambda known: {**known, **meta}, self._match(call))
        return Reply({"meta": meta})

    async def remove(self, call: Call) -> Reply:
        """Forget a key: 200."""
        thing, key = call.args["id"], call.args["key"]

        def without(known: dict[str, str]) -> dict[str, str]:
            self._must_have(known, thing, key)
            return {name: value for name, value in known.items() if name != key}

        await self._write(call, without, None)
        return Reply(status=200)

    async def _write(
        self, call: Call, change: Callable[[dict[str, str]], dict[str, str]], match: str | None
    ) -> dict[str, str]:
        most = call.ctx.tunables.api_max_metadata
        return await call.ctx.db.write(self._rewrite, call.who, call.args["id"], change, match, most)

    def _rewrite(
        self,
        tx: Transaction,
        who: Scope,
        thing: str,
        change: Callable[[dict[str, str]], dict[str, str]],
        match: str | None,
        most: int,
    ) -> dict[str, str]:
        described = self.get(tx, who, thing)
        known = described.metadata
        if match is not None and match != "*" and _tag(known) not in _tags_in(match):
            raise HttpError(412, "The metadata has changed since it was read.")
        changed = change(known)
        refuse_too_much(known, changed, most)
        self.change(tx, thing, metadata=changed)
        record(tx, self.kind, described, who)
        return changed

    def _must_have(self, metadata: Mapping[str, Any], thing: str, key: str) -> None:
        if key not in metadata:
            raise HttpError(404, f"{self.collection[:-1].capitalize()} {thing} has no metadata with key {key}.")

    def _tags(self, call: Call) -> bool:
        return self.tagged and call.version >= (3, 15)

    def _match(self, call: Call) -> str | None:
        return call.headers.get("if-match") if self._tags(call) else None


def refuse_too_much(known: Mapping[str, Any], changed: Mapping[str, Any], most: int) -> None:
    """Raises ``TooLarge`` where metadata grows beyond ``most`` characters, keys and values together.

    One request is bounded by its body, and a thousand of them by nothing else; every list tells all of it.
    """
    if most < (length := _length(changed)) > _length(known):
        raise TooLarge(f"Metadata of one volume or snapshot has at most {most} characters; these are {length}.")


def _length(metadata: Mapping[str, Any]) -> int:
    return sum(len(key) + len(str(value)) for key, value in metadata.items())


def _tag(metadata: Mapping[str, str]) -> str:
    text = json.dumps({"metadata": dict(metadata)})
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _tags_in(header: str) -> set[str]:
    return {word.strip().removeprefix("W/").strip('"') for word in header.split(",")}


VOLUMES = MetadataOf(
    "volumes",
    volumes.get,
    volumes.change,
    AtOnce.VOLUME_UPDATE,
    MappingProxyType(
        {"get": Rule("volume:get_volume_metadata", READER)}
        | {verb: Rule(f"volume:{verb}_volume_metadata", MEMBER) for verb in ("create", "update", "delete")}
    ),
    tagged=True,
)
SNAPSHOTS = MetadataOf(
    "snapshots",
    snapshots.get,
    snapshots.change,
    AtOnce.SNAPSHOT_UPDATE,
    MappingProxyType(
        {"get": Rule("volume:get_snapshot_metadata", READER)}
        | {"create": Rule("volume:update_snapshot_metadata", MEMBER)}
        | {verb: Rule(f"volume:{verb}_snapshot_metadata", MEMBER) for verb in ("update", "delete")}
    ),
)
ROUTES = VOLUMES.routes() + SNAPSHOTS.routes()
