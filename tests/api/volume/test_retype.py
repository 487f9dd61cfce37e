"""Another type for a volume, by ``os-retype``: where it lies, with its quota; else refused as a whole."""

from typing import Any

import pytest
from test_groups import a_group, inside
from volume_cloud import CONNECTOR, PROJECT, Cloud

from pumice.model.errors import Conflict


async def a_type(cloud: Cloud, name: str, **specs: str) -> str:
    body = {"volume_type": {"name": name, "extra_specs": specs}}
    made: str = (await cloud.call("POST", "/types", body, who="admin")).json()["volume_type"]["id"]
    return made


async def retype(cloud: Cloud, volume: str, to: str, who: str = "member", **more: Any) -> tuple[int, str]:
    answer = await cloud.call(
        "POST", f"/volumes/{volume}/action", {"os-retype": {"new_type": to, **more}}, who=who
    )
    return answer.status_code, answer.text


async def shown(cloud: Cloud, volume: str) -> dict[str, Any]:
    found: dict[str, Any] = (await cloud.call("GET", f"/volumes/{volume}")).json()["volume"]
    return found


async def used(cloud: Cloud) -> dict[str, int]:
    answer = await cloud.call("GET", f"/os-quota-sets/{PROJECT}?usage=true", who="admin")
    return {name: quota["in_use"] for name, quota in answer.json()["quota_set"].items() if name != "id"}


async def in_use(cloud: Cloud, volume: str) -> None:
    body = {"attachment": {"volume_uuid": volume, "connector": CONNECTOR}}
    made = (await cloud.call("POST", "/attachments", body)).json()["attachment"]["id"]
    await cloud.call("POST", f"/attachments/{made}/action", {"os-complete": {}})
    await cloud.until(volume, "in-use")


async def qos(cloud: Cloud, kind: str, consumer: str) -> None:
    body = {"qos_specs": {"name": kind, "consumer": consumer, "total_iops_sec": "9"}}
    made = (await cloud.call("POST", "/qos-specs", body, who="admin")).json()["qos_specs"]["id"]
    await cloud.call("GET", f"/qos-specs/{made}/associate?vol_type_id={kind}", who="admin")


async def test_a_volume_has_the_new_type_and_its_project_the_new_types_quota(cloud: Cloud) -> None:
    gold = await a_type(cloud, "gold", multiattach="<is> True")
    volume = await cloud.make(3)
    assert await retype(cloud, volume["id"], "gold", migration_policy="on-demand") == (202, "")
    now = await shown(cloud, volume["id"])
    assert (now["volume_type"], now["volume_type_id"], now["multiattach"]) == ("gold", gold, True)
    assert (now["status"], now["size"]) == ("available", 3)
    amounts = await used(cloud)
    assert (amounts["volumes_gold"], amounts["gigabytes_gold"], amounts["volumes"]) == (1, 3, 1)
    assert (amounts["volumes___DEFAULT__"], amounts["gigabytes___DEFAULT__"], amounts["gigabytes"]) == (0, 0, 3)
    assert (await retype(cloud, volume["id"], "__DEFAULT__", migration_policy=None))[0] == 202
    assert (await used(cloud))["volumes_gold"] == 0


async def test_a_volume_in_use_keeps_its_users(cloud: Cloud) -> None:
    gold, silver = await a_type(cloud, "gold"), await a_type(cloud, "silver")
    await a_type(cloud, "many", multiattach="<is> True")
    await qos(cloud, gold, "front-end")
    await qos(cloud, silver, "back-end")
    volume = (await cloud.make())["id"]
    await in_use(cloud, volume)
    for to, word in (("gold", "front-end qos specs cannot change"), ("many", "only allowed on available")):
        status, text = await retype(cloud, volume, to)
        assert (status, word in text) == (400, True), text
    assert (await retype(cloud, volume, "silver"))[0] == 202
    now = await shown(cloud, volume)
    assert (now["volume_type"], now["status"], len(now["attachments"])) == ("silver", "in-use", 1)


