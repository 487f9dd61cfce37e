"""A backup on the wire, at every microversion (api-ref, "Backups")."""

from collections.abc import Collection
from typing import Any

from pumice.api.call import Call
from pumice.api.policy import ADMIN, Rule
from pumice.api.volume.links import Links
from pumice.api.volume.volume_view import wire_time
from pumice.model.backup import Backup

ATTRIBUTES = Rule("backup:backup_project_attribute", ADMIN)


class BackupView:
    """Backups as one request is shown them."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._links = Links(call, "backups")

    def plain(self, backup: Backup) -> dict[str, Any]:
        """A backup in the plain list, and as what changes it answers."""
        return {"id": backup.id, "name": backup.name, "links": self._links.to(backup.id)}

    def full(self, backup: Backup, with_children: Collection[str]) -> dict[str, Any]:
        """A backup in full; ``with_children`` are those that incremental ones add to."""
        version = self._call.version
        view = self.plain(backup) | {
            "status": backup.status,
            "size": backup.size,
            "object_count": backup.object_count,
            "availability_zone": backup.availability_zone,
            "container": backup.container,
            "created_at": wire_time(backup.created_at),
            "updated_at": wire_time(backup.updated_at),
            "description": backup.description,
            "fail_reason": backup.fail_reason,
            "volume_id": backup.volume_id,
            "is_incremental": backup.is_incremental,
            "has_dependent_backups": backup.id in with_children,
            "snapshot_id": backup.snapshot_id,
            "data_timestamp": wire_time(backup.data_timestamp),
        }
        if version >= (3, 18) and self._call.policy.allows(ATTRIBUTES, self._call.who):
            view["os-backup-project-attr:project_id"] = backup.project_id
            if version >= (3, 56):
                view["user_id"] = backup.user_id
        if version >= (3, 43):
            view["metadata"] = backup.metadata
        if version >= (3, 64) and backup.encryption_key_id:
            view["encryption_key_id"] = backup.encryption_key_id
        return view
