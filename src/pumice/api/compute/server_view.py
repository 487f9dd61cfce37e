"""A server on the wire, at every microversion (api-ref, "Servers")."""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pumice.api.call import Call
from pumice.api.compute.links import Links
from pumice.api.compute.server_body import PIN
from pumice.api.policy import ADMIN, READER, Rule
from pumice.model.server import Server, ServerDisk
from pumice.model.states import ServerStatus, vm_state

S = ServerStatus

POWER_STATES: Mapping[str, int] = {S.ACTIVE: 1, S.REBOOT: 1, S.HARD_REBOOT: 1, S.PAUSED: 3, S.SHUTOFF: 4}
NO_POWER_STATE = 0
_NOT_IN_A_HOSTNAME = re.compile(r"[^a-z0-9.-]+")

SEES_HOSTS = Rule("os_compute_api:os-extended-server-attributes", ADMIN)
SEES_HOST_STATUS = Rule("os_compute_api:servers:show:host_status", ADMIN)
SEES_SPECS = Rule("os_compute_api:servers:show:flavor-extra-specs", READER)
VIEW = (SEES_HOSTS, SEES_HOST_STATUS, SEES_SPECS)
"""What a server is shown by, part by part."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Servers with everything that is shown of them, as one transaction read it."""

    servers: Sequence[Server]
    disks: Mapping[str, Sequence[ServerDisk]]
    """The servers' disks, by the server's id."""
    hosts: Mapping[str, str]
    """``UP`` or ``DOWN`` by compute host."""


def wire_time(moment: datetime) -> str:
    """A time as Compute writes it: UTC, whole seconds, with its zone."""
    return moment.isoformat(timespec="seconds") + "Z"


def host_id(server: Server) -> str:
    """An opaque name for a host, the same for all servers that one project has there."""
    if server.host is None:
        return ""
    return hashlib.sha224(f"{server.project_id}{server.host}".encode()).hexdigest()


