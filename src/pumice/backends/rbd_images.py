"""The images of one pool of Ceph, through librbd in children that stand by (``rbd_calls.py``).

* **A cluster that does not answer costs one child**, which is killed at its limit, whatever it waits for.
* **What is asked is looked up anew**: others may change it at any time.
* **Nothing secret is told to a child**: it reads the user's keyring by itself.

Snapshots and clones are of the second kind (clone v2): a snapshot that is removed while it has clones goes to a
trash of its own, and from there with the last of them.
"""

import asyncio
import errno
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pumice.host.command import CommandFailed, CommandTimedOut
from pumice.host.standby import Standby
from pumice.model.errors import Misconfigured, NotFound, Retryable, TryAnotherBackend

LOOK_SECONDS = 20.0
CHANGE_SECONDS = 90.0
"""A client that died holding an image's lock is waited for: its watch ends after 30 s."""
COPY_SECONDS = 3600.0
PATIENCE_SECONDS = 3.0
"""How much longer than it was told a call may take that should end by itself, when nobody wants it any more."""
SLOW_SECONDS = 10.0
"""Who takes longer may be waiting for space."""
CHANGES_AT_ONCE, LOOKS_AT_ONCE = 8, 3
"""Calls at a time, of each pool, each in a child of its own. A start costs 0.2 s of a core; a look takes ms."""
PYTHON = "/usr/bin/python3"
"""The system's, of which Debian's bindings are (python3-rbd, which comes with ceph-common)."""
PROGRAM = Path(__file__).with_name("rbd_calls.py")
_CONNECT_SECONDS = 10
_MARK = "pumice-mark"
_ORDINARY = frozenset({errno.ENOENT, errno.EEXIST, errno.EBUSY, errno.ENOTEMPTY, errno.EINVAL})
"""What a child says and is none the worse for; after any other trouble the next call meets the cluster anew."""


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
    program: Path = PROGRAM
    """What speaks to it."""

    def standby(self) -> Standby:
        """Children that speak to it."""
        who = (self.conf, self.user, self.keyring)
        return Standby(PYTHON, "-I", self.program, *who, str(_CONNECT_SECONDS), env={"CEPH_ARGS": ""})


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
    """An image or snapshot of that name is there."""


class PoolFull(TryAnotherBackend):
    """No space is left in the pool, or its quota is used up."""

    def __init__(self, pool: str) -> None:
        super().__init__("The pool is full.", f"Pool '{pool}'.")


class NoAnswer(Retryable):
    """The one sentence for a cluster that is away, whoever asked it and however long."""

    def __init__(self, cluster: Cluster, asked: str, seconds: float) -> None:
        super().__init__(
            "The storage's cluster does not answer.",
            f"It was asked '{asked}' for {seconds:g} seconds: 'ceph --conf {cluster.conf} health detail' tells "
            "whether its monitors are there, and which OSDs are not.",
        )


