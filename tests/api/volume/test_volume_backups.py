"""Backups over HTTP: what is answered, what is refused and how, what is counted."""

import base64
import json
import re
from dataclasses import replace
from typing import Any

import httpx
import pytest
from volume_cloud import OTHER_PROJECT, PROJECT, USER, Cloud

from databases import ON_SQLITE
from pumice.backends.backups.contract import POSIX, S3
from pumice.model.ids import new_id
from pumice.store import quotas, services

pytestmark = ON_SQLITE


async def ask(cloud: Cloud, volume_id: str, **wanted: Any) -> httpx.Response:
    return await cloud.call("POST", "/backups", {"backup": {"volume_id": volume_id, **wanted}})


async def backed_up(cloud: Cloud, volume_id: str, **wanted: Any) -> dict[str, Any]:
    reply = await ask(cloud, volume_id, **wanted)
    assert reply.status_code == 202, reply.text
    return await cloud.until(reply.json()["backup"]["id"], "available", kind="backup")


async def a_volume(cloud: Cloud, **wanted: Any) -> str:
    return str((await cloud.make(**wanted))["id"])


def refused(reply: httpx.Response, status: int, words: str) -> None:
    assert reply.status_code == status, reply.text
    assert words in reply.text, reply.text


async def test_a_backup_is_shown_in_full_with_what_each_version_adds(cloud: Cloud) -> None:
    volume = await a_volume(cloud)
    backup = (await backed_up(cloud, volume, name=" n ", description="d", metadata={"k": "v"}))["id"]
    shown = (await cloud.call("GET", f"/backups/{backup}", who="admin")).json()["backup"]
    assert {key: shown[key] for key in ("name", "description", "size", "status", "volume_id")} == {
        "name": "n",
        "description": "d",
        "size": 1,
        "status": "available",
        "volume_id": volume,
    }
    assert (shown["is_incremental"], shown["has_dependent_backups"], shown["object_count"]) == (False, False, 4)
    assert (shown["container"], shown["availability_zone"]) == (
        f"{backup[:2]}/{backup[2:4]}/{backup}",
        "nova",
    )
    assert shown["data_timestamp"] == shown["created_at"]
    for version, keys in (
        ("3.17", set()),
        ("3.18", {"os-backup-project-attr:project_id"}),
        ("3.43", {"os-backup-project-attr:project_id", "metadata"}),
        ("3.56", {"os-backup-project-attr:project_id", "metadata", "user_id"}),
    ):
        for path in (f"/backups/{backup}", "/backups/detail"):
            found = (await cloud.call("GET", path, who="admin", version=version)).json()
            one = found["backup"] if "backup" in found else found["backups"][0]
            later = {"os-backup-project-attr:project_id", "metadata", "user_id"}
            assert later & one.keys() == keys, (version, path)
    assert (shown["os-backup-project-attr:project_id"], shown["user_id"]) == (PROJECT, USER)
    mine = (await cloud.call("GET", f"/backups/{backup}")).json()["backup"]
    assert not {"os-backup-project-attr:project_id", "user_id"} & mine.keys(), "a tenant is told whose it is"


async def test_lists_are_of_the_project_and_can_be_filtered_sorted_counted_and_paged(cloud: Cloud) -> None:
    volume = await a_volume(cloud)
    made = [(await backed_up(cloud, volume, name=name))["id"] for name in ("one", "two", "three")]

    async def ids(query: str, who: str = "member") -> list[str]:
        reply = await cloud.call("GET", f"/backups?{query}", who=who)
        assert reply.status_code == 200, reply.text
        return [one["id"] for one in reply.json()["backups"]]

    assert await ids("") == made[::-1]
    assert await ids("name=two") == [made[1]]
    assert await ids("name~=o&sort=name:asc") == [made[0], made[1]]
    assert await ids(f"volume_id={volume}&status=available&limit=1&marker={made[1]}") == [made[0]]
    assert await ids(f"volume_id={new_id()}") == []
    assert await ids("", who="other") == []
    assert await ids("all_tenants=1", who="admin") == made[::-1]
    counted = (await cloud.call("GET", "/backups/detail?limit=2&with_count=true")).json()
    assert (counted["count"], len(counted["backups"])) == (3, 2)
    assert counted["backups_links"]
    refused(await cloud.call("GET", "/backups?size=1"), 400, "Invalid filters size")


