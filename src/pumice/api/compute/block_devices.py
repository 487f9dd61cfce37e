"""The disks of a server to be, from what ``POST /servers`` says of them (api-ref, "Block Device Mapping").

Three ways to say it, and one meaning: ``imageRef`` alone (a copy of the image on the host's disk),
``block_device_mapping_v2``, and the ``block_device_mapping`` of old. What makes no sense raises ``Invalid``.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from pumice.api.call import Version
from pumice.api.fields import Body, Boolean, Positive, Tag, Text, whole
from pumice.model.errors import Invalid
from pumice.servers.boot import DiskWanted
from pumice.volumes.create import Wanted

BUSES = frozenset({"fdc", "ide", "lxc", "none", "sata", "scsi", "uml", "usb", "virtio", "xen"})
NOT_BOOTABLE = -1

DeviceName = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9._/-]*$")]
Reference = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9._-]*$")]


def _index(value: Any) -> int | None:
    return None if value is None else whole(value)


class LegacyDevice(Body):
    """An item of ``block_device_mapping``. Device names are the hypervisor's to give."""

    virtual_name: Text | None = None
    volume_id: Reference | None = None
    snapshot_id: Reference | None = None
    volume_size: Positive | None = None
    device_name: DeviceName | None = None
    delete_on_termination: Boolean = False
    no_device: Any = None
    connection_info: str | None = None


class BlockDevice(LegacyDevice):
    """An item of ``block_device_mapping_v2``."""

    source_type: Literal["volume", "image", "snapshot", "blank"] | None = None
    destination_type: Literal["local", "volume"] | None = None
    uuid: Reference | None = None
    image_id: Reference | None = None
    boot_index: Annotated[int | None, BeforeValidator(_index)] = None
    guest_format: Text | None = None
    device_type: Text | None = None
    disk_bus: Text | None = None
    volume_type: Text | None = None
    tag: Tag | None = None


def disks_of(
    image_id: str | None,
    devices: Sequence[BlockDevice],
    legacy: Sequence[LegacyDevice],
    version: Version,
) -> list[DiskWanted]:
    """What the server's disks are to be; exactly one has boot index 0. Raises ``Invalid``."""
    if devices and legacy:
        raise Invalid("Using different block_device_mapping syntaxes is not allowed in the same request.")
    for device in devices:
        _check_version(device, version)
    wanted = [_disk(device, image_id) for device in devices if not device.no_device]
    wanted += [_from_legacy(device) for device in legacy if not device.no_device]
    if image_id is not None and not devices:
        wanted.insert(0, DiskWanted(boot_index=0, image_id=image_id, delete_on_termination=True))
    elif image_id is None and legacy and wanted:
        wanted[0] = _bootable(wanted[0])
    indexes = sorted(disk.boot_index for disk in wanted if disk.boot_index is not None and disk.boot_index >= 0)
    if not indexes and image_id is None and not devices and not legacy:
        raise Invalid(
            "Invalid imageRef provided: a server needs an image, or a block device mapping to boot from."
        )
    if not indexes or indexes != list(range(len(indexes))):
        raise Invalid(
            "Block Device Mapping is Invalid: Boot sequence for the instance and image/block device mapping "
            "combination is not valid."
        )
    return wanted


def _check_version(device: BlockDevice, version: Version) -> None:
    with_tag = version == (2, 32) or version >= (2, 42)
    device.only_since(version, {"volume_type": (2, 67), "tag": version if with_tag else (2, 42)})


def _disk(device: BlockDevice, image_id: str | None) -> DiskWanted:
    source = device.source_type
    if source is None:
        raise _malformed("Some required fields are missing: 'source_type'")
    destination = device.destination_type or ("volume" if source in ("volume", "snapshot") else "local")
    if source == "blank" and device.uuid:
        raise _malformed("Invalid device UUID.")
    if source != "blank" and not device.uuid:
        raise _malformed("Missing device UUID.")
    if device.disk_bus and device.disk_bus not in BUSES:
        raise Invalid(f"Block Device Mapping is Invalid: The disk bus '{device.disk_bus}' is not valid.")
    if device.disk_bus not in (None, "", "virtio") or device.device_type not in (None, "", "disk"):
        raise _malformed("every disk is a 'disk' on the bus 'virtio': leave out device_type and disk_bus.")
    if device.guest_format:
        raise _malformed("nothing is formatted for the guest: leave out guest_format.")
    if device.volume_type and destination == "local":
        raise _malformed("Specifying a volume_type with destination_type=local is not supported.")
    if device.volume_type and source == "volume":
        raise _malformed("Specifying volume type to existing volume is not supported.")
    if destination == "local":
        return _local(device, image_id)
    if source in ("image", "blank") and not device.volume_size:
        raise Invalid(
            f"Block Device Mapping is Invalid: '{source}' with destination_type 'volume' needs to have a "
            "non-zero size specified"
        )
    return DiskWanted(
        boot_index=device.boot_index,
        volume_id=device.uuid if source == "volume" else None,
        new_volume=None if source == "volume" else _volume(device),
        delete_on_termination=device.delete_on_termination,
        tag=device.tag,
    )


def _local(device: BlockDevice, image_id: str | None) -> DiskWanted:
    """Only the server's own image becomes a disk on the host, and only as the one to boot from."""
    if device.source_type == "blank":
        raise _malformed("ephemeral and swap disks (blank to local) are not offered: use a blank volume.")
    if device.source_type != "image" or image_id is None or device.boot_index != 0:
        raise _malformed(f"Mapping {device.source_type} to local is not supported.")
    return DiskWanted(boot_index=0, image_id=device.uuid, delete_on_termination=True, tag=device.tag)


def _volume(device: BlockDevice) -> Wanted:
    return Wanted(
        size=device.volume_size,
        name="",
        description="",
        volume_type=device.volume_type,
        image_id=device.uuid if device.source_type == "image" else None,
        snapshot_id=device.uuid if device.source_type == "snapshot" else None,
    )


def _from_legacy(device: LegacyDevice) -> DiskWanted:
    if device.virtual_name:
        raise _malformed("ephemeral and swap disks are not offered: use a blank volume.")
    if not (device.volume_id or device.snapshot_id):
        raise _malformed("Unrecognized legacy format.")
    new = None
    if device.snapshot_id:
        new = Wanted(size=device.volume_size, name="", description="", snapshot_id=device.snapshot_id)
    return DiskWanted(
        boot_index=NOT_BOOTABLE,
        volume_id=None if new else device.volume_id,
        new_volume=new,
        delete_on_termination=device.delete_on_termination,
    )


def _bootable(disk: DiskWanted) -> DiskWanted:
    return DiskWanted(0, disk.volume_id, disk.new_volume, disk.image_id, disk.delete_on_termination)


def _malformed(details: str) -> Invalid:
    return Invalid(f"Block Device Mapping is Invalid: {details}")
