"""Stores that speak S3, for tests. moto's is a process of its own that forgets everything in the end."""

import contextlib
import http.client
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE
from tests.ports import free_port

from pumice.backends.backups.s3 import S3Objects
from pumice.backends.backups.s3_client import S3Access, connect
from pumice.model.ids import new_id

REAL_STORE = pytest.param("radosgw", marks=[pytest.mark.real, pytest.mark.long])
"""The name of a fixture: Ceph's gateway, in the lane of Ceph."""


class S3Store:
    """A running one. Each test takes buckets of its own."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.keys = {"access_key": new_id(), "secret_key": new_id()}
        self.endpoint = f"http://127.0.0.1:{port}"
        self.client = connect(self.access("none"), patient=True)

    @contextlib.contextmanager
    def strict(self) -> Iterator[None]:
        """Whoever comes with keys that it does not know is refused meanwhile."""
        yield

    def access(self, bucket: str, **changes: Any) -> S3Access:
        """How a bucket is reached. What fails is sent twice."""
        return S3Access(**{"bucket": bucket, "endpoint": self.endpoint, "attempts": 2, **self.keys} | changes)

    def a_bucket(self) -> str:
        """A new one that nobody else has."""
        name = f"backups-{new_id()}"
        self.client.create_bucket(Bucket=name)
        return name

    def objects(self) -> S3Objects:
        """The driver, at a bucket of its own."""
        return S3Objects(self.access(self.a_bucket()))

    def environment(self, bucket: str) -> dict[str, str]:
        """The settings of a Pumice that keeps its backups there."""
        said = {"driver": "s3", "endpoint": self.endpoint, "bucket": bucket, **self.keys}
        return {f"PUMICE_BACKUP__{name.upper()}": value for name, value in said.items()}

    def left(self, bucket: str) -> list[str]:
        """Every object, and every upload in parts that was begun."""
        objects = self.client.list_objects_v2(Bucket=bucket).get("Contents", ())
        uploads = self.client.list_multipart_uploads(Bucket=bucket).get("Uploads", ())
        return [it["Key"] for it in (*objects, *uploads)]

    def drop(self, bucket: str) -> None:
        """Somebody else deletes the bucket with all that is in it."""
        for name in self.left(bucket):
            self.client.delete_object(Bucket=bucket, Key=name)
        self.client.delete_bucket(Bucket=bucket)

    def close(self) -> None:
        """Let go of it."""
        self.client.close()


class S3Server(S3Store):
    """moto's."""

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        with log.open("wb") as file:
            self.process = subprocess.Popen(words, stdout=file, stderr=file, cwd=log.parent)
        give_up = time.monotonic() + PATIENCE
        while not self._answers():
            assert self.process.poll() is None, log.read_text()
            assert time.monotonic() < give_up, log.read_text()
            time.sleep(0.05)
        super().__init__(self.port)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            self._call("GET", "/moto-api/data.json")
            return True
        return False

    def _call(self, method: str, path: str, body: str = "") -> None:
        """Something of the server's own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request(method, path, body)
        connection.getresponse().read()
        connection.close()

    @contextlib.contextmanager
    def strict(self) -> Iterator[None]:
        """It takes any keys for good otherwise, and now none."""
        self._call("POST", "/moto-api/reset-auth", "0")
        try:
            yield
        finally:
            self._call("POST", "/moto-api/reset-auth", "inf")

    def close(self) -> None:
        """Stop it."""
        super().close()
        self.process.kill()
        self.process.wait(PATIENCE)
