"""A volume that moves while it is used is exported by one daemon twice, by two names."""

from pathlib import Path

from pumice.backends.targets.contract import Grant
from pumice.backends.targets.fake import FakeTarget
from pumice.backends.targets.two_names import TwoNames, ends_unlike
from pumice.model.ids import AttachmentId, VolumeId, new_id

OLD, NEW = Path("/old"), Path("/new")


def grant(username: str) -> Grant:
    return Grant(AttachmentId(new_id()), "iqn.x:me", username, "correct horse")


async def test_two_accounts_of_a_volume_have_a_disk_each_and_each_is_shut_out_by_its_name() -> None:
    inner, volume = FakeTarget(), VolumeId(new_id())
    target = TwoNames(inner)
    first = await target.grant(volume, OLD, grant("user"))
    second = await target.grant(volume, NEW, grant("other" + ends_unlike("user")))
    assert first.name != second.name
    assert set(inner.devices.values()) == {OLD, NEW}
    assert await target.exports() == {volume: {"user", "other.2"}}
    await target.revoke(volume, grant("user"))
    assert list(inner.devices.values()) == [NEW]
    assert await target.exports() == {volume: {"other.2"}}
    assert ends_unlike("other.2") == "", "when it moves again it has its first name"
    await target.remove(volume)
    assert await target.exports() == {} == inner.devices


async def test_whoever_grows_a_volume_grows_what_is_exported_of_it() -> None:
    inner, volume = FakeTarget(), VolumeId(new_id())
    target = TwoNames(inner)
    await target.grant(volume, OLD, grant("user.2"))
    await target.resize(volume, NEW)
    assert list(inner.devices.values()) == [NEW]
    assert (target.driver, target.portals) == (inner.driver, inner.portals)