async def test_an_incremental_one_adds_to_the_latest_and_keeps_it(cloud: Cloud) -> None:
    volume = await a_volume(cloud)
    refused(await ask(cloud, volume, incremental=True), 400, "No backups available to do an incremental backup")
    full = (await backed_up(cloud, volume))["id"]
    second = (await backed_up(cloud, volume, incremental=True))["id"]
    assert (await cloud.call("GET", f"/backups/{second}")).json()["backup"]["is_incremental"] is True
    assert (await cloud.call("GET", f"/backups/{full}")).json()["backup"]["has_dependent_backups"] is True
    listed = (await cloud.call("GET", "/backups/detail")).json()["backups"]
    assert {one["id"]: one["has_dependent_backups"] for one in listed} == {full: True, second: False}
    refused(await cloud.call("DELETE", f"/backups/{full}"), 400, "Incremental backups exist for this backup")
    by_force = await cloud.call("POST", f"/backups/{full}/action", {"os-force_delete": {}}, who="admin")
    refused(by_force, 400, "Incremental backups exist for this backup")
    await cloud.act(volume, "os-extend", {"new_size": 2})
    await cloud.quiet()
    refused(await ask(cloud, volume, incremental=True), 400, "Do a full backup")
    for backup in (second, full):
        assert (await cloud.call("DELETE", f"/backups/{backup}")).status_code == 202
        await cloud.until(backup, None, kind="backup")


async def test_a_volume_in_use_is_backed_up_by_force_and_a_snapshot_of_the_same_volume(cloud: Cloud) -> None:
    volume, other = await a_volume(cloud), await a_volume(cloud)
    reply = await cloud.call("POST", "/snapshots", {"snapshot": {"volume_id": other}})
    snapshot = (await cloud.until(reply.json()["snapshot"]["id"], "available", kind="snapshot"))["id"]
    refused(await ask(cloud, volume, snapshot_id=snapshot), 400, "does not match with snapshot.volume_id")
    backup = await backed_up(cloud, other, snapshot_id=snapshot)
    shown = (await cloud.call("GET", f"/snapshots/{snapshot}")).json()["snapshot"]
    assert (backup["snapshot_id"], shown["status"]) == (snapshot, "available")
    assert backup["data_timestamp"] == shown["created_at"]
    await cloud.act(volume, "os-reserve")
    refused(await ask(cloud, volume, force=True), 400, "must be available or in-use")
    await cloud.act(volume, "os-unreserve")
    mounted = {"instance_uuid": new_id(), "mountpoint": "/dev/vdb", "mode": "rw"}
    assert (await cloud.act(volume, "os-attach", mounted)).status_code == 202
    refused(await ask(cloud, volume), 400, "must use the force flag")
    await backed_up(cloud, volume, force=True)
    assert (await cloud.call("GET", f"/volumes/{volume}")).json()["volume"]["status"] == "in-use"
    assert len((await cloud.backend.inventory()).volumes) == 2, "a copy was left"


async def test_restoring_asks_for_a_volume_that_is_free_and_large_enough(cloud: Cloud) -> None:
    volume = await a_volume(cloud, size=2, name="source", metadata={"k": "v"})
    backup = (await backed_up(cloud, volume))["id"]

    async def to(**wanted: Any) -> httpx.Response:
        return await cloud.call("POST", f"/backups/{backup}/restore", {"restore": wanted})

    small = await a_volume(cloud, name="small")
    refused(await to(volume_id=small), 400, "volume size 1 is too small to restore backup of size 2.")
    refused(await to(volume_id=new_id()), 404, "Volume")
    large = await a_volume(cloud, size=3, name="large")
    await cloud.act(large, "os-reserve")
    refused(await to(volume_id=large), 400, "Volume to be restored to must be available")
    await cloud.act(large, "os-unreserve")
    reply = await to(volume_id=large)
    assert (reply.status_code, reply.json()["restore"]["volume_id"]) == (202, large)
    assert (await cloud.until(large, "available"))["metadata"] == {"k": "v"}
    await cloud.until(backup, "available", kind="backup")
    made = (await to()).json()["restore"]
    assert made["volume_name"] == f"restore_backup_{backup}"
    shown = await cloud.until(made["volume_id"], "available")
    assert (shown["name"], shown["size"], shown["metadata"]) == ("source", 2, {"k": "v"})
    await cloud.until(backup, "available", kind="backup")
    named = (await to(name="mine")).json()["restore"]
    assert (await cloud.until(named["volume_id"], "available"))["name"] == "mine"


