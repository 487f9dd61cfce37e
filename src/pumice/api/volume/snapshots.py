"""Snapshots (api-ref, "Volume snapshots")."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from pumice.api.call import Call, Reply
from pumice.api.collection import Collection
from pumice.api.fields import Body, Boolean, Metadata, Name, Named, Text, Uuid
from pumice.api.policy import ADMIN, MEMBER, READER, Rule
from pumice.api.routing import Route, showing, writes
from pumice.api.volume import filters
from pumice.api.volume.filters import Filters
from pumice.api.volume.resets import resets
from pumice.api.volume.rules import SEES_PROGRESS
from pumice.api.volume.snapshot_view import changed, full, plain
from pumice.model.errors import Invalid, NotFound
from pumice.model.scope import Scope
from pumice.model.states import SnapshotStatus
from pumice.model.volume import Snapshot
from pumice.operations.at_once import AtOnce, record
from pumice.store import snapshots
from pumice.store.conditions import SNAPSHOTS
from pumice.store.database import Transaction
from pumice.volumes.recycle_bin import keep
from pumice.volumes.snapshots import delete, unmanage
from pumice.volumes.snapshots.create import accept as accept_create

FORCE_IS_OVER = (
    "Since microversion 3.66 the 'force' flag is invalid for this request.  For backward compatability, "
    "however, when the 'force' flag is passed with a value evaluating to True, it is silently ignored."
)

_MAY_FOLLOW: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        SnapshotStatus.CREATING: frozenset({"creating", "available", "error"}),
        SnapshotStatus.DELETING: frozenset({"deleting", "error_deleting"}),
    }
)
"""What a host may say of a snapshot that is in this state."""


class NewSnapshot(Named):
    """What may be asked of a new snapshot."""

    volume_id: Uuid | None
    display_name: Name = None
    force: Boolean | None = None
    metadata: Metadata | None = None


class Changes(Named):
    """What may be changed of a snapshot."""

    display_name: Name = None
    display_description: Name = None


def _percent(value: str) -> str:
    digits = value.removesuffix("%")
    if value and not (digits != value and digits.isascii() and digits.isdigit() and int(digits) <= 100):
        raise ValueError("progress must be an integer percentage between 0 and 100")
    return value


class StatusUpdate(Body):
    """The state that a host says it has, and how far it is."""

    status: Text
    progress: Annotated[str, Field(max_length=4), AfterValidator(_percent)] | None = None


COLUMNS = MappingProxyType(
    {name: name for name in snapshots.COLUMNS - {"pool", "type_id"}}
    | {"display_name": "name", "display_description": "description", "volume_size": "size"}
    | {"volume_type_id": "type_id"}
)
"""What snapshots can be sorted and filtered by, and the columns that stand for it."""

FILTERS = Filters(
    resource="snapshot",
    on=SNAPSHOTS,
    readers=MappingProxyType(
        filters.plain(SNAPSHOTS, COLUMNS)
        | {"metadata": filters.pairs("metadata"), "consumes_quota": filters.always(True)}
    ),
    like=("name", "status", "description"),
    since=MappingProxyType({"metadata": (3, 22), "consumes_quota": (3, 65)}),
)
LIST = Collection(COLUMNS, FILTERS.parse_query, snapshots.page, snapshots.count, filters.asks_for_all)


async def create(call: Call) -> Reply:
    """Create a snapshot: 202, the snapshot in ``creating``."""
    asked = await call.parse_only(NewSnapshot, "snapshot")
    if asked.volume_id is None:
        raise NotFound("Volume", None)
    if call.version >= (3, 66) and asked.force is False:
        raise Invalid(FORCE_IS_OVER)
    snapshot = await call.ctx.db.write(
        accept_create,
        call.who,
        asked.volume_id,
        name=asked.name if asked.name is not None else asked.display_name,
        description=asked.description,
        metadata=asked.metadata or {},
        in_use=bool(asked.force) or call.version >= (3, 66),
        tunables=call.ctx.tunables,
    )
    return Reply({"snapshot": changed(call, snapshot)}, 202)


async def update(call: Call) -> Reply:
    """Change a snapshot's name or description."""
    given = (await call.parse_only(Changes, "snapshot")).model_dump(exclude_unset=True)
    if not given:
        raise Invalid(
            "Invalid input: one of name, description, display_name and display_description is required."
        )
    changes = {key.removeprefix("display_"): value for key, value in given.items()}
    snapshot = await call.ctx.db.write(_update, call.who, call.args["id"], changes)
    return Reply({"snapshot": changed(call, snapshot)})


