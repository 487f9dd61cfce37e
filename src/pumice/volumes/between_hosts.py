"""A volume's bytes on their way to another host: what ``migrate.py`` does besides for that.

The old host reads the volume and notes a digest; then it lets the new one in, to read and not to write, by an
account for this copy alone. The new host makes the volume and fills it: QEMU's own initiator logs in, or, where
both have mounted the same directory, the file is opened. Who is let in is shut out when the copy is made or
given up; an account that a host leaves behind as it dies was let go of, and is removed as such.
"""

import os
from pathlib import Path
from typing import Any, Protocol

from pumice.backends import replica
from pumice.backends.targets.contract import Grant
from pumice.host.qemu_img import IscsiDisk
from pumice.host.thread import in_thread
from pumice.model.errors import TryAnotherBackend
from pumice.model.export import Device, IscsiExport, SharedFile, of_row
from pumice.model.ids import AttachmentId, VolumeId
from pumice.model.units import GIB
from pumice.model.volume import host_of, pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.operation import Operation, Place
from pumice.operations.places import volume_host
from pumice.store import move_accounts, pools
from pumice.store.database import Transaction

READ_FROM_AFAR = ("iSCSI", "nfs")
"""What targets speak (``storage_protocol``) whose exports other hosts can read."""
INITIATOR = "iqn.2010-10.org.openstack"
"""How the names begin by which hosts log in for a copy."""
SECONDS = 24 * 3600.0
"""How long copying may take."""


class Moved(Protocol):
    """What the operation was asked to do: ``pool`` is where the volume is, ``size`` in GiB."""

    @property
    def volume_id(self) -> VolumeId: ...
    @property
    def pool(self) -> str: ...
    @property
    def size(self) -> int: ...


at_source = Place("volume", lambda op: volume_host(host_of(op.params.pool)))
"""The host of the backend where the volume was."""


def node(place: str) -> str:
    """The host, or the cluster, of ``host@backend``."""
    return place.partition("@")[0]


def crosses(op: Operation[Any]) -> bool:
    """Whether the pool that was chosen is another host's."""
    return node(op.notes.get("pool") or op.params.pool) != node(op.params.pool)


def is_read_from_afar(tx: Transaction, pool: str) -> bool:
    """Whether other hosts can read what is exported of a pool's volumes."""
    found = pools.find(tx, pool)
    return found is not None and found.capabilities.get("storage_protocol") in READ_FROM_AFAR


def make_account(tx: Transaction, op: Operation[Any]) -> None:
    """By which the new host gets in."""
    op.notes["account"] = move_accounts.make(tx)


def forget_account(tx: Transaction, op: Operation[Any]) -> None:
    """Nobody gets in by it any more."""
    if account := op.notes.pop("account", None):
        move_accounts.forget(tx, account)


async def read_source(op: Operation[Any], drivers: Drivers) -> None:
    """Note the digest of what another host is going to copy."""
    asked = op.params
    async with drivers.backend_of(asked.pool).opened(asked.volume_id, pool_of(asked.pool)) as origin:
        op.notes["digest"] = await replica.digest(origin, asked.size * GIB, op.note_progress)


async def open_source(op: Operation[Any], drivers: Drivers) -> None:
    """Let the other host read the volume. What may be left of exports is removed: nobody is connected."""
    target, volume = drivers.target_of(op.params.pool), op.params.volume_id
    origin = await _device(op.params, drivers)
    await target.remove(volume)
    op.notes["portal"] = (await target.grant(volume, origin, await _grant(op, drivers))).to_row()


async def shut_out(op: Operation[Any], drivers: Drivers) -> None:
    """The other host is let in no more."""
    grant = Grant(AttachmentId(op.id), "", op.notes["account"], "")
    await drivers.target_of(op.params.pool).revoke(op.params.volume_id, grant)


async def fetch(op: Operation[Any], drivers: Drivers, device: Path) -> None:
    """Fill a new device with what the other host exports. Of several ways to it each try takes the next."""
    export = of_row(op.notes["portal"])
    if isinstance(export, SharedFile):
        if await in_thread(_is_another, export):
            raise TryAnotherBackend(
                "The other host has another file where the volume is kept.", f"{export.path}."
            )
        await replica.copy(Path(export.path), device, op.params.size * GIB, op.note_progress)
        return
    if not isinstance(export, IscsiExport):
        raise TryAnotherBackend("No other host reads what the volume's pool exports.", f"{op.params.pool}.")
    grant = await _grant(op, drivers)
    portal = export.portals[op.tries % len(export.portals)]
    disk = IscsiDisk(portal, export.iqn, export.lun, grant.initiator, grant.username, grant.password)
    await drivers.fetch(disk, device, op.note_progress, SECONDS)


async def as_seen_here(op: Operation[Any], drivers: Drivers) -> Device | None:
    """The volume's own bytes, where this host has them, or has mounted what they are in."""
    if host_of(op.params.pool) in drivers.backends:
        return await _device(op.params, drivers)
    export = of_row(op.notes["portal"])
    return Path(export.path) if isinstance(export, SharedFile) else None


async def _device(asked: Moved, drivers: Drivers) -> Device:
    return await drivers.backend_of(asked.pool).device(asked.volume_id, pool_of(asked.pool))


async def _grant(op: Operation[Any], drivers: Drivers) -> Grant:
    """The right of the other host, for the time of the copy."""
    account = op.notes["account"]
    password = await drivers.db.read(move_accounts.password, account)
    assert password is not None, "it is there for as long as the space is claimed"
    return Grant(AttachmentId(op.id), f"{INITIATOR}:{account}", account, password, read_only=True)


def _is_another(file: SharedFile) -> bool:
    try:
        return os.stat(file.path).st_ino != file.inode
    except FileNotFoundError:
        return True
