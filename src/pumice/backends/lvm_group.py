"""A volume group of LVM, by its own commands: reports as JSON, changes one at a time.

* **Nothing else on the host is touched.** Our ``LVM_SYSTEM_DIR`` holds a configuration whose filter accepts the
  group's own disks and no other: not the host's, and not what a tenant wrote into a volume that this host has
  attached. Where two groups have the name, we refuse to choose.
* **One change at a time**, under a lock on a file. Each command that changes something inherits the lock: if
  this process is killed, the command runs to its end and the next process waits for it. LVM is not killed with
  us: it suspends devices, and who dies in between leaves them suspended.
* A change cut short by the machine's own end is LVM's to repair; its metadata is written in one piece.
"""

import asyncio
import fcntl
import json
import os
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pumice.host.command import CommandFailed, run
from pumice.host.thread import in_thread, to_the_end
from pumice.model.errors import Misconfigured, Retryable, TryAnotherBackend

_CONFIGURATION = """\
# Written by Pumice at each start: changes are lost.
devices {{
    global_filter = [ {accepted}"r|.*|" ]
    use_devicesfile = 0
    scan_lvs = 0
    hints = "none"
}}
activation {{
    monitoring = 0 # asking dmeventd costs every command a second look; the pool is put under its watch once
    thin_pool_autoextend_threshold = {threshold}
    thin_pool_autoextend_percent = {percent}
}}
"""

_FULL = re.compile(
    r"insufficient (suitable|free)|not enough free|space in thin pool .* reached|out of (data|metadata) space",
    re.IGNORECASE,
)
_BROKEN = re.compile(r"while PVs are missing|is missing PVs|is exported|read-only", re.IGNORECASE)
_SECONDS = 120.0
_FIELDS = (
    "lv_name,lv_size,origin,pool_lv,lv_layout,lv_active,zero,lv_tags,data_percent,metadata_percent,seg_monitor"
)


@dataclass(frozen=True, slots=True)
class LogicalVolume:
    """One logical volume. Sizes in bytes, percentages of what a thin pool has in use."""

    name: str
    size: int
    origin: str
    pool: str
    """The thin pool that it is in, if it is thin."""
    is_thin_pool: bool
    active: bool
    zeroes: bool
    """Whether a thin pool zeroes new blocks before they are served."""
    tags: frozenset[str]
    data_percent: float
    metadata_percent: float
    monitored: bool


