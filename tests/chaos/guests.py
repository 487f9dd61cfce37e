"""Clients that run guests: servers that boot from volumes, and volumes that come and go while they run."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any

import httpx
from tests.chaos.caller import MARK_AT, SERVERS
from tests.chaos.clients import NOTHING
from tests.chaos.copies import CopyingClient
from tests.chaos.model import GONE, Effect, Facts, Model, Thing, exactly
from tests.chaos.world import World

FRESH = exactly({MARK_AT: NOTHING})
"""What is known of a volume with a guest's image."""


class GuestClient(CopyingClient):
    """A client with a server."""

    def __init__(
        self, number: int, world: World, model: Model, headers: Mapping[str, str], guest_image: str
    ) -> None:
        super().__init__(number, world, model, headers)
        self.guest_image = guest_image

    async def boot(self, slot: str, _: str) -> None:
        """A volume from the guest's image, and a server that boots from it."""
        await self.delete_server(slot, "")
        if self._at(slot, "ACTIVE", "SHUTOFF", "ERROR") or self._at("root", "in-use"):
            return
        root = await self._create("root", {"size": 1, "imageRef": self.guest_image}, 1, FRESH)
        if root is None:
            return
        server = self.slots[slot] = self._new("server")
        assert root.known is not None
        used = root.known._replace(status="in-use", users=frozenset({server.name}))
        effects = (Effect(server, Facts("ACTIVE"), frozenset({Facts("ERROR")})), Effect(root, used))
        disk = {"boot_index": 0, "uuid": root.id, "source_type": "volume", "destination_type": "volume"}
        await self._boot(server, f"from {root.name}", effects, disk)

    async def boot_from_image(self, slot: str, _: str) -> None:
        """A server that makes its root volume itself, and takes it along when it goes."""
        await self.delete_server(slot, "")
        if self._at(slot, "ACTIVE", "SHUTOFF", "ERROR"):
            return
        server = self.slots[slot] = self._new("server")
        effect = Effect(server, Facts("ACTIVE"), frozenset({Facts("ERROR")}))
        disk = {"boot_index": 0, "uuid": self.guest_image, "source_type": "image", "destination_type": "volume"}
        disk |= {"volume_size": 1, "delete_on_termination": True}
        await self._boot(server, "from the image", (effect,), disk)

    async def _boot(self, server: Thing, how: str, effects: tuple[Effect, ...], disk: dict[str, Any]) -> None:
        wanted = {"name": server.name, "flavorRef": "1", "networks": "none", "block_device_mapping_v2": [disk]}
        what = f"boot {server.name} {how}"
        request, body = await self.ask(what, "server.boot", effects, "POST", SERVERS, json={"server": wanted})
        if body is not None:
            server.id = body["server"]["id"]
            await self.end(request)
            if server.is_now("ACTIVE"):
                await self._wait_for_guest(server)

    async def _wait_for_guest(self, server: Thing) -> None:
        """One that has not booted keeps every disk. It may never: a fault may have hit it."""
        give_up = time.monotonic() + 60
        while time.monotonic() < give_up:
            with contextlib.suppress(httpx.HTTPError):
                body = {"os-getConsoleOutput": {"length": None}}
                answer = await self.http.post(f"{SERVERS}/{server.id}/action", json=body)
                if answer.status_code == 200 and "PUMICE-GUEST ready" in answer.json()["output"]:
                    return
            await asyncio.sleep(1)

    async def attach(self, slot: str, server_slot: str) -> None:
        """Plug a volume into the server."""
        volume, server = self._at(slot, "available"), self._at(server_slot, "ACTIVE", "SHUTOFF")
        if volume and server:
            assert volume.known is not None
            volume.contents.pop(0, None)  # the guest greets every empty disk
            effect = Effect(volume, volume.known._replace(status="in-use", users=frozenset({server.name})))
            body = {"volumeAttachment": {"volumeId": volume.id}}
            path = f"{SERVERS}/{server.id}/os-volume_attachments"
            what = f"attach {volume.name} to {server.name}"
            await self._do(what, "server.attach_volume", (effect,), "POST", path, json=body)

    async def detach(self, slot: str, server_slot: str) -> None:
        """Unplug it."""
        volume, server = self._at(slot, "in-use"), self._at(server_slot, "ACTIVE", "SHUTOFF")
        if volume and server and volume.known and server.name in volume.known.users:
            cut_short = volume.known._replace(users=frozenset())  # when the guest had let go: asked for again
            effect = Effect(volume, cut_short._replace(status="available"), frozenset({cut_short}))
            path = f"{SERVERS}/{server.id}/os-volume_attachments/{volume.id}"
            what = f"detach {volume.name} from {server.name}"
            await self._do(what, "server.detach_volume", (effect,), "DELETE", path)
            if volume.known == cut_short:
                await self._do(f"{what} again", "server.detach_volume", (effect,), "DELETE", path)

    async def stop(self, slot: str, _: str) -> None:
        """Power it off. Cancelled when the guest is off already, it is off."""
        if server := self._at(slot, "ACTIVE"):
            off = Effect(server, Facts("SHUTOFF"), frozenset({Facts("SHUTOFF")}))
            await self._act(server, "stop", "server.stop", (off,), {"os-stop": None})

    async def start(self, slot: str, _: str) -> None:
        """Power it on."""
        if server := self._at(slot, "SHUTOFF"):
            await self._act(
                server, "start", "server.start", (Effect(server, Facts("ACTIVE")),), {"os-start": None}
            )
            if server.is_now("ACTIVE"):
                await self._wait_for_guest(server)

    async def delete_server(self, slot: str, _: str) -> None:
        """The server goes, its volumes stay; its root is deleted after it."""
        server = self._at(slot, "ACTIVE", "SHUTOFF", "ERROR")
        if server is None:
            return
        effects = [Effect(server, GONE, frozenset({Facts("ERROR")}))]
        for volume in self.slots.values():
            if volume.is_now("in-use") and volume.known and volume.known.users <= {server.name}:
                free = volume.known._replace(status="available", users=frozenset())
                effects.append(Effect(volume, free, frozenset({free})))
        for volume in self.model.things:
            if volume.lost:
                had = {it for it in volume.may if server.name in it.users}
                volume.may |= {it._replace(status="available", users=it.users - {server.name}) for it in had}
        path = f"{SERVERS}/{server.id}"
        await self._do(f"delete {server.name}", "server.delete", tuple(effects), "DELETE", path)
        await self.delete("root", "")

    async def attach_or_connect(self, slot: str, server: str) -> None:
        """To a guest and to another host at once: one of them must be refused."""
        await asyncio.gather(self.attach(slot, server), self.connect(slot, ""))
