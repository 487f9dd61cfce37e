"""Stores that speak S3, and what every test of backups leaves closed."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.ceph_cluster import CephPool
from tests.radosgw import gateway
from tests.s3_server import REAL_STORE, S3Server, S3Store

from pumice.backends.backups.s3_client import connect


@pytest.fixture(autouse=True)
def _no_connection_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close every client of a store: Pumice has its own for as long as it lives."""
    made: list[Any] = []

    def kept(*words: Any, **more: Any) -> Any:
        made.append(connect(*words, **more))
        return made[-1]

    monkeypatch.setattr("pumice.backends.backups.s3.connect", kept)
    yield
    for client in made:
        client.close()


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Store]:
    """A store that speaks S3, for all tests of this process."""
    server = S3Server(tmp_path_factory.mktemp("s3") / "log")
    yield server
    server.close()


@pytest.fixture(scope="module")
def radosgw(ceph_pool: CephPool) -> Iterator[S3Store]:
    """Ceph's, for all tests of a module."""
    with gateway(ceph_pool.cluster, f"rgw-{ceph_pool.name}") as one:
        yield one


@pytest.fixture(params=["moto", REAL_STORE])
def s3(request: pytest.FixtureRequest) -> S3Store:
    """A store that speaks S3: moto's, and Ceph's in the lane of Ceph."""
    store: S3Store = request.getfixturevalue(request.param)
    return store
