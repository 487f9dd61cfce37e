"""Identifiers. Every id is a random UUID in its canonical text form."""

import uuid
from typing import NewType

ProjectId = NewType("ProjectId", str)
UserId = NewType("UserId", str)
VolumeId = NewType("VolumeId", str)
SnapshotId = NewType("SnapshotId", str)
BackupId = NewType("BackupId", str)
AttachmentId = NewType("AttachmentId", str)
ImageId = NewType("ImageId", str)
ServerId = NewType("ServerId", str)
TypeId = NewType("TypeId", str)
OperationId = NewType("OperationId", str)


def new_id() -> str:
    """A fresh random UUID (RFC 4122, version 4), e.g. ``"6edb…-…"``."""
    return str(uuid.uuid4())


def is_uuid(text: str) -> bool:
    """Whether ``text`` reads as a UUID in any spelling the UUID constructor accepts."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def is_canonical(text: str) -> bool:
    """Whether ``text`` is a UUID as ``new_id`` spells it: what is named after an id has one name alone."""
    return is_uuid(text) and str(uuid.UUID(text)) == text
