"""How a backup lies in its container: as Cinder's chunked drivers lay it out, so that either reads the other's.

    PREFIX-00001 …           bytes of the volume, compressed as the metadata says
    PREFIX_sha256file        the hash of each block, for incremental backups
    PREFIX_metadata          which object is where; written last: a backup without it is not whole
    .PREFIX_progress-00001 … of a chunk whose objects are whole, until the metadata is there; not Cinder's

``PREFIX`` is ``volume_ID_YYYYMMDDhhmmss_backup_ID`` of the driver posix, in a directory of its own, and
``volume_ID/YYYYMMDDhhmmss/az_ZONE_backup_ID`` of the driver s3, in one bucket for all.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pumice.backends.backups.chunks import BLOCK, Chunk
from pumice.backends.backups.contract import POSIX, S3, Damaged, Found, Record
from pumice.model.errors import Invalid

VERSION = "1.0.0"
_ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
PREFIX = re.compile(rf"volume_({_ID})(?:_\d{{14}}_|/\d{{14}}/az_[^\0]{{0,100}}?_)backup_({_ID})")
NAME = re.compile(rf"\.?({PREFIX.pattern})(_metadata|_sha256file|_progress-\d+|-\d+)(\.[0-9a-f]+\.part)?")


@dataclass(frozen=True, slots=True)
class Object:
    """What the metadata says of an object. ``offset`` and ``length`` in bytes of the volume."""

    name: str
    offset: int
    length: int
    compression: str
    md5: str


def prefix_of(volume_id: str, backup_id: str, at: datetime, *, zone: str | None = None) -> str:
    """The prefix of the names of a backup's objects; with a ``zone`` that of objects in a bucket for all."""
    if zone is not None:
        return f"volume_{volume_id}/{at:%Y%m%d%H%M%S}/az_{zone[:100]}_backup_{backup_id}"
    return f"volume_{volume_id}_{at:%Y%m%d%H%M%S}_backup_{backup_id}"


def service_of(prefix: str) -> str:
    """The name by which records call the driver that names objects so."""
    return S3 if "/" in prefix else POSIX


def container_for(backup_id: str, wanted: str | None, bucket: str | None = None) -> str:
    """The container of a backup's objects: the ``bucket`` for all, the one asked for, or one of its own.

    Raises ``Invalid``: with a bucket for all nobody may ask for another, which the same key might reach.
    """
    if bucket is not None:
        if wanted not in (None, "", bucket):
            raise Invalid("Invalid input received: Backups are kept in one container here: name none.")
        return bucket
    if not wanted:
        return f"{backup_id[:2]}/{backup_id[2:4]}/{backup_id}"
    if any(part in ("", ".", "..") or "\0" in part for part in wanted.split("/")):
        raise Invalid(f"Invalid input received: {wanted[:100]!r} cannot be a container.")
    return wanted


def metadata_name(record: Record) -> str:
    """The object that says which are there."""
    return f"{record.prefix}_metadata"


def hashes_name(record: Record) -> str:
    """The object with the hashes."""
    return f"{record.prefix}_sha256file"


def hidden_of(record: Record | Found) -> str:
    """The prefix of the names of all objects of a backup that are not Cinder's."""
    return f".{record.prefix}"


def progress_name(record: Record, number: int) -> str:
    """The name of the object that says that a chunk, counted from 1, is written."""
    return f"{hidden_of(record)}_progress-{number:05d}"


def object_names(record: Record, names: Sequence[str]) -> list[str]:
    """The names in a container that hold bytes of the backup."""
    return [name for name in names if re.fullmatch(rf"{re.escape(record.prefix)}-\d+", name)]


def metadata(record: Record, objects: Sequence[Object]) -> bytes:
    """The metadata of a whole backup."""
    said = _about(record) | {
        "objects": [_told(it) for it in objects],
        "parent_id": record.parent_id,
        "volume_meta": record.volume_meta,
    }
    return json.dumps(said, sort_keys=True, indent=2).encode()


def hashes(record: Record, all_of_them: Sequence[str]) -> bytes:
    """The hashes of a whole backup."""
    said = _about(record) | {"chunk_size": BLOCK, "sha256s": all_of_them}
    return json.dumps(said, sort_keys=True, indent=2).encode()


