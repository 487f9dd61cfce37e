"""What a volume from an image costs on LVM, against plain ``qemu-img convert`` onto the same kind of volume.

    PYTHONPATH=src .venv/bin/python tests/kernel/image_figures.py [MiB of data] [rounds]

Boots a guest and measures in there: the whole call, with making, checking, syncing and naming, against the
copying alone. Both take turns, each on a fresh thin volume; the image is a qcow2 of random bytes, half full.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from kernel import Kernel
from pumice.backends.contract import ImageFile, no_progress
from pumice.backends.lvm import LvmBackend
from pumice.backends.lvm_group import VolumeGroup
from pumice.backends.lvm_thin import ThinLayout
from pumice.model.ids import VolumeId, new_id
from pumice.model.units import MIB


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_image(directory: Path, mib: int) -> ImageFile:
    raw, image = directory / "raw", directory / "qcow2"
    with raw.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(MIB))
        file.truncate(2 * mib * MIB)
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(image))
    raw.unlink()
    return ImageFile(image, "qcow2", 2 * mib * MIB)


async def measure(mib: int, rounds: int) -> None:
    """Runs inside the guest."""
    run("vgcreate", "vg", "/dev/vda")
    group = VolumeGroup("vg", Path("/tmp/lvm"))
    backend = LvmBackend(group, ThinLayout(group, "thin"))
    await backend.start()
    run("mkfs.ext4", "-q", "/dev/vdb")
    Path("/image").mkdir()
    run("mount", "/dev/vdb", "/image")
    image = make_image(Path("/image"), mib)
    size = -(-2 * mib // 1024)
    ours: list[float] = []
    plain: list[float] = []
    for _ in range(rounds):
        volume = VolumeId(new_id())
        begun = time.monotonic()
        await backend.create_from_image(volume, "vg", size, image, no_progress)
        ours.append(time.monotonic() - begun)
        await backend.delete(volume, "vg")

        await backend.create(volume, "vg", size)
        device = await backend.device(volume, "vg")
        begun = time.monotonic()
        run("qemu-img", "convert", "-n", "-f", "qcow2", "-O", "raw", str(image.path), str(device))
        run("sync", str(device))
        plain.append(time.monotonic() - begun)
        await backend.delete(volume, "vg")
    whole, copying = statistics.median(ours), statistics.median(plain)
    print(f"{mib} MiB of data, medians of {rounds} rounds")
    print(f"create_from_image {whole:.2f} s, qemu-img alone {copying:.2f} s")
    print(f"ratio {whole / copying:.2f}")


def main() -> None:
    mib, rounds = (int(word) for word in (*sys.argv[1:], *("1024", "5")[len(sys.argv) - 1 :]))
    disk = f"{4 * mib // 1024 + 4}G"
    with Kernel(disks=[disk, disk], modules=["dm-thin-pool"]) as guest:
        argv = [sys.executable, __file__, str(mib), str(rounds), "inside"]
        for kind, value in guest.follow(argv, silence=1800, env=dict(os.environ)):
            if kind != "exit":
                print(value, end="", flush=True)
            elif value:
                sys.exit(int(value))


if __name__ == "__main__":
    if sys.argv[-1] == "inside":
        asyncio.run(measure(int(sys.argv[1]), int(sys.argv[2])))
    else:
        main()
