"""What an operator chooses for backups: the section ``[backup]``."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pumice.backends.backups.contract import BackupStore
from pumice.host.parts import ok
from pumice.model.finding import Finding, Probe, Verdict
from pumice.model.units import MIB

POSIX = "cinder.backup.drivers.posix.PosixBackupDriver"
"""The name by which Cinder's records call its driver of the same layout."""


class BackupSettings(BaseModel):
    """The settings of a store of backups."""

    model_config = ConfigDict(extra="forbid")

    driver: Literal["posix"] | None = Field(
        None, description="posix: in a directory, which may be a mount of NFS; default: there are no backups."
    )
    path: Path | None = Field(
        None, description="The directory, which must be there: the same on every host that has volumes."
    )
    chunk_mib: int = Field(
        32, ge=1, le=2048, description="MiB of a volume that are one object of a full backup."
    )
    compression: Literal["zstd", "zlib", "none"] = Field("zstd", description="How objects are compressed.")

    @model_validator(mode="after")
    def _has_what_its_driver_needs(self) -> "BackupSettings":
        if self.driver == "posix" and self.path is None:
            raise ValueError("the driver posix needs a 'path'")
        return self

    def probes(self) -> Iterator[Probe]:
        """The probes of this store that ``pumice doctor`` runs."""
        if self.path is not None and self.driver is not None:
            yield Probe("backups", partial(_usable, self.path), may_hang=str(self.path))

    def open(self) -> BackupStore | None:
        """The driver; None where there are no backups."""
        if self.driver is None or self.path is None:
            return None
        from pumice.backends.backups.chunked import ChunkedBackups
        from pumice.backends.backups.posix import PosixObjects

        return ChunkedBackups(
            PosixObjects(self.path),
            driver="posix",
            service=POSIX,
            chunk_size=self.chunk_mib * MIB,
            compression=self.compression,
        )


def _usable(path: Path) -> Finding:
    if os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return ok("backups", f"{path} can be written to")
    without, cure = "everything but backups", f"make {path}, or mount what it is to be"
    return Finding("backups", Verdict.MISSING, f"{path} is not a directory to write to", without, cure)
