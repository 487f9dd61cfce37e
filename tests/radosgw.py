"""Ceph's own gateway, which speaks S3 and Swift: Debian's radosgw, in a cluster of the tests' own."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from tests.ceph_cluster import CephCluster
from tests.patience import PATIENCE
from tests.ports import free_port
from tests.s3_server import S3Store

_CONF = """
[client.{name}]
keyring = {here}/{name}.keyring
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw crypt require ssl = false
rgw swift account in url = true
rgw thread pool size = 64
"""
_KEYSTONE = """\
rgw keystone url = {url}
rgw keystone api version = 3
rgw keystone admin user = admin
rgw keystone admin password path = {here}/{name}.password
rgw keystone admin project = admin
rgw keystone admin domain = Default
rgw keystone accepted roles = admin, member
"""


class RadosGateway(S3Store):
    """A running one. Whoever comes with a token of the Identity at ``keystone`` speaks Swift to it.

    It ends with its cluster at the latest, which knows its process by a file.
    """

    def __init__(self, cluster: CephCluster, name: str = "rgw", keystone: str = "") -> None:
        self.cluster, self.name = cluster, name
        self._conf = cluster.directory / f"{name}.conf"
        port = free_port()
        words = {"here": cluster.directory, "name": name, "port": port, "url": keystone}
        more = _CONF + (_KEYSTONE if keystone else "")
        self._conf.write_text(cluster.conf.read_text() + more.format(**words))
        caps = ("mon", "allow rw", "osd", "allow rwx")
        cluster.ceph("auth", "get-or-create", f"client.{name}", *caps, "-o", str(self._of("keyring")))
        super().__init__(port)
        self.start()
        given = (it for word, key in self.keys.items() for it in (f"--{word.replace('_', '-')}", key))
        owner = self.keys["access_key"]
        self._run("radosgw-admin", "user", "create", "--uid", owner, "--display-name", owner, *given)

    def start(self) -> None:
        """Have it answer."""
        self._run("radosgw")
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                assert httpx.get(self.endpoint).status_code == 200
                return
            except httpx.TransportError:
                assert time.monotonic() < give_up, (
                    self.cluster.directory / f"client.{self.name}.log"
                ).read_text()
                time.sleep(0.05)

    def kill(self) -> None:
        """As a machine that goes down does."""
        self.cluster.end(f"client.{self.name}")

    @property
    def swift(self) -> str:
        """The endpoint of ``object-store``, as it stands in a catalog."""
        return f"{self.endpoint}/swift/v1/AUTH_%(project_id)s"

    def trust(self, password: str) -> None:
        """Tell it the administrator's password, which it reads when the first token comes."""
        self._of("password").write_text(password)

    def close(self) -> None:
        """Stop it."""
        super().close()
        self.kill()

    def _of(self, what: str) -> Path:
        return self.cluster.directory / f"{self.name}.{what}"

    def _run(self, *argv: str) -> str:
        return self.cluster.run(*argv, "-n", f"client.{self.name}", "--conf", str(self._conf))


@contextmanager
def gateway(cluster: CephCluster, name: str = "rgw", keystone: str = "") -> Iterator[RadosGateway]:
    """One for as long as the ``with`` lasts."""
    one = RadosGateway(cluster, name, keystone)
    try:
        yield one
    finally:
        one.close()
