"""Backups (api-ref, "Backups")."""

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import Field

from pumice.api.call import Call, Reply, Version, check
from pumice.api.collection import Collection
from pumice.api.fields import Body, Boolean, Metadata, Name, Named, Text, Uuid
from pumice.api.policy import ADMIN, MEMBER, READER, Rule
from pumice.api.routing import Route, writes
from pumice.api.volume import filters
from pumice.api.volume.backup_view import ATTRIBUTES, BackupView
from pumice.api.volume.filters import Filters
from pumice.api.volume.resets import resets
from pumice.model.backup import Backup
from pumice.model.errors import InvalidState, NotFound
from pumice.model.scope import Scope
from pumice.model.states import BackupStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import Volume
from pumice.operations.at_once import AtOnce, record
from pumice.store import backups
from pumice.store.conditions import BACKUPS
from pumice.store.database import Transaction
from pumice.volumes.backups import delete, imports, records, restore, restore_new
from pumice.volumes.backups.create import Wanted
from pumice.volumes.backups.create import accept as accept_create
from pumice.volumes.create import Wanted as WantedVolume


class NewBackup(Named):
    """What may be asked of a new backup."""

    volume_id: Uuid
    container: Text | None = None
    incremental: Boolean = False
    force: Boolean = False
    snapshot_id: Uuid | None = None
    metadata: Metadata | None = None
    availability_zone: Text | None = None


class Changes(Named):
    """What may be changed of a backup."""

    metadata: Metadata = Field(default_factory=dict)


class WhereTo(Body):
    """The volume that a backup is restored to; a new one where none is named."""

    volume_id: Uuid | None = None
    name: Name = None


class RestoreBody(Body):
    """The body of a restore."""

    restore: WhereTo | None


class NewRecord(Body):
    """A record, as an export has given it."""

    backup_service: Text
    backup_url: Annotated[str, Field(min_length=1)]


SINCE: dict[str, Version] = {"metadata": (3, 43), "availability_zone": (3, 51)}
COLUMNS = MappingProxyType(
    {name: name for name in backups.COLUMNS} | {"display_name": "name", "display_description": "description"}
)
"""What backups can be sorted and filtered by, and the columns that stand for it."""

FILTERS = Filters(
    "backup",
    BACKUPS,
    filters.plain(BACKUPS, COLUMNS),
    like=("name", "status", "volume_id"),
)
LIST = Collection(COLUMNS, FILTERS.parse_query, backups.page, backups.count, filters.asks_for_all)


async def create(call: Call) -> Reply:
    """Create a backup: 202, a few words of it."""
    asked = await call.parse_only(NewBackup, "backup")
    asked.only_since(call.version, SINCE)
    wanted = Wanted(
        asked.volume_id,
        snapshot_id=asked.snapshot_id,
        incremental=asked.incremental,
        force=asked.force,
        name=asked.name,
        description=asked.description,
        container=asked.container,
        availability_zone=asked.availability_zone,
        metadata=asked.metadata,
    )
    backup = await call.ctx.db.write(accept_create, call.who, wanted, call.ctx.tunables)
    return Reply({"backup": BackupView(call).plain(backup)}, 202)


def _viewer(tx: Transaction, call: Call, found: Sequence[Backup]) -> Callable[[Backup], dict[str, Any]]:
    """Backups in full: with whether others depend on them."""
    with_children = backups.with_children(tx, [one.id for one in found])
    view = BackupView(call)
    return lambda one: view.full(one, with_children)


async def show(call: Call) -> Reply:
    """Show one backup in full."""

    def read(tx: Transaction) -> dict[str, Any]:
        found = backups.get(tx, call.who, call.args["id"])
        return _viewer(tx, call, [found])(found)

    return Reply({"backup": await call.ctx.db.read(read)})


async def update(call: Call) -> Reply:
    """Change a backup's name, description or metadata."""
    asked = await call.parse_only(Changes, "backup")
    asked.only_since(call.version, SINCE)
    changes = asked.model_dump(exclude_unset=True)
    backup = await call.ctx.db.write(_update, call.who, call.args["id"], changes)
    return Reply({"backup": BackupView(call).plain(backup)})


def _update(tx: Transaction, who: Scope, backup_id: str, changes: dict[str, Any]) -> Backup:
    backup = backups.get(tx, who, backup_id)
    if changes:
        backups.change(tx, backup.id, **changes)
        record(tx, AtOnce.BACKUP_UPDATE, backup, who)
    return backups.get(tx, who, backup.id)


