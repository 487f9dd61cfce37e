"""Encrypted volume types, and what is told of the volumes that have one."""

from typing import Any

import pytest
from volume_cloud import Cloud

from databases import ON_SQLITE

LUKS = {"provider": "luks", "control_location": "front-end"}


async def encrypted_type(cloud: Cloud, **wanted: Any) -> tuple[str, dict[str, Any]]:
    kind = (await cloud.call("POST", "/types", {"volume_type": {"name": "secret"}}, who="admin")).json()
    path = f"/types/{kind['volume_type']['id']}/encryption"
    answer = await cloud.call("POST", path, {"encryption": {**LUKS, **wanted}}, who="admin")
    assert answer.status_code == 200, answer.text
    return path, answer.json()["encryption"]


async def test_a_type_is_encrypted_otherwise_and_no_more_while_it_has_no_volumes(cloud: Cloud) -> None:
    path, made = await encrypted_type(cloud, key_size=256)
    one = f"{path}/{made['encryption_id']}"
    assert (made["cipher"], made["key_size"]) == ("aes-xts-plain64", 256)
    again = await cloud.call("POST", path, {"encryption": LUKS}, who="admin")
    assert (again.status_code, "already exists" in again.text) == (400, True)
    answer = await cloud.call("PUT", one, {"encryption": {"key_size": 512}}, who="admin")
    assert (answer.status_code, answer.json()) == (200, {"encryption": {"key_size": 512}})
    shown = (await cloud.call("GET", path, who="admin")).json()
    assert shown["key_size"] == 512
    assert shown["encryption_id"] == made["encryption_id"]
    assert shown["deleted"] is False
    assert (await cloud.call("GET", f"{path}/provider", who="admin")).json() == {"provider": "luks"}
    assert (await cloud.call("GET", f"{path}/nothing", who="admin")).status_code == 404
    assert (await cloud.call("DELETE", one, who="admin")).status_code == 202
    assert (await cloud.call("DELETE", one, who="admin")).status_code == 404
    assert (await cloud.call("GET", path, who="admin")).json() == {}


async def test_a_type_with_volumes_stays_as_it_is(cloud: Cloud) -> None:
    path, made = await encrypted_type(cloud)
    await cloud.call("POST", "/volumes", {"volume": {"size": 1, "volume_type": "secret"}})
    one = f"{path}/{made['encryption_id']}"
    for method, where, body in (
        ("PUT", one, {"encryption": {"key_size": 256}}),
        ("DELETE", one, None),
        ("POST", path, {"encryption": LUKS}),
    ):
        answer = await cloud.call(method, where, body, who="admin")
        assert (answer.status_code, "in use" in answer.text) == (400, True), answer.text


@ON_SQLITE
@pytest.mark.parametrize(
    "wanted", [{"control_location": "elsewhere"}, {"key_size": 0}, {"key_size": "many"}, {"provider": None}]
)
async def test_a_malformed_encryption_is_refused(cloud: Cloud, wanted: dict[str, Any]) -> None:
    kind = (await cloud.call("POST", "/types", {"volume_type": {"name": "secret"}}, who="admin")).json()
    path = f"/types/{kind['volume_type']['id']}/encryption"
    answer = await cloud.call("POST", path, {"encryption": {**LUKS, **wanted}}, who="admin")
    assert answer.status_code == 400, answer.text
    assert (await cloud.call("GET", path, who="admin")).json() == {}


@pytest.mark.parametrize(
    "wanted",
    [
        {"provider": "plain"},
        {"control_location": "back-end"},
        {"cipher": "aes-cbc-essiv:sha256"},
        {"key_size": 128},
    ],
)
async def test_a_volume_whose_encryption_would_not_happen_is_refused(
    cloud: Cloud, wanted: dict[str, Any]
) -> None:
    await encrypted_type(cloud, **wanted)
    answer = await cloud.call("POST", "/volumes", {"volume": {"size": 1, "volume_type": "secret"}})
    [word] = wanted
    assert (answer.status_code, word in answer.text) == (400, True), answer.text


async def test_a_volume_tells_that_it_is_encrypted_and_never_its_key(cloud: Cloud) -> None:
    await encrypted_type(cloud)
    body = {"volume": {"size": 1, "volume_type": "secret"}}
    volume = (await cloud.call("POST", "/volumes", body)).json()["volume"]
    assert volume["encrypted"] is True
    shown = (await cloud.call("GET", f"/volumes/{volume['id']}", version="3.64")).json()["volume"]
    before = (await cloud.call("GET", f"/volumes/{volume['id']}", version="3.63")).json()["volume"]
    assert "encryption_key_id" not in before
    told = (await cloud.call("GET", f"/volumes/{volume['id']}/encryption")).json()
    assert told == {
        "encryption_key_id": shown["encryption_key_id"],
        "provider": "luks",
        "control_location": "front-end",
        "cipher": "aes-xts-plain64",
        "key_size": 512,
    }
    assert (await cloud.call("GET", f"/volumes/{volume['id']}/encryption/cipher")).json() == "aes-xts-plain64"
    plain = await cloud.make()
    assert plain["encrypted"] is False
    assert (await cloud.call("GET", f"/volumes/{plain['id']}/encryption")).json() == {"encryption_key_id": None}


async def test_a_copy_is_encrypted_exactly_if_its_source_is(cloud: Cloud) -> None:
    await encrypted_type(cloud)
    plain = await cloud.make()
    body = {"volume": {"source_volid": plain["id"], "volume_type": "secret"}}
    answer = await cloud.call("POST", "/volumes", body)
    assert (answer.status_code, "encrypted exactly if" in answer.text) == (400, True)