def _about(record: Record) -> dict[str, Any]:
    return {
        "version": VERSION,
        "backup_id": record.id,
        "volume_id": record.volume_id,
        "backup_name": record.name,
        "backup_description": record.description,
        "created_at": f"{record.created_at:%Y-%m-%d %H:%M:%S}+00:00",
    }


def _told(it: Object) -> dict[str, dict[str, Any]]:
    return {it.name: {"offset": it.offset, "length": it.length, "compression": it.compression, "md5": it.md5}}


def read_metadata(record: Record, data: bytes) -> list[Object]:
    """The objects of a whole backup, in the order in which they are to be written. Raises ``Damaged``."""
    said = _read(record, data)
    try:
        return [_object(it) for it in said["objects"]]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Damaged(f"The metadata of backup {record.id} makes no sense.") from None


def _object(told: Mapping[str, Mapping[str, Any]]) -> Object:
    [(name, it)] = told.items()
    made = Object(str(name), int(it["offset"]), int(it["length"]), str(it["compression"]), str(it["md5"]))
    if min(made.offset, made.length) < 0:
        raise ValueError(made)
    return made


def volume_meta(source: Mapping[str, Any]) -> str:
    """What a volume was, as Cinder writes it down (its version 2): a name, metadata, its image's."""
    base = {"display_name": source.get("name"), "display_description": source.get("description")}
    told: dict[str, Any] = {"version": 2, "volume-base-metadata": base}
    if source.get("metadata"):
        told["volume-metadata"] = source["metadata"]
    if source.get("image_metadata"):
        told["volume-glance-metadata"] = source["image_metadata"]
    return json.dumps(told)


def source(record: Record, data: bytes) -> dict[str, Any]:
    """What the metadata of a backup says of its source; what makes no sense is left out."""
    said = _read(record, data).get("volume_meta")
    try:
        told = json.loads(said) if isinstance(said, str) else {}
        base = told.get("volume-base-metadata") or {}
        return {
            "name": _short(base.get("display_name")),
            "description": _short(base.get("display_description")),
            "metadata": {str(key): str(it) for key, it in (told.get("volume-metadata") or {}).items()},
            "image_metadata": dict(told.get("volume-glance-metadata") or {}) or None,
            "bootable": bool(told.get("volume-glance-metadata")),
        }
    except (ValueError, TypeError, AttributeError):
        return {}


def _short(text: object) -> str | None:
    return text[:255] if isinstance(text, str) else None


def read_hashes(record: Record, data: bytes) -> list[str]:
    """The hashes of a whole backup. Raises ``Damaged`` when they are of blocks of another size."""
    said = _read(record, data)
    if said.get("chunk_size") != BLOCK or not isinstance(said.get("sha256s"), list):
        raise Damaged(
            f"The hashes of backup {record.id} are of blocks of {said.get('chunk_size')} bytes, not {BLOCK}: "
            "make a full backup."
        )
    return [str(it) for it in said["sha256s"]]


def _read(record: Record, data: bytes) -> dict[str, Any]:
    try:
        said = json.loads(data)
    except ValueError:
        said = None
    if not isinstance(said, dict) or said.get("version") != VERSION:
        raise Damaged(f"What says which objects backup {record.id} has cannot be read.")
    return said


@dataclass(frozen=True, slots=True)
class Done:
    """A chunk whose objects are all written."""

    offset: int
    length: int
    hashes: Sequence[str]
    objects: Sequence[Object]


def progress(record: Record, offset: int, length: int, chunk: Chunk, objects: Sequence[Object]) -> bytes:
    """The bytes of the object that says that a chunk is written, with its ``offset`` and ``length``."""
    said = {
        "parent": record.parent_id,
        "block": BLOCK,
        "offset": offset,
        "length": length,
        "objects": [_told(it) for it in objects],
        "sha256s": list(chunk.hashes),
    }
    return json.dumps(said).encode()


def read_progress(record: Record, data: bytes, offset: int, length: int) -> Done | None:
    """The chunk, if it is one of the same backup and of the same place in it."""
    try:
        said = json.loads(data)
        same = (said["parent"], said["block"]) == (record.parent_id, BLOCK)
        if not same or (said["offset"], said["length"]) != (offset, length):
            return None
        return Done(offset, length, said["sha256s"], [_object(it) for it in said["objects"]])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
