"""Golden samples: what is shown has Cinder's keys, neither more nor fewer, at every microversion."""

import pytest
from volume_cloud import CONNECTOR, PROJECT, Cloud

from pumice.store import messages
from pumice.store.database import Transaction

VOLUME = {
    "attachments", "availability_zone", "bootable", "consistencygroup_id", "created_at", "description",
    "encrypted", "id", "links", "metadata", "multiattach", "name", "replication_status", "size", "snapshot_id",
    "source_volid", "status", "updated_at", "user_id", "volume_type",
}  # fmt: skip
ADDED: dict[str, set[str]] = {
    "3.13": {"group_id"},
    "3.48": {"shared_targets", "service_uuid"},
    "3.63": {"volume_type_id"},
    "3.65": {"consumes_quota"},
}
ADDED_FOR_ADMIN = {"3.0": {"migration_status"}, "3.21": {"provider_id"}, "3.61": {"cluster_name"}}
SHOWN = {"os-vol-tenant-attr:tenant_id"}
SHOWN_TO_ADMIN = {
    "os-vol-host-attr:host", "os-vol-mig-status-attr:migstat", "os-vol-mig-status-attr:name_id",
}  # fmt: skip
VERSIONS = ["3.0", "3.12", "3.13", "3.20", "3.21", "3.47", "3.48", "3.60", "3.61", "3.63", "3.65", "3.71"]


def minor(version: str) -> int:
    return int(version.partition(".")[2])


def keys(version: str, who: str) -> set[str]:
    found = set(VOLUME)
    for added in (ADDED, ADDED_FOR_ADMIN if who == "admin" else {}):
        for since, more in added.items():
            if minor(since) <= minor(version):
                found |= more
    return found


@pytest.mark.parametrize("who", ["admin", "member"])
async def test_volumes_have_cinders_keys_at_every_version(cloud: Cloud, who: str) -> None:
    for version in VERSIONS:
        made = await cloud.call("POST", "/volumes", {"volume": {"size": 1}}, who=who, version=version)
        volume = made.json()["volume"]
        assert set(volume) == keys(version, who), version
        await cloud.until(volume["id"], "available", who=who)
        path = f"/volumes/{volume['id']}"
        changed = await cloud.call("PUT", path, {"volume": {"name": "x"}}, who=who, version=version)
        assert set(changed.json()["volume"]) == keys(version, who), version
        shown = (await cloud.call("GET", path, who=who, version=version)).json()["volume"]
        expected = keys(version, who) | SHOWN | (SHOWN_TO_ADMIN if who == "admin" else set())
        assert set(shown) == expected, version
        (first, *_) = (await cloud.call("GET", "/volumes/detail", who=who, version=version)).json()["volumes"]
        assert first == shown
        (first, *_) = (await cloud.call("GET", "/volumes", who=who, version=version)).json()["volumes"]
        assert first == {"id": shown["id"], "name": "x", "links": shown["links"]}


async def test_a_volume_is_written_as_cinder_writes_it(cloud: Cloud) -> None:
    volume = await cloud.make(who="admin")
    assert volume["bootable"] == "false"
    assert volume["encrypted"] is False
    assert volume["volume_type"] == "__DEFAULT__"
    assert len(volume["created_at"]) == len("2018-11-29T06:50:07.770785")
    assert volume["os-vol-host-attr:host"] == "box@fake#fake"
    own, bookmark = volume["links"]
    base = "http://cloud:8776/volume"
    assert own == {"rel": "self", "href": f"{base}/v3/{PROJECT}/volumes/{volume['id']}"}
    assert bookmark == {"rel": "bookmark", "href": f"{base}/{PROJECT}/volumes/{volume['id']}"}


SNAPSHOT = {
    "created_at", "description", "id", "metadata", "name", "size", "status", "updated_at", "volume_id",
}  # fmt: skip
EXTENDED = {"os-extended-snapshot-attributes:progress", "os-extended-snapshot-attributes:project_id"}


@pytest.mark.parametrize(
    ("version", "more"),
    [
        ("3.0", set()),
        ("3.14", {"group_snapshot_id"}),
        ("3.41", {"group_snapshot_id", "user_id"}),
        ("3.65", {"group_snapshot_id", "user_id", "consumes_quota"}),
    ],
)
async def test_snapshots_have_cinders_keys(cloud: Cloud, version: str, more: set[str]) -> None:
    volume_id = (await cloud.make())["id"]
    body = {"snapshot": {"volume_id": volume_id, "name": "s"}}
    made = (await cloud.call("POST", "/snapshots", body, version=version)).json()["snapshot"]
    assert set(made) == SNAPSHOT | more
    path = f"/snapshots/{made['id']}"
    shown = (await cloud.call("GET", path, version=version)).json()["snapshot"]
    assert set(shown) == SNAPSHOT | EXTENDED | more
    (detailed,) = (await cloud.call("GET", "/snapshots/detail", version=version)).json()["snapshots"]
    assert set(detailed) == set(shown)
    (plain,) = (await cloud.call("GET", "/snapshots", version=version)).json()["snapshots"]
    assert set(plain) == SNAPSHOT


