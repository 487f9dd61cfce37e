"""Boot a server: from a volume, from an image through a volume made of it, or from a copy of an image.

1. ``accept``, in the request's transaction: the server in ``BUILD``, its disks with their device names, its
   volumes taken; volumes that are still to be made begin as operations of their own
2. ``choose_host``: the scheduler chooses a compute host, one that reaches the volumes that there are
3. ``wait_for_volumes``, ``reserve_volumes``: the volumes that were made are taken too; if the host that was
   chosen does not reach them, one that does takes its place
4. ``connect_volumes``, ``wait_for_connections``: each volume is exported to the host, by an operation each
5. ``power_on``: the hypervisor defines the machine and starts it
6. ``complete``: ``ACTIVE``, its volumes ``in-use``

If it fails the machine is gone again, its volumes are free, those that were made for it are deleted, and the
server is in ``ERROR`` with the reason in its fault. So it is too when the server is deleted before it runs, and
when the host that was chosen goes away and stays away for two minutes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pumice.attachments import connect, disconnect
from pumice.attachments.reserve import complete as complete_attachment
from pumice.attachments.reserve import reserve
from pumice.model.errors import Invalid, NoValidBackend
from pumice.model.hardware import Hardware
from pumice.model.ids import AttachmentId, ImageId, ServerId, VolumeId, new_id
from pumice.model.scope import INTERNAL, Scope
from pumice.model.server import Flavor, Server, ServerDisk
from pumice.model.states import AttachStatus, ServerStatus
from pumice.model.tunables import Tunables
from pumice.operations import holds
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Hold, Thing, make, use
from pumice.operations.operation import Operation, Step, Verb, Wait, enqueue, on_compute, scheduler
from pumice.servers.machine import machine_of
from pumice.store import attachments, operations, pools, servers, tombstones
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.volumes import create as create_volume
from pumice.volumes import delete_when_free

S = ServerStatus


@dataclass(frozen=True, slots=True)
class DiskWanted:
    """A disk of the server to be: a volume, a volume to be made, or a copy of an image."""

    boot_index: int | None
    volume_id: str | None = None
    new_volume: create_volume.Wanted | None = None
    image_id: str | None = None
    delete_on_termination: bool = False
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class ServerWanted:
    """The server that the tenant asks for. Exactly one disk has boot index 0."""

    name: str
    flavor: Flavor
    disks: Sequence[DiskWanted]
    image_id: str | None = None
    description: str | None = None
    key_name: str | None = None
    availability_zone: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Sequence[str] = ()
    kept: Mapping[str, Any] = field(default_factory=dict)
    hardware: Hardware = field(default_factory=Hardware)


@dataclass(frozen=True, slots=True)
class BootParams:
    """The parameters of the operation."""

    server_id: ServerId
    zone: str


def accept(tx: Transaction, who: Scope, wanted: ServerWanted, tunables: Tunables) -> Server:
    """Answer the request: the server in ``BUILD``.

    Raises what reserving and creating volumes raise.
    """
    known = [disk.volume_id for disk in wanted.disks if disk.volume_id]
    if len(known) != len(set(known)):
        raise Invalid("Block Device Mapping is Invalid: a volume can be a server's disk only once.")
    if len(bound := pools.reached_from(tx, known)) > 1:
        raise Invalid(
            "Block Device Mapping is Invalid: no host reaches all of its volumes, which are on disks of "
            f"{' and '.join(sorted(bound))}."
        )
    zone = wanted.availability_zone or tunables.availability_zone
    server = Server(
        id=ServerId(new_id()),
        project_id=who.project,
        user_id=who.user_id,
        name=wanted.name,
        description=wanted.description,
        status=S.BUILD,
        task="scheduling",
        host=None,
        flavor={name: getattr(wanted.flavor, name) for name in Flavor.__slots__},
        image_id=ImageId(wanted.image_id) if wanted.image_id else None,
        key_name=wanted.key_name,
        metadata=dict(wanted.metadata),
        tags=list(wanted.tags),
        locked=False,
        fault=None,
        availability_zone=zone,
        operation_id=new_id(),
        launched_at=None,
        created_at=now(),
        updated_at=None,
        kept={**wanted.kept, "hardware": wanted.hardware.to_row()},
    )
    servers.insert(tx, server)
    boot = enqueue(
        tx,
        BOOT,
        BootParams(server.id, zone),
        subject=server.id,
        who=who,
        id=server.operation_id,
        notes={"volumes": [], "made": [], "given": known},
    )
    for disk in sorted(wanted.disks, key=_boot_order):
        _accept_disk(tx, who, server, disk, tunables, boot)
    if boot.notes["volumes"]:
        operations.note(tx, boot.id, boot.notes)
        holds.take(tx, boot.id, _used(boot.notes["made"]), subject=server.id)
    return server


def held(op: Operation[BootParams]) -> tuple[Hold, ...]:
    """The server, and its volumes: those that are made for it as well, so that nobody else takes them."""
    return make(Thing.SERVER, op.params.server_id), *_used([*op.notes["given"], *op.notes["made"]])


def _used(volume_ids: Sequence[str]) -> tuple[Hold, ...]:
    return tuple(use(Thing.VOLUME, volume_id) for volume_id in volume_ids)


def _boot_order(disk: DiskWanted) -> tuple[bool, int]:
    """Bootable disks by their index, then the others as they came."""
    return disk.boot_index is None or disk.boot_index < 0, max(disk.boot_index or 0, 0)


def _accept_disk(
    tx: Transaction,
    who: Scope,
    server: Server,
    wanted: DiskWanted,
    tunables: Tunables,
    boot: Operation[BootParams],
) -> None:
    device = servers.free_device(tx, server.id)
    disk = ServerDisk(
        id=new_id(),
        server_id=server.id,
        device=device,
        volume_id=VolumeId(wanted.volume_id) if wanted.volume_id else None,
        attachment_id=None,
        image_id=ImageId(wanted.image_id) if wanted.image_id else None,
        boot_index=wanted.boot_index,
        delete_on_termination=wanted.delete_on_termination,
        tag=wanted.tag,
        created_at=now(),
    )
    if wanted.new_volume is not None:
        volume = create_volume.accept(tx, who, wanted.new_volume, tunables, parent=boot)
        boot.notes["volumes"].append(volume.operation_id)
        boot.notes["made"].append(volume.id)
        disk = replace(disk, volume_id=volume.id)
    elif wanted.volume_id is not None:
        disk = replace(disk, attachment_id=_reserve(tx, who, server, disk))
    servers.add_disk(tx, disk)


def _reserve(tx: Transaction, who: Scope, server: Server, disk: ServerDisk) -> AttachmentId:
    assert disk.volume_id is not None
    return reserve(tx, who, disk.volume_id, server_id=server.id, device=f"/dev/{disk.device}").id


def choose_host(tx: Transaction, op: Operation[BootParams], tunables: Tunables) -> None:
    """Choose the compute host that runs the fewest servers, of those that reach the volumes that have a pool.

    Raises ``NoValidBackend``.
    """
    _settle_host(tx, op, tunables)
    servers.change(tx, op.params.server_id, task="block_device_mapping")


def _settle_host(tx: Transaction, op: Operation[BootParams], tunables: Tunables) -> None:
    """Note a host that reaches the server's volumes: the one that was chosen before, if it does."""
    bound = pools.reached_from(tx, [*op.notes["given"], *op.notes["made"]])
    if "host" in op.notes and bound <= {op.notes["host"]}:
        return
    host = None
    if len(bound) <= 1:
        host = servers.least_busy_host(tx, op.params.zone, tunables.service_down_seconds, bound)
    if host is None:
        which = f" of {' and '.join(sorted(bound))}, where its volumes are," if bound else ""
        raise NoValidBackend(
            f"No valid host was found. No compute service{which} is up in zone {op.params.zone}."
        )
    servers.change(tx, op.params.server_id, host=host)
    op.notes["host"] = host