async def test_a_volume_is_made_from_a_backup(cloud: Cloud) -> None:
    backup = (await backed_up(cloud, await a_volume(cloud, size=2)))["id"]
    made = await cloud.make(size=3, backup_id=backup)
    assert made["size"] == 3
    await cloud.until(backup, "available", kind="backup")
    reply = await cloud.call("POST", "/volumes", {"volume": {"size": 1, "backup_id": backup}})
    refused(reply, 400, "cannot be smaller than the backup's 2 GiB")
    reply = await cloud.call("POST", "/volumes", {"volume": {"size": 2, "backup_id": new_id()}})
    refused(reply, 404, "Backup")


async def test_what_is_encrypted_stays_so_with_a_key_of_its_own(cloud: Cloud) -> None:
    kind = {"volume_type": {"name": "secret"}}
    type_id = (await cloud.call("POST", "/types", kind, who="admin")).json()["volume_type"]["id"]
    luks = {"encryption": {"provider": "luks", "control_location": "front-end"}}
    await cloud.call("POST", f"/types/{type_id}/encryption", luks, who="admin")
    plain = await a_volume(cloud)

    from pumice.store import backups as rows
    from pumice.store import keys

    backup = await backed_up(cloud, plain)
    key = await cloud.db.write(keys.make)
    words = await cloud.db.read(keys.passphrase, key)
    await cloud.db.write(
        lambda tx: rows.change(
            tx, backup["id"], encryption_key_id=key, source={"type_id": type_id, "name": "secret one"}
        )
    )
    asked = {"restore": {"volume_id": plain}}
    refused(await cloud.call("POST", f"/backups/{backup['id']}/restore", asked), 400, "encrypted exactly if")
    made = await cloud.make(size=1, backup_id=backup["id"])
    assert made["encrypted"] is True and made["encryption_key_id"] != key
    assert await cloud.db.read(keys.passphrase, made["encryption_key_id"]) == words
    assert (await cloud.call("GET", f"/backups/{backup['id']}")).json()["backup"]["encryption_key_id"] == key
    await cloud.call("DELETE", f"/backups/{backup['id']}")
    await cloud.until(backup["id"], None, kind="backup")
    assert not await cloud.db.read(keys.is_known, key), "the key outlives the backup"


async def test_quota_is_taken_and_given_back(cloud: Cloud) -> None:
    volume = await a_volume(cloud, size=3)

    async def used() -> tuple[int, int]:
        usage = await cloud.db.read(quotas.usage, PROJECT)
        return usage.get("backups", 0), usage.get("backup_gigabytes", 0)

    backup = (await backed_up(cloud, volume))["id"]
    assert await used() == (1, 3)
    limits = {"quota_set": {"backups": 1, "backup_gigabytes": 5}}
    await cloud.call("PUT", f"/os-quota-sets/{PROJECT}", limits, who="admin")
    refused(await ask(cloud, volume), 413, "Maximum number of backups allowed (1) exceeded")
    await cloud.call("PUT", f"/os-quota-sets/{PROJECT}", {"quota_set": {"backups": 5}}, who="admin")
    refused(await ask(cloud, volume), 413, "Requested 3G, quota is 5G and 3G has been consumed")
    await cloud.call("DELETE", f"/backups/{backup}")
    await cloud.until(backup, None, kind="backup")
    assert await used() == (0, 0)