@pytest.mark.parametrize(
    ("specs", "word"),
    [
        ({"media": "tape"}, "'on-demand'"),
        ({"provisioning:max_vol_size": "1"}, "greater than the maximum"),
        ({"RESKEY:availability_zones": "moon"}, "'on-demand'"),
    ],
)
async def test_a_type_that_does_not_fit_is_refused_and_nothing_is_changed(
    cloud: Cloud, specs: dict[str, str], word: str
) -> None:
    await a_type(cloud, "other", **specs)
    volume = await cloud.make(2)
    before = await used(cloud)
    status, text = await retype(cloud, volume["id"], "other", migration_policy="never")
    assert (status, word in text) == (400, True), text
    assert (await shown(cloud, volume["id"]))["volume_type"] == "__DEFAULT__"
    assert {name: n for name, n in (await used(cloud)).items() if n} == {
        name: n for name, n in before.items() if n
    }


async def an_encrypted_type(cloud: Cloud, name: str, **wanted: Any) -> None:
    kind = await a_type(cloud, name)
    luks = {"provider": "luks", "control_location": "front-end", **wanted}
    answer = await cloud.call("POST", f"/types/{kind}/encryption", {"encryption": luks}, who="admin")
    assert answer.status_code == 200, answer.text


MOVES = {"migration_policy": "on-demand"}


async def encrypted(cloud: Cloud, volume: str, to: str) -> dict[str, Any]:
    """How it is opened once it has another type."""
    assert await retype(cloud, volume, to, **MOVES) == (202, "")
    await cloud.quiet()
    now = await shown(cloud, volume)
    assert (now["status"], now["volume_type"]) == ("available", to)
    told: dict[str, Any] = (await cloud.call("GET", f"/volumes/{volume}/encryption")).json()
    assert now["encrypted"] is (told["encryption_key_id"] is not None)
    return told


async def test_a_volume_is_encrypted_otherwise_and_no_more(cloud: Cloud) -> None:
    await an_encrypted_type(cloud, "secret")
    await an_encrypted_type(cloud, "short", key_size=256)
    await an_encrypted_type(cloud, "alike", provider="LuksEncryptor")
    volume = (await cloud.make())["id"]
    first = await encrypted(cloud, volume, "secret")
    second = await encrypted(cloud, volume, "short")
    assert (first["key_size"], second["key_size"]) == (512, 256)
    assert first["encryption_key_id"] != second["encryption_key_id"]
    third = await encrypted(cloud, volume, "secret")
    assert (await retype(cloud, volume, "alike", migration_policy="never"))[0] == 202, (
        "another name, and no more"
    )
    told = (await cloud.call("GET", f"/volumes/{volume}/encryption")).json()
    assert told["encryption_key_id"] == third["encryption_key_id"]
    assert await encrypted(cloud, volume, "__DEFAULT__") == {"encryption_key_id": None}
    assert (await encrypted(cloud, volume, "secret"))["encryption_key_id"], "what had no room was never used"
    counted = {name: n for name, n in (await used(cloud)).items() if n and name.startswith("volumes")}
    assert counted == {"volumes": 1, "volumes_secret": 1}


async def test_bytes_are_not_encrypted_by_a_word(cloud: Cloud) -> None:
    await an_encrypted_type(cloud, "secret")
    await an_encrypted_type(cloud, "strange", cipher="serpent")
    volume = (await cloud.make())["id"]
    for to, more, word in (("secret", {}, "'on-demand'"), ("strange", MOVES, "serpent")):
        status, text = await retype(cloud, volume, to, **more)
        assert (status, word in text) == (400, True), text
    kept = {"snapshot": {"volume_id": volume}}
    snapshot = (await cloud.call("POST", "/snapshots", kept)).json()["snapshot"]["id"]
    await cloud.quiet()
    status, text = await retype(cloud, volume, "secret", **MOVES)
    assert (status, "has snapshots" in text) == (400, True), text
    await cloud.call("DELETE", f"/snapshots/{snapshot}")
    await cloud.quiet()
    await in_use(cloud, volume)
    status, text = await retype(cloud, volume, "secret", **MOVES)
    assert (status, "detach it first" in text) == (400, True), text
    assert (await used(cloud)).get("volumes_secret", 0) == 0


async def test_a_volume_that_guests_may_have_filled_needs_room_for_the_header(cloud: Cloud) -> None:
    await an_encrypted_type(cloud, "secret")
    volume = (await cloud.make())["id"]
    path = f"/volumes/{volume}/action"
    for size in (2, 3):
        await cloud.call("POST", path, {"os-reserve": {}})
        await cloud.call("POST", path, {"os-unreserve": {}})
        status, text = await retype(cloud, volume, "secret", **MOVES)
        assert (status, "extend it by 1 GiB" in text) == (400, True), text
        await cloud.call("POST", path, {"os-extend": {"new_size": size}})
        await cloud.quiet()
    assert (await encrypted(cloud, volume, "secret"))["encryption_key_id"]


