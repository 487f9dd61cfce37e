"""What each route reads from its body, by microversion: told in the OpenAPI document.

A handler parses these very models: ``tests/api/volume/test_openapi.py`` follows its code to those it names, and
every body that a test sends, and that is accepted, is held to what is said here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from pumice.api.call import Version
from pumice.api.volume import (
    attach_actions,
    attachments,
    backups,
    clusters,
    consistency_groups,
    default_types,
    encryption,
    extra_specs,
    group_snapshots,
    group_types,
    groups,
    image_metadata,
    log_levels,
    manage,
    metadata,
    moves,
    qos_specs,
    quotas,
    replication,
    resets,
    services,
    snapshots,
    transfers,
    types,
    volume_actions,
    volumes,
    workers,
)

Shape = type[BaseModel] | Mapping[str, Any]
"""A model, or a schema where what is taken has none."""


@dataclass(frozen=True, slots=True)
class Asks:
    """A body: the whole of it, or what it has under a ``key``, or under the action's."""

    shape: Shape
    key: str | None = None
    alone: bool = True
    """Whether nothing may stand beside the key."""
    later: tuple[tuple[Version, Shape], ...] = ()
    """What it is instead since a version."""
    since: Mapping[str, Version] = field(default_factory=dict)
    """The keys that are unknown before a version."""
    may_be_null: bool = False

    def at(self, version: Version) -> Shape:
        """The shape that counts at a version."""
        return [self.shape, *(shape for since, shape in self.later if since <= version)][-1]

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """All that there are."""
        return self.shape, *(shape for _, shape in self.later)


def _metadata(collection: str) -> dict[str, Asks]:
    every = f"/{collection}/{{id}}/metadata"
    return {
        f"POST {every}": Asks(metadata.AllOfIt),
        f"PUT {every}": Asks(metadata.AllOfIt),
        f"PUT {every}/{{key}}": Asks(metadata.OneOfIt),
    }


def _actions(path: str, asked: Mapping[str, Any]) -> dict[str, Asks]:
    """The actions of a path, by their names: each a model, or what else is to be said of it."""
    return {
        f"POST {path}/action {name}": asks if isinstance(asks, Asks) else Asks(asks)
        for name, asks in asked.items()
    }


def _transfers(path: str) -> dict[str, Asks]:
    with_snapshots = ((transfers.WITH_SNAPSHOTS, transfers.NewTransferWithSnapshots),)
    return {
        f"POST {path}": Asks(transfers.NewTransfer, "transfer", alone=False, later=with_snapshots),
        f"POST {path}/{{id}}/accept": Asks(transfers.Accept, "accept"),
    }


