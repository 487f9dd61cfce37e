"""A volume grows under a guest that writes to it: the guest sees the new size, and loses nothing."""

import libvirt
import pytest
from stories import VOLUMES, Stories

from pumice.model.units import GIB

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


def seen_by(real: Stories, server: str, volume: str) -> tuple[int, bool]:
    """The size in bytes that QEMU shows the guest, and whether the guest goes on."""
    connection = libvirt.open(real.pumice.libvirtd.uri)
    try:
        domain = connection.lookupByUUIDString(server)
        shown = real.pumice.call("GET", f"{VOLUMES}/{volume}")["volume"]
        device = shown["attachments"][0]["device"].removeprefix("/dev/")
        return domain.blockInfo(device)[0], domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
    finally:
        connection.close()


def test_a_guest_sees_its_volume_grow(real: Stories, guest: str, volume: str) -> None:
    real.attach(guest, volume)
    real.pumice.settle()
    assert real.extend(volume, 2, version="3.41") == 400
    assert real.extend(volume, 2) == 202
    real.pumice.settle()
    real.volume_is(volume, "in-use")
    assert seen_by(real, guest, volume) == (2 * GIB, True)
    assert real.extend(volume, 3) == 202
    real.pumice.settle()
    assert seen_by(real, guest, volume) == (3 * GIB, True)
    real.detach(guest, volume)
    real.pumice.settle()
    real.volume_is(volume, "available")
    assert real.pumice.call("GET", f"{VOLUMES}/{volume}")["volume"]["size"] == 3
    assert not real.pumice.violations()


def test_a_volume_that_a_host_of_its_own_uses_does_not_grow_under_it(real: Stories, volume: str) -> None:
    connector = {"initiator": "iqn.1993-08.org.debian:01:one", "host": "node1", "ip": "127.0.0.1"}
    body = {"attachment": {"volume_uuid": volume, "connector": connector}}
    attachment = real.pumice.call("POST", "/volume/v3/attachments", body)["attachment"]["id"]
    real.pumice.call("POST", f"/volume/v3/attachments/{attachment}/action", {"os-complete": {}})
    assert real.extend(volume, 2) == 400
    real.delete(f"/volume/v3/attachments/{attachment}")
    real.pumice.settle()
    real.volume_is(volume, "available")
