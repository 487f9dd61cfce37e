"""An image of Ceph as a file of this host, for whoever reads or writes its bytes here: copies, backups, images.

A ``qemu-storage-daemon`` of its own has each image open, and FUSE shows it as a file that knows its holes. No
kernel module is needed, and a cluster that does not answer holds nothing but that child, which can be killed.
What was written is in the cluster once the file was synced, which closing does; who dies in between leaves a
dead mount, which the next start takes away.
"""

import asyncio
import json
import os
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from pumice.backends.rbd_images import Cluster, NoAnswer, RbdImages
from pumice.host.ceph_keyring import key_of
from pumice.host.command import run
from pumice.host.durable import sync
from pumice.host.thread import in_thread
from pumice.model.errors import PumiceError, Retryable

_DAY = 86_400.0
"""Seconds after which what was opened is closed by force."""
_OPEN_SECONDS = 60.0
_FAREWELL_SECONDS = 5.0
"""For letting go of the image's lock and watch: those of a dead client last for half a minute."""
_POLL = 0.01


class Windows:
    """The files by which images are seen, each in a folder of its own below ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def clear(self) -> None:
        """Take away what processes left that were killed; each folder's name begins with its process."""
        if await in_thread(self._directory.is_dir):
            for folder in await in_thread(os.listdir, self._directory):
                if not Path("/proc", folder.partition("-")[0]).exists():
                    await self._take_away(self._directory / folder)

    @asynccontextmanager
    async def opened(self, images: RbdImages, name: str, *, read_only: bool = False) -> AsyncIterator[Path]:
        """The file of an image, for as long as it is wanted: nobody removes the image meanwhile.

        Its length is a multiple of 512, and more than 0. Raises ``Retryable``.
        """
        folder = self._directory / f"{os.getpid()}-{secrets.token_hex(4)}"
        file = folder / name
        cluster = images.cluster
        key = await in_thread(key_of, cluster.user, cluster.keyring)
        await in_thread(_make, file)
        serving = asyncio.ensure_future(
            run(
                *_command(images, name, file, read_only=read_only),
                timeout=_DAY,
                stdin=key.encode(),
                farewell=_FAREWELL_SECONDS,
                public=True,
            )
        )
        try:
            await _appears(cluster, file, serving)
            yield file
            if not read_only:
                await in_thread(sync, file)
        finally:
            serving.cancel()
            await asyncio.wait({serving})
            if not serving.cancelled():
                serving.exception()  # looked at, so that asyncio does not report it as forgotten
            await self._take_away(folder)

    async def _take_away(self, folder: Path) -> None:
        for name in await in_thread(os.listdir, folder):
            with suppress(PumiceError):  # it is not mounted, as ever when the daemon could say farewell
                await run("fusermount3", "-u", "-z", folder / name, timeout=_OPEN_SECONDS, public=True)
        await in_thread(shutil.rmtree, folder, True)


def _command(images: RbdImages, name: str, file: Path, *, read_only: bool) -> list[str]:
    node = {
        "driver": "rbd",
        "node-name": "image",
        "pool": images.pool,
        "image": name,
        "conf": str(images.cluster.conf),
        "user": images.cluster.user,
        "key-secret": "key",
        "discard": "unmap",
        "read-only": read_only,
    }
    writable = "off" if read_only else "on"
    export = f"type=fuse,id=file,node-name=image,mountpoint={file},writable={writable},growable=off"
    return [
        *("qemu-storage-daemon", "--object", "secret,id=key,format=base64,file=/dev/stdin"),
        *("--blockdev", json.dumps(node), "--export", export),
    ]


async def _appears(cluster: Cluster, file: Path, serving: "asyncio.Future[str]") -> None:
    """Wait until the file has the image's size: before, it is empty."""
    try:
        async with asyncio.timeout(_OPEN_SECONDS):
            while not serving.done() and not await in_thread(_size, file):
                await asyncio.sleep(_POLL)
    except TimeoutError:
        raise NoAnswer(cluster, f"to open {file.name}", _OPEN_SECONDS) from None
    if serving.done():
        try:
            serving.result()
        except PumiceError as error:
            raise Retryable("The image cannot be opened.", f"{file.name}: {error.in_full}") from error
        raise Retryable("The image was closed before it was read.", f"{file.name}.")


def _make(file: Path) -> None:
    file.parent.mkdir(mode=0o700, parents=True)
    file.touch(mode=0o600)


def _size(file: Path) -> int:
    return file.stat().st_size
