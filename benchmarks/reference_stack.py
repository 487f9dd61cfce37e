"""What the reference stack costs (LVM, LIO, os-brick), in a guest of the kernel lane.

    .venv/bin/python -m benchmarks.reference_stack [MiB of an image's data] [rounds]     # as root

Each line is the ratio of two things in one run: what Pumice does, and the same without it, by turns; or what a
call costs among many exports, and among few.
"""

import asyncio
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from statistics import median

import structlog
from rich.console import Console
from rich.table import Table

from pumice.backends.contract import ImageFile, no_progress
from pumice.backends.lvm import LvmBackend
from pumice.backends.lvm_group import VolumeGroup
from pumice.backends.lvm_thin import ThinLayout
from pumice.backends.targets.contract import Grant, Target
from pumice.backends.targets.lio import LioTarget
from pumice.backends.targets.local import LocalTarget
from pumice.backends.targets.nvmet import NvmetTarget
from pumice.hypervisor.connectors.brick import Brick
from pumice.hypervisor.connectors.kernel import KernelConnector
from pumice.hypervisor.contract import IscsiSource
from pumice.model.connector import Connector
from pumice.model.ids import AttachmentId, VolumeId, new_id
from pumice.model.units import MIB

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests" / "kernel"))  # the lane's modules find each other by their plain names

from initiators import initiators  # noqa: E402

from benchmarks.data_path import fio, show  # noqa: E402
from kernel import Kernel  # noqa: E402

EXPORTS, SOME = 200, 50
HOSTS = "iqn.1993-08.org.debian:host-"
PASSWORD = "correct-horse"  # noqa: S105

Line = tuple[str, str, float, str, float, float | None]
"""What; the one way and its seconds; the other and its; the most their ratio may be."""


async def seconds(call: Awaitable[object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    await call
    return time.perf_counter() - began


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_image(directory: Path, mib: int) -> ImageFile:
    """A qcow2 of random bytes, half full."""
    raw, image = directory / "raw", directory / "qcow2"
    with raw.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(MIB))
        file.truncate(2 * mib * MIB)
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(image))
    raw.unlink()
    return ImageFile(image, "qcow2", 2 * mib * MIB)


def a_grant(initiator: str) -> Grant:
    attachment = AttachmentId(new_id())
    return Grant(attachment, initiator, attachment.replace("-", "")[:20], PASSWORD)


