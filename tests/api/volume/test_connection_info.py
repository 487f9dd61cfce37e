"""What os-brick is told of an export, for each kind of target and of connector."""

from typing import Any

from pumice.api.volume import connection_info
from pumice.model.connector import Connector
from pumice.model.export import LocalDevice, of_row
from pumice.model.states import AttachStatus
from pumice.model.volume import Attachment
from pumice.store.columns import now

PORTAL = {"iqn": "iqn.2010-10.org.openstack:volume-1", "portal": "192.0.2.1:3260", "lun": 1}


def an_attachment(portal: dict[str, Any], connector: dict[str, Any]) -> Attachment:
    return Attachment(
        id="a",
        volume_id="v",
        project_id="p",
        server_id=None,
        host=None,
        device=None,
        status=AttachStatus.ATTACHED,
        mode="rw",
        connector=Connector.of_row(connector),
        portal=of_row(portal),
        chap_username="user",
        chap_password="password",
        operation_id=None,
        attached_at=None,
        created_at=now(),
        updated_at=None,
    )


def test_only_a_connector_with_multipath_is_told_of_every_path() -> None:
    portal = PORTAL | {"others": ["192.0.2.2:3260"]}
    single = connection_info.data(an_attachment(portal, {"initiator": "i", "multipath": False}), None)
    assert single["target_portal"] == "192.0.2.1:3260" and "target_portals" not in single
    several = connection_info.data(an_attachment(portal, {"initiator": "i", "multipath": True}), None)
    assert several["target_portals"] == ["192.0.2.1:3260", "192.0.2.2:3260"]
    assert several["target_iqns"] == [PORTAL["iqn"]] * 2 and several["target_luns"] == [1, 1]
    alone = connection_info.data(an_attachment(PORTAL, {"initiator": "i", "multipath": True}), None)
    assert "target_portals" not in alone


def test_an_nvme_target_is_told_in_nvme_words_and_without_a_password() -> None:
    portal = {
        "iqn": "nqn.2010-10.org.openstack:volume-1",
        "portal": "[2001:db8::1]:4420",
        "lun": 1,
        "uuid": "u",
    }
    told = connection_info.nested(an_attachment(portal, {"nqn": "n"}), None)
    assert told["driver_volume_type"] == "nvmeof"
    assert told["data"]["portals"] == [["2001:db8::1", 4420, "tcp"]]
    assert told["data"]["target_nqn"] == portal["iqn"] and told["data"]["vol_uuid"] == "u"
    assert "password" not in str(told)


def test_a_device_of_the_host_itself_is_told_as_brick_opens_it() -> None:
    here = LocalDevice("/srv/volume", encrypted=True)
    told = connection_info.nested(an_attachment(here.to_row(), {"host": "h"}), None)
    assert told["driver_volume_type"] == "local"
    assert told["data"]["device_path"] == "/srv/volume" and told["data"]["encrypted"] is True
