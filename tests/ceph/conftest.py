"""A user of the tests' cluster, with the caps that the operating page asks for and no others."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.ceph_cluster import CephCluster, CephPool


@dataclass(frozen=True)
class User:
    """Who uses one pool of a cluster."""

    pool: CephPool
    keyring: Path

    @property
    def settings(self) -> dict[str, str]:
        """A backend of the driver ``rbd``."""
        conf = str(self.pool.cluster.conf)
        return {
            "driver": "rbd",
            "pool": self.pool.name,
            "conf": conf,
            "user": self.pool.name,
            "keyring": str(self.keyring),
        }

    @property
    def key(self) -> str:
        """The secret."""
        return self.keyring.read_text().partition("key = ")[2].split()[0]


def make_user(cluster: CephCluster, pool: str) -> User:
    """One that is called as the pool that it may use."""
    keyring = cluster.directory / f"{pool}.keyring"
    caps = ("mon", "profile rbd", "mgr", "profile rbd", "osd", f"profile rbd pool={pool}")
    cluster.ceph("auth", "get-or-create", f"client.{pool}", *caps, "-o", str(keyring))
    return User(CephPool(cluster, pool), keyring)


@pytest.fixture
def ceph_user(ceph_pool: CephPool) -> Iterator[User]:
    user = make_user(ceph_pool.cluster, ceph_pool.name)
    yield user
    ceph_pool.cluster.empty(ceph_pool.name)
    ceph_pool.cluster.ceph("auth", "rm", f"client.{ceph_pool.name}")
