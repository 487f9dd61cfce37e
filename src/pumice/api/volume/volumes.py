"""Volumes: create, list, show, update, delete (api-ref, "Volumes")."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from pumice.api.booleans import flag
from pumice.api.call import Call, Reply, check
from pumice.api.collection import Collection
from pumice.api.fields import Body, Boolean, Metadata, Name, Named, Size, Text, Uuid
from pumice.api.policy import ADMIN, MEMBER, READER, Policy, Rule
from pumice.api.routing import Route
from pumice.api.volume import filters
from pumice.api.volume.filters import Filters
from pumice.api.volume.name_cache import NameCache
from pumice.api.volume.rules import FOR_MANY, FROM_IMAGE, VOLUME_VIEW
from pumice.api.volume.volume_view import Shown, VolumeView
from pumice.model.errors import Conflict, Invalid, NotFound
from pumice.model.ids import is_uuid
from pumice.model.scope import Scope
from pumice.model.tunables import Tunables
from pumice.model.volume import Attachment, Volume
from pumice.operations.at_once import AtOnce, record
from pumice.store import attachments, groups, images, quotas, volumes
from pumice.store.conditions import VOLUMES
from pumice.store.database import Transaction
from pumice.store.image_filters import one_of
from pumice.store.serialize import serialized
from pumice.volumes import create, force_delete
from pumice.volumes.backups import restore_new
from pumice.volumes.create import Wanted
from pumice.volumes.recycle_bin import keep


class NewVolume(Body):
    """What may be asked of a new volume; up to 3.52 unknown keys are ignored."""

    model_config = ConfigDict(extra="ignore")
    size: Size | None = None
    name: Name = None
    description: Name = None
    display_name: Name = None
    display_description: Name = None
    volume_type: Text | None = None
    metadata: Metadata | None = None
    availability_zone: Text | None = Field(None, min_length=1)
    snapshot_id: Uuid | None = None
    source_volid: Uuid | None = None
    image_id: Text | None = None
    image_ref: Text | None = Field(None, alias="imageRef")
    consistencygroup_id: Uuid | None = None
    group_id: Text | None = None
    backup_id: Uuid | None = None
    multiattach: Boolean | None = None


class StrictNewVolume(NewVolume):
    """A new volume from 3.53, where unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")


Ids = Annotated[list[Uuid], Field(max_length=20)]
"""The volumes that a hint may name."""


class Hints(Body):
    """Which volumes' backends a new volume shall share or avoid. Other hints are passed over, as by Cinder."""

    model_config = ConfigDict(extra="ignore")

    same_host: Uuid | Ids = Field(default_factory=list)
    different_host: Uuid | Ids = Field(default_factory=list)
    local_to_instance: Uuid | None = None
    query: Annotated[str, Field(max_length=4096)] | dict[str, Any] | None = None


class CreateBody(Body):
    """The body of a create."""

    volume: NewVolume
    hints: Hints | None = Field(None, alias="OS-SCH-HNT:scheduler_hints")


class StrictCreateBody(CreateBody):
    """The body of a create from 3.53, where unknown keys are refused."""

    volume: StrictNewVolume


class Changes(Named):
    """What may be changed of a volume."""

    display_name: Name = None
    display_description: Name = None
    metadata: Metadata | None = None


FORCE_DELETE = Rule("volume:force_delete", ADMIN)

COLUMNS = MappingProxyType(
    {name: name for name in volumes.COLUMNS - {"pool", "type_id"}}
    | {
        "host": "pool",
        "volume_type_id": "type_id",
        "display_name": "name",
        "display_description": "description",
    }
)
"""What volumes can be sorted by, and the columns that stand for it."""

FILTERS = Filters(
    resource="volume",
    on=VOLUMES,
    readers=MappingProxyType(
        filters.plain(VOLUMES, COLUMNS)
        | {"metadata": filters.pairs("metadata"), "glance_metadata": filters.pairs("image_metadata")}
        | {"consumes_quota": filters.always(True)}
    ),
    like=("name", "status", "description", "availability_zone"),
    since=MappingProxyType(
        {"glance_metadata": (3, 4), "group_id": (3, 10), "consumes_quota": (3, 65)}
        | {"created_at": (3, 60), "updated_at": (3, 60)}
    ),
)
LIST = Collection(
    COLUMNS,
    FILTERS.parse_query,
    volumes.page,
    volumes.count,
    filters.asks_for_all,
)


