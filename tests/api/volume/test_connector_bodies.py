"""What a client may say of the host that connects, and when two hosts are one."""

from typing import Any

import pytest
from volume_cloud import CONNECTOR, Cloud

from pumice.model.connector import Connector

NVME = {"host": "node1", "ip": "192.0.2.1", "nqn": "nqn.2014-08.org.nvmexpress:uuid:1"}
OS_BRICK = {
    "platform": "x86_64", "os_type": "linux", "ip": "192.0.2.1", "host": "node1", "multipath": True,
    "enforce_multipath": True, "initiator": "iqn.1993-08.org.debian:01:3a9f_C", "do_local_attach": False,
    "system uuid": "4c4c4544-0047-4c10-8032-b6c04f4d4c32", "nqn": "nqn.2014-08.org.nvmexpress:uuid:1",
    "nvme_native_multipath": False, "found_dsc": "", "uuid": "1", "wwpns": ["500a098280feeba5"],
    "wwnns": ["500a098290feeba5"], "nvme_hostid": None, "mountpoint": "/dev/vdb", "vdisk_size": 7,
}  # fmt: skip

NESTED: Any = 1
for _ in range(260):
    NESTED = {"x": NESTED}

WRONG: list[Any] = [
    *({**CONNECTOR, "host": value} for value in ([], {}, ["node1"], 2**63, True, "a\nb", "x" * 256, "a b")),
    *({**CONNECTOR, "ip": value} for value in ({}, ["x"], "a\0", 7)),
    *({**CONNECTOR, word: [1]} for word in ("mountpoint", "mode", "wwpns")),
    *({**CONNECTOR, "x": value} for value in (2**63, -(2**80), {}, NESTED, [["x"]], ["x"] * 65, "x" * 65536)),
    *({**CONNECTOR, "multipath": value} for value in ("yes", 1, [])),
    *({**NVME, "nqn": value} for value in ("nqn", "nqn.2014-08.x y", "iqn.1993-08.org.debian:1", 5)),
    *(
        {**CONNECTOR, "initiator": value}
        for value in (
            "iqn.x:a", "iqn.2020-01.x:a b", "iqn.2020-01.x:a\0", "iqn.2020-01.x:a\r\nb", "iqn.2020-01.x:a,b",
            "iqn.2020-01.x:" + "a" * 65536, "iqn.2020-01.x:" + "a" * 220, "one", "naa.12", "eui.xyz", 5, [], {},
            "iqn.2020-01.x:a\n",
        )
    ),
    {**CONNECTOR, "wwpns": ["not one"]},
    {str(number): "x" for number in range(100)},
    {"host": "node1"},
    {**CONNECTOR, "initiator": ""},
    {**CONNECTOR, "initiator": None},
    NVME,
    [],
    "iqn.1993-08.org.debian:01:one",
    7,
]  # fmt: skip


async def test_a_connector_that_makes_no_sense_is_refused_wherever_it_is_sent(cloud: Cloud) -> None:
    volume = (await cloud.make())["id"]
    reserved = (await cloud.make())["id"]
    reply = await cloud.call("POST", "/attachments", {"attachment": {"volume_uuid": reserved}})
    attachment = reply.json()["attachment"]["id"]
    for wrong in WRONG:
        for method, path, body in (
            ("POST", "/attachments", {"attachment": {"volume_uuid": volume, "connector": wrong}}),
            ("PUT", f"/attachments/{attachment}", {"attachment": {"connector": wrong}}),
            ("POST", f"/volumes/{volume}/action", {"os-initialize_connection": {"connector": wrong}}),
        ):
            if wrong != [] or method == "PUT":
                reply = await cloud.call(method, path, body)
                assert reply.status_code == 400, (method, str(wrong)[:100], reply.text)
                assert len(reply.text) < 1000
    assert not await cloud.attachments_of(volume)
    await cloud.until(volume, "available")


@pytest.mark.parametrize(
    "connector", [OS_BRICK, {"initiator": "eui.02004567A425678D"}, {"initiator": "naa.52004567BA64678D"}]
)
async def test_what_hosts_say_of_themselves_is_taken(cloud: Cloud, connector: dict[str, Any]) -> None:
    volume = (await cloud.make())["id"]
    reply = await cloud.act(volume, "os-initialize_connection", {"connector": connector})
    assert reply.status_code == 200, reply.text


A, B = "iqn.2020-01.x:a", "iqn.2020-01.x:b"
N, M = "nqn.2020-01.x:a", "nqn.2020-01.x:b"
W, V = "500a098280feeba5", "500a098280feeba6"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Connector(initiator=A), Connector(initiator=A, host="b"), True),
        (Connector(initiator=A, host="h"), Connector(initiator=B, host="h"), False),
        (Connector(nqn=N, host="a"), Connector(nqn=M, host="b"), False),
        (Connector(nqn=N, host="h"), Connector(nqn=M, host="h"), False),
        (Connector(nqn=N), Connector(nqn=N, initiator=A), True),
        (Connector(wwpns=(W, V)), Connector(wwpns=(V,)), True),
        (Connector(wwpns=(W,), host="h"), Connector(wwpns=(V,), host="h"), False),
        (Connector(nqn=N), Connector(initiator=A), False),
        (Connector(nqn=N, host="h"), Connector(initiator=A, host="h"), True),
        (Connector(), Connector(), False),
    ],
)
def test_two_hosts_are_one_by_the_names_that_they_have(one: Connector, other: Connector, same: bool) -> None:
    assert one.is_same_host(other) is other.is_same_host(one) is same


def test_what_is_kept_of_a_connector_is_what_storage_goes_by() -> None:
    kept = Connector.parse(OS_BRICK).to_row()
    assert Connector.of_row(kept) == Connector.parse(OS_BRICK)
    assert set(kept) == {
        "host", "ip", "initiator", "nqn", "wwpns", "multipath", "enforce_multipath", "mountpoint",
    }  # fmt: skip
