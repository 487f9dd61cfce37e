"""The actions that give a volume another type or another place."""

from typing import Literal

from pydantic import Field

from pumice.api.call import Call, Reply
from pumice.api.fields import Body, Boolean, Text, Uuid
from pumice.api.policy import ADMIN, MEMBER, Rule
from pumice.api.routing import Handler, Route, acts
from pumice.api.volume.rules import FOR_MANY
from pumice.model.errors import Invalid, InvalidState
from pumice.model.scope import Scope
from pumice.store import attachments, volumes
from pumice.store.database import Transaction
from pumice.volumes.migrate import accept as accept_migrate
from pumice.volumes.retype import retype


class Retype(Body):
    """The type that it shall have; ``migration_policy`` says whether its bytes may be moved for that."""

    new_type: Text = Field(min_length=1)
    migration_policy: Literal["on-demand", "never"] | None = None


class Migrate(Body):
    """Where a volume shall be: ``host@backend`` or ``host@backend#pool``.

    Bytes are always copied by the hosts, as ``force_host_copy`` asks for.
    """

    host: Text
    force_host_copy: Boolean = False
    lock_volume: Boolean = False


class MigrateAnywhere(Body):
    """The body of a migration since 3.16: the place may be a cluster's."""

    host: Text | None = None
    cluster: Text | None = None
    force_host_copy: Boolean = False
    lock_volume: Boolean = False


class MigrateCompletion(Body):
    """The volume that a Compute service has swapped another for, and whether that has failed."""

    new_volume: Uuid
    error: Boolean | None = None


def _retype(tx: Transaction, call: Call, asked: Retype) -> None:
    may_move = asked.migration_policy == "on-demand"
    for_many = retype(tx, call.who, call.args["id"], asked.new_type, call.ctx.tunables, may_move=may_move)
    if for_many:
        call.policy.require(FOR_MANY, call.who)


async def migrate(call: Call) -> Reply:
    """Move a volume to another pool: 202."""
    asked: Migrate | MigrateAnywhere
    if call.version >= (3, 16):
        asked = await call.parse(MigrateAnywhere)
        cluster, missing = asked.cluster, "One and only one of cluster and host must be set."
    else:
        asked = await call.parse(Migrate)
        cluster, missing = None, "Host field is missing."
    if bool(cluster) is bool(asked.host):
        raise Invalid(f"Invalid input received: {missing}")
    to, lock = cluster or asked.host or "", asked.lock_volume
    write, tunables = call.ctx.db.write, call.ctx.tunables
    await write(accept_migrate, call.who, call.args["id"], to, tunables, cluster=bool(cluster), lock=lock)
    return Reply(status=202)


async def complete_migration(call: Call) -> Reply:
    """Answer a Compute service that has swapped two volumes: 200, the id that it shall go on with."""
    asked = await call.parse(MigrateCompletion)
    await call.ctx.db.read(_require_no_migration, call.who, call.args["id"], asked)
    return Reply({"save_volume_id": asked.new_volume})


def _require_no_migration(tx: Transaction, who: Scope, volume_id: str, asked: MigrateCompletion) -> None:
    """Cinder's conditions. A migration of ours has no second volume that could be named here."""
    volume, new = volumes.get(tx, who, volume_id), volumes.get(tx, who, asked.new_volume)
    if volume.migration_status is None and new.migration_status is None:
        if not asked.error and attachments.of_volume(tx, volume.id):
            raise InvalidState(
                f"Invalid volume: Volume {volume.id} is attached, and its attachments are not handed to "
                "another volume: make one for that, and delete those of this one."
            )
        return
    if volume.migration_status is None:
        raise InvalidState("Invalid volume: Source volume not mid-migration.")
    if new.migration_status is None:
        raise InvalidState("Invalid volume: Destination volume not mid-migration.")
    raise InvalidState(
        f"Invalid volume: Destination has migration_status {new.migration_status}, expected target:{volume.id}."
    )


def _action(name: str, handler: Handler, rule: str, check: str, also: tuple[Rule, ...] = ()) -> Route:
    return Route("POST", "/volumes/{id}/action", handler, Rule(rule, check), action=name, also=also)


_ADMIN = "volume_extension:volume_admin_actions:"
ROUTES = (
    _action("os-retype", acts(_retype, Retype), "volume:retype", MEMBER, also=(FOR_MANY,)),
    _action("os-migrate_volume", migrate, f"{_ADMIN}migrate_volume", ADMIN),
    _action("os-migrate_volume_completion", complete_migration, f"{_ADMIN}migrate_volume_completion", ADMIN),
)
