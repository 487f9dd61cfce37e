"""A hypervisor whose guests' volumes are block devices of its host: any hypervisor, with a connector under it.

A volume's disk is connected before the hypervisor is given it, and disconnected after the hypervisor has let go
of it; what the hypervisor refuses is disconnected again. Volumes of a machine that is off stay connected until
it is deleted or they are detached. The connector finds again what a killed process had begun.
"""

import asyncio
from dataclasses import replace
from typing import Any

from pumice.hypervisor.connectors.contract import StorageConnector
from pumice.hypervisor.contract import Disk, Hypervisor, IscsiSource, Machine, NvmeSource, Progress
from pumice.model.connector import Connector
from pumice.model.errors import PumiceError
from pumice.model.ids import AttachmentId, ServerId

_REMOTE = IscsiSource | NvmeSource
"""What the kernel connects to."""


class ConnectedHypervisor:
    """``inner``, with ``storage`` between it and its volumes. What is not here ``inner`` does alone."""

    def __init__(self, inner: Hypervisor, storage: StorageConnector) -> None:
        self._inner = inner
        self._storage = storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def start_up(self) -> None:
        """Start the connector, then the hypervisor."""
        await self._storage.start()
        await self._inner.start_up()

    async def connector(self) -> Connector:
        """The host as its hypervisor knows it, with the names of its kernel's initiators."""
        return await self._storage.properties(await self._inner.connector())

    async def define(self, machine: Machine) -> None:
        """See ``Hypervisor.define``."""
        await self._inner.define(await self._connected_machine(machine))

    async def start(self, machine: Machine) -> None:
        """See ``Hypervisor.start``. Every volume is connected first, all at once."""
        await self._inner.start(await self._connected_machine(machine))

    async def attach(self, server: ServerId, disk: Disk) -> None:
        """See ``Hypervisor.attach``."""
        connected = await self._connected(server, disk)
        try:
            await self._inner.attach(server, connected)
        except BaseException:
            if disk.serial not in await self._inner.disks(server):
                await self._disconnect(disk)
            raise

    async def detach(self, server: ServerId, disk: Disk, timeout: float) -> None:
        """See ``Hypervisor.detach``."""
        await self._inner.detach(server, disk, timeout)
        await self._disconnect(disk)

    async def resize_disk(self, server: ServerId, disk: Disk, size: int) -> None:
        """See ``Hypervisor.resize_disk``."""
        if disk.attachment:
            await self._storage.grown(disk.attachment, size)
        await self._inner.resize_disk(server, disk, size)

    async def mirror(self, server: ServerId, disk: Disk, progress: Progress) -> None:
        """See ``Hypervisor.mirror``. An attachment has one connection by the kernel, and no second one."""
        if isinstance(disk.source, _REMOTE) or disk.attachment in await self._storage.connections():
            raise PumiceError("The server's host connects to volumes by its kernel, one way at a time.")
        await self._inner.mirror(server, disk, progress)

    async def end_mirror(self, server: ServerId, disk: Disk) -> bool:
        """See ``Hypervisor.end_mirror``. To what the kernel would have to connect to, none was begun."""
        return not isinstance(disk.source, _REMOTE) and await self._inner.end_mirror(server, disk)

    async def secrets(self) -> frozenset[AttachmentId]:
        """The attachments of which ``inner`` keeps secrets, and those that are connected."""
        return await self._inner.secrets() | (await self._storage.connections()).keys()

    async def forget_secret(self, attachment: AttachmentId) -> None:
        """Forget the attachment's secret, and disconnect it."""
        await self._inner.forget_secret(attachment)
        await self._storage.disconnect(attachment)

    async def delete(self, server: ServerId) -> None:
        """See ``Hypervisor.delete``. What was connected for the server is disconnected."""
        await self._inner.delete(server)
        for attachment, owner in (await self._storage.connections()).items():
            if owner == server:
                await self._storage.disconnect(attachment)

    async def _connected_machine(self, machine: Machine) -> Machine:
        disks = await asyncio.gather(*(self._connected(machine.id, disk) for disk in machine.disks))
        return replace(machine, disks=tuple(disks))

    async def _connected(self, server: ServerId, disk: Disk) -> Disk:
        if disk.attachment is None or not isinstance(disk.source, _REMOTE):
            return disk
        return replace(disk, source=await self._storage.connect(disk.attachment, server, disk.source))

    async def _disconnect(self, disk: Disk) -> None:
        if disk.attachment is not None:
            await self._storage.disconnect(disk.attachment)
