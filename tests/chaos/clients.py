"""Clients that follow their plans, one step after the other, and tell the model what they were answered."""

import asyncio
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.chaos.caller import IMAGES, MARK, MARK_AT, PATHS, PATIENCE, SNAPSHOTS, VOLUMES, Caller
from tests.chaos.model import GONE, Contents, Effect, Facts, Model, Request, Thing, either, exactly, unchanged
from tests.chaos.plan import Step
from tests.chaos.world import World

NOTHING = bytes(MARK)
EMPTY = exactly({0: NOTHING, MARK_AT: NOTHING})
FREE = ("available", "error", "error_extending", "error_restoring", "error_deleting")
"""A volume that nobody has."""


class Client(Caller):
    """Follows one plan. A method named like a verb does a step of it; what makes no sense is passed over."""

    def __init__(self, number: int, world: World, model: Model, headers: Mapping[str, str]) -> None:
        super().__init__(f"client{number}", world, model, headers)
        self.slots: dict[str, Thing] = {}
        self.attachments: dict[Thing, str] = {}
        self._made = 0
        self._cancels = False
        """Whether what is asked next is to be cancelled."""

    async def follow(self, step: Step) -> None:
        """Do one step."""
        self._cancels = step.cancel
        await getattr(self, step.verb)(step.slot, step.other)

    async def end(self, request: Request, patience: float = PATIENCE) -> bool:
        """Wait for what was accepted, after an operator asked it to turn back where the plan has that."""
        if self._cancels:
            self._cancels = False
            for operation in await self._operations(request):
                await asyncio.to_thread(self.world.command, "operations", "cancel", operation["id"])
        return await super().end(request, patience)

    def _new(self, kind: str) -> Thing:
        self._made += 1
        return self.model.thing(kind, f"{self.name}-{kind}{self._made}")

    def _at(self, slot: str, *statuses: str) -> Thing | None:
        """What is in a slot, if it is known to be in one of these states."""
        thing = self.slots.get(slot)
        return thing if thing is not None and thing.is_now(*statuses) else None

    # --- volumes --------------------------------------------------------------------------------

    async def create(self, slot: str, _: str) -> None:
        """An empty volume."""
        await self._create(slot, {"size": 1}, 1, EMPTY)

    async def create_from_image(self, slot: str, image: str) -> None:
        """A volume with an image's bytes."""
        if source := self._at(image, "active"):
            contents = source.contents | exactly({MARK_AT: NOTHING})
            await self._create(slot, {"size": 1, "imageRef": source.id}, 1, contents)

    async def create_from_volume(self, slot: str, volume: str) -> None:
        """A clone."""
        if source := self._at(volume, "available", "in-use"):
            assert source.known is not None
            size = source.known.size
            await self._create(slot, {"source_volid": source.id}, size, source.contents)

    async def create_from_snapshot(self, slot: str, snapshot: str) -> None:
        """A volume as another was once."""
        if source := self._at(snapshot, "available"):
            assert source.known is not None
            await self._create(slot, {"snapshot_id": source.id}, source.known.size, source.contents)

    async def _create(
        self,
        slot: str,
        wanted: dict[str, Any],
        size: int,
        contents: Contents,
        *beside: Thing,
        kind: str = "volume.create",
    ) -> Thing | None:
        """A new volume; what is ``beside`` it stays as it is."""
        if self._at(slot, "in-use", "attaching"):  # an earlier step did not do what the plan has of it
            await self.disconnect(slot, "")
        if self._at(slot, *FREE):
            await self.delete(slot, "")
        if self._at(slot, "in-use", "attaching"):
            return None
        volume = self.slots[slot] = self._new("volume")
        effect = Effect(volume, Facts("available", size), frozenset({Facts("error", size)}), contents)
        wanted["name"] = volume.name
        request, body = await self.ask(
            f"create {volume.name} {wanted}",
            kind,
            (effect, *map(unchanged, beside)),
            "POST",
            VOLUMES,
            json={"volume": wanted},
        )
        if body is None:
            return None
        volume.id = body["volume"]["id"]
        await self.end(request)
        return volume if volume.is_now("available") else None

    async def write(self, slot: str, _: str) -> None:
        """Write a mark into a volume that nobody has."""
        if (volume := self._at(slot, "available")) and (path := await self.file_of(volume)):
            mark = f"{volume.name}/{self._made}/{len(volume.requests)}".encode().ljust(MARK, b".")
            written = exactly({MARK_AT: mark})
            volume.contents |= either(volume.contents, written)
            with contextlib.suppress(OSError):  # the disk may be full, or read-only
                await asyncio.to_thread(_write, path, mark)  # it may hang
                volume.contents |= written

    async def extend(self, slot: str, _: str) -> None:
        """One GiB more."""
        if volume := self._at(slot, "available"):
            assert volume.known is not None
            now = volume.known
            larger = now._replace(size=now.size + 1)
            effect = Effect(volume, larger, frozenset({now._replace(status="error_extending")}))
            await self._act(
                volume, "extend", "volume.extend", (effect,), {"os-extend": {"new_size": larger.size}}
            )

    async def delete(self, slot: str, _: str) -> None:
        """A volume that nobody has."""
        if volume := self._at(slot, *FREE):
            assert volume.known is not None
            effect = Effect(volume, GONE, frozenset({volume.known._replace(status="error_deleting")}))
            await self._do(
                f"delete {volume.name}", "volume.delete", (effect,), "DELETE", f"{VOLUMES}/{volume.id}"
            )

    async def delete_or_connect(self, slot: str, _: str) -> None:
        """Both at once: one of them must be refused."""
        await asyncio.gather(self.delete(slot, ""), self.connect(slot, ""))

    async def delete_or_snapshot(self, slot: str, snapshot: str) -> None:
        """Both at once: one of them must be refused."""
        await asyncio.gather(self.delete(slot, ""), self.snapshot(snapshot, slot))

    async def delete_in_use(self, slot: str, _: str) -> None:
        """It must be refused."""
        if volume := self._at(slot, "in-use"):
            await self._must_be_refused(volume)

    async def delete_with_snapshot(self, slot: str, _: str) -> None:
        """It must be refused."""
        volume = self._at(slot, "available")
        snapshots = [thing for name, thing in self.slots.items() if name.startswith("s")]
        if volume and any(it.is_now("available") and it.of == volume.id for it in snapshots):
            await self._must_be_refused(volume)

    async def _must_be_refused(self, thing: Thing) -> None:
        what = f"delete {thing.name}, which must be refused"
        path = f"{PATHS[thing.kind]}/{thing.id}"
        request, body = await self.ask(what, "", (unchanged(thing),), "DELETE", path)
        if body is not None:
            self.model.violation(f"{request}: it was accepted", thing)
            thing.lost = True

    # --- snapshots and images -------------------------------------------------------------------

    async def snapshot(self, slot: str, of: str) -> None:
        """A snapshot, of a volume in use as well."""
        await self.delete_snapshot(slot, "")  # one that the plan does not know of
        volume = self._at(of, "available", "in-use")
        if volume is None or self._at(slot, "available"):
            return
        assert volume.known is not None
        size = volume.known.size
        snapshot = self.slots[slot] = self._new("snapshot")
        failed = frozenset({Facts("error", size)})
        effect = Effect(snapshot, Facts("available", size), failed, dict(volume.contents))
        wanted = {"volume_id": volume.id, "name": snapshot.name, "force": True}
        request, body = await self.ask(
            f"snapshot {snapshot.name} of {volume.name}",
            "snapshot.create",
            (effect,),
            "POST",
            SNAPSHOTS,
            json={"snapshot": wanted},
        )
        if body is not None:
            snapshot.id, snapshot.of = body["snapshot"]["id"], volume.id
            await self.end(request)

    async def delete_snapshot(self, slot: str, _: str) -> None:
        """The snapshot is not needed any more."""
        if snapshot := self._at(slot, "available", "error", "error_deleting"):
            assert snapshot.known is not None
            effect = Effect(snapshot, GONE, frozenset({snapshot.known._replace(status="error_deleting")}))
            path = f"{SNAPSHOTS}/{snapshot.id}"
            await self._do(f"delete {snapshot.name}", "snapshot.delete", (effect,), "DELETE", path)

    async def upload(self, slot: str, _: str) -> None:
        """An image of 2 MiB that begins with its own name."""
        if self._at(slot, "active"):
            return
        image = self.slots[slot] = self._new("image")
        wanted = {"name": image.name, "disk_format": "raw", "container_format": "bare"}
        effect = Effect(image, Facts("queued"))
        request, body = await self.ask(f"create {image.name}", "", (effect,), "POST", IMAGES, json=wanted)
        if body is None:
            return
        image.id = body["id"]
        await self.end(request)
        mark = image.name.encode().ljust(MARK, b"-")
        image.contents = exactly({0: mark})
        content = mark.ljust(2 * 1024 * 1024, b"-")
        effect = Effect(image, Facts("active"), frozenset({Facts("saving")}))
        headers = {"Content-Type": "application/octet-stream"}
        path = f"{IMAGES}/{image.id}/file"
        what = f"upload {image.name}"
        request, body = await self.ask(what, "", (effect,), "PUT", path, content=content, headers=headers)
        if body is not None:
            await self.end(request)

    async def delete_image(self, slot: str, _: str) -> None:
        """The image is not needed any more."""
        if image := self._at(slot, "active", "queued"):
            await self._do(f"delete {image.name}", "", (Effect(image, GONE),), "DELETE", f"{IMAGES}/{image.id}")

    # --- attachments, without and with a guest --------------------------------------------------

    async def connect(self, slot: str, _: str) -> None:
        """Through the attachments API, as another hypervisor would: connect, then complete."""
        volume = self._at(slot, "available")
        if volume is None:
            return
        assert volume.known is not None
        before, users = volume.known, frozenset({"outside"})
        connector = {"initiator": f"iqn.2010-10.org.example:{self.name}", "host": self.name, "ip": "192.0.2.7"}
        wanted = {"volume_uuid": volume.id, "connector": connector}
        connected = Effect(volume, before._replace(status="attaching"))
        attaching = f"connect {volume.name}"
        request, body = await self.ask(
            attaching,
            "attachment.connect",
            (connected,),
            "POST",
            "/volume/v3/attachments",
            json={"attachment": wanted},
        )
        if body is None:
            return
        self.attachments[volume] = body["attachment"]["id"]
        if not body["attachment"]["connection_info"]:
            self.model.violation(f"{request}: connected, but not told where", volume)
        if await self.end(request) and volume.is_now("attaching"):
            effect = Effect(volume, before._replace(status="in-use", users=users))
            path = f"/volume/v3/attachments/{self.attachments[volume]}/action"
            await self._do(f"complete {volume.name}", "", (effect,), "POST", path, json={"os-complete": None})

    async def disconnect(self, slot: str, _: str) -> None:
        """Through the attachments API."""
        volume = self._at(slot, "in-use", "attaching")
        if volume and volume in self.attachments:
            assert volume.known is not None
            effect = Effect(volume, volume.known._replace(status="available", users=frozenset()))
            path = f"/volume/v3/attachments/{self.attachments[volume]}"
            await self._do(f"disconnect {volume.name}", "attachment.disconnect", (effect,), "DELETE", path)

    # --- what they share ------------------------------------------------------------------------

    async def _do(
        self, what: str, kind: str, effects: tuple[Effect, ...], method: str, path: str, **body: Any
    ) -> Request:
        request, answer = await self.ask(what, kind, effects, method, path, **body)
        if answer is not None:
            await self.end(request)
        return request

    async def _act(
        self, thing: Thing, what: str, kind: str, effects: tuple[Effect, ...], action: dict[str, Any]
    ) -> Request:
        path = f"{PATHS[thing.kind]}/{thing.id}/action"
        return await self._do(f"{what} {thing.name}", kind, effects, "POST", path, json=action)


def _write(path: Path, mark: bytes) -> None:
    with path.open("r+b") as file:
        os.pwrite(file.fileno(), mark, MARK_AT)