class VolumeGroup:
    """The group ``name``. ``directory`` becomes its ``LVM_SYSTEM_DIR``.

    ``devices`` are the group's disks; found out at the start when none are given. ``autoextend``: at what
    percentage dmeventd extends a thin pool, and by how many.
    """

    def __init__(
        self, name: str, directory: Path, *, devices: Sequence[str] = (), autoextend: tuple[int, int] = (80, 20)
    ) -> None:
        self.name = name
        self.autoextend = autoextend
        self._directory = directory.absolute()
        self._devices = tuple(devices)
        self._turn = asyncio.Lock()
        self._configured = False

    async def configure(self) -> None:
        """Write the configuration. Raises ``Misconfigured`` where there is no such group, or more than one.

        No command runs before: without the filter it would see every disk of the host.
        """
        devices = self._devices or await self._find_devices()
        accepted = "".join(f'"a|^{re.escape(device)}$|", ' for device in devices)
        threshold, percent = self.autoextend
        text = _CONFIGURATION.format(accepted=accepted, threshold=threshold, percent=percent)
        await in_thread(_write, self._directory, text)
        self._configured = True
        await self.space()

    async def space(self) -> tuple[int, int]:
        """Bytes in all, and bytes that no logical volume has."""
        [row] = await self._report("vgs", "vg_size,vg_free", self.name)
        return int(row["vg_size"]), int(row["vg_free"])

    async def tags(self) -> frozenset[str]:
        """The group's own tags."""
        [row] = await self._report("vgs", "vg_tags", self.name)
        return frozenset(row["vg_tags"].split(",")) - {""}

    async def retag(self, new: str, old: Iterable[str]) -> None:
        """Give the group a tag, in place of others."""
        words = [word for tag in old for word in ("--deltag", tag)]
        await self.change("vgchange", "--addtag", new, *words, self.name)

    async def volumes(self, *names: str) -> dict[str, LogicalVolume]:
        """The logical volumes of these ``names`` that exist; without a name, all."""
        chosen = ["-S", " || ".join(f"lv_name={name}" for name in names)] if names else []
        rows = await self._report("lvs", _FIELDS, *chosen, self.name)
        return {row["lv_name"]: _volume(row) for row in rows}

    def device(self, name: str) -> Path:
        """The device of an active volume."""
        return Path("/dev") / self.name / name

    def of(self, name: str) -> str:
        """A volume's name on a command line."""
        return f"{self.name}/{name}"

    async def change(self, *argv: str) -> None:
        """Run a command that changes something: ``lvcreate``, ``lvremove``… Never answers a question.

        Raises ``TryAnotherBackend`` when the group is full or broken, ``Misconfigured`` when it is gone, and
        ``Retryable``.
        """
        if not self._configured:
            await self.configure()
        async with self._lock() as lock:
            await to_the_end(asyncio.ensure_future(self._lvm(*argv, "--yes", "--quiet", lock=lock)))

    async def activate(self, name: str) -> None:
        """Give it a device. A thin snapshot has none; nor has anything, where nobody saw to it at boot."""
        await self.change("lvchange", "--activate", "y", "--ignoreactivationskip", self.of(name))

    async def rename(self, old: str, new: str) -> None:
        """Rename a volume by one write of the metadata, also while it is in use."""
        await self.change("lvrename", self.name, old, new)

    async def remove(self, name: str) -> None:
        """Free a volume. Raises ``Retryable`` while it is in use."""
        await self.change("lvremove", "--force", self.of(name))

    @asynccontextmanager
    async def _lock(self) -> AsyncIterator[int]:
        async with self._turn:
            file = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                async with asyncio.timeout(_SECONDS):
                    while not _locked(file):
                        await asyncio.sleep(0.05)
                yield file
            except TimeoutError:
                raise Retryable(
                    "The volume group is busy with another process's command.", f"'{self.name}'."
                ) from None
            finally:
                os.close(file)

    async def _find_devices(self) -> list[str]:
        """The group's disks as this host's own configuration sees them."""
        fields = ("--reportformat", "json", "-o", "vg_uuid,pv_name", "-S", f"vg_name={self.name}")
        rows = json.loads(await run("pvs", *fields, timeout=_SECONDS))["report"][0]["pv"]
        if not rows:
            raise Misconfigured(
                f"There is no volume group '{self.name}'. Make one (vgcreate {self.name} DISK…), or name "
                "another in 'volume_group'."
            )
        if len({row["vg_uuid"] for row in rows}) > 1:
            raise Misconfigured(
                f"More than one volume group is called '{self.name}': name the disks of the right one in "
                "'devices'."
            )
        return [row["pv_name"] for row in rows]

    async def _report(self, command: str, fields: str, *argv: str) -> list[dict[str, str]]:
        if not self._configured:
            await self.configure()
        words = ("--reportformat", "json", "--units", "b", "--nosuffix", "-o", fields, *argv)
        [report] = json.loads(await self._lvm(command, *words))["report"]
        [rows] = report.values()
        return list(rows)

    async def _lvm(self, *argv: str, lock: int | None = None) -> str:
        env = {"LVM_SYSTEM_DIR": str(self._directory), "LVM_SUPPRESS_FD_WARNINGS": "1"}
        try:
            return await run(
                *argv, timeout=_SECONDS, env=env, outlives_us=True, keep_open=[] if lock is None else [lock]
            )
        except CommandFailed as failed:
            if f'Volume group "{self.name}" not found' in failed.stderr:
                raise Misconfigured(
                    f"There is no volume group '{self.name}' on its disks any more."
                ) from failed
            if _FULL.search(failed.stderr):
                raise TryAnotherBackend("The volume group is full.", f"'{self.name}'.") from failed
            if _BROKEN.search(failed.stderr):
                raise TryAnotherBackend("The volume group cannot be changed.", failed.detail) from failed
            raise


def _volume(row: dict[str, str]) -> LogicalVolume:
    return LogicalVolume(
        name=row["lv_name"],
        size=int(row["lv_size"]),
        origin=row["origin"],
        pool=row["pool_lv"],
        is_thin_pool="pool" in row["lv_layout"].split(","),
        active=row["lv_active"] == "active",
        zeroes=row["zero"] == "zero",
        tags=frozenset(row["lv_tags"].split(",")) - {""},
        data_percent=float(row["data_percent"] or 0),
        metadata_percent=float(row["metadata_percent"] or 0),
        monitored=row["seg_monitor"] == "monitored",
    )


def _write(directory: Path, text: str) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = directory / "lvm.conf.new"
    made.write_text(text)
    made.replace(directory / "lvm.conf")


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
