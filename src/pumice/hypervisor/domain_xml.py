"""libvirt's XML: written for machines, disks and secrets; read back to see what is really there.

Built as a tree, never from text, so that no value can become markup. What a password unlocks is named here,
the password itself never appears: libvirt is handed it separately.
"""

import re
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from pumice.hypervisor.accelerator import Accelerator
from pumice.hypervisor.contract import (
    BlockSource,
    Disk,
    FileSource,
    IscsiSource,
    Machine,
    NvmeSource,
    RbdSource,
)
from pumice.model.errors import Invalid, Misconfigured
from pumice.model.hardware import Hardware
from pumice.model.ids import ServerId, is_uuid

NAMESPACE: Final = "urn:pumice:machine:1"
_QEMU: Final = "http://libvirt.org/schemas/domain/qemu/1.0"
_NAME_PREFIX: Final = "pumice-"
_SECRETS_BEGIN: Final = "Pumice: "
_LUKS_USAGE: Final = "pumice/"
_PORTS: Final = 32
"""The ports of a q35: one for each disk that a server may get (26), and others. A ``pc`` has slots."""
_NIC_SLOT: Final = "0x1e"  # libvirt gives out PCI slots from below and does not know of this one

ElementTree.register_namespace("pumice", NAMESPACE)
ElementTree.register_namespace("qemu", _QEMU)


def domain_name(server: ServerId) -> str:
    """The domain's name, e.g. ``pumice-6edb…``: name and UUID together tell our domains from foreign ones."""
    return f"{_NAME_PREFIX}{server}"


def is_ours(name: str, domain_uuid: str) -> bool:
    """Whether a domain of this name and UUID is one of Pumice's."""
    return name == _NAME_PREFIX + domain_uuid


def servers_named(names: Iterable[str]) -> frozenset[ServerId]:
    """The servers whose domains bear these names; others' are left out."""
    return frozenset(
        ServerId(name.removeprefix(_NAME_PREFIX)) for name in names if name.startswith(_NAME_PREFIX)
    )


def machine_xml(machine: Machine, accelerator: Accelerator, console_log: Path) -> str:
    """``<domain>``: a machine with virtio disks, a NIC of its own and a serial port that is logged.

    https://libvirt.org/formatdomain.html
    """
    domain = ElementTree.Element("domain", type=accelerator.value)
    _add(domain, "name", domain_name(machine.id))
    _add(domain, "uuid", machine.id)
    ours = _add(_add(domain, "metadata"), f"{{{NAMESPACE}}}machine")
    _add(ours, f"{{{NAMESPACE}}}name", _printable(machine.name))
    _add(domain, "memory", str(machine.memory_mib), unit="MiB")
    _add(domain, "vcpu", str(machine.vcpus))
    _add(_add(domain, "os"), "type", "hvm", arch="x86_64", machine=machine.hardware.machine)
    features = _add(domain, "features")
    _add(features, "acpi")
    _add(features, "apic")
    if accelerator is Accelerator.KVM:
        cpu = _add(domain, "cpu", mode="host-passthrough")
    else:
        # The oldest that current distributions run on (x86-64-v2); a newer one costs time in every boot.
        cpu = _add(domain, "cpu", mode="custom", check="none")
        _add(cpu, "model", "Nehalem")
    if machine.hardware.topology is not None:
        _add(
            cpu, "topology", **{part: str(number) for part, number in asdict(machine.hardware.topology).items()}
        )
    _add_clock(domain, machine.hardware)
    _add(domain, "on_poweroff", "destroy")
    _add(domain, "on_reboot", "restart")
    _add(domain, "on_crash", "destroy")
    devices = _add(domain, "devices")
    for position, disk in enumerate(machine.disks):
        devices.append(_disk(disk, boots=position == 0))
    _add(devices, "controller", type="usb", model="none")
    if machine.hardware.has_pci_express:
        _add(devices, "controller", type="pci", model="pcie-root", index="0")
        for _ in range(_PORTS):
            _add(devices, "controller", type="pci", model="pcie-root-port")
    serial = _add(devices, "serial", type="pty")
    _add(serial, "log", file=str(console_log), append="on")
    _add(serial, "target", port="0")
    _add(devices, "memballoon", model="none")
    _add_devices(devices, machine.hardware)
    _add_nic(domain, machine.id, machine.hardware.nic)
    return ElementTree.tostring(domain, encoding="unicode")


