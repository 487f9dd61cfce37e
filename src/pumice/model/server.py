"""Servers, their disks and flavors as the rooms hand them to one another."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pumice.model.ids import AttachmentId, ImageId, ServerId, VolumeId
from pumice.model.states import ServerStatus, vm_state


@dataclass(frozen=True, slots=True)
class Flavor:
    """What a server gets: ``ram`` and ``swap`` in MiB, ``disk`` and ``ephemeral`` in GiB."""

    id: str
    name: str
    vcpus: int
    ram: int
    disk: int
    ephemeral: int
    swap: int
    is_public: bool
    disabled: bool
    description: str | None
    extra_specs: dict[str, str]
    rxtx_factor: float | None = None
    """The factor that was given, which changes nothing here; None is 1.0."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server as it was when it was read. ``flavor`` is the flavor as it was when the server was made."""

    id: ServerId
    project_id: str
    user_id: str
    name: str
    description: str | None
    status: ServerStatus
    task: str | None
    """Nova's ``task_state``: what the running operation is about; None when nothing is under way."""
    host: str | None
    flavor: dict[str, Any]
    image_id: ImageId | None
    key_name: str | None
    metadata: dict[str, str]
    tags: list[str]
    locked: bool
    fault: dict[str, Any] | None
    availability_zone: str
    operation_id: str | None
    launched_at: datetime | None
    created_at: datetime
    updated_at: datetime | None
    locked_by: str | None = None
    """``admin`` when only an administrator may unlock it, else ``owner``."""
    locked_reason: str | None = None
    kept: dict[str, Any] | None = None
    """What the client said only to see it again, under its wire names; and its ``hardware``."""


def cannot(server: Server, doing: str) -> str:
    """That the server's task, or else its state, forbids it; in Nova's words."""
    where = f"task_state {server.task}" if server.task else f"vm_state {vm_state(server.status)}"
    return f"Cannot '{doing}' instance {server.id} while it is in {where}"


@dataclass(frozen=True, slots=True)
class ServerDisk:
    """One disk of a server: a volume through an attachment, or a copy of an image on the host's own disk."""

    id: str
    server_id: ServerId
    device: str
    """``vda``, ``vdb``…; unique per server"""
    volume_id: VolumeId | None
    attachment_id: AttachmentId | None
    image_id: ImageId | None
    """What a local disk is a copy of."""
    boot_index: int | None
    """0 for the one the server boots from."""
    delete_on_termination: bool
    tag: str | None
    created_at: datetime
