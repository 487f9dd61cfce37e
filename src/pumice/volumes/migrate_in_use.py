"""Move a volume that a server of ours uses to another pool, while its guest runs and writes.

1. ``begin``, asked for as any other move (``migrate.py``): volume and attachment are held, ``starting``
2. ``claim_space``: of the pools that are meant and that the server's host reaches one is claimed: ``migrating``
3. ``make_disk``, ``let_user_in``: a disk in the new pool, under the volume's own id, open to the server's host
4. ``mirror``: its hypervisor copies the disk while the guest runs; what the guest writes comes to both
5. ``note_copied``: both are alike from now on, ``completing``
6. ``switch``: the guest goes on with the new one, and does not notice
7. ``hand_over``: row, claims, attachment and, if it has a new one, type, in one transaction: ``success``. At
   the old place the server's host is shut out, and bytes are freed, by another operation (``vacate.py``)

If it fails before the guest has gone over, the volume is as it was, where it was, and its migration is in
``error``. Where it turns back in the moment between the last two, what it finds decides: a guest that has gone
over has written there, so there the volume is from then on, with the type that it had.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

from pumice.backends.targets.contract import Grant
from pumice.backends.targets.two_names import ends_unlike
from pumice.catalog import volume_types
from pumice.hypervisor.contract import Disk
from pumice.model.connector import Connector, initiator_of
from pumice.model.errors import Invalid, InvalidState, NotFound, TryAnotherBackend
from pumice.model.export import of_row
from pumice.model.ids import AttachmentId, ServerId, new_id
from pumice.model.scope import Scope
from pumice.model.states import AttachStatus, ServerStatus, VolumeStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import Attachment, Pool, Volume, host_of, pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Thing, own, use
from pumice.operations.operation import Operation, Step, Verb, enqueue, on_backend, on_compute, scheduler
from pumice.store import attachments, keys, move_accounts, pools, qos_specs, servers, volumes
from pumice.store.database import Transaction
from pumice.volumes import encrypted, vacate
from pumice.volumes.as_disk import volume_disk
from pumice.volumes.between_hosts import SECONDS
from pumice.volumes.frozen import refuse_frozen
from pumice.volumes.moving import (
    STAYS,
    M,
    MigrateParams,
    V,
    as_new_type,
    claim_one,
    delete_copy,
    explain,
    give_space_back,
    is_the_volume,
    note_copied,
)

RUNS = (ServerStatus.ACTIVE, ServerStatus.PAUSED)
_NO_SERVER, _NO_ATTACHMENT = ServerId(""), AttachmentId("")


@dataclass(frozen=True, slots=True)
class MigrateInUseParams(MigrateParams):
    """What is asked of any move, and who uses the volume."""

    server_id: ServerId = _NO_SERVER
    host: str = ""
    """The server's host."""
    attachment_id: AttachmentId = _NO_ATTACHMENT
    key_id: str | None = None
    """The key that opens its bytes; None where they are not encrypted."""
    key_size: int | None = None
    """bits"""


def begin(
    tx: Transaction, who: Scope, volume: Volume, asked: MigrateParams, status: VolumeStatus | None
) -> None:
    """Hold the volume, in use or in ``status``, and how it is used. Raises ``InvalidState``."""
    link, host = _user(tx, volume)
    refuse_frozen(tx, volume.pool)
    kind = volume_types.get(tx, asked.new_type or volume.type_id or "")
    params = MigrateInUseParams(
        **asdict(asked),
        server_id=ServerId(link.server_id or ""),
        host=host,
        attachment_id=link.id,
        key_id=volume.encryption_key_id,
        key_size=kind.encryption["key_size"] if kind and kind.encryption else None,
    )
    operation_id = new_id()
    changes: dict[str, Any] = {"operation_id": operation_id, "migration_status": M.STARTING}
    if status is None:
        volumes.change(tx, volume.id, **changes)
    else:
        volumes.move(tx, volume.id, {V.IN_USE}, status, must="be in-use", **changes)
    notes = {"portal": link.portal.to_row()} if link.portal else {}
    enqueue(tx, MIGRATE_IN_USE, params, subject=volume.id, who=who, notes=notes, id=operation_id)


