"""A volume on the wire, at every microversion (api-ref, "Volumes")."""

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pumice.api.call import Call
from pumice.api.policy import Rule
from pumice.api.volume.links import Links
from pumice.api.volume.rules import SEES_HOST, SEES_IMAGE, SEES_MOVES, SEES_PROJECT, VOLUME_VIEW
from pumice.model.states import AttachStatus
from pumice.model.volume import Attachment, Volume, host_of


def wire_time(moment: datetime | None) -> str | None:
    """A time as Block Storage writes it: UTC, microseconds, no zone."""
    return moment.isoformat(timespec="microseconds") if moment else None


@dataclass(frozen=True, slots=True)
class Shown:
    """Volumes with everything that is shown of them, as one transaction read it."""

    volumes: Sequence[Volume]
    attachments: Mapping[str, Sequence[Attachment]]
    """The volumes' attachments, by the volume's id."""
    types: Mapping[str, str]
    """Names by id."""
    services: Mapping[str, str | None]
    """Uuids by ``host@backend``."""
    consistency_groups: Collection[str] = ()
    """The groups of volumes that the older API shows."""


class VolumeView:
    """Shows volumes to one caller at one version."""

    def __init__(self, call: Call, shown: Shown) -> None:
        self._shown, self._call = shown, call
        self._links = Links(call, "volumes")
        self._version = call.version
        self._is_admin = call.who.is_admin
        self._sees_hosts = call.who.is_admin or "service" in call.who.roles

    def summary(self, volume: Volume) -> dict[str, Any]:
        """A volume in the plain list."""
        return {"id": volume.id, "name": volume.name, "links": self._links.to(volume.id)}

    @functools.cached_property
    def _sees(self) -> frozenset[Rule]:
        """By which rules the caller sees more of a volume in full."""
        return frozenset(rule for rule in VOLUME_VIEW if self._call.policy.allows(rule, self._call.who))

    def detail(self, volume: Volume) -> dict[str, Any]:
        """A volume in full, as show and the detailed list have it."""
        view, sees = self.changed(volume), self._sees
        if SEES_PROJECT in sees:
            view["os-vol-tenant-attr:tenant_id"] = volume.project_id
        if SEES_HOST in sees:
            view["os-vol-host-attr:host"] = volume.pool
        if SEES_MOVES in sees:
            view["os-vol-mig-status-attr:migstat"] = volume.migration_status
            view["os-vol-mig-status-attr:name_id"] = None
        if volume.image_metadata and SEES_IMAGE in sees:
            view["volume_image_metadata"] = volume.image_metadata
        return view

    def changed(self, volume: Volume) -> dict[str, Any]:
        """A volume as create and update answer: without what Cinder's extensions add."""
        version = self._version
        attachments = [
            one for one in self._shown.attachments.get(volume.id, ()) if one.status == AttachStatus.ATTACHED
        ]
        view: dict[str, Any] = {
            "id": volume.id,
            "status": volume.status,
            "size": volume.size,
            "availability_zone": volume.availability_zone,
            "created_at": wire_time(volume.created_at),
            "updated_at": wire_time(volume.updated_at),
            "name": volume.name,
            "description": volume.description,
            "volume_type": self._shown.types.get(volume.type_id or ""),
            "snapshot_id": volume.snapshot_id,
            "source_volid": volume.source_volid,
            "metadata": _metadata(volume, attachments),
            "links": self._links.to(volume.id),
            "user_id": volume.user_id,
            "bootable": "true" if volume.bootable else "false",
            "encrypted": volume.encryption_key_id is not None,
            "replication_status": None,
            "consistencygroup_id": volume.group_id
            if volume.group_id in self._shown.consistency_groups
            else None,
            "multiattach": volume.multiattach,
            "attachments": [self._attachment(one) for one in attachments],
        }
        if self._is_admin:
            view["migration_status"] = volume.migration_status
        if version >= (3, 13):
            view["group_id"] = volume.group_id
        if version >= (3, 21) and self._is_admin:
            view["provider_id"] = None
        if version >= (3, 48):
            view["shared_targets"] = False
            view["service_uuid"] = self._shown.services.get(host_of(volume.pool or ""))
        if version >= (3, 61) and self._is_admin:
            is_cluster = self._shown.services.get(host_of(volume.pool or ""), "") is None
            view["cluster_name"] = volume.pool if is_cluster else None
        if version >= (3, 63):
            view["volume_type_id"] = volume.type_id
        if version >= (3, 64) and volume.encryption_key_id:
            view["encryption_key_id"] = volume.encryption_key_id
        if version >= (3, 65):
            view["consumes_quota"] = True
        return view

    def _attachment(self, one: Attachment) -> dict[str, Any]:
        return {
            "id": one.volume_id,
            "attachment_id": one.id,
            "volume_id": one.volume_id,
            "server_id": one.server_id,
            "host_name": one.host if self._sees_hosts else None,
            "device": one.device,
            "attached_at": wire_time(one.attached_at),
        }


def _metadata(volume: Volume, attachments: Sequence[Attachment]) -> dict[str, str]:
    """The tenant's metadata, with ``readonly`` and ``attached_mode`` as Cinder mixes them in."""
    tells = volume.read_only or volume.read_only_told
    if not tells and not attachments:
        return volume.metadata
    shown = dict(volume.metadata)
    if tells:
        shown["readonly"] = str(volume.read_only)
    if attachments:
        shown["attached_mode"] = attachments[-1].mode
    return shown