class ServerView:
    """Shows servers to one caller at one version."""

    def __init__(self, call: Call, shown: Shown) -> None:
        self._shown = shown
        self._links = Links(call)
        self._version = call.version
        self._sees_hosts = call.policy.allows(SEES_HOSTS, call.who)
        self._sees_host_status = call.policy.allows(SEES_HOST_STATUS, call.who)
        self._sees_specs = call.policy.allows(SEES_SPECS, call.who)

    def summary(self, server: Server) -> dict[str, Any]:
        """A server in the plain list."""
        return {"id": server.id, "name": server.name, "links": self._links.to("servers", server.id)}

    def show(self, server: Server) -> dict[str, Any]:
        """A server in full, by itself: with what the detailed list leaves out."""
        view = self.detail(server)
        if self._version >= (2, 71):
            view["server_groups"] = []
        return view

    def detail(self, server: Server) -> dict[str, Any]:
        """A server in full."""
        view = self.changed(server) | {
            "config_drive": "",
            "key_name": server.key_name,
            "security_groups": [{"name": "default"}],
            "OS-EXT-AZ:availability_zone": server.availability_zone if server.host else "",
            "OS-EXT-STS:task_state": server.task,
            "OS-EXT-STS:vm_state": vm_state(server.status),
            "OS-EXT-STS:power_state": POWER_STATES.get(server.status, NO_POWER_STATE),
            "OS-SRV-USG:launched_at": server.launched_at.isoformat() if server.launched_at else None,
            "OS-SRV-USG:terminated_at": None,
            "os-extended-volumes:volumes_attached": self._volumes(server),
        }
        if self._sees_hosts:
            view |= self._extended(server)
        elif self._version >= (2, 90):
            view["OS-EXT-SRV-ATTR:hostname"] = _hostname(server)
        if self._version >= (2, 16) and self._sees_host_status:
            view["host_status"] = self._shown.hosts.get(server.host, "UNKNOWN") if server.host else ""
        if self._version >= (2, 96):
            view[PIN] = (server.kept or {}).get(PIN)
        return view

    def updated(self, server: Server) -> dict[str, Any]:
        """A server as an update answers: since 2.75 everything."""
        if self._version >= (2, 75):
            return self.show(server)
        view = self.changed(server)
        if self._version >= (2, 71):
            view["server_groups"] = []
        return view

    def changed(self, server: Server) -> dict[str, Any]:
        """What every version says of a server, without Nova's former extensions."""
        version, kept = self._version, server.kept or {}
        view: dict[str, Any] = {
            "id": server.id,
            "name": server.name,
            "status": server.status,
            "tenant_id": server.project_id,
            "user_id": server.user_id,
            "metadata": server.metadata,
            "hostId": host_id(server),
            "image": self._image(server),
            "flavor": self._flavor(server),
            "created": wire_time(server.created_at),
            "updated": wire_time(server.updated_at or server.created_at),
            "addresses": {},
            "accessIPv4": kept.get("accessIPv4") or "",
            "accessIPv6": kept.get("accessIPv6") or "",
            "links": self._links.to("servers", server.id),
            "OS-DCF:diskConfig": kept.get("OS-DCF:diskConfig", "AUTO"),
        }
        if server.status in (S.ACTIVE, S.BUILD):
            view["progress"] = 0
        if server.status == S.ERROR and server.fault:
            view["fault"] = server.fault
        if version >= (2, 9):
            view["locked"] = server.locked
        if version >= (2, 19):
            view["description"] = server.description
        if version >= (2, 26):
            view["tags"] = server.tags
        if version >= (2, 63):
            view["trusted_image_certificates"] = None
        if version >= (2, 73):
            view["locked_reason"] = server.locked_reason
        if version >= (2, 100):
            view["scheduler_hints"] = kept.get("scheduler_hints", {})
        return view

    def _image(self, server: Server) -> Any:
        if server.image_id is None:
            return ""
        image = {"id": server.image_id, "links": self._links.bookmark("images", server.image_id)}
        return image | {"properties": {}} if self._version >= (2, 98) else image

    def _flavor(self, server: Server) -> dict[str, Any]:
        flavor = server.flavor
        if self._version < (2, 47):
            return {"id": flavor["id"], "links": self._links.bookmark("flavors", flavor["id"])}
        view = {key: flavor[key] for key in ("vcpus", "ram", "disk", "ephemeral", "swap")}
        view["original_name"] = flavor["name"]
        if self._sees_specs:
            view["extra_specs"] = flavor["extra_specs"]
        return view

    def _volumes(self, server: Server) -> list[dict[str, Any]]:
        shown = []
        for disk in attached(self._shown.disks.get(server.id, ())):
            view: dict[str, Any] = {"id": disk.volume_id}
            if self._version >= (2, 3):
                view["delete_on_termination"] = disk.delete_on_termination
            shown.append(view)
        return shown

    def _extended(self, server: Server) -> dict[str, Any]:
        view: dict[str, Any] = {
            "OS-EXT-SRV-ATTR:host": server.host,
            "OS-EXT-SRV-ATTR:hypervisor_hostname": server.host,
            "OS-EXT-SRV-ATTR:instance_name": f"pumice-{server.id}",
        }
        if self._version >= (2, 3):
            view |= {
                "OS-EXT-SRV-ATTR:hostname": _hostname(server),
                "OS-EXT-SRV-ATTR:kernel_id": "",
                "OS-EXT-SRV-ATTR:ramdisk_id": "",
                "OS-EXT-SRV-ATTR:launch_index": 0,
                "OS-EXT-SRV-ATTR:reservation_id": reservation_id(server),
                "OS-EXT-SRV-ATTR:root_device_name": self._root(server),
                "OS-EXT-SRV-ATTR:user_data": None,
            }
        return view

    def _root(self, server: Server) -> str | None:
        roots = (disk.device for disk in self._shown.disks.get(server.id, ()) if disk.boot_index == 0)
        device = next(roots, None)
        return f"/dev/{device}" if device else None


def attached(disks: Collection[ServerDisk]) -> list[ServerDisk]:
    """The disks that are volumes with an attachment; not those whose volume is still being made."""
    return [disk for disk in disks if disk.volume_id and disk.attachment_id]


def reservation_id(server: Server) -> str:
    """The word by which the servers of one request are found."""
    return f"r-{server.id[:8]}"


def _hostname(server: Server) -> str:
    """A name that can be a host's: the one asked for, or made of the server's."""
    if asked := (server.kept or {}).get("hostname"):
        return str(asked)
    name = _NOT_IN_A_HOSTNAME.sub("-", server.name.lower()).strip("-.")[:63]
    return name or f"server-{server.id}"