def _update(tx: Transaction, who: Scope, snapshot_id: str, changes: dict[str, Any]) -> Snapshot:
    record(tx, AtOnce.SNAPSHOT_UPDATE, snapshots.get(tx, who, snapshot_id), who)
    snapshots.change(tx, snapshot_id, **changes)
    return snapshots.get(tx, who, snapshot_id)


async def update_status(call: Call) -> Reply:
    """What a host says of a snapshot that it makes or deletes: 202, and its state if no operation holds it.

    How far it is, if that is said, is shown from then on.

    Raises ``Invalid`` for a state that cannot follow, ``Conflict`` for one that an operation brings about.
    """
    asked = await call.parse(StatusUpdate)
    await call.ctx.db.write(_update_status, call.who, call.args["id"], asked)
    return Reply(status=202)


def _update_status(tx: Transaction, who: Scope, snapshot_id: str, asked: StatusUpdate) -> None:
    status = asked.status
    snapshot = snapshots.get(tx, who, snapshot_id)
    if snapshot.status not in _MAY_FOLLOW:
        raise Invalid(f"Snapshot status {snapshot.status} not allowed for update_snapshot_status")
    if status not in _MAY_FOLLOW[snapshot.status]:
        raise Invalid(
            f"Provided snapshot status {status} not allowed for snapshot with status {snapshot.status}."
        )
    if status != snapshot.status:
        snapshots.overrule(tx, who, snapshot_id, SnapshotStatus(status))
    if asked.progress:
        snapshots.change(tx, snapshot_id, progress=asked.progress)
    if status != snapshot.status or asked.progress:
        record(tx, AtOnce.SNAPSHOT_UPDATE, snapshot, who)


def _delete_by_force(tx: Transaction, who: Scope, snapshot_id: str) -> None:
    if snapshots.get(tx, who, snapshot_id).status not in delete.DELETABLE:
        snapshots.overrule(tx, who, snapshot_id, SnapshotStatus.ERROR)
    delete.accept(tx, who, snapshot_id)


_RESET = resets(
    tuple(one for one in SnapshotStatus if one is not SnapshotStatus.RECYCLED),
    snapshots.overrule,
    AtOnce.SNAPSHOT_RESET_STATUS,
    "Invalid input for field/attribute status. Value: {word}.",
)
_ACTION = "/snapshots/{id}/action"
_ADMIN = "volume_extension:snapshot_admin_actions:"

ROUTES = (
    Route("POST", "/snapshots", create, Rule("volume:create_snapshot", MEMBER)),
    Route("GET", "/snapshots", LIST.answers("snapshots", plain), Rule("volume:get_all_snapshots", READER)),
    Route(
        "GET",
        "/snapshots/detail",
        LIST.answers("snapshots", full),
        Rule("volume:get_all_snapshots", READER),
        also=(SEES_PROGRESS,),
    ),
    Route(
        "GET",
        "/snapshots/{id}",
        showing("snapshot", snapshots.get, full),
        Rule("volume:get_snapshot", READER),
        also=(SEES_PROGRESS,),
        live=True,
    ),
    Route("PUT", "/snapshots/{id}", update, Rule("volume:update_snapshot", MEMBER)),
    Route(
        "DELETE",
        "/snapshots/{id}",
        writes(keep.delete_snapshot, tuned=True),
        Rule("volume:delete_snapshot", MEMBER),
    ),
    Route("POST", _ACTION, _RESET, Rule(f"{_ADMIN}reset_status", ADMIN), action="os-reset_status"),
    Route(
        "POST",
        _ACTION,
        update_status,
        Rule("snapshot_extension:snapshot_actions:update_snapshot_status", MEMBER),
        action="os-update_snapshot_status",
    ),
    Route(
        "POST",
        _ACTION,
        writes(unmanage.accept),
        Rule("snapshot_extension:snapshot_unmanage", ADMIN),
        action="os-unmanage",
    ),
    Route(
        "POST",
        _ACTION,
        writes(_delete_by_force),
        Rule(f"{_ADMIN}force_delete", ADMIN),
        action="os-force_delete",
    ),
)
