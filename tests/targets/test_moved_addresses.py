"""A machine that has moved: portal, port, the names of targets, and the address of the host are others."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from tests.ports import free_port
from tests.pumice_installation import ATTACHMENTS, SERVERS, VOLUMES, Installation, state_directory

pytestmark = pytest.mark.real
CONNECTOR = {"initiator": "iqn.1993-08.org.debian:01:one", "host": "node1", "ip": "192.0.2.1"}
MOVED = {"PUMICE_TGT__IQN_PREFIX": "iqn.2031-01.org.moved", "PUMICE_COMPUTE__IP": "127.0.0.2"}


@pytest.fixture
def pumice() -> Iterator[Installation]:
    """One on a real tgtd, with a hypervisor that costs nothing."""
    with state_directory() as state:
        found = Installation(state, PUMICE_COMPUTE__DRIVER="fake")
        try:
            found.launch("serve")
            found.log_in()
            yield found
        finally:
            found.close()
            found.end_daemons()


@pytest.mark.parametrize("restarted", [True, False], ids=["machine", "pumice"])
def test_what_was_connected_before_is_reached_where_it_is_now(pumice: Installation, restarted: bool) -> None:
    root, other = (create(pumice) for _ in range(2))
    server = boot(pumice, root)
    pumice.call("POST", f"{SERVERS}/{server}/action", {"os-stop": None})
    pumice.becomes(f"{SERVERS}/{server}", "server", "SHUTOFF")
    wanted = {"volume_uuid": other, "connector": CONNECTOR}
    link = pumice.call("POST", ATTACHMENTS, {"attachment": wanted})["attachment"]["id"]

    pumice.stop("serve")
    if restarted:
        pumice.end_daemons()
    portal = f"127.0.0.2:{free_port()}"
    pumice.environment |= {"PUMICE_TGT__PORTAL": portal, **MOVED}
    pumice.launch("serve")
    pumice.log_in()

    def told() -> Any:
        info = pumice.call("GET", f"{ATTACHMENTS}/{link}")["attachment"]["connection_info"]
        return info["target_portal"], info["target_iqn"]

    here = portal, f"iqn.2031-01.org.moved:volume-{other}"
    pumice.wait(lambda: told() == here, "the attachment is not told")
    pumice.call("POST", f"{SERVERS}/{server}/action", {"os-start": None})
    pumice.becomes(f"{SERVERS}/{server}", "server", "ACTIVE")
    known = pumice.rows(f"SELECT portal, connector FROM attachments WHERE server_id = '{server}'")[0]  # noqa: S608
    assert portal in known
    address, _, port = portal.rpartition(":")
    socket.create_connection((address, int(port))).close()
    assert "iqn.2031-01.org.moved" in known
    pumice.settle()
    assert pumice.violations() == []


def create(pumice: Installation) -> str:
    volume = str(pumice.call("POST", VOLUMES, {"volume": {"size": 1}})["volume"]["id"])
    pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    return volume


def boot(pumice: Installation, volume: str) -> str:
    pumice.call("POST", f"{VOLUMES}/{volume}/action", {"os-set_bootable": {"bootable": True}})
    root = {"boot_index": 0, "uuid": volume, "source_type": "volume", "destination_type": "volume"}
    wanted = {"name": "s", "flavorRef": "42", "networks": "none", "block_device_mapping_v2": [root]}
    server = str(pumice.call("POST", SERVERS, {"server": wanted})["server"]["id"])
    pumice.becomes(f"{SERVERS}/{server}", "server", "ACTIVE")
    return server