async def images(backend: LvmBackend, mib: int, rounds: int) -> list[Line]:
    """A volume from an image, the whole call; and the copying alone, onto a volume that is there."""
    run("mkfs.ext4", "-q", "/dev/vdb")
    Path("/image").mkdir()
    run("mount", "/dev/vdb", "/image")
    image = make_image(Path("/image"), mib)
    size = -(-2 * mib // 1024)

    async def copy(device: Path) -> None:
        words = ("convert", "-n", "-f", "qcow2", "-O", "raw", str(image.path), str(device))
        await asyncio.to_thread(run, "qemu-img", *words)
        await asyncio.to_thread(run, "sync", str(device))

    ours, plain = list[float](), list[float]()
    for _ in range(rounds):
        volume = VolumeId(new_id())
        ours.append(await seconds(backend.create_from_image(volume, "vg", size, image, no_progress)))
        await backend.delete(volume, "vg")
        await backend.create(volume, "vg", size)
        plain.append(await seconds(copy(await backend.device(volume, "vg"))))
        await backend.delete(volume, "vg")
    name = f"image of {mib} MiB to a thin volume"
    return [
        (name, "create_from_image", median(ours), "qemu-img convert", median(plain), 1.05),
        await second_volume(backend, image, size, rounds),
    ]


async def second_volume(backend: LvmBackend, image: ImageFile, size: int, rounds: int) -> Line:
    """A clone of an image's base, as the image cache has it made; and ``lvcreate -s`` of the same, alone."""
    base, ours, plain = VolumeId(new_id()), list[float](), list[float]()
    await backend.create_from_image(base, "vg", size, image, no_progress)
    taken = thin_percent()
    for number in range(rounds):
        made, bare = VolumeId(new_id()), f"bare-{number}"
        ours.append(await seconds(backend.create_from_volume(made, "vg", size, base, "vg", no_progress)))
        words = ("--snapshot", "--setactivationskip", "n", "--name", bare, f"vg/volume-{base}")
        plain.append(await seconds(asyncio.to_thread(run, "lvcreate", "--quiet", *words)))
        await backend.delete(made, "vg")
        await asyncio.to_thread(run, "lvremove", "--quiet", "--yes", f"vg/{bare}")
    if thin_percent() != taken:
        raise SystemExit("something was copied")
    await backend.delete(base, "vg")
    return "the second volume of that image", "its clone", median(ours), "lvcreate -s", median(plain), 1.5


def thin_percent() -> str:
    """How full the thin pool is."""
    words = ["lvs", "--noheadings", "--options", "data_percent", "vg/thin"]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


async def attaching(backend: LvmBackend, rounds: int) -> list[Line]:
    """To connect an exported volume, one path, with CHAP; and os-brick alone."""
    target = LioTarget(["127.0.0.1:3260"])
    connector = KernelConnector(Path("/tmp/connector"), multipath=False, seconds=60)  # noqa: S108
    ours, alone = list[float](), list[float]()
    with initiators(multipath=False):
        await target.start()
        await connector.start()
        brick = Brick("ISCSI", multipath=False, seconds=60)
        me = await connector.properties(Connector("host", "127.0.0.1", ""))
        for _ in range(rounds):
            volume, grant = VolumeId(new_id()), a_grant(me.initiator)
            await backend.create(volume, "vg", 1)
            portal = await target.grant(volume, await backend.device(volume, "vg"), grant)
            source = IscsiSource(
                portal.portals[0], portal.name, portal.lun, grant.username, PASSWORD, me.initiator
            )
            ours.append(await seconds(connector.connect(grant.attachment, "server", source)))
            await connector.disconnect(grant.attachment)
            properties = {
                "target_portal": portal.portals[0],
                "target_iqn": portal.name,
                "target_lun": portal.lun,
                "auth_method": "CHAP",
                "auth_username": grant.username,
                "auth_password": PASSWORD,
            }
            connecting = asyncio.create_task(asyncio.to_thread(brick.connect, properties))
            alone.append(await seconds(connecting))
            await asyncio.to_thread(brick.disconnect, properties, connecting.result(), force=False)
            await target.remove(volume)
            await backend.delete(volume, "vg")
    return [("attach by the kernel's initiator", "connector", median(ours), "os-brick", median(alone), 1.3)]


async def exported(target: Target, device: Path, volume: VolumeId, grant: Grant) -> object:
    """Let a host in."""
    return await target.grant(volume, device, grant)


async def data_path(backend: LvmBackend, mib: int, rounds: int) -> None:
    """fio on a logical volume of ``lvcreate``, on one of Pumice's where it is opened, and on it through LIO."""
    target, volume = LioTarget(["127.0.0.1:3260"]), VolumeId(new_id())
    connector = KernelConnector(Path("/tmp/connector"), multipath=False, seconds=60)  # noqa: S108
    words = ["--type", "thin", "--virtualsize", "1G", "--thinpool", "thin", "--name", "bare", "vg"]
    await asyncio.to_thread(run, "lvcreate", "--quiet", *words)
    await backend.create(volume, "vg", 1)
    device = await backend.device(volume, "vg")
    with initiators(multipath=False):
        await target.start()
        await connector.start()
        me = await connector.properties(Connector("host", "127.0.0.1", ""))
        grant = a_grant(me.initiator)
        portal = await target.grant(volume, device, grant)
        source = IscsiSource(portal.portals[0], portal.name, portal.lun, grant.username, PASSWORD, me.initiator)
        given = await connector.connect(grant.attachment, "server", source)
        local = (await LocalTarget().grant(volume, device, grant)).path
        paths = {"lvcreate": "/dev/vg/bare", "local": local, "lio": os.path.realpath(given.path)}
        reaches = {name: ["--ioengine=libaio", "--direct=1", f"--filename={it}"] for name, it in paths.items()}
        for words in (reaches["lvcreate"], reaches["local"]):
            fio(words, "write", "1m", 8, mib, 0)
        await asyncio.to_thread(show, reaches, [("lvcreate", "local"), ("lio", "local")], mib, 2, rounds)
        await connector.disconnect(grant.attachment)
        await target.remove(volume)


async def exports() -> list[Line]:
    """Many exports made and removed: the first and the last of them.

    Of one file: LIO exports a device once.
    """
    device = Path("/tmp/device")  # noqa: S108
    device.write_bytes(bytes(MIB))
    lines = list[Line]()
    for target in (LioTarget(["127.0.0.1:3260"]), NvmetTarget(["127.0.0.1:4420"])):
        await target.start()
        all_of_them = [(VolumeId(new_id()), a_grant(f"{HOSTS}{number}")) for number in range(EXPORTS)]
        calls: dict[str, Callable[[VolumeId, Grant], Awaitable[object]]] = {
            "export": partial(exported, target, device),
            "removal": target.revoke,
        }
        for what, call in calls.items():
            spent = [await seconds(call(it, grant)) for it, grant in all_of_them]
            name = f"{what} by {target.driver}, {EXPORTS} of them"
            first, last = median(spent[:SOME]), median(spent[-SOME:])
            lines.append((name, f"the last {SOME}", last, f"the first {SOME}", first, None))
    return lines


async def measure(mib: int, rounds: int) -> None:
    """Everything; this runs in the guest."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    run("vgcreate", "vg", "/dev/vda")
    group = VolumeGroup("vg", Path("/tmp/lvm"))  # noqa: S108
    backend = LvmBackend(group, ThinLayout(group, "thin"))
    await backend.start()
    table = Table("", "", "", "ratio", "goal")
    for part in (images(backend, mib, rounds), attaching(backend, rounds), exports()):
        for name, way, ours, other, theirs, goal in await part:
            ratio = ours / theirs
            colour = "" if goal is None else "[green]" if ratio <= goal else "[red]"
            shown = f"{colour}{ratio:.2f}", "" if goal is None else f"{goal}"
            table.add_row(name, f"{way} {ours * 1000:,.0f} ms", f"{other} {theirs * 1000:,.0f} ms", *shown)
    Console(width=130, force_terminal=sys.stdout.isatty()).print(table)
    if shutil.which("fio") is None:
        raise SystemExit("for the data path: apt-get install fio")
    await data_path(backend, mib, rounds)


def main() -> None:
    """Boot a guest and measure in there."""
    mib, rounds = (int(word) for word in (*sys.argv[1:], *("128", "7")[len(sys.argv) - 1 :]))
    disk = f"{4 * mib // 1024 + 4}G"
    modules = ["dm-thin-pool", "iscsi_tcp", "target_core_iblock", "iscsi_target_mod", "nvmet-tcp"]
    with Kernel(disks=[disk, disk], modules=modules) as guest:
        argv = [sys.executable, "-m", "benchmarks.reference_stack", str(mib), str(rounds), "inside"]
        for kind, value in guest.follow(argv, silence=1800, env=dict(os.environ), cwd=str(ROOT)):
            if kind != "exit":
                print(value, end="", flush=True)
            elif value:
                sys.exit(int(value))


if __name__ == "__main__":
    if sys.argv[-1] == "inside":
        asyncio.run(measure(int(sys.argv[1]), int(sys.argv[2])))
    else:
        main()
