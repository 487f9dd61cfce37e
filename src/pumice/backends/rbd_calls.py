"""The calls of librados and librbd, one after the other, in a process that is killed when one does not end.

A program of its own, for the Python that Debian's bindings are of, whatever runs Pumice; it imports nothing of
ours. ``rbd_images.py`` asks it: a line ``[call, {arguments}]`` is answered by ``{"found": …}``, or by the errno
of what went wrong, where, and what was said::

    python3 -I rbd_calls.py CONF USER KEYRING CONNECT_SECONDS IDLE_SECONDS
"""

import collections
import errno
import json
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Arguments = dict[str, Any]
_MOST_OF_A_NAME = 1000
"""How many images' names may begin as one's: itself, and what calls for it that were cut short have left."""

_PIECE = 4 << 20
"""The bytes of one write: an object of an image that is made by default."""
_AT_ONCE = 8


class WentWrong(Exception):
    """``where``: of the host's own parts, at the cluster, in a pool, or in a call."""

    def __init__(self, where: str, error: Exception) -> None:
        super().__init__(str(error))
        self.where = where
        self.errno = getattr(error, "errno", None) or 0


@contextmanager
def _in(where: str) -> Iterator[None]:
    try:
        yield
    except WentWrong:
        raise
    except Exception as error:  # whatever the bindings, or their absence, raise
        raise WentWrong(where, error) from error


class Calls:
    """What can be asked: each method without an underscore, by its name."""

    def __init__(self, conf: str, user: str, keyring: str, connect_seconds: str) -> None:
        self._options = {
            "keyring": keyring,
            "client_mount_timeout": connect_seconds,
            "rados_mon_op_timeout": connect_seconds,
            "rbd_default_clone_format": "2",
        }
        self._conf, self._user, self._cluster = conf, user, None

    # --- the cluster ---

    def ask_monitors(self, prefix: str, **words: str) -> Any:
        """What ``ceph PREFIX`` says."""
        command = json.dumps({"prefix": prefix, "format": "json", **words})
        code, said, why = self._connected().mon_command(command, b"")
        if code:
            raise OSError(-code, why)
        return json.loads(said)

    def fsid(self) -> str:
        """The cluster's own id, which no other has."""
        return str(self._connected().get_fsid())

    def read(self, pool: str, name: str) -> str:
        """What is in an object."""
        with self._pool(pool) as io:
            return str(io.read(name).decode())

    def write(self, pool: str, name: str, text: str) -> None:
        """Have this, and nothing else, in an object."""
        with self._pool(pool) as io:
            io.write_full(name, text.encode())

    # --- looks at images ---

    def names(self, pool: str) -> list[str]:
        """Every image that is not in the trash."""
        with self._pool(pool) as io:
            return list(self._rbd.RBD().list(io))

    def names_from(self, pool: str, start: str) -> list[str]:
        """Every such image whose name begins so: as many others as there may be, they cost nothing."""
        with self._pool(pool) as io, self._rados.ReadOpCtx() as reading:
            found, _ = io.get_omap_vals(reading, "", f"name_{start}", _MOST_OF_A_NAME)
            try:
                io.operate_read_op(reading, "rbd_directory")
            except self._rados.ObjectNotFound:  # nothing was ever made here
                return []
            return [key.removeprefix("name_") for key, _ in found]

    def image(self, pool: str, name: str | None = None, image_id: str | None = None) -> Arguments:
        """An image by its name or id."""
        with self._opened(pool, name, image_id, read_only=True) as image:
            found = {"name": image.get_name(), "id": image.id(), "size": image.size(), "parent": None}
            try:
                above = image.get_parent_image_spec()
            except self._rbd.ImageNotFound:
                return found
            return found | {"parent": [above["pool_name"], above["image_name"], image.parent_id()]}

    def depth(self, pool: str, image_id: str, most: int) -> int:
        """How many images, one after the other, an image is a clone of; ``most`` if there are more."""
        for depth in range(most):
            with self._opened(pool, None, image_id, read_only=True) as image:
                try:
                    pool = image.get_parent_image_spec()["pool_name"]
                except self._rbd.ImageNotFound:
                    return depth
                image_id = image.parent_id()
        return most

    def trash(self, pool: str) -> list[tuple[str, str]]:
        """Name and id of everything in the trash."""
        with self._pool(pool) as io:
            return [(it["name"], it["id"]) for it in self._rbd.RBD().trash_list(io)]

    # --- changes of images ---

    def create(self, pool: str, name: str, size: int) -> None:
        """An image of ``size`` bytes."""
        with self._pool(pool) as io:
            self._rbd.RBD().create(io, name, size, old_format=False)

    def snap(self, pool: str, name: str, snapshot: str) -> None:
        """Keep what an image holds now."""
        with self._opened(pool, name) as image:
            image.create_snap(snapshot)

    def protect_snap(self, pool: str, name: str, snapshot: str) -> None:
        """Let nobody remove a snapshot, as clients that know clones of the first kind alone ask for."""
        with self._opened(pool, name) as image:
            if not image.is_protected_snap(snapshot):
                image.protect_snap(snapshot)

    def fill(self, pool: str, name: str, path: str) -> None:
        """Write the bytes of a file into an empty image, some pieces at once; holes stay holes."""
        with self._opened(pool, name) as image, open(path, "rb", buffering=0) as file:
            written: collections.deque[Any] = collections.deque()
            for at, length in _extents(file.fileno()):
                file.seek(at)
                piece = file.read(length)
                if len(written) == _AT_ONCE:
                    _ended(written.popleft())
                written.append(image.aio_write(piece, at, lambda _: None))
            while written:
                _ended(written.popleft())
            image.flush()

    def drop_snap(self, pool: str, name: str, snapshot: str) -> None:
        """Remove a snapshot, also in a full pool."""
        with self._opened(pool, name, full_too=True) as image:
            image.remove_snap(snapshot)

    def clone(self, pool: str, name: str, snapshot: str, to_pool: str, copy: str) -> None:
        """An image that begins with what a snapshot keeps."""
        with self._pool(pool) as io, self._pool(to_pool) as to:
            self._rbd.RBD().clone(io, name, snapshot, to, copy)

    def flatten(self, pool: str, name: str, seconds: float) -> float:
        """Have an image hold more by itself; how much of all it does then, and 1.0 if it is nobody's clone.

        Ends after about ``seconds``, unless who has the image's lock does it in our place. What an object holds
        already is not copied again.
        """
        until, done = time.monotonic() + seconds, 0.0

        def go_on(objects: int, total: int) -> int:
            nonlocal done
            done = (objects + 1) / max(total, 1)
            return -errno.ECANCELED if time.monotonic() > until else 0

        with self._opened(pool, name) as image:
            try:
                image.get_parent_image_spec()
            except self._rbd.ImageNotFound:
                return 1.0
            try:
                image.flatten(on_progress=go_on)
            except self._rbd.OperationCanceled:
                return min(done, 0.999)
            return 1.0

    def resize(self, pool: str, name: str, size: int, may_cut: bool) -> None:
        """Give an image ``size`` bytes."""
        with self._opened(pool, name) as image:
            if image.size() > size and not may_cut:
                raise OSError(errno.EINVAL, "the image is larger")
            image.resize(size, may_cut)

    def rename(self, pool: str, name: str, new: str) -> None:
        """Rename an image."""
        with self._pool(pool) as io:
            self._rbd.RBD().rename(io, name, new)

    def remove(self, pool: str, name: str) -> None:
        """Free an image, also in a full pool."""
        with self._pool(pool, full_too=True) as io:
            self._rbd.RBD().remove(io, name)

    def discard(self, pool: str, name: str) -> None:
        """Put an image into the trash."""
        with self._pool(pool, full_too=True) as io:
            self._rbd.RBD().trash_move(io, name)

    def remove_from_trash(self, pool: str, image_id: str) -> None:
        """Free an image that is in the trash, also in a full pool."""
        with self._pool(pool, full_too=True) as io:
            self._rbd.RBD().trash_remove(io, image_id)

    def purge_snaps(self, pool: str, image_id: str) -> bool:
        """Remove the snapshots that people have named, also protected ones; whether there are any."""
        with self._opened(pool, None, image_id, full_too=True) as image:
            named = self._rbd.RBD_SNAP_NAMESPACE_TYPE_USER
            snaps = [it["name"] for it in image.list_snaps() if it["namespace"] == named]
            for snap in snaps:
                if image.is_protected_snap(snap):
                    image.unprotect_snap(snap)
            for snap in snaps:
                image.remove_snap(snap)
            return bool(snaps)

    # --- the connection ---

    @property
    def _rados(self) -> Any:
        import rados

        return rados

    @property
    def _rbd(self) -> Any:
        import rbd

        return rbd

    def _connected(self) -> Any:
        if self._cluster is None:
            with _in("host"):
                import rados
                import rbd  # noqa: F401

                cluster = rados.Rados(conffile=self._conf, rados_id=self._user, conf=self._options)
            with _in("cluster"):
                cluster.connect()
            self._cluster = cluster
        return self._cluster

    @contextmanager
    def _pool(self, pool: str, *, full_too: bool = False) -> Iterator[Any]:
        connected = self._connected()
        with _in("pool"):
            io = connected.open_ioctx(pool)
        with io:
            if full_too:
                io.set_osdmap_full_try()
            yield io

    @contextmanager
    def _opened(
        self,
        pool: str,
        name: str | None,
        image_id: str | None = None,
        *,
        read_only: bool = False,
        full_too: bool = False,
    ) -> Iterator[Any]:
        with (
            self._pool(pool, full_too=full_too) as io,
            self._rbd.Image(io, name, image_id=image_id, read_only=read_only) as image,
        ):
            yield image