async def test_a_record_is_exported_and_imported_by_administrators_alone(cloud: Cloud) -> None:
    backup = (await backed_up(cloud, await a_volume(cloud), name="n"))["id"]
    assert (await cloud.call("GET", f"/backups/{backup}/export_record")).status_code == 403
    record = (await cloud.call("GET", f"/backups/{backup}/export_record", who="admin")).json()["backup-record"]
    assert record["backup_service"] == POSIX
    told = json.loads(base64.b64decode(record["backup_url"]))
    assert (told["id"], told["display_name"], told["size"]) == (backup, "n", 1)

    async def imports(told: Any, **wanted: Any) -> httpx.Response:
        url = base64.b64encode(json.dumps(told).encode()).decode()
        body = {"backup-record": {"backup_service": POSIX, "backup_url": url, **wanted}}
        return await cloud.call("POST", "/backups/import_record", body, who="admin")

    refused(await imports(told), 400, "Backup already exists in database")
    other = new_id()
    moved = told | {"id": other, "service_metadata": told["service_metadata"].replace(backup, other)}
    refused(await imports({}), 400, "missing an id")
    refused(await imports({"id": other}), 400, "missing size attribute")
    refused(await imports([]), 400, "parse backup record")
    refused(await imports(told, backup_url="@"), 400, "parse backup record")
    for wrong in (
        {"id": "../../etc"},
        {"size": 0},
        {"size": "1"},
        {"container": "../.."},
        {"container": None},
        {"service_metadata": "x"},
        {"parent_id": 5},
        {"metadata": [1]},
        {"display_name": "x" * 256},
        {"encryption_key_id": new_id()},
    ):
        refused(await imports(moved | wrong), 400, "")
    reply = await imports(moved)
    assert reply.status_code == 201, reply.text
    shown = await cloud.until(other, "error", kind="backup", who="admin")
    assert "could not be found" in shown["fail_reason"]
    assert (await cloud.call("DELETE", f"/backups/{other}", who="admin")).status_code == 202
    await cloud.until(other, None, kind="backup", who="admin")


async def test_a_failed_backup_says_why_and_frees_its_volume(cloud: Cloud) -> None:
    volume = await a_volume(cloud)
    store = cloud.runner.drivers.backups
    cloud.runner.drivers = replace(cloud.runner.drivers, backups=None)
    cloud.runner.state_machine.tunables = replace(
        cloud.tunables, retry_policy=replace(cloud.tunables.retry_policy, tries=1)
    )
    reply = await ask(cloud, volume)
    shown = await cloud.until(reply.json()["backup"]["id"], "error", kind="backup")
    assert "No backups are kept on this host" in shown["fail_reason"]
    assert (await cloud.until(volume, "available"))["status"] == "available"
    cloud.runner.drivers = replace(cloud.runner.drivers, backups=store)


async def test_where_one_bucket_has_all_backups_they_are_named_as_cinder_names_them(cloud: Cloud) -> None:
    """The service says so, not this process's settings: an API may run where there are none."""
    heartbeat = services.Heartbeat(services.BACKUP_BINARY, "box", "nova", {"driver": "s3", "bucket": "ours"})
    await cloud.db.write(services.heartbeat, [heartbeat])
    volume = await a_volume(cloud)
    backup = await backed_up(cloud, volume)
    assert backup["container"] == "ours"
    record = await cloud.call("GET", f"/backups/{backup['id']}/export_record", who="admin")
    told = record.json()["backup-record"]
    assert told["backup_service"] == S3
    prefix = json.loads(base64.b64decode(told["backup_url"]))["service_metadata"]
    assert re.fullmatch(rf"volume_{volume}/\d{{14}}/az_nova_backup_{backup['id']}", prefix)
    refused(await ask(cloud, volume, container="theirs"), 400, "one container")
    assert (await ask(cloud, volume, container="ours")).status_code == 202
    await cloud.quiet()


async def test_without_a_service_backups_are_refused_as_cinder_does(cloud: Cloud) -> None:
    volume = await a_volume(cloud)
    backup = (await backed_up(cloud, volume))["id"]
    await cloud.db.write(services.set_disabled, services.BACKUP_BINARY, "box", True, "r", "ann")
    refused(await ask(cloud, volume), 503, "Service cinder-backup could not be found")
    asked = {"restore": {"volume_id": volume}}
    refused(await cloud.call("POST", f"/backups/{backup}/restore", asked), 404, "Service cinder-backup")
    assert (await cloud.call("GET", f"/backups/{backup}")).status_code == 200
    await cloud.db.write(services.set_disabled, services.BACKUP_BINARY, "box", False, None, "ann")
    refused(await ask(cloud, volume, availability_zone="mars"), 503, "Service cinder-backup")
    assert (await ask(cloud, volume, availability_zone="nova")).status_code == 202
    await cloud.quiet()


