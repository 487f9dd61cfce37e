"""What Pumice tells libvirt about a machine."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from pumice.hypervisor import domain_xml
from pumice.hypervisor.accelerator import Accelerator
from pumice.hypervisor.contract import Disk, FileSource, IscsiSource, Machine
from pumice.model.errors import Invalid
from pumice.model.ids import AttachmentId, ServerId, new_id

ISCSI = IscsiSource(
    "[::1]:3260", "iqn.2010-10.org.example:v", 1, "user", "the-password", "iqn.2010-10.org.example:host"
)


def read(xml: str) -> ElementTree.Element:
    return ElementTree.fromstring(xml)  # noqa: S314, it was written here


def domain_of(machine: Machine) -> ElementTree.Element:
    return read(domain_xml.machine_xml(machine, Accelerator.TCG, Path("/console.log")))


@pytest.mark.parametrize("name", ["</name><devices/>", "a & b", "'\"", "new\nline\0", "gruß"])
def test_no_name_becomes_markup(name: str) -> None:
    domain = domain_of(Machine(ServerId(new_id()), name, 1, 64))
    told = domain.findtext(f"metadata/{{{domain_xml.NAMESPACE}}}machine/{{{domain_xml.NAMESPACE}}}name")
    assert told == "".join(letter if letter.isprintable() else "?" for letter in name)
    assert len(domain.findall("devices")) == 1


def test_an_iscsi_disk_names_its_secret_and_never_the_password() -> None:
    disk = Disk(new_id(), "vda", ISCSI, AttachmentId(new_id()))
    for xml in (domain_xml.disk_xml(disk), domain_xml.secret_xml(disk)):
        assert disk.attachment is not None and disk.attachment in xml
        assert "the-password" not in xml
    host = read(domain_xml.disk_xml(disk)).find("source/host")
    assert host is not None and host.attrib == {"name": "::1", "port": "3260"}


@pytest.mark.parametrize("attachment", [None, "", "no-uuid"])
def test_an_iscsi_disk_without_an_attachment_is_refused(attachment: str | None) -> None:
    with pytest.raises(Invalid):
        domain_xml.disk_xml(Disk(new_id(), "vda", ISCSI, attachment and AttachmentId(attachment)))


def test_disks_are_read_back_by_serial_number_and_only_the_first_boots() -> None:
    disks = (
        Disk(new_id(), "vda", ISCSI, AttachmentId(new_id())),
        Disk(new_id(), "vdb", FileSource(Path("/disk.raw")), read_only=True),
    )
    domain = domain_of(Machine(ServerId(new_id()), "name", 1, 64, disks))
    known = domain_xml.read_disks(ElementTree.tostring(domain, encoding="unicode"))
    assert set(known) == {disk.serial for disk in disks}
    assert known[disks[0].serial].secrets == (disks[0].attachment,)
    assert [disk.find("boot") is not None for disk in domain.findall("devices/disk")] == [True, False]
    assert [disk.find("readonly") is not None for disk in domain.findall("devices/disk")] == [False, True]


def test_the_guest_cannot_reach_services_of_the_host_through_its_nic() -> None:
    xml = domain_xml.machine_xml(
        Machine(ServerId(new_id()), "name", 1, 64), Accelerator.TCG, Path("/console.log")
    )
    assert "user,id=pumice-net,restrict=on" in xml
    assert "<interface" not in xml


def test_a_domain_is_ours_only_when_name_and_uuid_agree() -> None:
    server = ServerId(new_id())
    assert domain_xml.is_ours(domain_xml.domain_name(server), server)
    assert not domain_xml.is_ours(domain_xml.domain_name(server), new_id())
    assert not domain_xml.is_ours("instance-00000001", server)
