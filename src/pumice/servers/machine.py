"""A server as its hypervisor should have it: read from the rows each time it is needed.

The secrets of its volumes are read here and handed to the driver; no operation ever holds them.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pumice.backends.contract import ImageFile
from pumice.host.thread import in_thread
from pumice.hypervisor.contract import Disk, FileSource, Machine, disk_named
from pumice.images.inspect import kept_image
from pumice.model.errors import NotFound
from pumice.model.hardware import Hardware
from pumice.model.ids import AttachmentId, ServerId, VolumeId
from pumice.model.qos import Resolved
from pumice.model.server import Server, ServerDisk
from pumice.model.states import GETS_IN
from pumice.model.volume import Attachment
from pumice.operations.drivers import Drivers
from pumice.store import attachments, images, keys, qos_specs, servers, volumes
from pumice.store.database import Transaction
from pumice.volumes.as_disk import volume_disk


@dataclass(frozen=True, slots=True)
class Plan:
    """A server with the disks it should have, read in one transaction."""

    server: Server
    disks: tuple[ServerDisk, ...]
    attachments: dict[AttachmentId, Attachment]
    passphrases: dict[str, str] = field(repr=False)
    """The passphrases of encrypted volumes."""
    qos: Mapping[str, Resolved]
    """What holds for those of the volumes that are to be held back."""
    shared: frozenset[str]
    """The volumes that several servers may have at once."""
    image_formats: dict[str, str | None]
    """The formats of the images that local disks are copies of, as far as these are still there."""


def read_plan(tx: Transaction, server_id: str) -> Plan:
    """Read the rows. Raises ``NotFound``."""
    server = servers.find(tx, server_id)
    if server is None:
        raise NotFound("Instance", server_id)
    links = {link.id: link for link in attachments.of_server(tx, server_id)}
    leaving = {link.id for link in links.values() if link.status not in GETS_IN}
    disks = [disk for disk in servers.disks(tx, server_id) if disk.attachment_id not in leaving]
    disks.sort(key=lambda disk: (disk.boot_index != 0, disk.device))
    ids = [disk.volume_id for disk in disks if disk.volume_id]
    keyed, qos = keys.of_volumes(tx, ids), qos_specs.of_volumes(tx, ids)
    formats = images.formats(tx, [disk.image_id for disk in disks if disk.image_id])
    return Plan(server, tuple(disks), links, keyed, qos, volumes.multiattach(tx, ids), formats)


async def machine_of(drivers: Drivers, server_id: str) -> Machine:
    """The machine with every disk in place, the one it boots from first. Copies a local disk if it must."""
    plan = await drivers.db.read(read_plan, server_id)
    return Machine(
        id=ServerId(server_id),
        name=plan.server.name,
        vcpus=plan.server.flavor["vcpus"],
        memory_mib=plan.server.flavor["ram"],
        disks=tuple([await _disk(drivers, plan, disk) for disk in plan.disks]),
        hardware=Hardware.from_row((plan.server.kept or {}).get("hardware")),
    )


async def _disk(drivers: Drivers, plan: Plan, disk: ServerDisk) -> Disk:
    if disk.volume_id is not None:
        link = plan.attachments.get(disk.attachment_id) if disk.attachment_id else None
        volume = disk.volume_id
        return volume_disk(
            disk,
            link,
            plan.passphrases.get(volume),
            plan.qos.get(volume, {}),
            shared=volume in plan.shared,
        )
    assert disk.image_id is not None
    assert plan.server.host is not None
    made = plan.server.launched_at is not None
    async with _image(drivers, disk.image_id, plan.image_formats.get(disk.image_id), made=made) as image:
        path = await drivers.hypervisors[plan.server.host].make_local_disk(
            ServerId(plan.server.id),
            image.path,
            image.format,
            virtual_size=image.virtual_size,
            size_gib=plan.server.flavor["disk"],
        )
    return Disk(serial=disk.id, device=disk.device, source=FileSource(path))


@asynccontextmanager
async def _image(
    drivers: Drivers, image_id: str, image_format: str | None, *, made: bool
) -> AsyncIterator[ImageFile]:
    """What the local disk is a copy of. The image may be gone once the copy is ``made``."""
    async with AsyncExitStack() as stack:
        try:
            path = await stack.enter_async_context(drivers.open_image(image_id))
            image = await in_thread(kept_image, path, image_format)
        except (NotFound, FileNotFoundError):
            if not made:
                raise NotFound("The data of image", image_id) from None
            image = ImageFile(Path(image_id), "raw", 0)
        yield image


def read_disk(tx: Transaction, server_id: str, attachment_id: str) -> Disk:
    """The disk of one attachment. Raises ``NotFound`` or ``InvalidState``."""
    for disk in servers.disks(tx, server_id):
        if disk.attachment_id == attachment_id:
            volume = disk.volume_id or ""
            return volume_disk(
                disk,
                attachments.find(tx, attachment_id),
                keys.of_volumes(tx, [volume]).get(volume),
                qos_specs.of_volumes(tx, [volume]).get(volume, {}),
                shared=bool(volumes.multiattach(tx, [volume])),
            )
    raise NotFound("Volume attachment", attachment_id)


class Plugged(Protocol):
    """The parameters of an operation on one volume's disk."""

    @property
    def volume_id(self) -> VolumeId: ...
    @property
    def attachment_id(self) -> AttachmentId: ...
    @property
    def device(self) -> str: ...


async def unplug_disk(drivers: Drivers, host: str, server_id: str, disk: Plugged) -> None:
    """Take a volume's disk out of a machine; needs no rows. Raises ``GuestKeepsDisk``."""
    out = disk_named(disk.volume_id, disk.device, disk.attachment_id)
    await drivers.hypervisors[host].detach(ServerId(server_id), out, drivers.detach_seconds)