def _user(tx: Transaction, volume: Volume) -> tuple[Attachment, str]:
    """The one attachment of a server of ours that runs, and the server's host. Raises ``InvalidState``."""
    links = attachments.of_volume(tx, volume.id)
    server = servers.find(tx, links[0].server_id) if len(links) == 1 and links[0].server_id else None
    if server is None or server.host is None or volume.multiattach:
        raise InvalidState(
            f"Invalid volume: Volume {volume.id} is {volume.status}, and only what nobody uses, or one server "
            "of this cloud, is moved to another pool: detach it first."
        )
    [link] = links
    if link.status != AttachStatus.ATTACHED or link.mode != "rw" or not link.portal or not link.connector:
        raise InvalidState(
            f"Invalid volume: Volume {volume.id} is not attached to server {server.id} to be read and written, "
            "and is not moved to another pool meanwhile: detach it first."
        )
    if server.status not in RUNS:
        raise InvalidState(
            f"Invalid volume: Volume {volume.id} is attached to server {server.id}, which is {server.status}, "
            "and is moved to another pool while that is ACTIVE or PAUSED: start it, or detach the volume first."
        )
    return link, server.host


def claim_space(tx: Transaction, op: Operation[MigrateInUseParams], tunables: Tunables) -> None:
    """Choose among the pools that are meant and can be used, and claim the space. Raises ``NoValidBackend``."""
    link = _link(tx, op)
    connector = link.connector or Connector()
    claim_one(tx, op, tunables, may=lambda pool: _reaches(connector, pool), afar=True)
    op.notes["account"] = move_accounts.make(tx, ends_unlike(link.chap_username))


def _reaches(connector: Connector, pool: Pool) -> bool:
    """Whether a host reaches what lies in a pool."""
    try:
        initiator_of(connector, pool.capabilities.get("storage_protocol", ""))
    except Invalid:
        return False
    return pool.reached_from in (None, connector.host)


async def make_disk(op: Operation[MigrateInUseParams], drivers: Drivers) -> None:
    """Make an empty disk in the new pool, begun anew if it is there; with its LUKS, where it is encrypted."""
    asked, pool = op.params, op.notes["pool"]
    backend, name, there = drivers.backend_of(pool), asked.volume_id, pool_of(pool)
    if await is_the_volume(op, drivers):
        raise TryAnotherBackend("The other pool is the volume's own, by another name.", f"{pool}.")
    await backend.delete(name, there)
    if asked.key_id is None:
        await backend.create(name, there, asked.size)
    else:
        key = await encrypted.key_of(drivers.db, asked.key_id, asked.key_size)
        await encrypted.make(backend, name, there, asked.size, key, None, op.note_progress)


async def let_user_in(op: Operation[MigrateInUseParams], drivers: Drivers) -> None:
    """Let the server's host in to the new disk, by an account of its own, and note where it is."""
    volume, pool = op.params.volume_id, op.notes["pool"]
    link, password = await drivers.db.read(_read_account, op)
    device, target = await drivers.backend_of(pool).device(volume, pool_of(pool)), drivers.target_of(pool)
    initiator = initiator_of(link.connector or Connector(), target.protocol)
    drivers.let_in.setdefault(host_of(pool), set()).add(volume)
    export = await target.grant(volume, device, Grant(link.id, initiator, op.notes["account"], password))
    op.notes["export"] = replace(export, encrypted=op.params.key_id is not None).to_row()


async def shut_user_out(op: Operation[MigrateInUseParams], drivers: Drivers) -> None:
    """The server's host is let in to the new disk no more."""
    if not op.notes.get(STAYS):
        grant = Grant(op.params.attachment_id, "", op.notes["account"], "")
        await drivers.target_of(op.notes["pool"]).revoke(op.params.volume_id, grant)


async def mirror(op: Operation[MigrateInUseParams], drivers: Drivers) -> None:
    """Bring the new disk in step with the guest's. A mirror that was left running is waited for."""
    asked = op.params
    disk = await drivers.db.read(_new_disk, op)
    await drivers.hypervisors[asked.host].mirror(asked.server_id, disk, op.note_progress)


async def end_mirror(op: Operation[MigrateInUseParams], drivers: Drivers) -> None:
    """Break it off. Where the guest has gone over before, the volume follows, and nothing more is undone."""
    asked = op.params
    try:
        disk = await drivers.db.read(_new_disk, op)
    except NotFound:  # with the server, its machine is gone
        return
    if await drivers.hypervisors[asked.host].end_mirror(asked.server_id, disk):
        await drivers.db.write(_follow_guest, op)
        op.notes[STAYS] = True


