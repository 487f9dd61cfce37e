"""What a disk's bytes cost by each reach, told by fio: as QEMU opens it, and without QEMU.

    .venv/bin/python -m benchmarks.data_path [MiB of the volume] [seconds of each line] [rounds]    # as root

The volume is one of ``files`` in a temporary folder, or an image of a Ceph with one OSD in memory; none of it
is a hole. Through QEMU is through a ``qemu-storage-daemon`` that opens it as a guest's disk is opened and
shows it to fio by NBD: every reach pays for that detour, and can be compared with the others. *file* is a
plain file that is opened so, which Pumice has not made. *bare* and *librbd* are fio on the volume and the
image themselves; what QEMU adds to a file without the detour is told by ``benchmarks.reach``. All of a line
is measured by turns, in one run. Logical volumes and LIO are measured alike in
``benchmarks.reference_stack``.
"""

import asyncio
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import structlog
from rich.console import Console
from rich.table import Table
from tests.ceph_cluster import own_cluster
from tests.ports import free_port

from pumice.backends.files import FilesBackend
from pumice.backends.targets.contract import Grant
from pumice.backends.targets.local import LocalTarget
from pumice.backends.targets.tgt import TgtTarget
from pumice.backends.targets.tgtd import TgtDaemon
from pumice.model.ids import AttachmentId, VolumeId, new_id
from pumice.model.units import MIB

INITIATOR, PASSWORD = "iqn.1993-08.org.debian:host", "correct-horse"
PATTERNS = [
    (rw, size, depth)
    for rw, size in (("randread", "4k"), ("randwrite", "4k"), ("read", "1m"), ("write", "1m"))
    for depth in (1, 32)
]
NAMES = {
    "randread": "read 4 KiB anywhere",
    "randwrite": "write 4 KiB anywhere",
    "read": "read 1 MiB",
    "write": "write 1 MiB",
}
Reaches = Mapping[str, list[str]]
"""fio's words for each, by what the table calls it."""


def fio(words: list[str], rw: str, size: str, depth: int, mebibytes: int, seconds: int) -> float:
    """Bytes in a second."""
    pattern = [f"--rw={rw}", f"--bs={size}", f"--iodepth={depth}", f"--size={mebibytes}m", "--name=it"]
    how_long = [f"--runtime={seconds}", "--time_based"] if seconds else []
    told = subprocess.run(
        ["fio", *words, *pattern, *how_long, "--output-format=json"], capture_output=True, text=True
    )
    if told.returncode:
        raise SystemExit(f"fio {words}: {told.stderr}{told.stdout}")
    [job] = json.loads(told.stdout[told.stdout.index("{") :])["jobs"]
    return float(job["write" if "write" in rw else "read"]["bw_bytes"])


@contextmanager
def through_qemu(folder: Path, name: str, node: dict[str, Any], *options: str) -> Iterator[list[str]]:
    """fio's words for a volume that QEMU has open."""
    listens = folder / f"{name}.nbd"
    words = ["--nbd-server", f"addr.type=unix,addr.path={listens}"]
    words += ["--export", "type=nbd,id=it,node-name=disk,name=disk,writable=on"]
    blockdev = {"driver": "raw", "node-name": "disk", "file": node, "cache": {"direct": True}}
    with subprocess.Popen(
        ["qemu-storage-daemon", *options, "--blockdev", json.dumps(blockdev), *words]
    ) as daemon:
        try:
            while not listens.exists() and daemon.poll() is None:
                time.sleep(0.05)
            yield ["--ioengine=nbd", f"--uri=nbd+unix:///disk?socket={listens}"]
        finally:
            daemon.terminate()


