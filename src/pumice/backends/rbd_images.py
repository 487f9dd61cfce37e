"""The images of one pool of Ceph, by Ceph's own commands: answers as JSON, each command a child of its own.

* **A cluster that does not answer costs one command**, which is killed at its limit, whatever it waits for.
* **What is asked is looked up anew**: others may change it at any time.
* **Nothing secret is told to a command**: it reads the user's keyring by itself.

Snapshots and clones are of the second kind (clone v2): a snapshot that is removed while it has clones goes to a
trash of its own, and from there with the last of them.
"""

import asyncio
import errno
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pumice.host.command import CommandFailed, CommandTimedOut, run
from pumice.model.errors import Misconfigured, NotFound, Retryable, TryAnotherBackend

LOOK_SECONDS = 20.0
CHANGE_SECONDS = 90.0
"""A client that died holding an image's lock is waited for: its watch ends after 30 s."""
COPY_SECONDS = 3600.0
SLOW_SECONDS = 10.0
"""Who takes longer may be waiting for space."""
AT_ONCE = 8
"""Commands at a time. Each is a process that meets the cluster anew."""
_CONNECT_SECONDS = 10
_MARK = "pumice-mark"
_ERRNO = re.compile(r": \((\d+)\) ")
"""How commands of Ceph end what they say; their exit codes are not always the same."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster, and who we are there."""

    conf: Path
    user: str
    """The name behind ``client.``"""
    keyring: Path
    """The file that has the user's key."""
    name: str = "ceph"
    secret_uuid: str = ""
    """By which hypervisors of others know the key."""

    @property
    def words(self) -> tuple[str, ...]:
        """The options of every command."""
        return ("--conf", str(self.conf), "--id", self.user, "--keyring", str(self.keyring))