def _extents(file: int) -> Iterator[tuple[int, int]]:
    """Where a file has bytes, in pieces."""
    at, end = 0, os.fstat(file).st_size
    while at < end:
        try:
            at = os.lseek(file, at, os.SEEK_DATA)
        except OSError:  # nothing but a hole is left
            return
        until = os.lseek(file, at, os.SEEK_HOLE)
        while at < until:
            length = min(_PIECE - at % _PIECE, until - at)
            yield at, length
            at += length


def _ended(writing: Any) -> None:
    """Wait for the end of a write, and raise what became of it."""
    writing.wait_for_complete_and_cb()
    if (code := writing.get_return_value()) < 0:
        raise OSError(-code, os.strerror(-code))


def answer(calls: Any, line: bytes) -> Arguments:
    """What is told to a question."""
    call, arguments = json.loads(line)
    work: Callable[..., Any] = getattr(calls, call)
    try:
        with _in("call"):
            return {"found": work(**arguments)}
    except WentWrong as wrong:
        return {"errno": wrong.errno, "where": wrong.where, "said": str(wrong)}


def serve(calls: Any, idle_seconds: float) -> None:
    """Answer until nobody asks any more."""
    connection = socket.socket(fileno=0)
    with connection, connection.makefile("rwb") as lines:
        while select.select([connection], [], [], idle_seconds)[0] and (line := lines.readline()):
            lines.write(json.dumps(answer(calls, line)).encode() + b"\n")
            lines.flush()


if __name__ == "__main__":
    serve(Calls(*sys.argv[1:5]), float(sys.argv[5]))