async def measure(folder: Path, mebibytes: int, seconds: int, rounds: int) -> None:
    """Print the table."""
    volume, portal = VolumeId(new_id()), f"127.0.0.1:{free_port()}"
    backend = FilesBackend({"pool": folder / "pool"})
    await backend.start()
    await backend.create(volume, "pool", -(-mebibytes // 1024))
    file, plain = await backend.device(volume, "pool"), folder / "plain"
    plain.touch()
    os.truncate(plain, file.stat().st_size)
    for one in (file, plain):
        with one.open("r+b") as filling:
            for _ in range(mebibytes):
                filling.write(os.urandom(MIB))
    grant = Grant(AttachmentId(new_id()), INITIATOR, "user", PASSWORD)
    opened = (await LocalTarget().grant(volume, file, grant)).path
    daemon = TgtDaemon(folder / "tgt", portal)
    target = TgtTarget(portal, daemon=daemon)
    async with AsyncExitStack() as stack:
        cluster = stack.enter_context(own_cluster("bench"))
        cluster.rbd("create", "--size", f"{mebibytes}M", "bench/volume")
        os.environ["CEPH_CONF"] = str(cluster.conf)
        librbd = ["--ioengine=rbd", "--clientname=admin", "--pool=bench", "--rbdname=volume"]
        fio(librbd, "write", "1m", 8, mebibytes, 0)
        await target.start()
        stack.push_async_callback(daemon.stop, force=True)
        export = await target.grant(volume, file, grant)
        iscsi = {
            "driver": "iscsi",
            "transport": "tcp",
            "portal": portal,
            "target": export.iqn,
            "lun": export.lun,
            "user": grant.username,
            "password-secret": "secret",
            "initiator-name": INITIATOR,
        }
        secret = ("--object", f"secret,id=secret,data={PASSWORD}")
        image = {
            "driver": "rbd",
            "pool": "bench",
            "image": "volume",
            "conf": str(cluster.conf),
            "user": "admin",
        }
        local = {"driver": "file", "aio": "threads", "cache": {"direct": True}}
        reaches: Reaches = {
            "bare": ["--ioengine=libaio", "--direct=1", f"--filename={file}"],
            "file": stack.enter_context(through_qemu(folder, "file", local | {"filename": str(plain)})),
            "local": stack.enter_context(through_qemu(folder, "local", local | {"filename": str(opened)})),
            "tgt": stack.enter_context(through_qemu(folder, "tgt", iscsi, *secret)),
            "librbd": librbd,
            "rbd": stack.enter_context(through_qemu(folder, "rbd", image)),
        }
        beside = [("file", "local"), ("tgt", "local"), ("rbd", "librbd")]
        await asyncio.to_thread(show, reaches, beside, mebibytes, seconds, rounds)


def show(
    reaches: Reaches, beside: Sequence[tuple[str, str]], mebibytes: int, seconds: int, rounds: int
) -> None:
    """Measure all reaches by turns, pattern by pattern, and how many times as fast one is as another."""
    ratios = [f"{one} / {other}" for one, other in beside]
    table = Table("", *reaches, *ratios, title=f"load {os.getloadavg()[0]:.1f} before")
    for rw, size, depth in PATTERNS:
        told: dict[str, list[float]] = {name: [] for name in reaches}
        for _ in range(rounds):
            for name, words in reaches.items():
                told[name].append(fio(words, rw, size, depth, mebibytes, seconds))
        found = {name: median(speeds) for name, speeds in told.items()}
        row = [f"{NAMES[rw]}, {depth} at once"]
        row += [f"{it / 4096:,.0f}/s" if size == "4k" else f"{it / MIB:,.0f} MiB/s" for it in found.values()]
        table.add_row(*row, *(f"{found[one] / found[other]:.2f}" for one, other in beside))
    Console(width=150).print(table)


def main(mebibytes: int = 512, seconds: int = 2, rounds: int = 3) -> None:
    """A volume of so many MiB."""
    if shutil.which("fio") is None:
        raise SystemExit("fio is not installed: apt-get install fio")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="pumice-data-path-") as folder:
        asyncio.run(measure(Path(folder), mebibytes, seconds, rounds))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
