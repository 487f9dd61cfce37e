"""A Pumice on real parts, with a guest that runs, for the tests that make trouble for them.

They are a module's, for a guest that idles computes a twentieth of a processor.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pumice_process import PumiceProcess, installation
from stories import SERVERS, Stories
from tests.boot_sector import boot_sector
from tests.trouble.disks import Disk

from pumice.app.tour.run import cache_dir


@pytest.fixture(scope="module")
def real_cloud(request: pytest.FixtureRequest) -> Iterator[PumiceProcess]:
    """A guest has the usual time to let go of a disk, where the module has no ``DETACH_SECONDS``."""
    seconds = getattr(request.module, "DETACH_SECONDS", 60)
    with installation(PUMICE_COMPUTE__DETACH_SECONDS=str(seconds)) as pumice:
        pumice.start()
        yield pumice


@pytest.fixture(scope="module")
def real(real_cloud: PumiceProcess, tmp_path_factory: pytest.TempPathFactory) -> Stories:
    """A cloud of tgtd, libvirtd and QEMU."""
    stories = Stories(real_cloud)
    stories.upload_guest(tmp_path_factory.mktemp("guest"), cache_dir())
    return stories


@pytest.fixture(scope="module")
def booted(real: Stories) -> str:
    """A server whose guest has booted."""
    return boot(real, real.image)


def boot(real: Stories, image: str) -> str:
    root = real.create(imageRef=image)
    real.pumice.settle()
    server = real.boot(root)
    real.pumice.settle()
    real.wait_for_guest(server)
    return server


@pytest.fixture
def guest(real: Stories, booted: str) -> str:
    """The booted server, whose guest lets go of disks when asked to: up, however the test before it ended."""
    return up(real, booted)


def up(real: Stories, server: str) -> str:
    if real.pumice.call("GET", f"{SERVERS}/{server}")["server"]["status"] != "ACTIVE":
        real.start(server, real.boots(server))
    return server


@pytest.fixture(scope="module")
def booted_sector(real: Stories) -> str:
    """A server whose guest is a boot sector: up at once, and only to be powered off."""
    return boot(real, real.upload(boot_sector(), "raw"))


@pytest.fixture
def bare_guest(real: Stories, booted_sector: str) -> str:
    """That server, up, however the test before it ended."""
    return up(real, booted_sector)


@pytest.fixture
def volume(real: Stories) -> str:
    """An empty volume."""
    volume = real.create()
    real.pumice.settle()
    return volume


@pytest.fixture
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Disk]:
    if os.geteuid() != 0:
        pytest.skip("freezing a disk needs root")
    disk = getattr(request, "param", Disk)(tmp_path / "disk")
    yield disk
    disk.close()
