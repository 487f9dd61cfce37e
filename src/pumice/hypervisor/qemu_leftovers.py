"""What a libvirtd that was killed in the middle of an attach left in QEMU, and its successor does not know.

libvirt adds a disk in three moves, and writes down what it did only after the last::

    secret libvirt-3-storage-auth-secret0 --> nodes libvirt-3-storage, libvirt-3-format --> device virtio-disk1

The next libvirtd counts from the same numbers and is refused; and a guest may hold a disk of which libvirt says
that there is none. So QEMU itself is asked. Nothing that a disk known to libvirt uses is taken away here.
"""

import json
import re
from typing import Any
from xml.etree import ElementTree

from pumice.hypervisor.libvirt_domains import Domain

_PERIPHERAL, _OBJECTS = "/machine/peripheral", "/objects"
_NODE = re.compile(r"libvirt-(\d+)-(?:format|storage)")
_SECRET = re.compile(r"libvirt-(\d+)-storage-auth-secret0")


def devices(domain: Domain) -> list[str]:
    """The disks that the guest of a running domain has and libvirt does not know."""
    there = _names(domain, _PERIPHERAL)  # first, or a disk that comes meanwhile would count
    known = {alias.get("name") for alias in _known(domain).findall("devices/disk/alias")}
    return [name for name in there if name.startswith("virtio-disk") and name not in known]


def clear(domain: Domain) -> None:
    """Take everything away. A device goes when the guest lets go, and what is under it at a later call."""
    for device in devices(domain):
        _ask(domain, "device_del", id=device)
    nodes = [node["node-name"] for node in _ask(domain, "query-named-block-nodes", flat=True) or ()]
    secrets = _names(domain, _OBJECTS)
    known = {source.get("index") for source in _known(domain).findall("devices/disk/source")}
    for node in sorted(nodes):  # the format before the storage under it
        if (match := _NODE.fullmatch(node)) and match[1] not in known:
            _ask(domain, "blockdev-del", **{"node-name": node})
    for secret in secrets:
        if (match := _SECRET.fullmatch(secret)) and match[1] not in known:
            _ask(domain, "object-del", id=secret)


def _known(domain: Domain) -> ElementTree.Element:
    return ElementTree.fromstring(domain.XMLDesc(0))  # noqa: S314, from libvirtd


def _names(domain: Domain, path: str) -> list[str]:
    return [child["name"] for child in _ask(domain, "qom-list", path=path) or ()]


def _ask(domain: Domain, command: str, **arguments: Any) -> Any:
    """QEMU's answer; None when it refuses, as it does for what is in use."""
    import libvirt_qemu  # comes with libvirt, which only who drives it needs (``libvirt_connection.load``)

    words = json.dumps({"execute": command, "arguments": arguments})
    return json.loads(libvirt_qemu.qemuMonitorCommand(domain, words, 0)).get("return")
