"""A victim whose volumes are in Ceph, and the verbs whose stories can be told of one.

The others look into the files of a backend on this host, move to one, or have nothing to do with bytes.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from tests.ceph.conftest import make_user
from tests.ceph_cluster import own_cluster
from tests.kill.points import Point
from tests.kill.victim import Victim, a_victim

KINDS = {
    "volume.create",
    "volume.delete",
    "volume.delete_when_free",
    "volume.delete_with_snapshots",
    "volume.extend",
    "volume.flatten",
    "volume.revert",
    "volume.upload",
    "snapshot.create",
    "snapshot.delete",
    "backup.create",
    "backup.restore",
    "volume.create_from_backup",
    "image_base.make",
    "image_base.evict",
    "group.delete",
    "group.create_from_source",
    "group_snapshot.create",
    "group_snapshot.delete",
    "attachment.connect",
    "attachment.disconnect",
    "server.boot",
    "server.delete",
    "server.attach_volume",
    "server.detach_volume",
    "server.repair_disks",
}

NOT_TAKEN = {("volume.extend", "pause_guest")}
"""Steps that there are not: no guest has to stand still while its image grows."""


def taken(points: Iterable[Point]) -> list[Point]:
    """The points of a way that are passed when a volume is in Ceph."""
    return [point for point in points if (point.kind, point.step) not in NOT_TAKEN]


def a_victim_on(ceph: Mapping[str, str], database_url: str | None = None) -> AbstractContextManager[Victim]:
    """One with the backend that these settings describe, and no other."""
    return a_victim(database_url, PUMICE_BACKENDS=json.dumps({"ceph": ceph}))


@contextmanager
def a_ceph() -> Iterator[Mapping[str, str]]:
    """A cluster of its own; the settings of a backend in it."""
    with own_cluster("victims") as cluster:
        yield make_user(cluster, "victims").settings
