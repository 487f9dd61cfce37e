"""The console's built files, as they are sent: read once, compressed when they were built.

Vite writes them to ``src/pumice/console``, which the wheel carries and the repository does not: ``index.html``,
``favicon.svg`` and, below ``assets/``, files whose names say what is in them; each with a ``.br`` and a ``.gz``
beside it.
"""

import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pumice

BUILT = Path(pumice.__file__).parent / "console"
PAGE = "index.html"
ENCODINGS = {"br": ".br", "gzip": ".gz"}
"""What a file may be sent as beside itself, the smallest first, by its suffix."""
_TYPES = {".js": "text/javascript; charset=utf-8", ".woff2": "font/woff2"}
"""What differs from machine to machine in the tables of the system."""


@dataclass(frozen=True, slots=True)
class File:
    """A file: its bytes as they are and compressed, by the name of the encoding (RFC 9110, 8.4.1)."""

    kind: str
    etag: str
    plain: bytes
    encoded: Mapping[str, bytes]
    immutable: bool
    """Whether its name changes with its content."""


def read(directory: Path = BUILT) -> dict[str, File]:
    """The files by their paths below ``directory``; none where the console was not built."""
    if not (directory / PAGE).is_file():
        return {}
    ours = tuple(ENCODINGS.values())
    paths = [path for path in directory.rglob("*") if path.is_file() and not path.name.endswith(ours)]
    return {path.relative_to(directory).as_posix(): _read(path, directory) for path in paths}


def _read(path: Path, directory: Path) -> File:
    plain = path.read_bytes()
    beside = {name: path.with_name(path.name + suffix) for name, suffix in ENCODINGS.items()}
    return File(
        kind=_TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        etag=f'"{hashlib.sha256(plain).hexdigest()[:16]}"',
        plain=plain,
        encoded={name: it.read_bytes() for name, it in beside.items() if it.is_file()},
        immutable=path.parent == directory / "assets",
    )
