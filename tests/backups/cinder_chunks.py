"""Cinder's own drivers, run by a Python that has them: ``write`` a file as a backup, or ``restore`` one.

Its database is a list of backups in a file. Prints what became of the backup as JSON.
"""

import contextlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cinder import objects
from cinder.backup.drivers import posix, s3
from cinder.objects import fields
from oslo_config import cfg
from oslo_utils import timeutils

objects.register_all()
CONF = cfg.CONF


class Backup(dict[str, Any]):
    """What the driver asks of a backup's row."""

    def __getattr__(self, name: str) -> Any:
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def save(self) -> None:
        known = json.loads(BOOK.read_text()) if BOOK.exists() else {}
        BOOK.write_text(json.dumps(known | {self["id"]: {**self, "created_at": None}}))

    def refresh(self) -> None:
        """Nobody else changes it."""

    @contextlib.contextmanager
    def as_read_deleted(self) -> Any:
        yield


def find(_context: object, backup_id: str) -> Backup:
    return Backup(json.loads(BOOK.read_text())[backup_id])


class Alone:
    """What a driver does with a database of volumes and with notifications: nothing."""

    def get_metadata(self, volume_id: str) -> None:
        return None

    def put_metadata(self, volume_id: str, json_metadata: str) -> None:
        json.loads(json_metadata)

    def _send_progress_notification(self, *_: object) -> None:
        pass

    def _send_progress_end(self, *_: object) -> None:
        pass


class Posix(Alone, posix.PosixBackupDriver):  # type: ignore[misc]
    """A directory."""


class S3(Alone, s3.S3BackupDriver):  # type: ignore[misc]
    """A bucket."""


def main(what: str, options: dict[str, Any], file: str, told: dict[str, Any], compression: str) -> None:
    CONF([], project="cinder", default_config_files=[])
    CONF.set_override("connection", "sqlite://", group="database")
    CONF.set_override("backup_compression_algorithm", compression)
    CONF.set_override("backup_file_size", 1024**2)
    CONF.set_override("backup_enable_progress_timer", False)
    CONF.set_override("backup_s3_object_size", 1024**2)
    CONF.set_override("backup_s3_enable_progress_timer", False)
    for name, value in options.items():
        CONF.set_override(name, value)
    objects.Backup.get_by_id = find
    driver = S3(None) if "backup_s3_endpoint_url" in options else Posix(None)
    driver.check_for_setup_error()
    driver.db = SimpleNamespace(volume_get=lambda *_: {"size": 1})
    backup = Backup(told)
    if what == "delete":
        driver.delete_backup(backup)
    elif what == "write":
        backup.created_at = timeutils.utcnow()
        backup.status = fields.BackupStatus.CREATING
        with Path(file).open("rb") as volume:
            driver.backup(backup, volume)
    else:
        backup.status = fields.BackupStatus.RESTORING
        with Path(file).open("r+b") as volume:
            driver.restore(backup, backup.volume_id, volume, what == "restore-new")
    print(json.dumps({**backup, "created_at": None}))


BOOK = Path(sys.argv[2])
if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[3]), sys.argv[4], json.loads(sys.argv[5]), sys.argv[6])
