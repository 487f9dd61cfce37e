"""A target that costs nothing, for benchmarks of everything else and for tests of the API.

It keeps in memory what is exported (``devices``) and who may log in (``admits``). It can be told to be slow
(``delay``), to stand still (``free``) and to fail (``fail_next``).
"""

import asyncio
from collections.abc import Mapping

from pumice.backends.targets.contract import Grant
from pumice.model.export import Device, IscsiExport
from pumice.model.ids import VolumeId


class FakeTarget:
    """Every call first waits ``delay`` seconds, and while ``free`` is cleared; what ``fail_next`` holds under
    its name it raises, once.

    target.fail_next["grant"] = Retryable("The daemon is down.")
    """

    driver = "fake"
    protocol = "iSCSI"
    local_to_host = False

    def __init__(
        self, portal: str = "127.0.0.1:3260", *, delay: float = 0.0, grows_in_use: bool = True
    ) -> None:
        self.delay = delay
        self.free = asyncio.Event()
        self.free.set()
        self.grows_in_use = grows_in_use
        self.fail_next: dict[str, Exception] = {}
        self.devices: dict[VolumeId, Device] = {}
        """What is exported."""
        self.portals: tuple[str, ...] = (portal,)
        self.prefix = "iqn.2010-10.org.openstack"
        self._grants: dict[VolumeId, dict[str, Grant]] = {}

    async def start(self) -> None:
        await self._pretend("start")

    async def grant(self, volume: VolumeId, device: Device, grant: Grant) -> IscsiExport:
        await self._pretend("grant")
        self.devices[volume] = device
        self._grants.setdefault(volume, {})[grant.username] = grant
        return IscsiExport(self._iqn(volume), self.portals, 1)

    async def revoke(self, volume: VolumeId, grant: Grant) -> None:
        await self._pretend("revoke")
        grants = self._grants.get(volume, {})
        grants.pop(grant.username, None)
        if not grants:
            self._forget(volume)

    async def remove(self, volume: VolumeId) -> None:
        await self._pretend("remove")
        self._forget(volume)

    async def resize(self, volume: VolumeId, device: Device) -> None:
        await self._pretend("resize")
        if volume in self.devices:
            self.devices[volume] = device

    async def exports(self) -> Mapping[VolumeId, frozenset[str]]:
        await self._pretend("exports")
        return {volume: frozenset(grants) for volume, grants in self._grants.items()}

    # --- for tests ------------------------------------------------------------------------------------

    def admits(self, iqn: str, initiator: str, username: str, password: str) -> bool:
        """Whether a login with these words would succeed."""
        return any(
            (grant.initiator, grant.username, grant.password) == (initiator, username, password)
            for volume, grants in self._grants.items()
            if self._iqn(volume) == iqn
            for grant in grants.values()
        )

    def forget(self) -> None:
        """Lose everything, as a target daemon does when it is killed."""
        for volume in list(self.devices):
            self._forget(volume)

    def _forget(self, volume: VolumeId) -> None:
        self.devices.pop(volume, None)
        self._grants.pop(volume, None)

    def _iqn(self, volume: VolumeId) -> str:
        return f"{self.prefix}:volume-{volume}"

    async def _pretend(self, call: str) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        await self.free.wait()
        if call in self.fail_next:
            raise self.fail_next.pop(call)