async def test_attachments_have_cinders_keys(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    body = {"attachment": {"volume_uuid": volume_id, "connector": CONNECTOR, "mode": "ro"}}
    made = (await cloud.call("POST", "/attachments", body)).json()["attachment"]
    plain = {"id", "instance", "status", "volume_id"}
    full = plain | {"attach_mode", "attached_at", "connection_info", "detached_at"}
    assert set(made) == full
    assert made["attach_mode"] == made["connection_info"]["access_mode"] == "ro"
    (detailed,) = (await cloud.call("GET", "/attachments/detail")).json()["attachments"]
    assert set(detailed) == full
    (listed,) = (await cloud.call("GET", "/attachments")).json()["attachments"]
    assert set(listed) == plain


async def test_types_have_cinders_keys(cloud: Cloud) -> None:
    shared = {"id", "name", "description", "extra_specs", "is_public"}
    access = {"os-volume-type-access:is_public"}
    for who, expected in (
        ("reader", shared),
        ("member", shared | access),
        ("admin", shared | access | {"qos_specs_id"}),
    ):
        (kind,) = (await cloud.call("GET", "/types", who=who)).json()["volume_types"]
        assert set(kind) == expected
        assert (await cloud.call("GET", "/types/default", who=who)).json()["volume_type"] == kind


QUOTAS = {
    "backup_gigabytes", "backups", "gigabytes", "gigabytes___DEFAULT__", "groups", "per_volume_gigabytes",
    "snapshots", "snapshots___DEFAULT__", "volumes", "volumes___DEFAULT__",
}  # fmt: skip


async def test_quotas_have_cinders_keys(cloud: Cloud) -> None:
    path = f"/os-quota-sets/{PROJECT}"
    used = (await cloud.call("GET", f"{path}?usage=true")).json()["quota_set"]
    plain = (await cloud.call("GET", path)).json()["quota_set"]
    defaults = (await cloud.call("GET", f"{path}/defaults")).json()["quota_set"]
    assert set(used) == set(plain) == set(defaults) == QUOTAS | {"id"}
    assert used["volumes"] == {"limit": 2000, "in_use": 0, "reserved": 0}
    changed = await cloud.call("PUT", path, {"quota_set": {"volumes": 5}}, who="admin")
    assert set(changed.json()["quota_set"]) == QUOTAS


async def test_limits_have_cinders_keys(cloud: Cloud) -> None:
    limits = (await cloud.call("GET", "/limits")).json()["limits"]
    assert set(limits) == {"rate", "absolute"}
    assert set(limits["absolute"]) == {
        "totalSnapshotsUsed", "maxTotalBackups", "maxTotalVolumeGigabytes", "maxTotalSnapshots",
        "maxTotalBackupGigabytes", "totalBackupGigabytesUsed", "maxTotalVolumes", "totalVolumesUsed",
        "totalBackupsUsed", "totalGigabytesUsed",
    }  # fmt: skip


async def test_services_have_cinders_keys(cloud: Cloud) -> None:
    plain = {"binary", "host", "zone", "status", "state", "updated_at", "disabled_reason"}
    backend = {"replication_status", "active_backend_id", "frozen"}
    for version, more, of_backend in (("3.0", set(), set()), ("3.49", {"cluster"}, {"backend_state"})):
        found = (await cloud.call("GET", "/os-services", who="admin", version=version)).json()["services"]
        backup, scheduler, volume = found
        assert set(backup) == plain | more
        assert set(scheduler) == plain | more
        assert set(volume) == plain | more | backend | of_backend
        assert volume["state"] == "up"


async def test_messages_have_cinders_keys(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]

    def tell(tx: Transaction) -> None:
        messages.tell(tx, PROJECT, messages.Event.CREATE_VOLUME, volume_id, "No room.", "req-1")

    await cloud.db.write(tell)
    (message,) = (await cloud.call("GET", "/messages")).json()["messages"]
    assert set(message) == {
        "request_id", "links", "message_level", "event_id", "created_at", "guaranteed_until", "resource_uuid",
        "id", "resource_type", "user_message",
    }  # fmt: skip
    assert (message["event_id"], message["resource_uuid"]) == ("VOLUME_VOLUME_001_002", volume_id)
    path = f"/messages/{message['id']}"
    assert (await cloud.call("GET", path)).json() == {"message": message}
    assert (await cloud.call("GET", path, who="other")).status_code == 404
    assert (await cloud.call("DELETE", path)).status_code == 204
    assert (await cloud.call("GET", path)).status_code == 404


async def test_pools_zones_hosts_and_capabilities_are_told(cloud: Cloud) -> None:
    await cloud.make(3)
    (pool,) = (await cloud.call("GET", "/scheduler-stats/get_pools?detail=true", who="admin")).json()["pools"]
    assert pool["name"] == "box@fake#fake"
    assert pool["capabilities"]["allocated_capacity_gb"] == 3
    assert pool["capabilities"]["storage_protocol"] == "iSCSI"
    (zone,) = (await cloud.call("GET", "/os-availability-zone")).json()["availabilityZoneInfo"]
    assert zone == {"zoneName": "nova", "zoneState": {"available": True}}
    told = (await cloud.call("GET", "/capabilities/box@fake", who="admin")).json()
    assert told["namespace"] == "OS::Storage::Capabilities::box@fake"
    total, _ = (await cloud.call("GET", "/os-hosts/box@fake", who="admin")).json()["host"]
    assert total["resource"]["total_volume_gb"] == "3"
    assert len((await cloud.call("GET", "/os-hosts", who="admin")).json()["hosts"]) == 3
    assert (await cloud.call("GET", "/os-hosts/nowhere", who="admin")).status_code == 404


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/backups/detail", "backups"),
        ("/volume-transfers/detail", "transfers"),
        ("/qos-specs", "qos_specs"),
        ("/default-types", "default_types"),
        ("/cgsnapshots", "cgsnapshots"),
    ],
)
async def test_what_there_is_none_of_is_an_empty_list(cloud: Cloud, path: str, key: str) -> None:
    assert (await cloud.call("GET", path, who="admin")).json() == {key: []}