@pytest.mark.parametrize(
    ("wanted", "version", "words"),
    [
        ({"unknown": 1}, "3.71", "unknown"),
        ({"metadata": {"k": "v"}}, "3.42", "metadata"),
        ({"availability_zone": "nova"}, "3.50", "availability_zone"),
        ({"volume_id": "x"}, "3.71", "volume_id"),
        ({"snapshot_id": "x"}, "3.71", "snapshot_id"),
        ({"name": "x" * 256}, "3.71", "name"),
        ({"container": "x" * 256}, "3.71", "container"),
        ({"container": "../up"}, "3.71", "container"),
        ({"incremental": "perhaps"}, "3.71", "incremental"),
        ({"force": 5}, "3.71", "force"),
        ({"metadata": {"k": 5}}, "3.71", "k"),
        ({"metadata": {"": "v"}}, "3.71", "pattern"),
    ],
)
async def test_wrong_input_is_refused(cloud: Cloud, wanted: Any, version: str, words: str) -> None:
    volume = await a_volume(cloud)
    body = {"backup": {"volume_id": volume, **wanted}}
    refused(await cloud.call("POST", "/backups", body, version=version), 400, words)
    assert (await cloud.call("GET", "/backups")).json()["backups"] == []


async def test_an_update_changes_name_description_and_since_3_43_metadata(cloud: Cloud) -> None:
    backup = (await backed_up(cloud, await a_volume(cloud)))["id"]
    path = f"/backups/{backup}"
    assert (await cloud.call("PUT", path, {"backup": {"name": "n"}}, version="3.8")).status_code == 404
    refused(await cloud.call("PUT", path, {"backup": {"metadata": {}}}, version="3.42"), 400, "metadata")
    refused(await cloud.call("PUT", path, {"backup": {"size": 1}}), 400, "size")
    refused(await cloud.call("PUT", path, {"backup": None}), 400, "backup")
    reply = await cloud.call("PUT", path, {"backup": {"name": "n", "metadata": {"a": "b"}}})
    assert (reply.status_code, reply.json()["backup"]["name"]) == (200, "n")
    shown = (await cloud.call("GET", path)).json()["backup"]
    assert (shown["name"], shown["metadata"], shown["description"]) == ("n", {"a": "b"}, None)


async def test_an_administrators_word_is_available_or_error(cloud: Cloud) -> None:
    backup = (await backed_up(cloud, await a_volume(cloud)))["id"]

    async def reset(status: str, who: str = "admin") -> httpx.Response:
        body = {"os-reset_status": {"status": status}}
        return await cloud.call("POST", f"/backups/{backup}/action", body, who=who)

    assert (await reset("error", "member")).status_code == 403
    refused(await reset("creating"), 400, "valid statuses are: ['available', 'error']")
    assert (await reset("error")).status_code == 202
    asked = {"restore": {}}
    refused(await cloud.call("POST", f"/backups/{backup}/restore", asked), 400, "must be available")
    assert (await cloud.call("POST", f"/backups/{backup}/action", {"os-force_delete": {}})).status_code == 403
    forced = await cloud.call("POST", f"/backups/{backup}/action", {"os-force_delete": {}}, who="admin")
    assert forced.status_code == 202
    await cloud.until(backup, None, kind="backup")


async def test_an_administrators_backup_of_anothers_volume_is_the_administrators(cloud: Cloud) -> None:
    volume = str((await cloud.make(who="other"))["id"])
    reply = await cloud.call("POST", "/backups", {"backup": {"volume_id": volume}}, who="admin")
    backup = reply.json()["backup"]["id"]
    await cloud.until(backup, "available", kind="backup", who="admin")
    assert (await cloud.call("GET", f"/backups/{backup}", who="other")).status_code == 404
    assert (await cloud.db.read(quotas.usage, OTHER_PROJECT)).get("backups", 0) == 0
