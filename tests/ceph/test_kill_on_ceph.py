"""kill -9 of a process at every point of every verb that has to do with a volume's bytes, which are in Ceph.

``python -m tests.kill --ceph`` shows the same as a table.
"""

from collections.abc import Iterator

import pytest
from tests.ceph.conftest import make_user
from tests.ceph_cluster import CephPool
from tests.kill.on_ceph import KINDS, a_victim_on, taken
from tests.kill.points import Point, doing, failure, undoing
from tests.kill.trial import perform
from tests.kill.victim import Victim

from pumice.app.verbs import VERBS

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def on_ceph(ceph_pool: CephPool) -> Iterator[Victim]:
    pool, cluster = ceph_pool.name, ceph_pool.cluster
    with a_victim_on(make_user(cluster, pool).settings) as victim:
        yield victim
    left = cluster.rbd("ls", pool), cluster.rbd("trash", "ls", "--all", pool)
    cluster.empty(pool)
    cluster.ceph("auth", "rm", f"client.{pool}")
    assert not any(name.endswith((".part", ".back")) for name in left[0].split()), left


@pytest.mark.parametrize(
    ("points", "fails"),
    [
        pytest.param(points, fails, id=f"{way}{verb.kind}")
        for verb in VERBS
        if verb.kind in KINDS
        for way, points, fails in (
            ("", taken(doing(verb)), None),
            ("undo of ", taken(undoing(verb)), failure(verb)),
        )
        if points
    ],
)
def test_killed_at_every_point_it_ends_and_leaves_nothing_in_ceph(
    points: list[Point], fails: Point | None, on_ceph: Victim
) -> None:
    trial = perform(on_ceph, points, fails)
    assert trial.is_good, trial
