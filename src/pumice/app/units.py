"""``pumice service install`` and ``remove``: units for systemd that run this very installation of Pumice.

The units come with the package. They are told where the command is, and written where an administrator's own
units lie, with the account and the directories that they need.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pumice
from pumice.app.roles import EVERY, Role
from pumice.model.errors import Invalid, Misconfigured

PLACES = {"service": "etc/systemd/system", "sysusers": "etc/sysusers.d", "tmpfiles": "etc/tmpfiles.d"}
_PACKAGED = "/usr/bin/pumice"
"""The command's path as the units have it."""
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 (not written to)
"""What a unit with ProtectHome and PrivateTmp does not see."""


def install(root: Path) -> list[Path]:
    """Write the units below ``root``, and let a running systemd know. Returns the files.

    Raises ``Misconfigured`` when the units could not start the command from where it is.
    """
    command = _command()
    if command.startswith(tuple(f"{place}/" for place in _HIDDEN)):
        raise Misconfigured(
            f"Services do not see {command}: home and temporary directories are hidden from them. Install it "
            "elsewhere, as in: python3 -m venv /opt/pumice && /opt/pumice/bin/pip install pumice"
        )
    written = []
    for source, target in _files(root):
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        target.write_text(source.read_text().replace(_PACKAGED, command))
        target.chmod(0o644)
        written.append(target)
    if root == Path("/"):
        _tell_systemd(("systemd-sysusers",), ("systemd-tmpfiles", "--create"), ("systemctl", "daemon-reload"))
    return written


def remove(root: Path) -> list[Path]:
    """Stop the services and remove what ``install`` wrote; state, settings and the account stay. The files."""
    units = [target.name for _, target in _files(root) if target.suffix == ".service" and target.exists()]
    if root == Path("/") and units:
        _tell_systemd(("systemctl", "disable", "--now", *units))
    removed = []
    for _, target in _files(root):
        if target.exists():
            target.unlink()
            removed.append(target)
    with suppress(OSError):  # it holds others' files, or is not there
        (root / PLACES["sysusers"]).rmdir()  # Debian has none
    if root == Path("/"):
        _tell_systemd(("systemctl", "daemon-reload"))
    return removed


def enabled(root: Path = Path("/")) -> frozenset[Role]:
    """The roles that this machine starts by itself; all of them where that is one process."""
    wanted = root / PLACES["service"] / "multi-user.target.wants"
    if (wanted / "pumice.service").is_symlink():
        return EVERY
    return frozenset(role for role in Role if (wanted / f"pumice-{role}.service").is_symlink())


def _files(root: Path) -> Iterator[tuple[Path, Path]]:
    """Each unit file of the package, and where it belongs."""
    for source in sorted(_packaged().iterdir()):
        place = PLACES[source.suffix.removeprefix(".")]
        name = source.name if source.suffix == ".service" else f"{source.stem}.conf"
        yield source, root / place / name


def _packaged() -> Path:
    """The directory of the units: in the package, or beside it in a checkout."""
    package = Path(pumice.__file__).parent
    places = (package / "systemd", package.parents[1] / "packaging" / "systemd")
    if found := next((place for place in places if place.is_dir()), None):
        return found
    raise Invalid("This installation of Pumice has no units for systemd.")


def _command() -> str:
    """The absolute path of the command ``pumice`` that belongs to this Python."""
    beside = Path(sys.executable).parent / "pumice"
    return str(beside) if beside.exists() else shutil.which("pumice") or _PACKAGED


def _tell_systemd(*commands: tuple[str, ...]) -> None:
    """Run commands where systemd runs the machine. Raises ``Misconfigured`` with what one of them said."""
    if not Path("/run/systemd/system").is_dir():
        return
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            raise Misconfigured(f"'{' '.join(command)}' failed: {done.stderr.strip()[-300:]}")
