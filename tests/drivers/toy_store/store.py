"""The bytes, and who may open them."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from pumice.backends.files import FilesBackend
from pumice.backends.targets.contract import Grant
from pumice.model.errors import Retryable
from pumice.model.export import LocalDevice
from pumice.model.ids import VolumeId


class ToyStore(FilesBackend):
    """As ``files``: a network's file system is one."""

    driver = "toy"


class ToyDoors:
    """A file ``directory/VOLUME/USER`` for each grant. See ``targets/contract.py``."""

    driver = "toy"
    protocol = "toy"
    grows_in_use = True
    local_to_host = False
    portals: tuple[str, ...] = ()

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def start(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)

    async def grant(self, volume: VolumeId, device: Path, grant: Grant) -> LocalDevice:
        if not device.exists():
            raise Retryable(f"{device} is not there.")
        self._door(volume).mkdir(parents=True, exist_ok=True)
        (self._door(volume) / grant.username).write_text(grant.initiator)
        return LocalDevice(str(device))

    async def revoke(self, volume: VolumeId, grant: Grant) -> None:
        (self._door(volume) / grant.username).unlink(missing_ok=True)
        if self._door(volume).is_dir() and not any(self._door(volume).iterdir()):
            self._door(volume).rmdir()

    async def remove(self, volume: VolumeId) -> None:
        shutil.rmtree(self._door(volume), ignore_errors=True)

    async def resize(self, volume: VolumeId, device: Path) -> None:
        """Whoever has it open sees how long it is."""

    async def exports(self) -> Mapping[VolumeId, frozenset[str]]:
        return {
            VolumeId(door.name): frozenset(it.name for it in door.iterdir())
            for door in self._directory.iterdir()
        }

    def _door(self, volume: VolumeId) -> Path:
        return self._directory / volume
