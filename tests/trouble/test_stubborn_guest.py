"""A guest that does not let go of its disk: it keeps it, and everybody is told."""

import pytest
from stories import SERVERS, Stories

from pumice.model.units import MIB

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
DETACH_SECONDS = 10

NEVER_LISTENS = b"\xfa\xf4\xeb\xfd".ljust(510, b"\0") + b"\x55\xaa"
"""A boot sector: ``cli; hlt; jmp`` back to the ``hlt``. Nothing in it knows of disks that come and go."""


def test_a_disk_that_the_guest_keeps_stays_attached_until_the_server_is_off(real: Stories, volume: str) -> None:
    image = real.upload(NEVER_LISTENS.ljust(MIB, b"\0"), "raw")
    root = real.create(imageRef=image)
    real.pumice.settle()
    server = real.boot(root)
    real.pumice.settle()
    real.attach(server, volume)
    real.pumice.settle()
    real.volume_is(volume, "in-use")

    real.detach(server, volume)
    real.volume_is(volume, "detaching")
    real.pumice.settle()
    real.volume_is(volume, "in-use")
    assert "did not release vdb within 10 seconds" in real.messages(volume)[0]
    attachments = real.pumice.call("GET", f"{SERVERS}/{server}/os-volume_attachments")["volumeAttachments"]
    assert {attachment["volumeId"] for attachment in attachments} == {root, volume}
    assert not real.pumice.violations()

    real.delete(f"{SERVERS}/{server}")
    real.pumice.settle()
    real.volume_is(volume, "available")
    assert not real.pumice.violations()
