"""The first volume of a raw image, where images are in the volumes' cluster, and where they are files.

    .venv/bin/python -m benchmarks.images_in_ceph [rounds]     # as root, on a Ceph of its own

The image holds 256 MiB that are no holes. What was copied is told by the pools' own counters.
"""

import json
import os
import sys
import time
from statistics import median

from rich.console import Console
from rich.table import Table
from tests.ceph.conftest import User, make_user
from tests.ceph_cluster import own_cluster
from tests.kill.pumice_process import PumiceProcess, installation
from tests.kill.stories import Stories
from tests.pumice_installation import VOLUMES

from pumice.model.units import MIB

COUNTERS_SECONDS = 3.0
"""Until the manager has counted what was written."""


def made(pumice: PumiceProcess, image: str) -> float:
    """How long it takes from the request of a volume until it is available."""
    began = time.perf_counter()
    volume = Stories(pumice).create(imageRef=image)
    while (status := pumice.call("GET", f"{VOLUMES}/{volume}")["volume"]["status"]) != "available":
        if status == "error":
            raise SystemExit("it cannot be made")
        time.sleep(0.005)
    return time.perf_counter() - began


def stored(user: User) -> int:
    """The MiB in a pool."""
    pools = json.loads(user.pool.cluster.ceph("df", "--format", "json"))["pools"]
    return next(int(it["stats"]["stored"]) // MIB for it in pools if it["name"] == user.pool.name)


def measure(volumes: User, images: User, data: bytes, rounds: int, *, in_ceph: bool) -> list[str]:
    """The upload, the first volume, the median of the others, and what they take."""
    with installation(PUMICE_COMPUTE__DRIVER="none", PUMICE_LOG_LEVEL="error") as pumice:
        if in_ceph:
            place = {name: images.settings[name] for name in ("pool", "conf", "user", "keyring")}
            pumice.environment["PUMICE_IMAGES__RBD"] = json.dumps(place)
        pumice.environment["PUMICE_BACKENDS"] = json.dumps({"ceph": volumes.settings})
        pumice.awaited = {"cinder-volume"}
        pumice.start()
        began = time.perf_counter()
        image = Stories(pumice).upload(data, "raw")
        uploaded = time.perf_counter() - began
        first = made(pumice, image)
        others = median(made(pumice, image) for _ in range(rounds))
        time.sleep(COUNTERS_SECONDS)
        return [
            f"{uploaded:.1f} s",
            f"{first * 1000:.0f} ms",
            f"{others * 1000:.0f} ms",
            f"{stored(volumes)} MiB",
        ]


def main(rounds: int = 5) -> None:
    """Measure both, and print the table."""
    table = Table("images", "upload", "first volume", "the next ones", "in the volumes' pool")
    data = os.urandom(256 * MIB)
    with own_cluster("volumes") as cluster:
        cluster.make_pool("images")
        volumes, images = make_user(cluster, "volumes"), make_user(cluster, "images")
        osd = "profile rbd pool=volumes, profile rbd-read-only pool=images"
        cluster.ceph("auth", "caps", "client.volumes", "mon", "profile rbd", "mgr", "profile rbd", "osd", osd)
        for name, in_ceph in (("in the cluster", True), ("files", False)):
            table.add_row(name, *measure(volumes, images, data, rounds, in_ceph=in_ceph))
            cluster.empty("volumes")
    table.title = f"load {os.getloadavg()[0]:.1f}"
    Console(width=110).print(table)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
