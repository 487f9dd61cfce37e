"""Every verb there is: what the workers of this version can carry out."""

from collections.abc import Mapping
from typing import Any

from pumice.attachments import connect, disconnect, renew, rotate
from pumice.model.errors import Misconfigured
from pumice.operations.operation import DEADLINES, Verb
from pumice.servers import attach_volume, boot, console, detach_volume, power, repair_disks
from pumice.servers import delete as delete_server
from pumice.volumes import (
    create,
    delete,
    delete_when_free,
    delete_with_snapshots,
    extend,
    flatten,
    manage,
    manageable,
    migrate,
    migrate_in_use,
    recrypt,
    reimage,
    revert,
    unmanage,
    upload,
    vacate,
)
from pumice.volumes.backups import create as create_backup
from pumice.volumes.backups import delete as delete_backup
from pumice.volumes.backups import imports, restore, restore_new
from pumice.volumes.bases import evict, make
from pumice.volumes.groups import copy as copy_group
from pumice.volumes.groups import create as create_group
from pumice.volumes.groups import delete as delete_group
from pumice.volumes.groups import delete_snapshot as delete_group_snapshot
from pumice.volumes.groups import snapshot as group_snapshot
from pumice.volumes.snapshots import create as create_snapshot
from pumice.volumes.snapshots import delete as delete_snapshot
from pumice.volumes.snapshots import manage as manage_snapshot
from pumice.volumes.snapshots import unmanage as unmanage_snapshot
from pumice.webhooks import deliver

VERBS: tuple[Verb[Any], ...] = (
    create.CREATE,
    delete.DELETE,
    delete_when_free.DELETE_WHEN_FREE,
    delete_with_snapshots.DELETE_WITH_SNAPSHOTS,
    extend.EXTEND,
    flatten.FLATTEN,
    revert.REVERT,
    reimage.REIMAGE,
    recrypt.RECRYPT,
    migrate.MIGRATE,
    migrate_in_use.MIGRATE_IN_USE,
    vacate.VACATE,
    manage.MANAGE,
    unmanage.UNMANAGE,
    manageable.MANAGEABLE,
    upload.UPLOAD,
    create_snapshot.CREATE_SNAPSHOT,
    delete_snapshot.DELETE_SNAPSHOT,
    manage_snapshot.MANAGE_SNAPSHOT,
    unmanage_snapshot.UNMANAGE_SNAPSHOT,
    create_backup.CREATE_BACKUP,
    delete_backup.DELETE_BACKUP,
    restore.RESTORE,
    restore_new.CREATE_FROM_BACKUP,
    imports.IMPORT,
    make.MAKE,
    evict.EVICT,
    create_group.CREATE_GROUP,
    delete_group.DELETE_GROUP,
    copy_group.COPY_GROUP,
    group_snapshot.CREATE_GROUP_SNAPSHOT,
    delete_group_snapshot.DELETE_GROUP_SNAPSHOT,
    connect.CONNECT,
    disconnect.DISCONNECT,
    renew.RENEW,
    rotate.ROTATE,
    boot.BOOT,
    delete_server.DELETE_SERVER,
    attach_volume.ATTACH_VOLUME,
    detach_volume.DETACH_VOLUME,
    power.START,
    power.STOP,
    power.SOFT_REBOOT,
    power.HARD_REBOOT,
    repair_disks.REPAIR_DISKS,
    console.CONSOLE,
    deliver.DELIVER,
)


def check_deadlines(chosen: Mapping[str, float]) -> None:
    """Raise ``Misconfigured`` for a deadline of what is no kind of operation."""
    kinds = {verb.kind for verb in VERBS}
    if unknown := sorted(chosen.keys() - kinds):
        raise Misconfigured(
            f"[operations.deadlines] names what is no kind of operation: {', '.join(unknown)}. "
            f"Kinds are {', '.join(sorted(kinds))}."
        )


def set_deadlines(chosen: Mapping[str, float]) -> None:
    """Give kinds of operations other deadlines than their verbs', in seconds. Raises ``Misconfigured``."""
    check_deadlines(chosen)
    DEADLINES.clear()
    DEADLINES.update(chosen)
