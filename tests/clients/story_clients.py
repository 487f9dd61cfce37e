"""Three clients, each with its own way to ask for the same things. Whatever is asked for is waited for.

Things are known by name, as a person at a keyboard knows them.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cinderclient.client import Client as CinderClient
from installation import Installation, wait
from keystoneauth1.identity.v3 import Password
from keystoneauth1.service_token import ServiceTokenAuthWrapper
from keystoneauth1.session import Session
from tests import warm_start
from tests.patience import PATIENCE

FLAVOR = "m1.tiny"
TENANT = "pumice-demo"
"""The stories are an ordinary tenant's, not an administrator's."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A volume as a client sees it."""

    status: str
    size: int
    bootable: bool
    devices: list[str]
    """Where servers have it: ``/dev/vda``."""


class StoryClient(Protocol):
    """What the four stories ask of a client."""

    def upload(self, image: str, file: Path) -> None:
        """An image from a file, until it is active."""

    def create(self, volume: str, image: str | None = None) -> None:
        """A volume of 1 GiB, blank or from an image, until it is available."""

    def look(self, volume: str) -> Seen:
        """What it says of a volume."""

    def boot(self, server: str, volume: str) -> None:
        """A server from a volume, until it is active."""

    def console(self, server: str) -> str:
        """What the guest said on its serial console."""

    def attach(self, server: str, volume: str) -> str:
        """Attach a volume, until it is in use. Returns the device."""

    def detach(self, server: str, volume: str) -> None:
        """Detach it, until it is available."""

    def delete_server(self, server: str) -> None:
        """Delete a server, until it is gone."""

    def delete_volume(self, volume: str) -> None:
        """Delete a volume, until it is gone."""

    def delete_image(self, image: str) -> None:
        """Delete an image, until it is gone."""

    def everything(self) -> list[str]:
        """The names of all servers, volumes and images that there are."""


class OpenStackCommand:
    """The command ``openstack`` of python-openstackclient, each time a process of its own (``warm_start.py``).

    What takes a while is waited for with openstacksdk.
    """

    def __init__(self, pumice: Installation) -> None:
        self._sdk = Sdk(pumice)
        files = {"OS_CLIENT_CONFIG_FILE": str(pumice.clouds_file), "OS_CLOUD": TENANT}
        self.environment = {**pumice.environment, **files, "OS_COMPUTE_API_VERSION": "2.89"}

    def run(self, *words: str) -> str:
        done = warm_start.run("openstack", words, self.environment, timeout=PATIENCE)
        assert done.returncode == 0, f"openstack {' '.join(words)}: {done.stderr}"
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "-f", "json"))

    def upload(self, image: str, file: Path) -> None:
        self.run("image", "create", "--disk-format", "qcow2", "--file", str(file), image)

    def create(self, volume: str, image: str | None = None) -> None:
        source = ("--image", image) if image else ()
        self.run("volume", "create", "--size", "1", *source, volume)
        self._wait_for(volume, "available")

    def look(self, volume: str) -> Seen:
        shown = self.json("volume", "show", volume)
        devices = [attachment["device"] for attachment in shown["attachments"]]
        return Seen(shown["status"], shown["size"], shown["bootable"], devices)

    def boot(self, server: str, volume: str) -> None:
        words = ("--flavor", FLAVOR, "--volume", volume, "--nic", "none", "--wait")
        assert self.json("server", "create", *words, server)["status"] == "ACTIVE"

    def console(self, server: str) -> str:
        return self.run("console", "log", "show", server)

    def attach(self, server: str, volume: str) -> str:
        device = str(self.json("server", "add", "volume", server, volume)["Device"])
        self._wait_for(volume, "in-use")
        return device

    def detach(self, server: str, volume: str) -> None:
        self.run("server", "remove", "volume", server, volume)
        self._wait_for(volume, "available")

    def delete_server(self, server: str) -> None:
        self.run("server", "delete", "--wait", server)

    def delete_volume(self, volume: str) -> None:
        self.run("volume", "delete", volume)
        wait(lambda: volume not in self._sdk.everything(), f"{volume} is not deleted")

    def delete_image(self, image: str) -> None:
        self.run("image", "delete", image)

    def everything(self) -> list[str]:
        return [name for noun in ("server", "volume", "image") for name in self._names(noun)]

    def _names(self, noun: str) -> list[str]:
        return [row["Name"] for row in self.json(noun, "list")]

    def _wait_for(self, volume: str, status: str) -> None:
        wait(lambda: self._sdk.look(volume).status == status, f"{volume} does not become {status}")