async def switch(op: Operation[MigrateInUseParams], drivers: Drivers) -> None:
    """Let the guest go on with the new disk. There is no way back from here."""
    asked = op.params
    disk = await drivers.db.read(_new_disk, op)
    await drivers.hypervisors[asked.host].switch(asked.server_id, disk)


def hand_over(tx: Transaction, op: Operation[MigrateInUseParams], tunables: Tunables) -> None:
    """The volume is where its guest has it, and what it was before."""
    asked = op.params
    volume = volumes.find(tx, asked.volume_id)
    assert volume is not None, "nobody deletes what is held"
    changes = as_new_type(tx, volume, asked.new_type, op.notes["pool"]) if asked.new_type else {}
    _follow_guest(tx, op, changes)


def _follow_guest(
    tx: Transaction, op: Operation[MigrateInUseParams], changes: Mapping[str, object] = MappingProxyType({})
) -> None:
    """Claims, attachment and row say that the volume is where its guest is. Again, it changes nothing."""
    asked, pool = op.params, op.notes["pool"]
    volume, link = volumes.find(tx, asked.volume_id), attachments.find(tx, asked.attachment_id)
    if volume is None or link is None or volume.pool == pool:
        return
    account = op.notes["account"]
    pools.give_back(tx, pool, op.id)
    pools.claim(tx, pool, volume.id, volume.size)
    vacate.begin(tx, volume.id, asked.pool, volume.size, link.chap_username or "")
    attachments.bury_account(tx, link.id)
    password = move_accounts.take_over(tx, account)
    export = of_row(op.notes["export"])
    attachments.change(tx, link.id, portal=export, chap_username=account, chap_password=password)
    volumes.place(tx, volume.id, pool)
    volumes.change(tx, volume.id, migration_status=M.SUCCESS)
    volumes.reset(tx, volume.id, V.AVAILABLE, op.id, **changes)
    attachments.let_volume_follow(tx, volume.id)


def _read_account(tx: Transaction, op: Operation[MigrateInUseParams]) -> tuple[Attachment, str]:
    """The attachment, and the password by which its host is let in to the new disk."""
    password = move_accounts.password(tx, op.notes["account"])
    assert password is not None, "it is there for as long as the space is claimed"
    return _link(tx, op), password


def _new_disk(tx: Transaction, op: Operation[MigrateInUseParams]) -> Disk:
    """The new disk, as the server's machine is to have it. Raises ``NotFound``."""
    asked, account = op.params, op.notes["account"]
    moved = replace(
        _link(tx, op),
        portal=of_row(op.notes["export"]),
        chap_username=account,
        chap_password=move_accounts.password(tx, account),
    )
    disk = servers.disk_of_volume(tx, asked.server_id, asked.volume_id)
    passphrase = keys.of_volumes(tx, [asked.volume_id]).get(asked.volume_id)
    qos = qos_specs.of_volumes(tx, [asked.volume_id]).get(asked.volume_id, {})
    return volume_disk(disk, moved, passphrase, qos, shared=False)


def _link(tx: Transaction, op: Operation[MigrateInUseParams]) -> Attachment:
    if (link := attachments.find(tx, op.params.attachment_id)) is None:
        raise NotFound("Volume attachment", op.params.attachment_id)
    return link


MIGRATE_IN_USE = Verb(
    kind="volume.migrate_in_use",
    params=MigrateInUseParams,
    holds=lambda op: (
        own(Thing.VOLUME, op.params.volume_id),
        own(Thing.ATTACHMENT, op.params.attachment_id),
        use(Thing.SERVER, op.params.server_id),
    ),
    steps=(
        Step(claim_space, undo=give_space_back, at=scheduler, chooses=True),
        Step(make_disk, undo=delete_copy, at=on_backend),
        Step(let_user_in, undo=shut_user_out, at=on_backend),
        Step(mirror, undo=end_mirror, at=on_compute, timeout=SECONDS, long=True),
        Step(note_copied, at=on_compute),
        Step(switch, at=on_compute),
        Step(hand_over, at=on_compute),
    ),
    failed=explain,
    deadline=2 * SECONDS,
    moves=True,
)