def _add_clock(domain: ElementTree.Element, hardware: Hardware) -> None:
    clock = _add(domain, "clock", offset="localtime" if hardware.local_clock else "utc")
    if hardware.hpet is not None:
        _add(clock, "timer", name="hpet", present="yes" if hardware.hpet else "no")


def _add_devices(devices: ElementTree.Element, hardware: Hardware) -> None:
    """What a machine has only if it was asked for."""
    if hardware.agent:
        _add(_add(devices, "channel", type="unix"), "target", type="virtio", name="org.qemu.guest_agent.0")
    if hardware.watchdog:
        _add(devices, "watchdog", model="i6300esb", action=hardware.watchdog)
    if hardware.rng:
        _add(_add(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")


def disk_xml(disk: Disk) -> str:
    """``<disk>``, for plugging it in."""
    return ElementTree.tostring(_disk(disk, boots=False), encoding="unicode")


def secret_xml(disk: Disk) -> str:
    """``<secret>`` that will hold what lets QEMU in to the disk: a CHAP password, or a key of Ceph's."""
    name = secret_uuid(disk)
    if isinstance(disk.source, RbdSource):
        return _secret_xml(name, f"Ceph's key for volume {disk.serial}", "ceph", "name", name)
    return _secret_xml(name, f"CHAP of volume {disk.serial}", "iscsi", "target", name)


def luks_secret_xml(disk: Disk) -> str:
    """``<secret>`` that will hold what opens the disk's LUKS."""
    name = secret_uuid(disk)
    return _secret_xml(luks_uuid(name), f"LUKS of volume {disk.serial}", "volume", "volume", _LUKS_USAGE + name)


def _secret_xml(name: str, description: str, kind: str, word: str, usage: str) -> str:
    """The XML of a secret that libvirtd keeps in memory only, and never gives out."""
    secret = ElementTree.Element("secret", ephemeral="yes", private="yes")
    _add(secret, "uuid", name)
    _add(secret, "description", f"{_SECRETS_BEGIN}{description}")
    _add(_add(secret, "usage", type=kind), word, usage)
    return ElementTree.tostring(secret, encoding="unicode")


def is_our_secret(xml: str) -> bool:
    """Whether a secret of this XML is one of Pumice's."""
    description = ElementTree.fromstring(xml).findtext("description")  # noqa: S314, from libvirtd
    return (description or "").startswith(_SECRETS_BEGIN)


def luks_uuid(attachment: str) -> str:
    """The UUID of the secret that opens an attachment's LUKS, made of the attachment's id."""
    return str(uuid.uuid5(uuid.UUID(attachment), "luks"))


def attachment_of(usage: str) -> str | None:
    """The attachment that a secret's use names, if it may be one of ours."""
    attachment = usage.removeprefix(_LUKS_USAGE)
    return attachment if is_uuid(attachment) else None


def secret_uuids(attachment: str | None) -> tuple[str, ...]:
    """The UUIDs of every secret that an attachment may have."""
    return (attachment, luks_uuid(attachment)) if attachment else ()


def secret_uuid(disk: Disk) -> str:
    """The UUID of a disk's secret: its attachment's id. Raises ``Invalid`` where there is none."""
    try:
        return str(uuid.UUID(disk.attachment))
    except (ValueError, AttributeError, TypeError):
        raise Invalid(f"The disk {disk.serial} needs an attachment id, not {disk.attachment!r}.") from None


@dataclass(frozen=True, slots=True)
class DomainDisk:
    """A disk as a domain has it. ``alias`` is what a running domain calls the device."""

    serial: str
    target: str
    """What the guest's bus calls it: ``vdb``."""
    alias: str | None
    secrets: tuple[str, ...]
    """UUIDs"""
    xml: str
    source: str = ""
    """What it is read from and written to, as ``Disk.source_name``."""
    mirror: str | None = None
    """What a copy of it is being made in, as ``source``."""
    in_step: bool = False
    """Whether that copy is whole, and is written to as the disk is."""


def _name_of(source: ElementTree.Element | None) -> str:
    names = ("file", "dev", "name")
    return "" if source is None else next(filter(None, map(source.get, names)), "")


def read_disks(domain_xml: str) -> dict[str, DomainDisk]:
    """The disks in a domain's XML by serial number. One without a serial number is not ours."""
    disks = {}
    for element in ElementTree.fromstring(domain_xml).findall("devices/disk"):  # noqa: S314, from libvirtd
        serial = element.findtext("serial")
        alias = element.find("alias")
        secrets = element.findall("source/auth/secret") + element.findall("source/encryption/secret")
        if serial:
            disks[serial] = DomainDisk(
                serial=serial,
                target=target.get("dev", "") if (target := element.find("target")) is not None else "",
                alias=None if alias is None else alias.get("name"),
                secrets=tuple(secret.get("uuid", "") for secret in secrets),
                xml=ElementTree.tostring(element, encoding="unicode"),
                source=_name_of(element.find("source")),
                mirror=None if (mirror := element.find("mirror")) is None else _name_of(mirror.find("source")),
                in_step=mirror is not None and mirror.get("ready") == "yes",
            )
    return disks


def _disk(disk: Disk, *, boots: bool) -> ElementTree.Element:
    match disk.source:
        case FileSource():
            element = ElementTree.Element("disk", type="file", device="disk")
            cache = {"cache": "none"} if disk.source.direct else {}
            _add(element, "driver", name="qemu", type="raw", **cache, discard="unmap")
            _add(element, "source", file=str(disk.source.path))
        case IscsiSource():
            element = ElementTree.Element("disk", type="network", device="disk")
            _add(element, "driver", name="qemu", type="raw", cache="none", discard="unmap")
            _add_iscsi_source(element, disk, disk.source)
        case BlockSource():
            element = ElementTree.Element("disk", type="block", device="disk")
            _add(element, "driver", name="qemu", type="raw", cache="none", io="native", discard="unmap")
            _add(element, "source", dev=str(disk.source.path))
        case RbdSource():
            element = ElementTree.Element("disk", type="network", device="disk")
            _add(element, "driver", name="qemu", type="raw", cache="none", discard="unmap")
            _add_rbd_source(element, disk, disk.source)
        case NvmeSource():
            raise Misconfigured('QEMU reaches no NVMe target by itself: set [compute] connector = "kernel".')
    if disk.passphrase is not None:
        source = element.find("source")
        assert source is not None
        luks = luks_uuid(secret_uuid(disk))
        _add(_add(source, "encryption", format="luks"), "secret", type="passphrase", uuid=luks)
    _add(element, "target", dev=disk.device, bus="virtio")
    _add(element, "serial", disk.serial)
    if disk.read_only:
        _add(element, "readonly")
    if disk.shared:
        _add(element, "shareable")
    if disk.limits:
        limits = _add(element, "iotune")
        for name, value in disk.limits.items():
            _add(limits, name, str(value))
    if boots:
        _add(element, "boot", order="1")
    return element


def _add_iscsi_source(parent: ElementTree.Element, disk: Disk, iscsi: IscsiSource) -> None:
    address, _, port = iscsi.portal.rpartition(":")
    source = _add(parent, "source", protocol="iscsi", name=f"{iscsi.iqn}/{iscsi.lun}")
    _add(source, "host", name=address.strip("[]"), port=port)
    _add(_add(source, "auth", username=iscsi.username), "secret", type="iscsi", uuid=secret_uuid(disk))
    _add(_add(source, "initiator"), "iqn", name=iscsi.initiator)


def _add_rbd_source(parent: ElementTree.Element, disk: Disk, rbd: RbdSource) -> None:
    source = _add(parent, "source", protocol="rbd", name=rbd.name)
    for monitor in rbd.monitors:
        address, _, port = monitor.rpartition(":")
        _add(source, "host", name=address.strip("[]"), port=port)
    _add(_add(source, "auth", username=rbd.user), "secret", type="ceph", uuid=secret_uuid(disk))


def _add_nic(domain: ElementTree.Element, server: ServerId, model: str) -> None:
    """A NIC that gets an address by DHCP and reaches nothing.

    QEMU's user-mode network would let the guest in to services on this host's loopback, storage and APIs
    among them. ``restrict=on`` forbids that, and libvirt has no word of its own for it.
    """
    device = "virtio-net-pci" if model == "virtio" else model
    mac = "52:54:00:" + ":".join(re.findall("..", uuid.UUID(server).hex[:6]))
    arguments = _add(domain, f"{{{_QEMU}}}commandline")
    for word in (
        "-netdev",
        "user,id=pumice-net,restrict=on",
        "-device",
        f"{device},netdev=pumice-net,mac={mac},romfile=,addr={_NIC_SLOT}",
    ):
        _add(arguments, f"{{{_QEMU}}}arg", value=word)


def _add(
    parent: ElementTree.Element, tag: str, text: str | None = None, /, **attributes: str
) -> ElementTree.Element:
    child = ElementTree.SubElement(parent, tag, attributes)
    child.text = text
    return child


def _printable(text: str) -> str:
    """XML has no way at all to write control characters."""
    return "".join(character if character.isprintable() else "?" for character in text)
