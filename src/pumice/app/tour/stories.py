"""The four stories, in the order in which a newcomer should see them.

Each is told through the public API; what a story claims about the parts underneath (bytes in a file, an export,
a machine) is looked up there.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pumice.app.guest_image import GREETING
from pumice.app.node import Node
from pumice.app.tour.client import Client, TourFailed
from pumice.app.tour.screen import Screen
from pumice.host.thread import in_thread
from pumice.model.ids import ServerId, VolumeId
from pumice.model.volume import pool_of
from pumice.store import operations, volumes

VOLUMES, SERVERS, IMAGES = "/volume/v3/volumes", "/compute/v2.1/servers", "/image/v2/images"
GUEST = "pumice-guest"
"""The image's name, where it stays for a newcomer to boot from."""
FLAVOR_MEMORY = 256
"""MiB; the tour's guest needs little."""


@dataclass(slots=True)
class Tour:
    """The things that the tour made so far, and where."""

    node: Node
    cloud: Client
    screen: Screen
    image: Path
    keeps_image: bool = False
    made: dict[str, str] = field(default_factory=dict)

    async def make_a_bootable_volume(self) -> None:
        """Story 1: an image, and a volume made of it."""
        self.screen.story(1, "A bootable volume, made from an image")
        image = await self._kept_image() or await self._upload()
        self.screen.say(
            f"{image['size'] / 1e6:.1f} MB of qcow2, {image['os_hash_algo']} {image['os_hash_value'][:16]}…"
        )
        with self.screen.step("create a volume of 1 GiB from it: scheduler, backend, qemu-img"):
            volume = await self._create_volume(
                "root", {"name": "tour-root", "size": 1, "imageRef": image["id"]}
            )
        self.screen.say(
            f"volume {volume['id']} is {volume['status']}, bootable, on {volume['os-vol-host-attr:host']}"
        )
        await self._show_operation("volume.create", volume["id"])

    async def boot_a_server(self) -> None:
        """Story 2: a server that boots from the volume, over iSCSI unless the settings choose another way."""
        self.screen.story(2, "A server that boots from that volume")
        disk = {
            "boot_index": 0,
            "uuid": self.made["root"],
            "source_type": "volume",
            "destination_type": "volume",
        }
        body = {
            "name": "tour-server",
            "flavorRef": await self._flavor(),
            "networks": "none",
            "block_device_mapping_v2": [disk],
        }
        with self.screen.step(f"boot: {self._reach()}, define in libvirt, start QEMU"):
            server = (await self.cloud.call("POST", SERVERS, {"server": body}))["server"]
            self.made["server"] = server["id"]
            await self.cloud.wait_for(f"{SERVERS}/{server['id']}", "server", "ACTIVE", 300)
        with self.screen.step("wait for the line that the guest itself prints on its serial console"):
            line = await self.cloud.wait_for_console(server["id"], "PUMICE-GUEST ready", 300)
        self.screen.say(f"the guest says: {line}")
        await self._show_operation("server.boot", server["id"])

    async def attach_a_volume(self) -> None:
        """Story 3: a second volume, attached to the running guest, which writes to it."""
        self.screen.story(3, "A second volume, attached while the server runs")
        with self.screen.step("create an empty volume of 1 GiB"):
            volume = await self._create_volume("data", {"name": "tour-data", "size": 1})
        path = f"{SERVERS}/{self.made['server']}/os-volume_attachments"
        with self.screen.step("attach it at /dev/vdb: reserve, export, plug in, record"):
            body = {"volumeAttachment": {"volumeId": volume["id"], "device": "/dev/vdb"}}
            await self.cloud.call("POST", path, body)
            await self.cloud.wait_for(f"{VOLUMES}/{volume['id']}", "volume", "in-use")
        with self.screen.step("wait until the guest has seen the disk and written to it"):
            line = await self.cloud.wait_for_console(self.made["server"], "PUMICE-GUEST wrote vdb")
        self.screen.say(f"the guest says: {line}")
        found = (await self._first_bytes(volume["id"])).rstrip(b"\0\n").decode(errors="replace")
        if GREETING not in found:
            raise TourFailed(f"The guest's words are not in the backing file; it begins with {found[:60]!r}.")
        self.screen.say(f"its words are in the backing file: “{found.strip()}”")
        await self._show_operation("server.attach_volume", self.made["server"])

    async def detach_and_delete(self) -> None:
        """Story 4: everything is taken apart again, and nothing is left."""
        self.screen.story(4, "Detach, delete everything, and nothing is left")
        server, data = self.made["server"], self.made["data"]
        with self.screen.step(
            "detach the volume: begin, unplug until the guest let go, remove the export, free"
        ):
            await self.cloud.call("DELETE", f"{SERVERS}/{server}/os-volume_attachments/{data}")
            await self.cloud.wait_for(f"{VOLUMES}/{data}", "volume", "available")
        await self._show_operation("server.detach_volume", server)
        await self.clear()
        with self.screen.step("look for anything left: target, machine, file, row"):
            left = await self._left()
        if left:
            raise TourFailed(f"Something was left: {', '.join(left)}.")
        self.screen.say("no target, no machine, no file, no row in use")

    async def clear(self) -> None:
        """Delete whatever the tour made; also after a story that failed."""
        if server := self.made.get("server"):
            with self.screen.step("delete the server; its volumes become free"):
                await self.cloud.call("DELETE", f"{SERVERS}/{server}")
                await self.cloud.wait_until_gone(f"{SERVERS}/{server}")
        names = [name for name in ("root", "data") if name in self.made]
        if names or "image" in self.made:
            with self.screen.step("delete what else the tour made"):
                for name in names:
                    await self.cloud.call("DELETE", f"{VOLUMES}/{self.made[name]}")
                for name in names:
                    await self.cloud.wait_until_gone(f"{VOLUMES}/{self.made[name]}")
                if image := self.made.get("image"):
                    await self.cloud.call("DELETE", f"{IMAGES}/{image}")

    async def _kept_image(self) -> dict[str, Any] | None:
        """The image that an earlier tour left."""
        if not self.keeps_image:
            return None
        found = await self.cloud.call("GET", f"{IMAGES}?name={GUEST}&status=active&visibility=public")
        for image in found["images"]:
            self.screen.say(f"image {image['id']} ({GUEST}) is there since an earlier tour")
            return dict(image)
        return None

    async def _upload(self) -> dict[str, Any]:
        with self.screen.step("upload a bootable image; its format is inspected on arrival") as progress:
            body = {"name": GUEST, "disk_format": "qcow2", "container_format": "bare"}
            if self.keeps_image:
                body["visibility"] = "public"
            image = await self.cloud.call("POST", IMAGES, body)
            self.made["image"] = image["id"]
            await self.cloud.upload(image["id"], self.image, progress)
        if self.keeps_image:
            del self.made["image"]  # it is no longer the tour's to delete
        return dict(await self.cloud.call("GET", f"{IMAGES}/{image['id']}"))

    async def _create_volume(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        volume = (await self.cloud.call("POST", VOLUMES, {"volume": body}))["volume"]
        self.made[name] = volume["id"]
        return await self.cloud.wait_for(f"{VOLUMES}/{volume['id']}", "volume", "available", 300)

    async def _flavor(self) -> str:
        """The smallest flavor that the guest fits in."""
        flavors = (await self.cloud.call("GET", "/compute/v2.1/flavors/detail"))["flavors"]
        fitting = [flavor for flavor in flavors if flavor["ram"] >= FLAVOR_MEMORY]
        return str(min(fitting, key=lambda flavor: flavor["ram"])["id"])

    async def _first_bytes(self, volume_id: str) -> bytes:
        volume = await self.node.db.read(volumes.find, volume_id)
        assert volume is not None
        assert volume.pool is not None
        backend = self.node.drivers.backend_of(volume.pool)
        async with backend.opened(VolumeId(volume_id), pool_of(volume.pool)) as file:
            return await in_thread(_begin_of, file)

    def _reach(self) -> str:
        """How the server gets at its volume, in words."""
        [protocol, *others] = {target.protocol for target in self.node.drivers.targets.values()}
        if others:
            return "connect the volume"
        return {
            "iSCSI": "export over iSCSI with CHAP",
            "local": "open the volume's file itself",
        }.get(protocol, f"export by {protocol}")

    async def _show_operation(self, kind: str, subject: str) -> None:
        """The steps of the operation that just ended, as they were written down."""
        rows = await self.node.db.read(operations.page, states=None, kind=kind, subject=subject, limit=1)
        for row in rows:
            lines = await self.node.db.read(operations.lines, row["id"])
            steps = " → ".join(f"{line['step']} {line['seconds'] * 1000:.0f} ms" for line in lines)
            self.screen.say(f"{kind}: {steps}")

    async def _left(self) -> list[str]:
        ids = set(self.made.values())
        left: list[str] = []
        for target in set(self.node.drivers.targets.values()):
            exports = await target.exports() or ()
            left += [f"target of volume {volume}" for volume in exports if volume in ids]
        for machine in self.node.drivers.hypervisors.values():
            left += [f"machine {it}" for it in await machine.machines() if ServerId(it) in ids]
        for backend in self.node.drivers.backends.values():
            left += [
                f"file of volume {volume}" for volume in (await backend.inventory()).volumes if volume in ids
            ]
        if (image := self.made.get("image")) and image in await self.node.images.kept():
            left.append(f"bytes of image {image}")
        for path, key in ((VOLUMES, "volumes"), (SERVERS, "servers"), (IMAGES, "images")):
            rows = (await self.cloud.call("GET", path))[key]
            left += [f"{key[:-1]} {row['id']}" for row in rows if row["id"] in ids]
        return left


def _begin_of(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(512)
