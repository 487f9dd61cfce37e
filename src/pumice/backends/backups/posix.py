"""Objects as files below one directory, which may be a mount of NFS: ``PATH/CONTAINER/NAME``.

A file is written under another name and renamed: whoever sees its name sees all of it. A power cut may take
what was not settled, or a part of it. A container is the directories of its name; Cinder's own are ``ab/cd/ID``
for the backup ``abcd…``.
"""

import errno
import os
import secrets
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pumice.host.durable import sync
from pumice.model.errors import Invalid, Misconfigured, NotFound, Retryable, TryAnotherBackend

_FULL = {errno.ENOSPC, errno.EDQUOT}


class PosixObjects:
    """``directory`` must be there: it is never made, so that a mount that is missing is not written into."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()

    def put(self, container: str, name: str, data: bytes) -> None:
        """See ``Objects``."""
        with self._explained():
            self.look()
            folder = self._folder(container)
            folder.mkdir(mode=0o770, parents=True, exist_ok=True)
            part = folder / f".{self._plain(name).lstrip('.')}.{secrets.token_hex(4)}.part"
            try:
                with part.open("xb") as file:
                    os.fchmod(file.fileno(), 0o660)
                    file.write(data)
                part.replace(folder / name)
            except BaseException:
                part.unlink(missing_ok=True)
                raise

    def settle(self, container: str, names: Sequence[str]) -> None:
        """See ``Objects``."""
        with self._explained():
            folder = self._folder(container)
            for name in names:
                sync(folder / self._plain(name))
            while folder != self.directory:
                sync(folder)
                folder = folder.parent

    def get(self, container: str, name: str) -> bytes:
        """See ``Objects``."""
        with self._explained():
            try:
                return (self._folder(container) / self._plain(name)).read_bytes()
            except FileNotFoundError:
                self.look()
                raise NotFound("Object", name) from None

    def names(self, container: str, prefix: str) -> Sequence[str]:
        """See ``Objects``."""
        with self._explained():
            self.look()
            try:
                there = os.listdir(self._folder(container))
            except (FileNotFoundError, NotADirectoryError):
                return []
            return sorted(name for name in there if name.startswith(prefix))

    def remove(self, container: str, names: Sequence[str]) -> None:
        """See ``Objects``."""
        with self._explained():
            folder = self._folder(container)
            for name in names:
                (folder / name).unlink(missing_ok=True)
            if folder.is_dir():
                sync(folder)
            while folder != self.directory:
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    pass
                except OSError:  # there is more in it
                    return
                folder = folder.parent

    def every(self, containers: Collection[str]) -> Iterator[tuple[str, str]]:  # noqa: ARG002 - all are below
        """See ``Objects``."""
        with self._explained():
            self.look()
            for folder, _, files in os.walk(self.directory):
                container = str(Path(folder).relative_to(self.directory))
                for name in files:
                    yield container, name

    def look(self) -> None:
        """See ``Objects``."""
        if not os.access(self.directory, os.R_OK | os.W_OK | os.X_OK):
            raise Misconfigured(
                f"Backups cannot be kept in {self.directory}: there is no such directory, or it may not be "
                "written to. Make it, or mount what it is to be."
            )

    def _folder(self, container: str) -> Path:
        """The container's directory, which is always below ours."""
        parts = container.split("/")
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise Invalid(f"Invalid input received: {container[:100]!r} cannot be a container.")
        return self.directory.joinpath(*parts)

    def _plain(self, name: str) -> str:
        """The name of an object, which is never a path: those that the driver s3 gives are."""
        if "/" in name or "\0" in name:
            raise Invalid(f"Invalid input received: {name[:100]!r} is not how objects are named here.")
        return name

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                raise TryAnotherBackend("The store of backups is full.", f"It is {self.directory}.") from error
            if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
                raise Misconfigured(
                    f"The store of backups, {self.directory}, cannot be written to: {error.strerror}."
                ) from error
            raise Retryable(
                "The store of backups cannot be used at the moment.", f"{self.directory}: {error.strerror}."
            ) from error