@dataclass(frozen=True, slots=True)
class Parent:
    """The image of which another is a clone."""

    pool: str
    image: str
    id: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image as the cluster knows it. ``size`` in bytes."""

    name: str
    id: str
    size: int
    parent: Parent | None


class InUse(Retryable):
    """Somebody has the image open."""


class HasClones(Retryable):
    """The image stays for as long as others are clones of it."""


class IsThere(Retryable):
    """There is an image or snapshot of that name."""


class RbdImages:
    """The images of ``pool``, as the cluster calls it."""

    def __init__(self, cluster: Cluster, pool: str) -> None:
        self.cluster = cluster
        self.pool = pool
        self._changes, self._looks = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(AT_ONCE)

    def spec(self, name: str) -> str:
        """An image on a command line."""
        return f"{self.pool}/{name}"

    async def names(self) -> frozenset[str]:
        """Every image that is not in the trash."""
        return frozenset(await self._told("ls", self.pool))

    async def image(self, name: str) -> Image:
        """Raises ``NotFound``."""
        return _image(await self._told("info", self.spec(name)))

    async def image_of_id(self, image_id: str) -> Image:
        """The image, also in the trash: an id stays what it is. Raises ``NotFound``."""
        return _image(await self._told("info", "--pool", self.pool, "--image-id", image_id))

    async def trash(self) -> list[tuple[str, str]]:
        """Name and id of everything in the trash, also of what a removal that was cut short has put there."""
        return [(it["name"], it["id"]) for it in await self._told("trash", "ls", "--all", self.pool)]

    async def create(self, name: str, size: int) -> None:
        """An image of ``size`` bytes that reads as zeroes."""
        await self._take_space("create", "--size", f"{size}B", self.spec(name))

    async def snap(self, name: str, snapshot: str) -> None:
        """Keep what an image holds now. Raises ``IsThere``, ``NotFound``."""
        await self._take_space("snap", "create", "--no-progress", f"{self.spec(name)}@{snapshot}")

    async def drop_snap(self, name: str, snapshot: str) -> None:
        """Remove a snapshot; its clones keep what they need of it. None of that name is fine."""
        with suppress(NotFound):
            await self._change("snap", "rm", "--no-progress", f"{self.spec(name)}@{snapshot}")

    async def clone(self, name: str, snapshot: str, to: "RbdImages", copy: str) -> None:
        """An image that begins with what a snapshot keeps, and shares it."""
        words = ("--rbd-default-clone-format", "2", f"{self.spec(name)}@{snapshot}", to.spec(copy))
        await to._take_space("clone", *words)

    async def flatten(self, name: str) -> None:
        """Have an image hold everything itself: a copy, which takes as long as one."""
        await self._take_space("flatten", "--no-progress", self.spec(name), seconds=COPY_SECONDS)

    async def resize(self, name: str, size: int, *, may_cut: bool = False) -> None:
        """Give an image ``size`` bytes. A larger one raises ``Retryable``, unless it ``may_cut`` it."""
        cut = ["--allow-shrink"] if may_cut else []
        await self._take_space("resize", "--no-progress", *cut, "--size", f"{size}B", self.spec(name))

    async def rename(self, name: str, new: str) -> None:
        """Rename an image, whoever has it open. Raises ``IsThere``, ``NotFound``."""
        await self._take_space("rename", self.spec(name), self.spec(new))

    async def remove(self, name: str) -> None:
        """Free an image, also in a full pool. Raises ``HasClones``, ``InUse``, ``NotFound``."""
        await self._change("rm", "--no-progress", self.spec(name), seconds=COPY_SECONDS)

    async def discard(self, name: str) -> None:
        """Put an image into the trash. Raises ``InUse``, ``NotFound``."""
        await self._change("trash", "mv", self.spec(name))

    async def remove_from_trash(self, image_id: str) -> None:
        """Free an image that is in the trash. Raises ``HasClones``, ``NotFound``."""
        words = ("trash", "rm", "--no-progress", f"{self.pool}/{image_id}")
        try:
            await self._change(*words, seconds=COPY_SECONDS)
        except HasClones:
            # Snapshots that were not removed stand in the way as clones do; others may have protected theirs.
            by_id = ("--pool", self.pool, "--image-id", image_id)
            if not (snapshots := await self._told("snap", "ls", *by_id)):
                raise
            for snapshot in snapshots:
                if snapshot["protected"] == "true":
                    await self._unprotect(snapshot["name"], *by_id)
            await self._change("snap", "purge", "--no-progress", *by_id)
            await self._change(*words, seconds=COPY_SECONDS)

    async def _unprotect(self, snapshot: str, *of: str) -> None:
        """Let a snapshot be removed. Raises ``HasClones``: those of the first kind need its protection."""
        try:
            await self._change("snap", "unprotect", *of, "--snap", snapshot)
        except InUse as error:
            raise HasClones(str(error), error.detail) from None

    async def read_mark(self) -> str | None:
        """What is written in the pool about whose it is."""
        try:
            return await self._run("rados", "-p", self.pool, "get", _MARK, "-", seconds=LOOK_SECONDS)
        except NotFound:
            return None

    async def write_mark(self, text: str) -> None:
        """Write down whose the pool is."""
        words = ("rados", "-p", self.pool, "put", _MARK, "/dev/stdin")
        await self._run(*words, seconds=CHANGE_SECONDS, stdin=text.encode())

    async def space(self) -> tuple[int, int]:
        """Bytes that the pool could hold, and those that may still be written, as the cluster reckons.

        What replicas cost, when an OSD counts as full, and the pool's quota are taken into account.
        """
        told = json.loads(await self._ceph("df", "detail"))
        found = next((it["stats"] for it in told["pools"] if it["name"] == self.pool), None)
        if found is None:
            raise Misconfigured(f"{self.cluster.conf} leads to a cluster without a pool '{self.pool}'.")
        free, stored = int(found["max_avail"]), int(found["stored"])
        if quota := int(found.get("quota_bytes", 0)):
            free = max(0, min(free, quota - stored))
        if 0 < int(found.get("quota_objects", 0)) <= int(found["objects"]):
            free = 0
        return stored + free, free

    async def monitors(self) -> tuple[str, ...]:
        """The monitors' addresses, each ``ip:port``, as every client understands them."""
        told = json.loads(await self._ceph("mon", "dump"))
        return tuple(sorted(it["addr"].partition("/")[0] for it in told["mons"]))

    async def _told(self, *argv: str) -> Any:
        async with self._looks:
            return json.loads(await self._run("rbd", *argv, "--format", "json", seconds=LOOK_SECONDS))

    async def _ceph(self, *argv: str) -> str:
        return await self._run("ceph", *argv, "--format", "json", seconds=LOOK_SECONDS)

    async def _take_space(self, *argv: str, seconds: float = CHANGE_SECONDS) -> None:
        """A change that waits for space in a full pool, for ever if it is let. Raises ``TryAnotherBackend``."""
        changing = asyncio.ensure_future(self._change(*argv, seconds=seconds))
        try:
            await asyncio.wait({changing}, timeout=SLOW_SECONDS)
            if not changing.done() and not (await self.space())[1]:
                raise TryAnotherBackend("The pool is full.", f"Pool '{self.pool}'.")
            await changing
        finally:
            changing.cancel()
            await asyncio.wait({changing})

    async def _change(self, *argv: str, seconds: float = CHANGE_SECONDS) -> None:
        async with self._changes:
            await self._run("rbd", *argv, seconds=seconds)

    async def _run(self, command: str, *argv: str, seconds: float, stdin: bytes | None = None) -> str:
        patience = "--connect-timeout" if command == "ceph" else "--client-mount-timeout"
        words = (command, *self.cluster.words, patience, str(_CONNECT_SECONDS), *argv)
        try:
            return await run(*words, timeout=seconds, stdin=stdin, env={"CEPH_ARGS": ""}, public=True)
        except CommandTimedOut:
            raise Retryable(
                f"The storage did not answer within {seconds:g} seconds.",
                f"It was asked '{command} {argv[0]}': 'ceph health detail' tells what the cluster lacks.",
            ) from None
        except CommandFailed as failed:
            raise self._explained(failed, argv) from failed

    def _explained(self, failed: CommandFailed, argv: tuple[str, ...]) -> Exception:
        """What an exit code, which is an errno, means."""
        said = failed.stderr.strip().rpartition("\n")[2][-200:]
        match int(codes[-1]) if (codes := _ERRNO.findall(failed.stderr)) else failed.code:
            case _ if "unable to open config file" in said:
                return Misconfigured(f"{self.cluster.conf}, Ceph's configuration, cannot be read.")
            case errno.ENOENT if "opening pool" in failed.stderr:
                return TryAnotherBackend(
                    "The pool is not there.", f"Pool '{self.pool}' of {self.cluster.conf}."
                )
            case errno.ENOENT:
                return NotFound("Image", argv[-1])
            case errno.EEXIST:
                return IsThere(said)
            case errno.EBUSY:
                return InUse("The image is in use.", f"Pool '{self.pool}': {said}")
            case errno.ENOTEMPTY:
                return HasClones(said)
            case errno.ENOSPC | errno.EDQUOT:
                return TryAnotherBackend("The pool is full.", f"Pool '{self.pool}'.")
            case errno.EACCES | errno.EPERM:
                return TryAnotherBackend(
                    "The pool cannot be used.",
                    f"client.{self.cluster.user} has no key that the cluster knows, or may not use pool "
                    f"'{self.pool}': 'pumice doctor' tells what it lacks.",
                )
            case errno.ETIMEDOUT:
                return Retryable(f"No monitor of the cluster answered within {_CONNECT_SECONDS} seconds.")
            case _:
                return Retryable("The pool cannot be used for the moment.", f"Pool '{self.pool}': {said}")


def _image(told: dict[str, Any]) -> Image:
    above = told.get("parent")
    parent = Parent(above["pool"], above["image"], above["id"]) if above else None
    return Image(told["name"], told["id"], told["size"], parent)