async def restore_to(call: Call) -> Reply:
    """Restore a backup to a volume, or to a new one: 202, the names of both."""
    asked = check(RestoreBody, await call.json()).restore or WhereTo()
    backup_id, who, tunables = call.args["id"], call.who, call.ctx.tunables
    await call.ctx.db.read(_require_service, tunables)
    volume: Volume
    if asked.volume_id is not None:
        volume = await call.ctx.db.write(restore.accept, who, backup_id, asked.volume_id)
    else:
        name = asked.name if asked.name is not None else f"restore_backup_{backup_id}"
        wanted = WantedVolume(name=name, description="auto-created_from_restore_from_backup")
        volume = await call.ctx.db.write(restore_new.accept, who, backup_id, wanted, tunables)
    names = {"backup_id": backup_id, "volume_id": volume.id, "volume_name": volume.name}
    return Reply({"restore": names}, 202)


def _require_service(tx: Transaction, tunables: Tunables) -> None:
    if records.service_up(tx, tunables) is None:
        raise NotFound("Service", "cinder-backup")


async def export_record(call: Call) -> Reply:
    """What another installation needs to know of a backup whose objects it sees."""
    backup = await call.ctx.db.read(backups.get, call.who, call.args["id"])
    if backup.status != BackupStatus.AVAILABLE:
        raise InvalidState(f"Invalid backup: Backup status must be available and not {backup.status}.")
    record = {"backup_service": records.service_of(backup), "backup_url": records.export(backup)}
    return Reply({"backup-record": record})


async def import_record(call: Call) -> Reply:
    """Make known a backup whose objects are there: 201, a few words of it."""
    asked = await call.parse_only(NewRecord, "backup-record")
    service, url = asked.backup_service, asked.backup_url
    backup = await call.ctx.db.write(imports.accept, call.who, service, url, call.ctx.tunables)
    return Reply({"backup": BackupView(call).plain(backup)}, 201)


def _delete_by_force(tx: Transaction, who: Scope, backup_id: str, tunables: Tunables) -> None:
    if backups.get(tx, who, backup_id).status not in delete.DELETABLE:
        backups.overrule(tx, who, backup_id, BackupStatus.ERROR)
    delete.accept(tx, who, backup_id, tunables)


_FORCE = writes(_delete_by_force, tuned=True)
_RESET = resets(
    (BackupStatus.AVAILABLE, BackupStatus.ERROR),
    backups.overrule,
    AtOnce.BACKUP_RESET_STATUS,
    "Invalid input for field/attribute status. Value: {word}. Backup status: {word} is invalid, valid statuses "
    "are: ['available', 'error'].",
)
_ONE, _ACTION = "/backups/{id}", "/backups/{id}/action"
_ADMIN = "volume_extension:backup_admin_actions:"
_SHOWN = (ATTRIBUTES,)

ROUTES = (
    Route("POST", "/backups", create, Rule("backup:create", MEMBER)),
    Route(
        "GET",
        "/backups",
        LIST.answers_with("backups", lambda _tx, call, _found: BackupView(call).plain),
        Rule("backup:get_all", READER),
    ),
    Route(
        "GET",
        "/backups/detail",
        LIST.answers_with("backups", _viewer),
        Rule("backup:get_all", READER),
        also=_SHOWN,
    ),
    Route("POST", "/backups/import_record", import_record, Rule("backup:backup-import", ADMIN)),
    Route("GET", _ONE, show, Rule("backup:get", READER), also=_SHOWN, live=True),
    Route("PUT", _ONE, update, Rule("backup:update", MEMBER), since=(3, 9)),
    Route("DELETE", _ONE, writes(delete.accept, tuned=True), Rule("backup:delete", MEMBER)),
    Route("POST", f"{_ONE}/restore", restore_to, Rule("backup:restore", MEMBER)),
    Route("GET", f"{_ONE}/export_record", export_record, Rule("backup:export-import", ADMIN)),
    Route("POST", _ACTION, _RESET, Rule(f"{_ADMIN}reset_status", ADMIN), action="os-reset_status"),
    Route("POST", _ACTION, _FORCE, Rule(f"{_ADMIN}force_delete", ADMIN), action="os-force_delete"),
)
