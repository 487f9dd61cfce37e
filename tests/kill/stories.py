"""What a tenant asks of a running Pumice, and what must be true once it is carried out."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
from tests.pumice_installation import IMAGES, SERVERS, VOLUMES, Installation

from pumice.app.guest_image import build_guest_image
from pumice.hypervisor.libvirt import LibvirtHypervisor
from pumice.model.ids import ServerId


class Stories:
    """The requests, and what must be true once they are carried out."""

    def __init__(self, pumice: Installation) -> None:
        self.pumice = pumice
        self.image = ""
        """What servers boot from."""

    def upload_guest(self, folder: Path, cache: Path) -> None:
        """Upload the little guest, made in ``folder`` from what ``cache`` keeps: servers boot from it."""
        image = asyncio.run(build_guest_image(folder / "guest.qcow2", cache))
        self.image = self.upload(image.read_bytes(), "qcow2")

    def upload(self, content: bytes, disk_format: str) -> str:
        """An image that is active."""
        image, answer = self.offer(content, disk_format)
        assert answer.status_code == 204, answer.text
        return image

    def offer(self, content: bytes, disk_format: str) -> tuple[str, httpx.Response]:
        """An image, and what the upload of its bytes was answered."""
        wanted = {"name": "i", "disk_format": disk_format, "container_format": "bare"}
        image = str(self.pumice.call("POST", IMAGES, wanted)["id"])
        headers = {"Content-Type": "application/octet-stream"}
        return image, self.pumice.http.put(f"{IMAGES}/{image}/file", content=content, headers=headers)

    def create(self, **wanted: Any) -> str:
        body = {"volume": {"size": 1, **wanted}}
        return str(self.pumice.call("POST", VOLUMES, body)["volume"]["id"])

    def encrypted_type(self) -> str:
        """A volume type whose volumes are encrypted."""
        call = self.pumice.call
        kind = call("POST", "/volume/v3/types", {"volume_type": {"name": "encrypted"}})["volume_type"]["id"]
        specs = {"provider": "luks", "control_location": "front-end"}
        call("POST", f"/volume/v3/types/{kind}/encryption", {"encryption": specs})
        return "encrypted"

    def reimage(self, volume: str) -> httpx.Response:
        """Have a volume have the image's bytes."""
        body = {"os-reimage": {"image_id": self.image}}
        version = {"OpenStack-API-Version": "volume 3.68"}
        return self.pumice.http.post(f"{VOLUMES}/{volume}/action", json=body, headers=version)

    def boot(self, volume: str) -> str:
        return str(self.pumice.call("POST", SERVERS, self.server(volume))["server"]["id"])

    def server(self, volume: str, name: str = "s", **disk: Any) -> dict[str, Any]:
        """What to post for a server that boots from a volume."""
        flavors = self.pumice.call("GET", "/compute/v2.1/flavors/detail")["flavors"]
        flavor = min((f for f in flavors if f["ram"] >= 256), key=lambda f: f["ram"])["id"]
        root = {"boot_index": 0, "uuid": volume, "source_type": "volume", "destination_type": "volume", **disk}
        wanted = {"name": name, "flavorRef": flavor, "networks": "none", "block_device_mapping_v2": [root]}
        return {"server": wanted}

    def attach(self, server: str, volume: str) -> None:
        body = {"volumeAttachment": {"volumeId": volume}}
        self.pumice.call("POST", f"{SERVERS}/{server}/os-volume_attachments", body)

    def detach(self, server: str, volume: str) -> None:
        self.pumice.call("DELETE", f"{SERVERS}/{server}/os-volume_attachments/{volume}")

    def extend(self, volume: str, size: int, version: str = "3.42") -> int:
        """Ask for ``size`` GiB; the answer's status. The version is the first that extends what is in use."""
        body, headers = {"os-extend": {"new_size": size}}, {"OpenStack-API-Version": f"volume {version}"}
        return self.pumice.http.post(f"{VOLUMES}/{volume}/action", json=body, headers=headers).status_code

    def delete(self, path: str) -> None:
        self.pumice.call("DELETE", path)

    def volume_is(self, volume: str, status: str) -> None:
        shown = self.pumice.call("GET", f"{VOLUMES}/{volume}")["volume"]
        assert shown["status"] == status, (self.messages(volume), shown)

    def settled(self, volume: str, status: str = "available") -> str:
        """The volume, once nothing is under way and it has the status."""
        self.pumice.settle()
        self.volume_is(volume, status)
        return volume

    def server_is(self, server: str, status: str) -> None:
        shown = self.pumice.call("GET", f"{SERVERS}/{server}")["server"]
        assert shown["status"] == status, shown

    def messages(self, volume: str) -> list[str]:
        """What the owner of a volume is told, the latest first."""
        found = self.pumice.call("GET", f"/volume/v3/messages?resource_uuid={volume}")["messages"]
        return [message["user_message"] for message in found]

    def is_gone(self, path: str) -> None:
        assert self.pumice.http.get(path).status_code == 404

    def wait_for_guest(self, server: str) -> None:
        self.pumice.wait(lambda: self.boots(server) > 0, "the guest does not boot", 180)

    def start(self, server: str, booted: int) -> None:
        """Start it, and wait until the guest has come up more often than it had ``booted``."""
        self.pumice.call("POST", f"{SERVERS}/{server}/action", {"os-start": None})
        self.pumice.settle()
        self.server_is(server, "ACTIVE")
        self.pumice.wait(lambda: self.boots(server) > booted, "the guest does not boot again", 180)

    def boots(self, server: str) -> int:
        """How often the guest has come up."""
        return self.console(server).count("PUMICE-GUEST ready")

    def console(self, server: str) -> str:
        """What the guest has said at its serial port."""
        body = {"os-getConsoleOutput": {"length": None}}
        return str(self.pumice.call("POST", f"{SERVERS}/{server}/action", body)["output"])

    def type_into(self, server: str, line: str) -> None:
        """Have the guest run a line of shell."""
        hypervisor = LibvirtHypervisor(self.pumice.state_dir / "compute", daemon=self.pumice.libvirtd)
        asyncio.run(hypervisor.send_console(ServerId(server), line))
