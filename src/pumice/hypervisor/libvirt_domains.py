"""Domains and secrets, step by step: what runs in a thread, with a connection in hand.

Every function may run twice (see ``libvirt_connection``) and is written for that.
"""

import base64
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from pumice.host.ceph_keyring import key_of
from pumice.hypervisor import domain_xml
from pumice.hypervisor.contract import Disk, IscsiSource, Power, RbdSource
from pumice.hypervisor.libvirt_connection import Connection, load
from pumice.model.errors import InvalidState, NotFound
from pumice.model.ids import ServerId

Domain = Any
"""``libvirt.virDomain``, which has no types."""


def find(connection: Connection, server: ServerId) -> Domain | None:
    """The server's domain; None where there is none, or where it is somebody else's."""
    libvirt = load()
    try:
        domain = connection.lookupByUUIDString(server)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise
    return domain if domain_xml.is_ours(domain.name(), domain.UUIDString()) else None


def must_find(connection: Connection, server: ServerId) -> Domain:
    """The server's domain. Raises ``NotFound``."""
    domain = find(connection, server)
    if domain is None:
        raise NotFound("Machine", server)
    return domain


def disks_of(domain: Domain, *, inactive: bool = False) -> dict[str, domain_xml.DomainDisk]:
    """The disks of the running guest by serial number; of the definition where it is off or ``inactive``."""
    return domain_xml.read_disks(domain.XMLDesc(load().VIR_DOMAIN_XML_INACTIVE if inactive else 0))


@dataclass(frozen=True, slots=True)
class Mirrored:
    """How far the guest's going over to another disk is."""

    target: str
    """What the guest's bus calls its disk."""
    there: bool
    """Whether the guest has the other disk."""
    mirror: str | None
    """Where a copy of its disk is being made, if one is."""
    runs: bool
    """The copy is made in that other one."""
    in_step: bool


def mirrored(connection: Connection, server: ServerId, disk: Disk, *, off: bool = False) -> Mirrored:
    """Whether a guest's disk is mirrored to ``disk``, or is that already.

    Raises ``NotFound``; ``InvalidState`` where the guest is off and not there already, unless it may be.
    """
    domain = must_find(connection, server)
    known = disks_of(domain).get(str(disk.serial))
    if known is None:
        raise NotFound("Disk", disk.serial)
    there = disk.source_name
    if not off and known.source != there and not domain.isActive():
        raise InvalidState(f"Server {server} is powered off: what its disk {disk.device} is stays as it is.")
    runs = known.mirror == there
    return Mirrored(known.target, known.source == there, known.mirror, runs, runs and known.in_step)


def power_of(state: int) -> Power:
    """libvirt's word for a domain's state, as one of ours."""
    libvirt = load()
    words = {
        libvirt.VIR_DOMAIN_PAUSED: Power.PAUSED,
        libvirt.VIR_DOMAIN_PMSUSPENDED: Power.PAUSED,
        libvirt.VIR_DOMAIN_SHUTOFF: Power.SHUTDOWN,
        libvirt.VIR_DOMAIN_CRASHED: Power.CRASHED,
    }
    return words.get(state, Power.RUNNING)


def pull_the_plug(domain: Domain) -> None:
    """Off, at once; one that is off already is fine."""
    try:
        domain.destroy()
    except load().libvirtError:
        if domain.isActive():  # else it was off, or went off by itself
            raise


def tell_secrets(connection: Connection, disk: Disk) -> None:
    """Hand libvirtd what lets QEMU in to the disk and what opens its LUKS; earlier ones are replaced.

    Raises ``Misconfigured`` where this host has no key of the disk's cluster.
    """
    if isinstance(disk.source, IscsiSource):
        connection.secretDefineXML(domain_xml.secret_xml(disk)).setValue(disk.source.password.encode())
    if isinstance(disk.source, RbdSource):
        key = base64.b64decode(key_of(disk.source.user, disk.source.keyring))
        connection.secretDefineXML(domain_xml.secret_xml(disk)).setValue(key)
    if disk.passphrase is not None:
        connection.secretDefineXML(domain_xml.luks_secret_xml(disk)).setValue(disk.passphrase.encode())


def secrets_of_ours(connection: Connection) -> list[str]:
    """The attachments whose secrets ``tell_secrets`` told. Each secret's use names its attachment."""
    found = ((domain_xml.attachment_of(secret.usageID()), secret) for secret in connection.listAllSecrets())
    return [
        attachment
        for attachment, secret in found
        if attachment and secret.UUIDString() in domain_xml.secret_uuids(attachment) and _says_ours(secret)
    ]


def _says_ours(secret: Any) -> bool:
    try:
        return domain_xml.is_our_secret(secret.XMLDesc())
    except load().libvirtError as error:
        if error.get_error_code() == load().VIR_ERR_NO_SECRET:
            return False  # it went in the meantime
        raise


def forget_secrets(connection: Connection, domain: Domain, but: Collection[str] = ()) -> None:
    """Take away the passwords of the domain's disks, ``but`` those (by UUID) that are still of use."""
    for disk in disks_of(domain, inactive=True).values():
        for secret in disk.secrets:
            if secret not in but:
                forget_secret(connection, secret)


def forget_secrets_of(connection: Connection, attachment: str | None) -> None:
    """Take an attachment's passwords away from libvirtd."""
    for secret in domain_xml.secret_uuids(attachment):
        forget_secret(connection, secret)


def forget_secret(connection: Connection, secret: str) -> None:
    """Take the password away from libvirtd; it may be gone already."""
    libvirt = load()
    try:
        connection.secretLookupByUUIDString(secret).undefine()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SECRET:
            raise
