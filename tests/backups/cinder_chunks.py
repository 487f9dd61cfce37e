"""Cinder's own posix driver, run by a Python that has it: ``write`` a file as a backup, or ``restore`` one.

Its database is a list of backups in a file beside the store. Prints what became of the backup as JSON.
"""

import contextlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cinder import objects
from cinder.backup.drivers.posix import PosixBackupDriver
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


class Driver(PosixBackupDriver):  # type: ignore[misc]
    """Without a database of volumes."""

    def get_metadata(self, volume_id: str) -> None:
        return None

    def put_metadata(self, volume_id: str, json_metadata: str) -> None:
        json.loads(json_metadata)

    def _send_progress_notification(self, *_: object) -> None:
        pass

    def _send_progress_end(self, *_: object) -> None:
        pass


def main(what: str, store: str, file: str, told: dict[str, Any], compression: str) -> None:
    CONF([], project="cinder", default_config_files=[])
    CONF.set_override("connection", "sqlite://", group="database")
    CONF.set_override("backup_compression_algorithm", compression)
    CONF.set_override("backup_posix_path", store)
    CONF.set_override("backup_file_size", 1024**2)
    CONF.set_override("backup_enable_progress_timer", False)
    objects.Backup.get_by_id = find
    driver = Driver(None)
    driver.db = SimpleNamespace(volume_get=lambda *_: {"size": 1})
    backup = Backup(told)
    if what == "write":
        backup.created_at = timeutils.utcnow()
        backup.status = fields.BackupStatus.CREATING
        with Path(file).open("rb") as volume:
            driver.backup(backup, volume)
    else:
        backup.status = fields.BackupStatus.RESTORING
        with Path(file).open("r+b") as volume:
            driver.restore(backup, backup.volume_id, volume, what == "restore-new")
    print(json.dumps({**backup, "created_at": None}))


BOOK = Path(sys.argv[2]).with_suffix(".book")
if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4]), sys.argv[5])
