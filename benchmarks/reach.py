"""What a guest's disk costs by the way in which its volume is reached: as a file, or over iSCSI through tgt.

    .venv/bin/python -m benchmarks.reach [MiB of the volume] [rounds]     # as root

QEMU's own bench reads and writes the volume as a guest's disk is, past the page cache; each line is by turns in
one run. *bare* is the same file read without QEMU, one piece after another.
"""

import asyncio
import logging
import mmap
import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import structlog
from rich.console import Console
from rich.table import Table
from tests.ports import free_port

from pumice.backends.targets.contract import Grant
from pumice.backends.targets.local import LocalTarget
from pumice.backends.targets.tgt import TgtTarget
from pumice.backends.targets.tgtd import TgtDaemon
from pumice.host.command import run
from pumice.model.ids import AttachmentId, VolumeId, new_id
from pumice.model.units import MIB

KIB = 1024
INITIATOR, PASSWORD = "iqn.1993-08.org.debian:host", "correct-horse"
STRIDE = 7919
"""Pieces between one and the next, where they are to be anywhere: a prime."""
TOOK = re.compile(r"Run completed in ([\d.]+) seconds")


@dataclass(frozen=True, slots=True)
class Pattern:
    """``count`` pieces of ``size`` bytes, ``depth`` of them at once; anywhere, or one after another."""

    name: str
    size: int
    depth: int
    count: int
    anywhere: bool = False
    writes: bool = False

    @property
    def step(self) -> int:
        """From the beginning of a piece to that of the next, in bytes."""
        return self.size * (STRIDE if self.anywhere else 1)

    def shown(self, seconds: float) -> str:
        """How fast that was."""
        per_second = self.count / seconds
        return f"{per_second:,.0f}/s" if self.anywhere else f"{per_second * self.size / MIB:,.0f} MiB/s"


PATTERNS = [
    Pattern(f"{'write' if writes else 'read'} {name}, {depth} at once", size, depth, count, anywhere, writes)
    for writes in (False, True)
    for name, size, anywhere, count in (("4 KiB anywhere", 4 * KIB, True, 4000), ("1 MiB", MIB, False, 400))
    for depth in (1, 32)
]


async def by_qemu(pattern: Pattern, node: str) -> float:
    """Seconds that QEMU takes."""
    words = ["-t", "none", "-c", str(pattern.count), "-d", str(pattern.depth), "-s", str(pattern.size)]
    words += ["-S", str(pattern.step), *(["-w"] if pattern.writes else [])]
    said = await run("qemu-img", "bench", *words, "--image-opts", node, timeout=600)
    if found := TOOK.search(said):
        return float(found[1])
    raise RuntimeError(said)


def bare(pattern: Pattern, path: Path) -> float:
    """Seconds that the same reads take one by one, without QEMU."""
    buffer = mmap.mmap(-1, pattern.size)
    file = os.open(path, os.O_RDONLY | os.O_DIRECT)
    size, began = path.stat().st_size, time.perf_counter()
    try:
        for number in range(pattern.count):
            os.preadv(file, [buffer], number * pattern.step % (size - size % pattern.size))
        return time.perf_counter() - began
    finally:
        os.close(file)


async def measure(path: Path, rounds: int) -> None:
    """Print the table."""
    volume, portal = VolumeId(new_id()), f"127.0.0.1:{free_port()}"
    grant = Grant(AttachmentId(new_id()), INITIATOR, "user", PASSWORD)
    file = f"driver=raw,file.driver=file,file.filename={(await LocalTarget().grant(volume, path, grant)).path}"
    daemon = TgtDaemon(path.parent / "tgt", portal)
    target = TgtTarget(portal, daemon=daemon)
    table = Table("", "bare", "local", "local / bare", "tgt", "tgt / local")
    await target.start()
    try:
        export = await target.grant(volume, path, grant)
        where = f"file.portal={portal},file.target={export.iqn},file.lun={export.lun},file.transport=tcp"
        who = f"file.user={grant.username},file.password={PASSWORD},file.initiator-name={INITIATOR}"
        iscsi = f"driver=raw,file.driver=iscsi,{where},{who}"
        for pattern in PATTERNS:
            alone, local, tgt = [], [], []
            for _ in range(rounds):
                if pattern.depth == 1 and not pattern.writes:
                    alone.append(await asyncio.to_thread(bare, pattern, path))
                local.append(await by_qemu(pattern, file))
                tgt.append(await by_qemu(pattern, iscsi))
            table.add_row(pattern.name, *_shown(pattern, alone, local, tgt))
    finally:
        await daemon.stop(force=True)
    Console(width=110).print(table)


def _shown(pattern: Pattern, alone: Sequence[float], local: Sequence[float], tgt: Sequence[float]) -> list[str]:
    without = [pattern.shown(median(alone)), f"{median(local) / median(alone):.2f}"] if alone else ["", ""]
    bare_speed, ratio = without
    slower = f"{median(tgt) / median(local):.2f}"
    return [bare_speed, pattern.shown(median(local)), ratio, pattern.shown(median(tgt)), slower]


def main(mebibytes: int = 1024, rounds: int = 5) -> None:
    """A volume of so many MiB, none of it a hole."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="pumice-reach-") as folder:
        path = Path(folder) / "volume"
        with path.open("wb") as file:
            for _ in range(mebibytes):
                file.write(os.urandom(MIB))
        asyncio.run(measure(path, rounds))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