class Sdk:
    """openstacksdk: its cloud layer, which finds by name and waits."""

    def __init__(self, pumice: Installation) -> None:
        self.cloud: Any = pumice.cloud(TENANT)

    def upload(self, image: str, file: Path) -> None:
        self.cloud.create_image(image, filename=str(file), disk_format="qcow2", wait=True)

    def create(self, volume: str, image: str | None = None) -> None:
        self.cloud.create_volume(1, name=volume, image=image, wait=True, timeout=PATIENCE)

    def look(self, volume: str) -> Seen:
        shown = self.cloud.get_volume(volume)
        devices = [attachment["device"] for attachment in shown.attachments]
        return Seen(shown.status, shown.size, shown.is_bootable, devices)

    def boot(self, server: str, volume: str) -> None:
        # Not `cloud.create_server`: it deletes a server that has no address.
        disk = {"boot_index": 0, "uuid": self.cloud.get_volume(volume).id}
        kind = {"source_type": "volume", "destination_type": "volume"}
        compute = self.cloud.compute
        flavor = compute.find_flavor(FLAVOR).id
        made = compute.create_server(
            name=server, flavor_id=flavor, networks="none", block_device_mapping=[disk | kind]
        )
        compute.wait_for_server(made, interval=0.2, wait=120)

    def console(self, server: str) -> str:
        return str(self.cloud.get_server_console(server))

    def attach(self, server: str, volume: str) -> str:
        there, what = self.cloud.get_server(server), self.cloud.get_volume(volume)
        return str(self.cloud.attach_volume(there, what, wait=True, timeout=PATIENCE).device)

    def detach(self, server: str, volume: str) -> None:
        there, what = self.cloud.get_server(server), self.cloud.get_volume(volume)
        self.cloud.detach_volume(there, what, wait=True, timeout=PATIENCE)

    def delete_server(self, server: str) -> None:
        assert self.cloud.delete_server(server, wait=True, timeout=PATIENCE)

    def delete_volume(self, volume: str) -> None:
        assert self.cloud.delete_volume(volume, wait=True, timeout=PATIENCE)

    def delete_image(self, image: str) -> None:
        assert self.cloud.delete_image(image, wait=True, timeout=PATIENCE)

    def everything(self) -> list[str]:
        cloud = self.cloud
        return [one.name for one in (*cloud.list_servers(), *cloud.list_volumes(), *cloud.list_images())]


class Cinder(Sdk):
    """python-cinderclient for volumes. It knows no servers and no images: those remain openstacksdk's."""

    def __init__(self, pumice: Installation) -> None:
        super().__init__(pumice)
        self.cinder: Any = CinderClient("3.71", session=self.cloud.session)
        self.pumice = pumice

    def as_service(self) -> Any:
        """The same client with a service's token beside the user's, as Nova has it."""
        service = Password(
            auth_url=self.cloud.auth["auth_url"],
            username="pumice",
            password=self.pumice.passwords["pumice"],
            user_domain_id="default",
            project_name="service",
            project_domain_id="default",
        )
        both = ServiceTokenAuthWrapper(user_auth=self.cloud.session.auth, service_auth=service)
        return CinderClient("3.71", session=Session(auth=both))

    def create(self, volume: str, image: str | None = None) -> None:
        source = self.cloud.get_image(image).id if image else None
        made = self.cinder.volumes.create(1, name=volume, imageRef=source)
        wait(
            lambda: self.cinder.volumes.get(made.id).status == "available",
            f"{volume} does not become available",
        )

    def look(self, volume: str) -> Seen:
        shown = self._find(volume)
        devices = [attachment["device"] for attachment in shown.attachments]
        return Seen(shown.status, shown.size, shown.bootable == "true", devices)

    def delete_volume(self, volume: str) -> None:
        self._find(volume).delete()
        wait(lambda: volume not in self.everything(), f"{volume} is not deleted")

    def everything(self) -> list[str]:
        cloud = self.cloud
        return [one.name for one in (*cloud.list_servers(), *self.cinder.volumes.list(), *cloud.list_images())]

    def _find(self, volume: str) -> Any:
        (found,) = self.cinder.volumes.list(search_opts={"name": volume})
        return self.cinder.volumes.get(found.id)