def give_everything_back(tx: Transaction, op: Operation[BootParams], tunables: Tunables) -> None:
    """The server has no host and no disks; volumes are let go, and those that were made for it deleted."""
    for link in attachments.of_server(tx, op.params.server_id):
        disconnect.accept(tx, INTERNAL, link)
    servers.remove_disks(tx, op.params.server_id)
    servers.change(tx, op.params.server_id, host=None)
    if host := op.notes.get("host"):
        tombstones.bury_one(tx, tombstones.Kind.SERVER, op.params.server_id, host)
    for volume_id in op.notes["made"]:
        delete_when_free.accept(tx, volume_id, for_good=True)


def reserve_volumes(tx: Transaction, op: Operation[BootParams], tunables: Tunables) -> None:
    """Take the volumes that were made, and settle on a host that reaches them. Raises ``NoValidBackend``."""
    _settle_host(tx, op, tunables)
    server = servers.find(tx, op.params.server_id)
    assert server is not None
    for disk in servers.disks(tx, server.id):
        if disk.volume_id and not disk.attachment_id:
            servers.change_disk(tx, disk.id, attachment_id=_reserve(tx, INTERNAL, server, disk))


def connect_volumes(tx: Transaction, op: Operation[BootParams], tunables: Tunables) -> None:
    """Begin to export every volume to the host."""
    connector = servers.connector_of(tx, op.notes["host"])
    begun = [
        connect.accept_known(tx, INTERNAL, disk.attachment_id, connector, parent=op)
        for disk in servers.disks(tx, op.params.server_id)
        if disk.attachment_id
    ]
    op.notes["connections"] = [operation_id for operation_id in begun if operation_id]
    servers.change(tx, op.params.server_id, task="spawning")


async def power_on(op: Operation[BootParams], drivers: Drivers) -> None:
    """Define the machine and start it."""
    machine = await machine_of(drivers, op.params.server_id)
    hypervisor = drivers.hypervisors[op.notes["host"]]
    await hypervisor.define(machine)
    await hypervisor.start(machine)


async def remove_machine(op: Operation[BootParams], drivers: Drivers) -> None:
    """Remove the machine."""
    await drivers.hypervisors[op.notes["host"]].delete(op.params.server_id)


def complete(tx: Transaction, op: Operation[BootParams], tunables: Tunables) -> None:
    """Set the server active, and its volumes in use."""
    for link in attachments.of_server(tx, op.params.server_id):
        if link.status == AttachStatus.ATTACHING:
            complete_attachment(tx, INTERNAL, link.id)
    servers.end(tx, op.params.server_id, op.id, status=S.ACTIVE, launched_at=now(), fault=None)


def explain(tx: Transaction, op: Operation[BootParams], error: str) -> None:
    """The server is in ``ERROR``; its fault says why."""
    fault = {"code": 500, "message": error, "created": now().isoformat(timespec="seconds") + "Z"}
    servers.end(tx, op.params.server_id, op.id, status=S.ERROR, fault=fault)


BOOT = Verb(
    kind="server.boot",
    params=BootParams,
    holds=held,
    steps=(
        Step(choose_host, undo=give_everything_back, at=scheduler),
        Wait("volumes", at=scheduler),
        Step(reserve_volumes, at=scheduler),
        Step(connect_volumes, at=scheduler),
        Wait("connections", at=scheduler),
        Step(power_on, undo=remove_machine, at=on_compute, timeout=1800),
        Step(complete, at=on_compute),
    ),
    failed=explain,
    deadline=3 * 3600,
    unserved=120,
)
