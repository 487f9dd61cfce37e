"""A volume as a server's machine has it: a disk, of which the row of its attachment says how it is reached."""

from pathlib import Path

from pumice.hypervisor.contract import (
    BlockSource,
    Disk,
    FileSource,
    IscsiSource,
    NvmeSource,
    RbdSource,
    Source,
)
from pumice.model.connector import Connector
from pumice.model.errors import InvalidState
from pumice.model.export import Export, IscsiExport, LocalDevice, NvmeExport, RbdImage, SharedFile
from pumice.model.ids import AttachmentId, VolumeId
from pumice.model.qos import Resolved, disk_limits
from pumice.model.server import ServerDisk
from pumice.model.volume import Attachment


def volume_disk(
    disk: ServerDisk, link: Attachment | None, passphrase: str | None, qos: Resolved, *, shared: bool
) -> Disk:
    """The disk that is a volume. Raises ``InvalidState`` when the volume is not exported to the host (yet)."""
    if link is None or link.portal is None or link.connector is None:
        raise InvalidState(f"Volume {disk.volume_id} is not connected to the server's host.")
    return Disk(
        serial=VolumeId(disk.volume_id or ""),
        device=disk.device,
        source=_source(link, link.portal, link.connector),
        attachment=AttachmentId(link.id),
        read_only=link.mode == "ro",
        shared=shared,
        passphrase=passphrase,
        limits=disk_limits(qos),
    )


def _source(link: Attachment, export: Export, connector: Connector) -> Source:
    """The source of a connected attachment's volume."""
    match export:
        case IscsiExport():
            return IscsiSource(
                portal=export.portals[0],
                iqn=export.iqn,
                lun=export.lun,
                username=link.chap_username or "",
                password=link.chap_password or "",
                initiator=connector.initiator,
                others=export.portals[1:],
            )
        case NvmeExport():
            return NvmeSource(export.portals, export.nqn, export.uuid, connector.nqn)
        case LocalDevice():
            path = Path(export.path)
            return BlockSource(path) if export.is_block else FileSource(path)
        case SharedFile():
            return FileSource(Path(export.path), inode=export.inode)
        case RbdImage():
            return RbdSource(export.name, export.monitors, export.user, Path(export.keyring))