View = Callable[[Volume], dict[str, Any]]


def _ids(asked: str | list[str]) -> tuple[str, ...]:
    return (asked,) if isinstance(asked, str) else tuple(asked)


def wish(tx: Transaction, who: Scope, body: CreateBody) -> create.Wanted:
    """What the body of a create asks for, its hints included."""
    wanted, hints = _wanted(tx, who, body.volume), body.hints
    if hints is None:
        return wanted
    query = hints.query if isinstance(hints.query, str) else hints.query and json.dumps(hints.query)
    near, apart = map(_ids, (hints.same_host, hints.different_host))
    return replace(wanted, near=near, apart=apart, beside=hints.local_to_instance, query=query or None)


class Volumes:
    """The handlers. They share what is known of types and services."""

    def __init__(self, names: NameCache) -> None:
        self._names = names
        self.routes = (
            Route("POST", "/volumes", self.create, Rule("volume:create", MEMBER), also=(FROM_IMAGE, FOR_MANY)),
            Route(
                "GET", "/volumes", LIST.answers_with("volumes", self._summaries), Rule("volume:get_all", READER)
            ),
            Route(
                "GET",
                "/volumes/detail",
                LIST.answers_with("volumes", self._details),
                Rule("volume:get_all", READER),
                also=VOLUME_VIEW,
            ),
            Route("GET", "/volumes/summary", summary, Rule("volume:get_all", READER), since=(3, 12)),
            Route("GET", "/volumes/{id}", self.show, Rule("volume:get", READER), also=VOLUME_VIEW, live=True),
            Route("PUT", "/volumes/{id}", self.update, Rule("volume:update", MEMBER)),
            Route("DELETE", "/volumes/{id}", remove, Rule("volume:delete", MEMBER), also=(FORCE_DELETE,)),
        )

    async def create(self, call: Call) -> Reply:
        """Create a volume: 202, the volume in ``creating``."""
        body = check(StrictCreateBody if call.version >= (3, 53) else CreateBody, await call.json())
        call.require_project("A volume")
        if body.volume.image_ref is not None or body.volume.image_id is not None:
            call.policy.require(FROM_IMAGE, call.who)
        shown = await call.ctx.db.write(self._create, call.who, body, call.ctx.tunables, call.policy)
        return Reply({"volume": VolumeView(call, shown).changed(shown.volumes[0])}, 202)

    @serialized(quotas.turn)
    def _create(
        self, tx: Transaction, who: Scope, body: CreateBody, tunables: Tunables, policy: Policy
    ) -> Shown:
        wanted = wish(tx, who, body)
        if backup_id := body.volume.backup_id:
            volume = restore_new.accept(tx, who, backup_id, wanted, tunables)
        else:
            volume = create.accept(tx, who, wanted, tunables)
        if volume.multiattach:
            policy.require(FOR_MANY, who)
        return Shown([volume], {}, self._names.types(tx, [volume.type_id]), {})

    def _summaries(self, tx: Transaction, call: Call, found: Sequence[Volume]) -> View:
        return VolumeView(call, self._shown(tx, found)).summary

    def _details(self, tx: Transaction, call: Call, found: Sequence[Volume]) -> View:
        return VolumeView(call, self._shown(tx, found)).detail

    def _shown(
        self, tx: Transaction, found: Sequence[Volume], attached: dict[str, list[Attachment]] | None = None
    ) -> Shown:
        return Shown(
            found,
            attachments.of_volumes(tx, [it.id for it in found]) if attached is None else attached,
            self._names.types(tx, {volume.type_id for volume in found}),
            self._names.services(tx),
            groups.consistency_groups(tx, {volume.group_id for volume in found if volume.group_id}),
        )

    async def show(self, call: Call) -> Reply:
        """Show one volume in full."""
        shown = await call.ctx.db.read(self._one, call.who, call.args["id"])
        return Reply({"volume": VolumeView(call, shown).detail(shown.volumes[0])})

    def _one(self, tx: Transaction, who: Scope, volume_id: str) -> Shown:
        volume, attached = attachments.with_its_volume(tx, who, volume_id)
        return self._shown(tx, [volume], {volume_id: attached})

    async def update(self, call: Call) -> Reply:
        """Change a volume's name, description or metadata."""
        asked = await call.parse_only(Changes, "volume")
        given = asked.model_dump(exclude_unset=True)
        if not given and call.version >= (3, 53):
            raise Invalid(
                "Invalid input: one of name, description, display_name, display_description and metadata "
                "is required."
            )
        changes = {key.removeprefix("display_"): value for key, value in given.items() if key != "metadata"}
        if asked.metadata is not None:
            changes["metadata"] = asked.metadata
        shown = await call.ctx.db.write(self._update, call.who, call.args["id"], changes)
        return Reply({"volume": VolumeView(call, shown).changed(shown.volumes[0])})

    def _update(self, tx: Transaction, who: Scope, volume_id: str, changes: dict[str, Any]) -> Shown:
        record(tx, AtOnce.VOLUME_UPDATE, volumes.get(tx, who, volume_id), who)
        volumes.change(tx, volume_id, **changes)
        return self._one(tx, who, volume_id)


