"""Objects in a bucket of a store that speaks S3: Amazon's, Ceph's, MinIO's and the like.

An object is put in one request, which has its MD5: it is there whole or not at all, and no upload in parts is
ever left. A request that fails by the store's fault is sent again by the client, with back-off; what is left is
``Retryable``, and the operation tries again later. Nothing here makes a bucket: one that is missing is told.
"""

import base64
import hashlib
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pumice.backends.backups.s3_client import S3Access, connect
from pumice.backends.backups.s3_errors import explained, is_absent, is_broken_off, is_gone
from pumice.model.errors import Misconfigured, NotFound

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,254}")


class S3Objects:
    """``access`` says which bucket, and how to reach it. A container is a bucket: this, or one of before."""

    def __init__(self, access: S3Access) -> None:
        self.access = access
        self._making = threading.Lock()
        self._clients: dict[bool, Any] = {}

    def put(self, container: str, name: str, data: bytes) -> None:
        """See ``Objects``."""
        md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        with self._told(container) as client:
            client.put_object(Bucket=container, Key=name, Body=data, ContentMD5=md5, **self.access.encryption)

    def settle(self, container: str, names: Sequence[str]) -> None:
        """See ``Objects``: what the store has answered for is there for good."""

    def get(self, container: str, name: str) -> bytes:
        """See ``Objects``."""
        with self._told(container) as client:
            try:
                return self._whole(
                    lambda: client.get_object(Bucket=container, Key=name, **self.access.encryption)
                )
            except Exception as error:
                if is_absent(error):
                    raise NotFound("Object", name) from None
                raise

    def names(self, container: str, prefix: str) -> Sequence[str]:
        """See ``Objects``."""
        with self._told(container) as client:
            try:
                return _names(client, container, prefix)
            except Exception as error:
                if is_gone(error):
                    return []
                raise

    def remove(self, container: str, names: Sequence[str]) -> None:
        """See ``Objects``. What was in a bucket that is gone is gone."""
        with self._told(container) as client:
            for name in names:
                try:
                    client.delete_object(Bucket=container, Key=name)
                except Exception as error:
                    if is_gone(error):
                        return
                    raise

    def every(self, containers: Collection[str]) -> Iterator[tuple[str, str]]:
        """See ``Objects``. Raises ``Misconfigured`` when the bucket is gone: it may be at another endpoint."""
        for bucket in sorted({self.access.bucket, *filter(_BUCKET.fullmatch, containers)}):
            with self._told(bucket) as client:
                for prefix in ("volume_", ".volume_"):
                    yield from ((bucket, name) for name in _names(client, bucket, prefix))

    def look(self) -> None:
        """See ``Objects``. Waits for a few seconds at most."""
        with self._told(self.access.bucket, patient=False) as client:
            client.list_objects_v2(Bucket=self.access.bucket, Prefix="volume_", MaxKeys=1)

    def close(self) -> None:
        """Close what is open to the store; whoever asks again opens it again."""
        with self._making:
            clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()

    def _whole(self, ask: Callable[[], Any]) -> bytes:
        """An object's bytes, asked for again when they break off: the client sees to an answer's beginning."""
        for number in range(1, self.access.attempts):
            try:
                return bytes(ask()["Body"].read())
            except Exception as error:
                if not is_broken_off(error):
                    raise
            time.sleep(min(0.1 * 2**number, 10.0))
        return bytes(ask()["Body"].read())

    @contextmanager
    def _told(self, bucket: str, *, patient: bool = True) -> Iterator[Any]:
        """The client. What goes wrong with it is told by our own errors."""
        if not _BUCKET.fullmatch(bucket):
            raise Misconfigured(f"{bucket[:100]!r} is not a bucket: another driver has written this backup.")
        with explained(self.access, bucket):
            yield self._client(patient)

    def _client(self, patient: bool) -> Any:
        with self._making:
            if patient not in self._clients:
                self._clients[patient] = connect(self.access, patient=patient)
            return self._clients[patient]


def _names(client: Any, bucket: str, prefix: str) -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return sorted(it["Key"] for page in pages for it in page.get("Contents", ()))
