"""Access to a store that speaks S3, and the client for it: botocore's, of the extra ``s3``.

Nothing is taken from the surroundings: no ``~/.aws``, no role of the machine. The client is made when it is
first needed, as to load it takes longer than most commands do.
"""

import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pumice.model.errors import Misconfigured

_LOADING = threading.Lock()
LOOK_SECONDS = 4.0
"""How long a look waits: whoever waits for it has other places to look at."""


@dataclass(frozen=True, slots=True)
class S3Access:
    """A bucket, and how to get at it."""

    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    endpoint: str | None = None
    """URL; None is Amazon's of the region."""
    region: str = "us-east-1"
    addressing: str = "path"
    """``path``, ``virtual`` or ``auto``: where requests name the bucket."""
    signature: str = "v4"
    verify: bool = True
    """Whether the certificate must be trusted."""
    ca_file: Path | None = None
    """The authorities that are trusted, instead of the usual ones."""
    timeout: float = 60.0
    """Seconds, of a connection and of each silence."""
    attempts: int = 5
    """How often a request is sent at most."""
    encryption_key: str | None = field(default=None, repr=False)
    """32 characters by which the store encrypts, and which it does not keep."""

    @property
    def encryption(self) -> Mapping[str, str]:
        """The arguments that go with each object."""
        if self.encryption_key is None:
            return {}
        return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": self.encryption_key}

    @property
    def place(self) -> str:
        """The store's address, for people."""
        return self.endpoint or f"Amazon's S3 in {self.region}"


def connect(access: S3Access, *, patient: bool) -> Any:
    """A client, which threads may share. Nothing is sent yet. Raises ``Misconfigured``.

    One that is not ``patient`` sends nothing twice, and waits for seconds.
    """
    try:
        from botocore.config import Config
    except ImportError:
        raise Misconfigured("Backups by S3 need botocore: pip install 'pumice[s3]'.") from None
    logging.getLogger("botocore").setLevel(logging.INFO)  # below that it tells what it signs, and the key
    seconds = access.timeout if patient else min(access.timeout, LOOK_SECONDS)
    config = Config(
        signature_version={"v4": "s3v4", "v2": "s3"}[access.signature],
        s3={"addressing_style": access.addressing},
        connect_timeout=seconds,
        read_timeout=seconds,
        retries={"total_max_attempts": access.attempts if patient else 1, "mode": "standard"},
        # Older stores know no trailing checksums; each object is put with its MD5.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    with _LOADING:
        return _session().create_client(
            "s3",
            region_name=access.region,
            endpoint_url=access.endpoint,
            aws_access_key_id=access.access_key,
            aws_secret_access_key=access.secret_key,
            verify=str(access.ca_file) if access.ca_file and access.verify else access.verify,
            config=config,
        )


@cache
def _session() -> Any:
    """The maker of all clients; it keeps what it has loaded, and no keys."""
    from botocore.session import Session

    nowhere = (None, None, os.devnull, None)
    return Session({"config_file": nowhere, "credentials_file": nowhere, "profile": (None, None, None, None)})
