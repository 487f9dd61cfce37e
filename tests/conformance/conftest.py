"""What a driver claims is tried; a fresh rig of each target driver, and something to export through it."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from target_rigs import DirectRig, LioRig, NvmetRig, RbdRig, TgtRig
from tests.ceph_cluster import CephPool
from tests.ports import free_port

from pumice.backends.targets.local import LocalTarget
from pumice.backends.targets.shared import SharedTarget
from pumice.backends.targets.tgt import TgtTarget
from pumice.backends.targets.tgtd import TgtDaemon
from pumice.model.export import Device, RbdImage
from pumice.model.ids import VolumeId, new_id
from pumice.model.units import MIB


@pytest.fixture(autouse=True)
def claimed(request: pytest.FixtureRequest) -> None:
    """Only what the driver claims is tried; ``test_claims_of_drivers.py`` sees that it speaks of each."""
    if rule := request.node.get_closest_marker("rule"):
        params = request.node.callspec.params
        [claims] = request.node.get_closest_marker("claims").args
        claim = claims[params.get("rig") or params["case"]][rule.args[0]]
        if claim != "holds":
            pytest.skip(claim)


@pytest.fixture
def local_rig() -> DirectRig:
    return DirectRig(LocalTarget())


@pytest.fixture
def shared_rig(shelf: Path) -> DirectRig:
    return DirectRig(SharedTarget({shelf: "server:/volumes"}, options="vers=4.2", base=shelf / "mounts"))


@pytest.fixture
def rbd_rig(ceph_pool: CephPool) -> Iterator[RbdRig]:
    yield RbdRig(ceph_pool.cluster)
    ceph_pool.cluster.empty(ceph_pool.name)


@pytest.fixture
async def tgt_rig(tmp_path: Path) -> AsyncIterator[TgtRig]:
    portal = f"127.0.0.1:{free_port()}"
    daemon = TgtDaemon(tmp_path / "tgtd", portal)
    try:
        target = TgtTarget(portal, daemon=daemon)
        await target.start()
        yield TgtRig(target, daemon)
    finally:
        await daemon.stop(force=True)


@pytest.fixture
async def lio_rig() -> AsyncIterator[LioRig]:
    rig = LioRig()
    await rig.target.start()
    yield rig
    await rig.lose_everything()


@pytest.fixture
async def nvmet_rig() -> AsyncIterator[NvmetRig]:
    rig = NvmetRig()
    await rig.target.start()
    yield rig
    await rig.lose_everything()


@pytest.fixture
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Where files lie that are exported. The kernel's NVMe target takes none from a guest's overlay."""
    if request.node.get_closest_marker("kernel") is None:
        yield tmp_path
    else:
        with tempfile.TemporaryDirectory(prefix="pumice-", dir="/dev/shm") as shelf:
            yield Path(shelf)


@pytest.fixture
def device(request: pytest.FixtureRequest, shelf: Path) -> Device:
    path = shelf / "device"
    path.write_bytes(b"volume's own bytes".ljust(4096, b"."))
    os.truncate(path, 8 * MIB)
    if "rig" not in request.fixturenames or not isinstance(request.getfixturevalue("rig"), RbdRig):
        return path
    pool: CephPool = request.getfixturevalue("ceph_pool")
    pool.cluster.rbd("import", "--no-progress", str(path), f"{pool.name}/device")
    return RbdImage(pool.name, "device", (), "admin", str(pool.cluster.keyring))


@pytest.fixture
def volume() -> VolumeId:
    return VolumeId(new_id())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What costs tens of commands is not always tried.

    Of Ceph's backend only the ``short`` ones are; of LVM's, in a guest, of these only what is about bytes.
    """
    for item in items:
        callspec = getattr(item, "callspec", None)
        case = callspec.params.get("case") if callspec else None
        rule = item.get_closest_marker("rule")
        is_about_acts = rule is not None and rule.args[0] in ("idempotent", "restart")
        if (case == "rbd" and not item.get_closest_marker("short")) or (case == "lvm-thin" and is_about_acts):
            item.add_marker(pytest.mark.long)