async def remove(call: Call) -> Reply:
    """Delete a volume: 202. ``cascade`` takes its snapshots along, ``force`` (3.23) asks for no state."""
    cascade = flag(call, "cascade")
    force = flag(call, "force") and call.version >= (3, 23)
    if force:
        call.policy.require(FORCE_DELETE, call.who)
    await call.ctx.db.write(_remove, call, call.args["id"], cascade, force)
    return Reply(status=202)


def _remove(tx: Transaction, call: Call, volume_id: str, cascade: bool, force: bool) -> None:
    if force:
        force_delete.prepare(tx, call.who, volume_id)
    keep.delete_volume(tx, call.who, volume_id, call.ctx.tunables, with_snapshots=cascade, for_good=force)


async def summary(call: Call) -> Reply:
    """How many volumes there are, and how large in all; from 3.36 with every value of their metadata."""
    everywhere = filters.asks_for_all(call)
    conditions = FILTERS.parse_query(call)
    count, size = await call.ctx.db.read(volumes.total, call.who, all_projects=everywhere, filters=conditions)
    said: dict[str, Any] = {"total_count": count, "total_size": size}
    if call.version >= (3, 36):
        values: dict[str, dict[str, None]] = {}
        for metadata in await call.ctx.db.read(
            volumes.metadata, call.who, all_projects=everywhere, filters=conditions
        ):
            for key, value in metadata.items():
                values.setdefault(key, {})[value] = None
        said["metadata"] = {key: list(found) for key, found in values.items()}
    return Reply({"volume-summary": said})


def _wanted(tx: Transaction, who: Scope, asked: NewVolume) -> Wanted:
    if asked.multiattach:
        raise Invalid(
            "multiattach parameter has been removed. The default behavior is to use multiattach enabled "
            "volume types. Contact your administrator to create a multiattach enabled volume type and use it "
            "to create multiattach volumes."
        )
    reference = asked.image_ref if asked.image_ref is not None else asked.image_id
    return Wanted(
        size=asked.size,
        name=asked.name if asked.name is not None else asked.display_name,
        description=asked.description if asked.description is not None else asked.display_description,
        volume_type=asked.volume_type,
        availability_zone=asked.availability_zone,
        metadata=asked.metadata or {},
        image_id=_image_id(tx, who, reference) if reference is not None else None,
        snapshot_id=asked.snapshot_id,
        source_volid=asked.source_volid,
        group_id=asked.group_id or asked.consistencygroup_id,
    )


def _image_id(tx: Transaction, who: Scope, reference: str) -> str:
    """The image that a reference names: by its id, alone or at the end of a URL, or by its name."""
    image_id = reference.rpartition("/")[2]
    if is_uuid(image_id):
        try:
            return images.get(tx, who, image_id).id
        except NotFound:
            pass
    named = images.page(
        tx, who, limit=2, marker=None, sort=[("created_at", False)], filters=[one_of("name", [reference])]
    )
    if len(named) == 1:
        return named[0].id
    if named:
        raise Conflict(f"Multiple matches found for '{reference}', use an ID to be more specific.")
    raise Invalid("Invalid image identifier or unable to access requested image.")
