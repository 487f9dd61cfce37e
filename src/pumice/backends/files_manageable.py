"""Files in a pool's own directory, beside its shelves: raw disks that somebody put there, volumes let go of.

    <pool>/<name>  ──adopt──▶  <pool>/volumes/<id>  ──release──▶  <pool>/<name>      (snapshots likewise)

Runs in threads. A name is an administrator's word and must stay one: never a path, never a link, nothing that
begins with a dot.
"""

import os
import stat
from pathlib import Path

from pumice.backends import files_parts
from pumice.backends.contract import Manageable
from pumice.host.durable import sync
from pumice.model.errors import Conflict, Invalid, NotFound
from pumice.model.units import GIB, gib_to_hold


def every(pool: Path) -> list[Manageable]:
    """The files that may be adopted, by name."""
    found = []
    for entry in sorted(os.scandir(pool), key=lambda entry: entry.name):
        if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
            size = entry.stat(follow_symlinks=False).st_size
            found.append(Manageable(entry.name, size, None if size else "It is empty."))
    return found


def adopt(path: Path, pool: Path, name: str) -> int:
    """Make the file ``name`` the one at ``path``, grown to whole GiB. Its size in GiB, each time."""
    if not path.exists():
        theirs = _path(pool, name)
        try:
            about = theirs.lstat()
        except FileNotFoundError:
            raise NotFound("File", name) from None
        if not stat.S_ISREG(about.st_mode) or about.st_size == 0:
            raise Invalid(f"'{name}' is not a file that could be a volume.")
        os.truncate(theirs, gib_to_hold(about.st_size) * GIB)
        os.chmod(theirs, 0o600)
        theirs.rename(path)
        sync(path.parent)
        sync(pool)
    return path.stat().st_size // GIB


def release(path: Path, pool: Path, name: str) -> None:
    """Make the file at ``path`` the file ``name``. Raises ``Conflict`` when there is another."""
    theirs = _path(pool, name)
    if not path.exists():
        return
    try:
        os.link(path, theirs)  # unlike a rename, it spares what bears the name
    except FileExistsError:
        if not theirs.samefile(path):
            raise Conflict(f"There is another '{name}' in the pool.") from None
    path.unlink()
    sync(path.parent)
    sync(pool)


def release_parts(path: Path, pool: Path, name: str) -> None:
    """What calls for ``path`` that were cut short left is manageable by names that begin with ``name``."""
    for part in files_parts.left_anywhere(path):
        part.rename(_path(pool, f"{name}{part.name.removeprefix(f'.{path.name}')}"))
    sync(path.parent)
    sync(pool)


def take_back(path: Path, pool: Path, name: str) -> None:
    """Make the file ``name`` the one at ``path``, as it is, unless that is there."""
    if not path.exists():
        try:
            _path(pool, name).rename(path)
        except FileNotFoundError:
            raise NotFound("File", name) from None
        sync(path.parent)
        sync(pool)


def give_up(pool: Path, name: str) -> None:
    """Remove the file ``name``."""
    _path(pool, name).unlink(missing_ok=True)
    sync(pool)


def _path(pool: Path, name: str) -> Path:
    if not name or name.startswith(".") or "/" in name or "\0" in name:
        raise Invalid(f"{name!r} is not the name of a file in the pool.")
    return pool / name