class RbdImages:
    """The images of ``pool``, as the cluster calls it. Those of several pools may share their children."""

    def __init__(self, cluster: Cluster, pool: str, children: Standby | None = None) -> None:
        self.cluster = cluster
        self.pool = pool
        self._children = children or cluster.standby()
        self._changes = asyncio.Semaphore(CHANGES_AT_ONCE)
        self._looks = asyncio.Semaphore(LOOKS_AT_ONCE)

    def in_pool(self, pool: str) -> "RbdImages":
        """The images of another pool of the same cluster, asked by the same children."""
        return RbdImages(self.cluster, pool, self._children)

    def spec(self, name: str) -> str:
        """An image as Ceph's people write it."""
        return f"{self.pool}/{name}"

    async def names(self) -> frozenset[str]:
        """Every image that is not in the trash."""
        return frozenset(await self._look("names"))

    async def names_from(self, start: str) -> frozenset[str]:
        """The images whose names begin so, however many others there are."""
        return frozenset(await self._look("names_from", start=start))

    async def image(self, name: str) -> Image:
        """Raises ``NotFound``."""
        return _image(await self._look("image", name=name))

    async def image_of_id(self, image_id: str) -> Image:
        """The image, also in the trash: an id stays what it is. Raises ``NotFound``."""
        return _image(await self._look("image", image_id=image_id))

    async def depth(self, image_id: str, most: int) -> int:
        """How many images, one after the other, an image is a clone of; ``most`` if there are more."""
        return int(await self._look("depth", image_id=image_id, most=most))

    async def trash(self) -> list[tuple[str, str]]:
        """Name and id of everything in the trash, also of what a removal that was cut short has put there."""
        return [(name, image_id) for name, image_id in await self._look("trash")]

    async def create(self, name: str, size: int) -> None:
        """An image of ``size`` bytes that reads as zeroes."""
        await self._take_space("create", name=name, size=size)

    async def snap(self, name: str, snapshot: str) -> None:
        """Keep what an image holds now. Raises ``IsThere``, ``NotFound``."""
        await self._take_space("snap", name=name, snapshot=snapshot)

    async def protect_snap(self, name: str, snapshot: str) -> None:
        """Let nobody remove a snapshot; one that is protected stays so. Raises ``NotFound``."""
        await self._change("protect_snap", name=name, snapshot=snapshot)

    async def fill(self, name: str, file: Path) -> None:
        """Write a file of this host into an empty image that is as large. Raises ``TryAnotherBackend``."""
        await self._take_space("fill", COPY_SECONDS, name=name, path=str(file))

    async def drop_snap(self, name: str, snapshot: str) -> None:
        """Remove a snapshot; its clones keep what they need of it. None of that name is fine."""
        with suppress(NotFound):
            await self._change("drop_snap", name=name, snapshot=snapshot)

    async def clone(self, name: str, snapshot: str, to: "RbdImages", copy: str) -> None:
        """An image that begins with what a snapshot keeps, and shares it."""
        await to._take_space("clone", pool=self.pool, name=name, snapshot=snapshot, to_pool=to.pool, copy=copy)

    async def flatten(self, name: str, seconds: float) -> float:
        """Have an image hold more by itself, for about ``seconds``; how much of all it does, 1.0 at the end.

        Whoever has it open may go on: who has its lock does it then, and takes as long as it takes.
        Raises ``NotFound``.
        """
        limit = seconds + COPY_SECONDS
        working = asyncio.ensure_future(self._take_space("flatten", limit, name=name, seconds=seconds))
        try:
            return float(await asyncio.shield(working))
        except (
            asyncio.CancelledError
        ):  # it ends by itself: of who is killed the cluster keeps the lock for a while
            await asyncio.wait({working}, timeout=seconds + PATIENCE_SECONDS)
            raise
        finally:
            working.cancel()
            await asyncio.wait({working})

    async def resize(self, name: str, size: int, *, may_cut: bool = False) -> None:
        """Give an image ``size`` bytes. A larger one raises ``Retryable``, unless it ``may_cut`` it."""
        await self._take_space("resize", name=name, size=size, may_cut=may_cut)

    async def rename(self, name: str, new: str) -> None:
        """Rename an image, whoever has it open. Raises ``IsThere``, ``NotFound``."""
        await self._take_space("rename", name=name, new=new)

    async def remove(self, name: str) -> None:
        """Free an image, also in a full pool. Raises ``HasClones``, ``InUse``, ``NotFound``."""
        await self._change("remove", COPY_SECONDS, name=name)

    async def discard(self, name: str) -> None:
        """Put an image into the trash. Raises ``InUse``, ``NotFound``."""
        await self._change("discard", name=name)

    async def remove_from_trash(self, image_id: str) -> None:
        """Free an image that is in the trash. Raises ``HasClones``, ``NotFound``."""
        try:
            await self._change("remove_from_trash", COPY_SECONDS, image_id=image_id)
        except HasClones:
            # Snapshots that were not removed stand in the way as clones do; others may have protected theirs.
            if not await self._purge_snaps(image_id):
                raise
            await self._change("remove_from_trash", COPY_SECONDS, image_id=image_id)

    async def _purge_snaps(self, image_id: str) -> bool:
        """Remove snapshots of others. Raises ``HasClones``: those of the first kind need their protection."""
        try:
            return bool(await self._change("purge_snaps", image_id=image_id))
        except InUse as error:
            raise HasClones(str(error), error.detail) from None

    async def read_mark(self) -> str | None:
        """What is written in the pool about whose it is."""
        try:
            return str(await self._look("read", name=_MARK))
        except NotFound:
            return None

    async def write_mark(self, text: str) -> None:
        """Write down whose the pool is."""
        await self._change("write", name=_MARK, text=text)

    async def space(self) -> tuple[int, int]:
        """See ``space_in``."""
        return self.space_in(await self.usage())

    async def usage(self) -> Any:
        """What the cluster says of all its pools."""
        return await self._asked("ask_monitors", LOOK_SECONDS, prefix="df", detail="detail")

    def space_in(self, usage: Any) -> tuple[int, int]:
        """Bytes that the pool could hold, and those that may still be written, as the cluster reckons.

        What replicas cost, when an OSD counts as full, and the pool's quota are taken into account.
        """
        found = next((it["stats"] for it in usage["pools"] if it["name"] == self.pool), None)
        if found is None:
            raise Misconfigured(f"{self.cluster.conf} leads to a cluster without a pool '{self.pool}'.")
        free, stored = int(found["max_avail"]), int(found["stored"])
        if quota := int(found.get("quota_bytes", 0)):
            free = max(0, min(free, quota - stored))
        if 0 < int(found.get("quota_objects", 0)) <= int(found["objects"]):
            free = 0
        return stored + free, free

    async def fsid(self) -> str:
        """The cluster's own id: two of one name are told apart by it."""
        return str(await self._asked("fsid", LOOK_SECONDS))

    async def monitors(self) -> tuple[str, ...]:
        """The monitors' addresses, each ``ip:port``, as every client understands them."""
        told = await self._asked("ask_monitors", LOOK_SECONDS, prefix="mon dump")
        return tuple(sorted(it["addr"].partition("/")[0] for it in told["mons"]))

    async def _look(self, call: str, **arguments: Any) -> Any:
        async with self._looks:
            return await self._asked(call, LOOK_SECONDS, pool=self.pool, **arguments)

    async def _take_space(self, call: str, limit: float = CHANGE_SECONDS, **arguments: Any) -> Any:
        """A change that waits for space in a full pool, for ever if it is let. Raises ``TryAnotherBackend``."""
        changing = asyncio.ensure_future(self._change(call, limit, **arguments))
        try:
            await asyncio.wait({changing}, timeout=SLOW_SECONDS)
            if not changing.done() and not (await self.space())[1]:
                raise PoolFull(self.pool)
            return await changing
        finally:
            changing.cancel()
            await asyncio.wait({changing})

    async def _change(self, call: str, limit: float = CHANGE_SECONDS, **arguments: Any) -> Any:
        async with self._changes:
            return await self._asked(call, limit, **{"pool": self.pool, **arguments})

    async def _asked(self, call: str, timeout: float, /, **arguments: Any) -> Any:
        """What a child says. An error that says nothing about its connection leaves it as good as it was."""
        try:
            async with self._children.one(timeout) as child:
                told = json.loads(await child.ask(json.dumps([call, arguments]).encode()))
                if told.get("errno", errno.ENOENT) not in _ORDINARY:
                    raise self._explained(told, arguments)
        except CommandTimedOut:
            raise NoAnswer(self.cluster, call, timeout) from None
        except CommandFailed as failed:
            raise Retryable("The pool cannot be used for the moment.", failed.in_full) from None
        if "errno" in told:
            raise self._explained(told, arguments)
        return told["found"]

    def _explained(self, told: dict[str, Any], arguments: dict[str, Any]) -> Exception:
        """What an errno means."""
        said = str(told["said"])[-200:]
        match told["where"], told["errno"]:
            case "host", _ if not self.cluster.conf.exists():
                return Misconfigured(f"{self.cluster.conf}, Ceph's configuration, cannot be read.")
            case "host", _:
                return Misconfigured("Ceph's libraries cannot be used: 'pumice doctor' tells how.", said)
            case "pool", errno.ENOENT:
                return TryAnotherBackend(
                    "The pool is not there.", f"Pool '{self.pool}' of {self.cluster.conf}."
                )
            case "call", errno.ENOENT:
                subject = arguments.get("name") or arguments.get("image_id") or ""
                return NotFound("Image", self.spec(str(subject)))
            case _, errno.EEXIST:
                return IsThere(said)
            case _, errno.EBUSY:
                return InUse("The image is in use.", f"Pool '{self.pool}': {said}")
            case _, errno.ENOTEMPTY:
                return HasClones(said)
            case _, errno.ENOSPC | errno.EDQUOT:
                return PoolFull(self.pool)
            case _, errno.EACCES | errno.EPERM:
                pools = dict.fromkeys(arguments.get(word, self.pool) for word in ("pool", "to_pool"))
                return TryAnotherBackend(
                    "The pool cannot be used.",
                    f"client.{self.cluster.user} has no key that the cluster knows, or may not use pool "
                    f"{' or '.join(map(repr, pools))}: 'pumice doctor' tells what it lacks.",
                )
            case _, errno.ETIMEDOUT:
                return NoAnswer(self.cluster, "who the monitors are", _CONNECT_SECONDS)
            case _:
                return Retryable("The pool cannot be used for the moment.", f"Pool '{self.pool}': {said}")


def _image(told: dict[str, Any]) -> Image:
    above = told["parent"]
    return Image(told["name"], told["id"], told["size"], Parent(*above) if above else None)