async def test_a_copy_may_be_as_full_as_what_it_was_made_of(cloud: Cloud) -> None:
    await an_encrypted_type(cloud, "secret")
    copy = await cloud.make(source_volid=(await cloud.make())["id"])
    status, text = await retype(cloud, copy["id"], "secret", **MOVES)
    assert (status, "extend it by 1 GiB" in text) == (400, True), text


async def test_what_cannot_be_written_anew_stays_as_it_is(cloud: Cloud) -> None:
    await an_encrypted_type(cloud, "secret")
    volume = (await cloud.make())["id"]
    before = {name: n for name, n in (await used(cloud)).items() if n}
    cloud.backend.fail_next["create"] = Conflict("No.")
    assert (await retype(cloud, volume, "secret", **MOVES))[0] == 202
    await cloud.quiet()
    now = await shown(cloud, volume)
    assert (now["status"], now["volume_type"], now["encrypted"]) == ("available", "__DEFAULT__", False)
    assert {name: n for name, n in (await used(cloud)).items() if n} == before
    told = (await cloud.call("GET", f"/messages?resource_uuid={volume}")).json()["messages"]
    assert len(told) == 1


async def test_the_new_types_quota_is_the_limit(cloud: Cloud) -> None:
    await a_type(cloud, "gold")
    await cloud.call("PUT", f"/os-quota-sets/{PROJECT}", {"quota_set": {"gigabytes_gold": 4}}, who="admin")
    first, second = await cloud.make(3), await cloud.make(3)
    assert (await retype(cloud, first["id"], "gold"))[0] == 202
    assert (await retype(cloud, second["id"], "gold"))[0] == 413
    assert (await used(cloud))["gigabytes_gold"] == 3


async def test_what_makes_no_sense_is_refused(cloud: Cloud) -> None:
    hidden = {"volume_type": {"name": "hidden", "os-volume-type-access:is_public": False}}
    await cloud.call("POST", "/types", hidden, who="admin")
    volume = (await cloud.make())["id"]
    path = f"/volumes/{volume}/action"
    for body in ({}, {"new_type": ""}, {"new_type": 5}, {"new_type": "a", "x": 1}, {"new_type": "nowhere"}):
        answer = await cloud.call("POST", path, {"os-retype": body})
        assert answer.status_code == 400, (body, answer.text)
    for to, more in (("__DEFAULT__", {}), ("hidden", {}), ("__DEFAULT__", {"migration_policy": "perhaps"})):
        assert (await retype(cloud, volume, to, **more))[0] == 400
    assert (await retype(cloud, volume, "hidden", who="other"))[0] == 404
    assert (await retype(cloud, volume, "hidden", who="reader"))[0] == 403
    await cloud.call("POST", path, {"os-reserve": {}})
    assert (await retype(cloud, volume, "hidden", who="admin"))[0] == 400


async def test_a_volume_that_an_operation_holds_is_refused(cloud: Cloud) -> None:
    await a_type(cloud, "gold")
    volume = (await cloud.make())["id"]
    cloud.backend.free.clear()
    await cloud.call("POST", f"/volumes/{volume}/action", {"os-extend": {"new_size": 2}})
    assert (await retype(cloud, volume, "gold"))[0] == 400
    cloud.backend.free.set()
    await cloud.quiet()
    source = cloud.call("POST", "/volumes", {"volume": {"size": 2, "source_volid": volume}})
    cloud.backend.free.clear()
    await source
    assert (await retype(cloud, volume, "gold"))[0] == 400
    cloud.backend.free.set()
    await cloud.quiet()
    assert (await retype(cloud, volume, "gold"))[0] == 202


async def test_a_volume_in_a_group_keeps_its_type(cloud: Cloud) -> None:
    await a_type(cloud, "gold")
    volume = await inside(cloud, await a_group(cloud))
    status, why = await retype(cloud, volume, "gold")
    assert (status, "must not belong to a group, but it is in group " in why) == (400, True)
