"""A copy that is flattened behind the tenant's back, by a process that is killed in the middle of it."""

import json
import os
from pathlib import Path

import pytest
from stories import Stories
from tests.ceph.conftest import User
from tests.pumice_installation import VOLUMES, Installation, state_directory

from pumice.model.units import MIB

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.timeout(600)]

FLATTENINGS = "SELECT state FROM operations WHERE kind = 'volume.flatten' AND subject = '{}'"


def test_a_copy_is_usable_while_it_is_flattened_and_a_killed_process_goes_on(
    ceph_user: User, tmp_path: Path
) -> None:
    backend = {**ceph_user.settings, "max_clone_depth": 0}
    settings = {"PUMICE_BACKENDS": json.dumps({"ceph": backend}), "PUMICE_COMPUTE__DRIVER": "none"}
    pool, rbd = ceph_user.pool.name, ceph_user.pool.cluster.rbd
    with state_directory() as state:
        pumice = Installation(state, **settings)
        pumice.launch("serve")
        try:
            pumice.log_in()
            pumice.make_types("ceph")
            image = Stories(pumice).upload(os.urandom(192 * MIB), "raw")
            origin = pumice.create(imageRef=image)
            pumice.settle()
            copy = pumice.create(source_volid=origin)
            pumice.becomes(f"{VOLUMES}/{copy}", "volume", "available")
            pumice.wait(lambda: len(pumice.rows(FLATTENINGS.format(copy))) == 1, "nothing is flattened")
            pumice.kill("serve")
            assert "done" not in pumice.rows(FLATTENINGS.format(copy))[0], "too late to tell"
            pumice.launch("serve")
            pumice.log_in()
            body = {"snapshot": {"volume_id": copy, "name": "meanwhile"}}
            snapshot = pumice.call("POST", "/volume/v3/snapshots", body)["snapshot"]["id"]
            pumice.becomes(f"/volume/v3/snapshots/{snapshot}", "snapshot", "available")
            pumice.settle()
            assert pumice.rows(FLATTENINGS.format(copy))[0].startswith("done")
            assert "parent" not in json.loads(rbd("info", "--format", "json", f"{pool}/volume-{copy}"))
            pumice.call("DELETE", f"{VOLUMES}/{origin}")
            pumice.settle()
            assert rbd("trash", "ls", "--all", pool) == "", "nobody needs what it was copied from"
            assert pumice.violations() == []
        finally:
            pumice.close()
