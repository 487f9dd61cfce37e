"""What an operator chooses for backups: the section ``[backup]``."""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from pumice.backends.backups.contract import POSIX, S3, BackupStore, Objects
from pumice.backends.backups.s3_client import S3Access
from pumice.host.parts import ok
from pumice.host.paths import GivenPath
from pumice.model.errors import PumiceError
from pumice.model.finding import Finding, Probe, Verdict
from pumice.model.units import MIB


def _is_url(text: str) -> str:
    if not text.startswith(("http://", "https://")) or text.count("/") < 2 or "@" in text:
        raise ValueError("an endpoint is a URL such as https://s3.example:443, without a password")
    return text.rstrip("/")


class BackupSettings(BaseModel):
    """The settings of a store of backups."""

    model_config = ConfigDict(extra="forbid")

    driver: Literal["posix", "s3"] | None = Field(
        None,
        description="posix: in a directory, which may be a mount of NFS; s3: in a bucket of a store that "
        "speaks S3; default: there are no backups.",
    )
    path: GivenPath | None = Field(
        None, description="posix: the directory, which must be there: the same on every host that has volumes."
    )
    chunk_mib: int = Field(
        32, ge=1, le=2048, description="MiB of a volume that are one object of a full backup."
    )
    compression: Literal["zstd", "zlib", "none"] = Field("zstd", description="How objects are compressed.")
    endpoint: Annotated[str, AfterValidator(_is_url)] | None = Field(
        None, description="s3: the store's URL; default: Amazon's in the region."
    )
    bucket: str | None = Field(
        None, min_length=3, max_length=63, description="s3: the bucket, which must be there."
    )
    region: str = Field("us-east-1", description="s3: the region; most stores but Amazon's have one alone.")
    access_key: str | None = Field(None, description="s3: the name of the key.")
    secret_key: SecretStr | None = Field(None, description="s3: the key itself.")
    addressing: Literal["path", "virtual", "auto"] = Field(
        "path", description="s3: whether the bucket is named in the path of requests or in their host's name."
    )
    signature: Literal["v4", "v2"] = Field("v4", description="s3: how requests are signed; v2: for old stores.")
    verify: bool = Field(True, description="s3: whether the store's certificate must be trusted.")
    ca_file: GivenPath | None = Field(
        None,
        description="s3: the authorities that are trusted, as PEM, instead of those that come with Python.",
    )
    timeout: float = Field(
        60.0, gt=0, le=600, description="s3: seconds until a connection, or a silence within one, is given up."
    )
    attempts: int = Field(
        5, ge=1, le=20, description="s3: how often a request is sent, with back-off, until its step fails."
    )
    encryption_key: SecretStr | None = Field(
        None,
        description="s3: 32 characters by which the store encrypts each object (SSE-C); it keeps none of them.",
    )

    @model_validator(mode="after")
    def _has_what_its_driver_needs(self) -> "BackupSettings":
        if self.driver == "posix" and self.path is None:
            raise ValueError("the driver posix needs a 'path'")
        if self.driver == "s3" and not (self.bucket and self.access_key and self.secret_key):
            raise ValueError("the driver s3 needs a 'bucket', an 'access_key' and a 'secret_key'")
        if self.encryption_key and len(self.encryption_key.get_secret_value().encode()) != 32:
            raise ValueError("an 'encryption_key' has 32 characters")
        return self

    def probes(self) -> Iterator[Probe]:
        """The probes of this store that ``pumice doctor`` runs."""
        if self.driver == "posix" and self.path is not None:
            yield Probe("backups", partial(_usable, self.path), may_hang=str(self.path))
        elif self.driver == "s3":
            yield Probe("backups", partial(_reachable, self.access))

    def open(self) -> BackupStore | None:
        """The driver; None where there are no backups."""
        if self.driver is None:
            return None
        from pumice.backends.backups.chunked import ChunkedBackups

        return ChunkedBackups(
            self._objects(),
            driver=self.driver,
            service={"posix": POSIX, "s3": S3}[self.driver],
            bucket=self.bucket if self.driver == "s3" else None,
            chunk_size=self.chunk_mib * MIB,
            compression=self.compression,
        )

    def _objects(self) -> Objects:
        if self.driver == "s3":
            from pumice.backends.backups.s3 import S3Objects

            return S3Objects(self.access)
        from pumice.backends.backups.posix import PosixObjects

        assert self.path is not None
        return PosixObjects(self.path)

    @property
    def access(self) -> S3Access:
        """How the driver s3 reaches its bucket."""
        assert self.bucket and self.access_key and self.secret_key
        return S3Access(
            bucket=self.bucket,
            access_key=self.access_key,
            secret_key=self.secret_key.get_secret_value(),
            endpoint=self.endpoint,
            region=self.region,
            addressing=self.addressing,
            signature=self.signature,
            verify=self.verify,
            ca_file=self.ca_file,
            timeout=self.timeout,
            attempts=self.attempts,
            encryption_key=self.encryption_key.get_secret_value() if self.encryption_key else None,
        )


_WITHOUT = "everything but backups"


def _usable(path: Path) -> Finding:
    if os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return ok("backups", f"{path} can be written to")
    cure = f"make {path}, or mount what it is to be"
    return Finding("backups", Verdict.MISSING, f"{path} is not a directory to write to", _WITHOUT, cure)


async def _reachable(access: S3Access) -> Finding:
    if find_spec("botocore") is None:
        return Finding("backups", Verdict.MISSING, "there is no botocore", _WITHOUT, "pip install 'pumice[s3]'")
    from pumice.backends.backups.s3 import S3Objects

    try:
        with contextlib.closing(S3Objects(access)) as objects:
            await asyncio.to_thread(objects.look)
    except PumiceError as error:
        return Finding("backups", Verdict.MISSING, error.in_full, _WITHOUT, "what it says; then ask again")
    return ok("backups", f"bucket {access.bucket} at {access.place} answers")
