"""Every verb that has to do with a volume's bytes, by the harness, with the bytes in a real Ceph.

Straight, twice, failing, undone twice, killed, at each of its steps: and nothing is left, also not in the
trash, once a process has started after it. A few of the trials are in the suite, the others in ``make ceph``.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from fake_world import FakeWorld
from test_every_verb import SCENARIOS, Stage, caching
from tests.ceph.ceph_world import HarnessedRbd, backends_in, world_in_ceph
from tests.ceph_cluster import CephPool
from tests.kill.on_ceph import NOT_TAKEN

from pumice.model.export import RbdImage
from pumice.operations.harness import Trial, perform, trials
from pumice.store import attachments

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

NOT_OF_CEPH = {
    "attachment.renew": "there is no address that an export moves to",
    "attachment.rotate": "there is no password",
    "volume.migrate to another host": "an image has no export that another installation's host could read",
    "volume.migrate_in_use": "its scenario looks into the target of the fakes",
    "volume.migrate_in_use for a new type": "its scenario looks into the target of the fakes",
    "server.boot from a volume": "below, without exports",
    "server.attach_volume": "below, without exports",
    "server.detach_volume": "below, without exports",
    "server.delete": "below, without exports",
    "server.hard_reboot": "below, without exports",
}
"""Scenarios that have nothing to try here, and why."""
KEEP_THEIR_BYTES = (
    "webhook.",
    "backup.delete",
    "backup.import",
    "server.start",
    "server.stop",
    "server.reboot",
)
"""Verbs, by their beginning, that do nothing to a volume."""
SHORT = (
    "volume.create from a cached image: kill after make_bytes",
    "volume.revert: kill after restore_bytes",
    "volume.delete_with_snapshots: straight",
    "server.attach_volume without exports: straight",
)
"""In the suite."""
FILL_A_VOLUME = ("volume.recrypt", "volume.migrate and encrypt")
A_FEW = {"straight", "fail after take_old", "kill before the undo of make_bytes"}
"""What is tried of those that write a whole volume, and read it: half a minute each."""
ON_CEPH = {
    name: scenario
    for name, scenario in SCENARIOS.items()
    if name not in NOT_OF_CEPH and not name.startswith(KEEP_THEIR_BYTES)
}


async def check_connected(world: FakeWorld, stage: Stage, well: bool) -> None:
    assert await world.volume_status(stage["volume"]) == ("attaching" if well else "available")
    link = await world.db.read(attachments.find, stage["link"])
    assert isinstance(link.portal if link else None, RbdImage) is well


CHECKS = {"attachment.connect": check_connected}
"""Of scenarios that look into the target."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backends(ceph_pool: CephPool, tmp_path_factory: pytest.TempPathFactory) -> Any:
    cluster, second = ceph_pool.cluster, f"{ceph_pool.name}-second"
    cluster.make_pool(second)
    yield backends_in(cluster, {"a": ceph_pool.name, "b": second}, tmp_path_factory.mktemp("windows"))
    for pool in (ceph_pool.name, second):
        cluster.empty(pool)


def every_trial() -> Iterator[Any]:
    for name, scenario in ON_CEPH.items():
        untaken = {step for kind, step in NOT_TAKEN if kind == scenario.verb.kind}
        never = {f"fail {when} {step}" for step in untaken for when in ("before", "after")}
        for trial in (it for it in trials(scenario.verb) if it.name not in never):
            called = f"{name}: {trial.name}"
            if name.startswith(FILL_A_VOLUME) and trial.name not in A_FEW:
                continue
            yield pytest.param(name, trial, id=called, marks=[] if called in SHORT else [pytest.mark.long])


def test_the_short_trials_are_among_all() -> None:
    names = {param.id for param in every_trial()}
    assert names.issuperset(SHORT) and set(NOT_OF_CEPH) <= set(SCENARIOS)


@pytest.mark.parametrize(("name", "trial"), [*every_trial()])
@pytest.mark.asyncio(loop_scope="module")
async def test_it_ends_and_leaves_nothing_in_ceph(
    name: str, trial: Trial, backends: dict[str, HarnessedRbd]
) -> None:
    tried = ON_CEPH[name]
    world = partial(world_in_ceph, backends, image_cache=tried.world is caching)
    await perform(replace(tried, world=world, check=CHECKS.get(name, tried.check)), trial)
