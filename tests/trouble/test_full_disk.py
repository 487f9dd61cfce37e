"""A pool whose disk is full, on a real file system: the volume ends elsewhere or in ``error``, explained."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pumice_process import PumiceProcess, installation
from stories import VOLUMES, Stories

from pumice.model.units import MIB


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB."""
    mounting = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", tmp_path]
    if subprocess.run(mounting, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let the test mount a tmpfs")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


@contextmanager
def cloud_on(**pools: Path) -> Iterator[PumiceProcess]:
    """A Pumice with a backend for each directory; the one named ``small`` promises the most."""
    ratios = {name: 10**6 if name == "small" else 1 for name in pools}
    backends = {
        name: {
            "target": "fake",
            "pools": {"pool": str(directory)},
            "capacity_gb": 5,
            "max_over_subscription_ratio": ratios[name],
        }
        for name, directory in pools.items()
    }
    settings = {"PUMICE_BACKENDS": json.dumps(backends), "PUMICE_COMPUTE__DRIVER": "none"}
    with installation(**settings) as pumice:
        pumice.awaited = {"cinder-volume"}
        pumice.start()
        yield pumice


def ended(stories: Stories) -> str:
    """A volume of an image that is larger than the small disk, when its create has ended."""
    image = stories.upload(os.urandom(16 * MIB), "raw")
    volume = stories.create(imageRef=image)
    stories.pumice.settle()
    return volume


def test_a_full_disk_ends_a_create_in_an_explained_error_with_nothing_left(small: Path) -> None:
    with cloud_on(small=small) as pumice:
        stories = Stories(pumice)
        volume = ended(stories)
        stories.volume_is(volume, "error")
        [why] = stories.messages(volume)
        assert "no space left" in why
        assert not [file for shelf in ("volumes", "snapshots") for file in (small / shelf).iterdir()]
        assert not pumice.violations()
        stories.delete(f"{VOLUMES}/{volume}")
        pumice.settle()
        stories.is_gone(f"{VOLUMES}/{volume}")
        empty = stories.create()
        pumice.settle()
        stories.volume_is(empty, "available")


def test_a_second_pool_takes_what_the_full_one_could_not(
    small: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    large = tmp_path_factory.mktemp("large")
    with cloud_on(small=small, large=large) as pumice:
        stories = Stories(pumice)
        volume = ended(stories)
        stories.volume_is(volume, "available")
        shown = pumice.call("GET", f"{VOLUMES}/{volume}")["volume"]
        assert shown["os-vol-host-attr:host"] == "here@large#pool"
        assert not list((small / "volumes").iterdir())
        assert stories.messages(volume) == []
        assert not pumice.violations()
