"""Rows that contradict one another, and how each is settled.

Operations leave none behind: they are made by hands in the database, by a restored backup, by a bug. So what
passes without an operation is settled the way its operation would have been, in favour of what loses nobody's
bytes: what was being made is in ``error``, what was being deleted or let go is deleted or let go by a new
operation, and an attachment that is there wins over whatever denies it.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

import structlog

from pumice.attachments import disconnect
from pumice.loops.violation import Violation
from pumice.model.errors import Conflict, InvalidState
from pumice.model.ids import new_id
from pumice.model.scope import INTERNAL
from pumice.model.server import ServerDisk
from pumice.model.states import (
    KEEPS_IN_USE,
    AttachStatus,
    BackupStatus,
    GroupSnapshotStatus,
    GroupStatus,
    ImageBaseStatus,
    ServerStatus,
    SnapshotStatus,
    VolumeStatus,
)
from pumice.model.volume import Attachment, MigrationStatus
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Mode
from pumice.servers import delete as delete_server
from pumice.store import (
    attachments,
    audit,
    backups,
    group_snapshots,
    groups,
    holds,
    image_bases,
    messages,
    operations,
    pools,
    quotas,
    servers,
    snapshots,
    volumes,
    work_queue,
)
from pumice.store.audit import Kind, Wrong
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.messages import Event
from pumice.volumes import delete as delete_volume
from pumice.volumes.backups import delete as delete_backup
from pumice.volumes.bases import evict
from pumice.volumes.snapshots import delete as delete_snapshot

logger = structlog.get_logger(__name__)

SECONDS = 300.0

A, B, G, S, V = AttachStatus, BackupStatus, GroupStatus, SnapshotStatus, VolumeStatus
LOST = "What was under way on it was lost, and nobody carries it out any more."


async def check(drivers: Drivers) -> list[Violation]:
    """Find contradictions in all rows, whoever's they are."""
    wrong = await drivers.db.read(audit.wrong_rows)
    return [
        Violation(each.words, partial(_repair, drivers, each) if each.kind in REPAIRS else None)
        for each in wrong
    ]


async def _repair(drivers: Drivers, wrong: Wrong) -> str | None:
    def work(tx: Transaction) -> str | None:
        if not audit.still(tx, wrong):
            return None
        return REPAIRS[wrong.kind](tx, wrong.id)

    return await drivers.db.write(work)


def settle_held(tx: Transaction, operation_id: str) -> None:
    """Settle what passes because of an operation that was settled without its verb."""
    for wrong in audit.held_by(tx, operation_id):
        logger.warning("violation.repaired", violation=wrong.words, done=REPAIRS[wrong.kind](tx, wrong.id))


def _recount_quota(tx: Transaction, project_id: str) -> str:
    quotas.recount(tx, project_id)
    return "counted again"


def _amend_claim(tx: Transaction, claim: str) -> str:
    pool, _, holder = claim.rpartition(" ")
    pools.amend(tx, pool, holder)
    return "claimed is what its volume says"


def _recount_claim(tx: Transaction, pool: str) -> str:
    pools.recount(tx, pool)
    return "counted again"


def _settle_volume(tx: Transaction, volume_id: str) -> str:
    volume = volumes.find(tx, volume_id)
    assert volume is not None
    volumes.change(tx, volume.id, operation_id=None)
    used = any(link.status in KEEPS_IN_USE for link in attachments.of_volume(tx, volume.id))
    if volume.status == V.DELETING:
        volumes.put(tx, volume.id, V.ERROR_DELETING)
        with suppress(InvalidState):  # it has snapshots: its owner deletes those first
            delete_volume.begin(tx, INTERNAL, volume)
            return "it is being deleted again"
        return f"it is {V.ERROR_DELETING}"
    if volume.status in (V.CREATING, V.DOWNLOADING) and not used:
        volumes.put(tx, volume.id, V.ERROR)
        messages.tell(tx, volume.project_id, Event.CREATE_VOLUME, volume.id, LOST, None)
        return f"it is in {V.ERROR}"
    if volume.status in (V.MANAGING, V.UNMANAGING) and not used:
        settled = V.ERROR_MANAGING if volume.status == V.MANAGING else V.ERROR
        volumes.put(tx, volume.id, settled)
        return f"it is in {settled}"
    if volume.status == V.RESTORING_BACKUP and not used:
        volumes.put(tx, volume.id, V.ERROR_RESTORING)
        return f"it is in {V.ERROR_RESTORING}: its bytes may be of a backup in part"
    volumes.put(tx, volume.id, V.AVAILABLE)
    return _let_volume_follow(tx, volume.id)