def _one_spec(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """The key that the path names, and its value."""
    one = {"minProperties": 1, "maxProperties": 1}
    return {"type": "object", "additionalProperties": value, **one}


_TEXT = {"type": "string", "maxLength": 255}
_HOST = {
    "type": "object",
    "description": "Whether a host's services are given volumes; the key and its word in any case.",
    "properties": {"status": {"type": "string", "description": "`enable` or `disable`."}},
}

BODIES: Mapping[str, Asks] = MappingProxyType(
    {
        "POST /volumes": Asks(volumes.CreateBody, later=(((3, 53), volumes.StrictCreateBody),)),
        "PUT /volumes/{id}": Asks(volumes.Changes, "volume"),
        **_metadata("volumes"),
        **_metadata("snapshots"),
        **_actions(
            "/volumes/{id}",
            {
                "os-initialize_connection": attach_actions.Connect,
                "os-terminate_connection": attach_actions.Disconnect,
                "os-attach": attach_actions.Attach,
                "os-detach": Asks(attach_actions.Detach, may_be_null=True),
                "os-force_detach": Asks(attach_actions.ForceDetach, may_be_null=True),
                "os-extend": volume_actions.Extend,
                "revert": volume_actions.Revert,
                "os-reimage": volume_actions.Reimage,
                "os-volume_upload_image": Asks(
                    volume_actions.Upload, later=(((3, 1), volume_actions.UploadFor),)
                ),
                "os-set_bootable": volume_actions.Bootable,
                "os-update_readonly_flag": volume_actions.ReadOnly,
                "os-reset_status": volume_actions.ResetStatus,
                "os-extend_volume_completion": volume_actions.Completion,
                "os-retype": moves.Retype,
                "os-migrate_volume": Asks(moves.Migrate, later=(((3, 16), moves.MigrateAnywhere),)),
                "os-migrate_volume_completion": moves.MigrateCompletion,
                "os-set_image_metadata": image_metadata.SetImageMetadata,
                "os-unset_image_metadata": image_metadata.UnsetImageMetadata,
            },
        ),
        "POST /attachments": Asks(
            attachments.NewAttachment, "attachment", later=(((3, 54), attachments.NewAttachmentWithMode),)
        ),
        "PUT /attachments/{id}": Asks(attachments.Connection, "attachment"),
        "POST /snapshots": Asks(snapshots.NewSnapshot, "snapshot"),
        "PUT /snapshots/{id}": Asks(snapshots.Changes, "snapshot"),
        **_actions(
            "/snapshots/{id}",
            {"os-reset_status": resets.ResetStatus, "os-update_snapshot_status": snapshots.StatusUpdate},
        ),
        "POST /backups": Asks(backups.NewBackup, "backup", since=backups.SINCE),
        "PUT /backups/{id}": Asks(backups.Changes, "backup", since=backups.SINCE),
        "POST /backups/{id}/restore": Asks(backups.RestoreBody),
        "POST /backups/import_record": Asks(backups.NewRecord, "backup-record"),
        **_actions("/backups/{id}", {"os-reset_status": resets.ResetStatus}),
        **_transfers("/os-volume-transfer"),
        **_transfers("/volume-transfers"),
        "POST /types": Asks(types.NewType, "volume_type"),
        "PUT /types/{id}": Asks(types.Changes, "volume_type"),
        **_actions("/types/{id}", dict.fromkeys(("addProjectAccess", "removeProjectAccess"), types.Access)),
        "POST /types/{id}/extra_specs": Asks(extra_specs.CreateBody),
        "PUT /types/{id}/extra_specs/{key}": Asks(_one_spec(_TEXT)),
        "PUT /default-types/{id}": Asks(default_types.NewDefault, "default_type", alone=False),
        "POST /types/{id}/encryption": Asks(encryption.NewEncryption, "encryption"),
        "PUT /types/{id}/encryption/{key}": Asks(encryption.Encryption, "encryption"),
        "POST /qos-specs": Asks(qos_specs.NewQosSpecs, "qos_specs"),
        "PUT /qos-specs/{id}": Asks(qos_specs.UpdateBody),
        "PUT /qos-specs/{id}/delete_keys": Asks(qos_specs.Keys),
        "POST /group_types": Asks(group_types.NewGroupType, "group_type"),
        "PUT /group_types/{id}": Asks(group_types.Changes, "group_type"),
        "POST /group_types/{id}/group_specs": Asks(group_types.SpecsBody),
        "PUT /group_types/{id}/group_specs/{key}": Asks(_one_spec({"anyOf": [_TEXT, {"type": "null"}]})),
        "POST /groups": Asks(groups.NewGroup, "group"),
        "PUT /groups/{id}": Asks(groups.Changes, "group"),
        **_actions("/groups", {"create-from-src": groups.Source}),
        **_actions(
            "/groups/{id}",
            {
                "delete": groups.Deletion,
                "reset_status": resets.ResetStatus,
                "enable_replication": groups.Nothing,
                "disable_replication": groups.Nothing,
                "failover_replication": groups.Failover,
                "list_replication_targets": groups.Nothing,
            },
        ),
        "POST /group_snapshots": Asks(group_snapshots.NewGroupSnapshot, "group_snapshot"),
        **_actions("/group_snapshots/{id}", {"reset_status": resets.ResetStatus}),
        "POST /consistencygroups": Asks(consistency_groups.NewConsistencyGroup, "consistencygroup"),
        "POST /consistencygroups/create_from_src": Asks(consistency_groups.Source, "consistencygroup-from-src"),
        "PUT /consistencygroups/{id}": Asks(groups.Changes, "consistencygroup"),
        "PUT /consistencygroups/{id}/update": Asks(groups.Changes, "consistencygroup"),
        "POST /consistencygroups/{id}/delete": Asks(consistency_groups.Deletion, "consistencygroup"),
        "POST /cgsnapshots": Asks(consistency_groups.NewCgsnapshot, "cgsnapshot"),
        "PUT /os-quota-sets/{project_id}": Asks(quotas.UpdateBody),
        "PUT /os-quota-class-sets/{id}": Asks(quotas.UpdateClassBody),
        "PUT /os-services/enable": Asks(services.Which),
        "PUT /os-services/disable": Asks(services.Which),
        "PUT /os-services/disable-log-reason": Asks(services.WhichAndWhy),
        "PUT /os-services/freeze": Asks(replication.Where),
        "PUT /os-services/thaw": Asks(replication.Where),
        "PUT /os-services/failover_host": Asks(replication.Whither),
        "PUT /os-services/get-log": Asks(log_levels.Which),
        "PUT /os-services/set-log": Asks(log_levels.WhichAndLevel),
        "PUT /os-hosts/{id}": Asks(_HOST),
        "POST /workers/cleanup": Asks(workers.Cleanup),
        "PUT /clusters/enable": Asks(clusters.Which),
        "PUT /clusters/disable": Asks(clusters.Which),
        **{
            f"POST /{path}": Asks(manage.Existing, "volume")
            for path in ("os-volume-manage", "manageable_volumes")
        },
        **{
            f"POST /{path}": Asks(manage.ExistingSnapshot, "snapshot")
            for path in ("os-snapshot-manage", "manageable_snapshots")
        },
    }
)
"""By ``METHOD /path action``, below ``/v3``."""
