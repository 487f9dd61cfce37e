"""Encrypted volumes on real parts: guests use them like any other, and storage holds nothing to be read."""

from pathlib import Path

import libvirt
import pytest
from stories import SERVERS, VOLUMES, Stories

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def encrypted(real: Stories) -> str:
    return real.encrypted_type()


def bytes_of(real: Stories, volume: str) -> Path:
    [found] = (real.pumice.state_dir / "volumes").rglob(f"*{volume}*")
    return found


def secrets_of(real: Stories) -> list[str]:
    """What libvirtd keeps to open LUKS with."""
    connection = libvirt.open(real.pumice.libvirtd.uri)
    try:
        luks = libvirt.VIR_SECRET_USAGE_TYPE_VOLUME
        return [one.UUIDString() for one in connection.listAllSecrets() if one.usageType() == luks]
    finally:
        connection.close()


def test_a_server_boots_from_an_encrypted_volume_that_has_another_image_and_from_its_copy(
    real: Stories, encrypted: str
) -> None:
    volume = real.create(imageRef=real.image, volume_type=encrypted)
    real.pumice.settle()
    real.volume_is(volume, "available")
    with bytes_of(real, volume).open("rb") as file:
        assert file.read(6) == b"LUKS\xba\xbe"
    snapshot = real.pumice.call("POST", "/volume/v3/snapshots", {"snapshot": {"volume_id": volume}})
    real.pumice.settle()
    copy = real.create(snapshot_id=snapshot["snapshot"]["id"])
    real.pumice.settle()
    real.reimage(volume)
    real.pumice.settle()
    real.volume_is(volume, "available")
    with bytes_of(real, volume).open("rb") as file:
        assert file.read(6) == b"LUKS\xba\xbe"
    for root in (volume, copy):
        server = real.boot(root)
        real.pumice.settle()
        real.server_is(server, "ACTIVE")
        real.wait_for_guest(server)
        real.delete(f"{SERVERS}/{server}")
        real.pumice.settle()
    assert not secrets_of(real)
    assert not real.pumice.violations()
    real.delete(f"{VOLUMES}/{copy}")
    real.delete(f"/volume/v3/snapshots/{snapshot['snapshot']['id']}")
    real.pumice.settle()
    real.delete(f"{VOLUMES}/{volume}")
    real.pumice.settle()
    real.is_gone(f"{VOLUMES}/{volume}")


@pytest.mark.long
def test_a_server_boots_from_a_volume_that_was_encrypted_when_it_had_its_bytes(
    real: Stories, encrypted: str
) -> None:
    volume = real.create(imageRef=real.image)
    real.pumice.settle()
    to_type = {"new_type": encrypted, "migration_policy": "on-demand"}
    for action in ({"os-extend": {"new_size": 2}}, {"os-retype": to_type}):
        answer = real.pumice.http.post(f"{VOLUMES}/{volume}/action", json=action)
        assert answer.status_code == 202, answer.text
        real.pumice.settle()
    real.volume_is(volume, "available")
    with bytes_of(real, volume).open("rb") as file:
        assert file.read(6) == b"LUKS\xba\xbe"
    server = real.boot(volume)
    real.pumice.settle()
    real.wait_for_guest(server)
    real.delete(f"{SERVERS}/{server}")
    real.pumice.settle()
    assert not secrets_of(real)
    assert not real.pumice.violations()


def test_an_encrypted_volume_comes_and_goes_and_leaves_no_secret(
    real: Stories, guest: str, encrypted: str
) -> None:
    volume = real.create(volume_type=encrypted)
    real.pumice.settle()
    for _ in range(2):
        real.attach(guest, volume)
        real.pumice.settle()
        real.volume_is(volume, "in-use")
        assert len(secrets_of(real)) == 1
        real.detach(guest, volume)
        real.pumice.settle()
        real.volume_is(volume, "available")
        assert not secrets_of(real)
    assert not real.pumice.violations()


def test_the_connection_of_an_encrypted_volume_says_so(real: Stories, encrypted: str) -> None:
    volume = real.create(volume_type=encrypted)
    real.pumice.settle()
    connector = {"initiator": "iqn.1993-08.org.debian:01:one", "host": "node1", "ip": "127.0.0.1"}
    body = {"attachment": {"volume_uuid": volume, "connector": connector}}
    attachment = real.pumice.call("POST", "/volume/v3/attachments", body)["attachment"]
    assert attachment["connection_info"]["encrypted"] is True
    real.delete(f"/volume/v3/attachments/{attachment['id']}")
    real.delete(f"{VOLUMES}/{volume}")