def _settle_move(tx: Transaction, volume_id: str) -> str:
    """A volume is where its row says; one that was locked for the move is free."""
    volume = volumes.find(tx, volume_id)
    assert volume is not None
    volumes.change(tx, volume.id, operation_id=None, migration_status=MigrationStatus.ERROR)
    if volume.status == V.MAINTENANCE:
        volumes.put(tx, volume.id, V.AVAILABLE)
    return f"its migration is in {MigrationStatus.ERROR}"


def _let_volume_follow(tx: Transaction, volume_id: str) -> str:
    attachments.let_volume_follow(tx, volume_id)
    volume = volumes.find(tx, volume_id)
    assert volume is not None
    return f"it is {volume.status}, as its attachments say"


def _settle_snapshot(tx: Transaction, snapshot_id: str) -> str:
    snapshot = snapshots.find(tx, snapshot_id)
    assert snapshot is not None
    snapshots.change(tx, snapshot.id, operation_id=None)
    if snapshot.status == S.DELETING:
        snapshots.put(tx, snapshot.id, S.ERROR_DELETING)
        delete_snapshot.begin(tx, INTERNAL, snapshot)
        return "it is being deleted again"
    if snapshot.status != S.CREATING:
        snapshots.put(tx, snapshot.id, S.AVAILABLE)
        return f"it is {S.AVAILABLE}: what was under way on it only reads its bytes"
    snapshots.put(tx, snapshot.id, S.ERROR)
    messages.tell(tx, snapshot.project_id, Event.CREATE_SNAPSHOT, snapshot.id, LOST, None)
    return f"it is in {S.ERROR}"


def _settle_backup(tx: Transaction, backup_id: str) -> str:
    backup = backups.find(tx, backup_id)
    assert backup is not None
    settled = {B.CREATING: B.ERROR, B.RESTORING: B.AVAILABLE, B.DELETING: B.ERROR_DELETING}[backup.status]
    reason = backup.fail_reason if settled == B.AVAILABLE else LOST
    backups.change(tx, backup.id, operation_id=None, fail_reason=reason)
    backups.put(tx, backup.id, settled)
    if settled == B.ERROR_DELETING and backup.pool is not None:
        delete_backup.begin(tx, INTERNAL, backup.id, backup.pool)
        return "it is being deleted again"
    if settled == B.ERROR:
        messages.tell(tx, backup.project_id, Event.CREATE_BACKUP, backup.id, LOST, None)
    return f"it is in {settled}"


def _settle_image_base(tx: Transaction, base_id: str) -> str:
    """Nobody's bytes are lost with it: it goes."""
    base = image_bases.find(tx, base_id)
    assert base is not None
    image_bases.change(tx, base.id, operation_id=None)
    is_left = base.status == ImageBaseStatus.DELETING
    image_bases.put(tx, base.id, ImageBaseStatus.ERROR_DELETING if is_left else ImageBaseStatus.ERROR)
    evict.accept(tx, base.id)
    return "it is being evicted"


def _settle_group(tx: Transaction, group_id: str) -> str:
    """Let a group be used, or be deleted again: its volumes are settled by themselves."""
    group = groups.find(tx, group_id)
    assert group is not None
    settled = G.AVAILABLE if group.status == G.UPDATING else G.ERROR
    groups.change(tx, group.id, operation_id=None)
    groups.put(tx, group.id, settled)
    if group.status == G.CREATING:
        messages.tell(tx, group.project_id, Event.CREATE_GROUP, group.id, LOST, None)
    return f"it is in {settled}"


def _settle_group_snapshot(tx: Transaction, group_snapshot_id: str) -> str:
    """Let it be used, or be deleted again: its snapshots are settled by themselves."""
    found = group_snapshots.find(tx, group_snapshot_id)
    assert found is not None
    status = GroupSnapshotStatus
    settled = status.AVAILABLE if found.status == status.UPDATING else status.ERROR
    group_snapshots.change(tx, found.id, operation_id=None)
    group_snapshots.put(tx, found.id, settled)
    return f"it is in {settled}"


def _settle_attachment(tx: Transaction, attachment_id: str) -> str:
    """Let an attachment end where it was going; another loop brings the server's machine in line."""
    link = attachments.find(tx, attachment_id)
    assert link is not None
    attachments.change(tx, link.id, operation_id=None)
    if link.status not in (A.ATTACHING, A.DETACHING):
        return f"it is {link.status}, and nobody holds it"
    servers.remove_disk(tx, link.id)
    disconnect.accept(tx, INTERNAL, link)
    return "it is being disconnected"


def _map_attachment(tx: Transaction, attachment_id: str) -> str:
    """The guest may be using it: the server gets its disk back."""
    link = attachments.find(tx, attachment_id)
    assert link is not None and link.server_id is not None
    device = _free_device(tx, link)
    disk = ServerDisk(
        id=new_id(),
        server_id=link.server_id,
        device=device,
        volume_id=link.volume_id,
        attachment_id=link.id,
        image_id=None,
        boot_index=None,
        delete_on_termination=False,
        tag=None,
        created_at=now(),
    )
    servers.add_disk(tx, disk)
    return f"it is the server's disk {device} again"


def _free_device(tx: Transaction, link: Attachment) -> str:
    """The device name that the attachment remembers, if no other disk has it."""
    assert link.server_id is not None
    name = (link.device or "").removeprefix("/dev/")
    with suppress(Conflict):
        return servers.free_device(tx, link.server_id, name or None)
    return servers.free_device(tx, link.server_id)


def _drop_disk(tx: Transaction, disk_id: str) -> str:
    """Drop a server's disk, but a root disk: that tells what the server cannot start without."""
    disk = servers.find_disk(tx, disk_id)
    assert disk is not None and disk.attachment_id is not None
    if disk.boot_index == 0:
        servers.unlink_disk(tx, disk.attachment_id)
        return "the root disk names no attachment any more: the server cannot start"
    servers.remove_disk(tx, disk.attachment_id)
    return "the disk is gone"


def _settle_server(tx: Transaction, server_id: str) -> str:
    server = servers.find(tx, server_id)
    assert server is not None
    servers.change(tx, server.id, operation_id=None, task=None)
    if server.task == "deleting":
        delete_server.accept(tx, INTERNAL, server.id)
        return "it is being deleted again"
    fault = {"code": 500, "message": LOST, "created": now().isoformat(timespec="seconds") + "Z"}
    if server.status == ServerStatus.BUILD:
        servers.move(tx, server, ServerStatus.ERROR, fault=fault)
        return "it is in ERROR"
    if server.status in (ServerStatus.REBOOT, ServerStatus.HARD_REBOOT):
        servers.move(tx, server, ServerStatus.ACTIVE, fault=fault)
        return "it is ACTIVE, until its machine says otherwise"
    return f"it is {server.status}, and nobody holds it"


def _wake(tx: Transaction, operation_id: str) -> str:
    work_queue.wake(tx, operation_id)
    return "it looks again"


def _free_lease(tx: Transaction, operation_id: str) -> str:
    row = operations.get(tx, operation_id)
    assert row is not None
    work_queue.release(tx, operation_id, row["attempt"], 0.0)
    return "whoever serves its place may take it"


def _end_holds(tx: Transaction, operation_id: str) -> str:
    holds.end(tx, operation_id)
    return "it holds nothing any more"


HELD = (
    volumes.find,
    snapshots.find,
    backups.find,
    groups.find,
    image_bases.find,
    group_snapshots.find,
    attachments.find,
    servers.find,
)
"""How each thing that operations hold is found."""


def _hold(tx: Transaction, thing: str) -> str:
    """Note the hold of an operation that has none: as a change, which goes together with nothing."""
    for find in HELD:
        row = find(tx, thing)
        if row is not None and row.operation_id is not None:
            holds.insert(tx, row.operation_id, {thing: Mode.CHANGE})
    return "it is held"


REPAIRS: Mapping[Kind, Callable[[Transaction, str], str]] = {  # what is not in it only a person can repair
    Kind.QUOTA: _recount_quota,
    Kind.CLAIMED: _amend_claim,
    Kind.CLAIM: _recount_claim,
    Kind.STUCK_VOLUME: _settle_volume,
    Kind.LOST_MOVE: _settle_move,
    Kind.UNLIKE_VOLUME: _let_volume_follow,
    Kind.STUCK_SNAPSHOT: _settle_snapshot,
    Kind.STUCK_BACKUP: _settle_backup,
    Kind.STUCK_IMAGE_BASE: _settle_image_base,
    Kind.STUCK_GROUP: _settle_group,
    Kind.STUCK_GROUP_SNAPSHOT: _settle_group_snapshot,
    Kind.STUCK_ATTACHMENT: _settle_attachment,
    Kind.UNMAPPED_ATTACHMENT: _map_attachment,
    Kind.DANGLING_DISK: _drop_disk,
    Kind.STUCK_SERVER: _settle_server,
    Kind.WAITS_IN_VAIN: _wake,
    Kind.DEAD_LEASE: _free_lease,
    Kind.HOLD_OF_NOBODY: _end_holds,
    Kind.NOT_HELD: _hold,
}
