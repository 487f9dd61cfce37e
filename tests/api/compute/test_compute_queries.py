"""Every documented query of every list is read: a value that makes no sense is refused, or finds nothing."""

import re
from datetime import datetime, timedelta

from compute_cloud import Cloud

from databases import ON_SQLITE

pytestmark = ON_SQLITE
SERVERS = (
    "limit marker sort_key sort_dir all_tenants access_ip_v4 access_ip_v6 auto_disk_config availability_zone "
    "changes-before changes-since config_drive created_at deleted description display_description display_name "
    "flavor host hostname image image_ref ip ip6 kernel_id key_name launch_index launched_at locked locked_by "
    "name node power_state progress project_id ramdisk_id reservation_id root_device_name soft_deleted status "
    "tags tags-any task_state tenant_id terminated_at user_id uuid vm_state"
)
FLAVORS = "limit marker sort_key sort_dir is_public minRam minDisk name"
HYPERVISORS = "limit marker hypervisor_hostname_pattern with_servers"
DOCUMENTED = {
    "/servers": SERVERS,
    "/servers/detail": SERVERS,
    "/flavors": FLAVORS,
    "/flavors/detail": FLAVORS,
    "/os-hypervisors": HYPERVISORS,
    "/os-hypervisors/detail": HYPERVISORS,
    "/os-services": "host binary",
    "/limits": "tenant_id",
    "/os-quota-sets/{id}": "user_id",
    "/os-quota-sets/{id}/detail": "user_id",
    "/os-quota-sets/{id}/defaults": "user_id",
    "/servers/{id}/os-volume_attachments": "limit offset",
    "/servers/{id}/os-instance-actions": "limit marker changes-since changes-before",
}
NOTHING_TO_ASK = {
    "flavors/{id}/os-extra_specs",
    "servers/{id}/tags",
    "servers/{id}/ips",
    "servers/{id}/os-security-groups",
    "os-availability-zone/detail",
    "os-hypervisors/statistics",
    "os-keypairs",
    "extensions",
}


async def test_every_documented_query_of_every_list_is_read(cloud: Cloud) -> None:
    server, volume = await cloud.server(), await cloud.volume()
    await cloud.attach(server, volume)
    ignored = []
    for path, names in DOCUMENTED.items():
        path = path.replace("{id}", server)
        plain = await cloud.get(path, caller="admin", version="2.104")
        for name in (*names.split(), "no-such-query"):
            asked = f"{path}?{name}=no-sense"
            answer = await cloud.ask("GET", asked, caller="admin", version="2.104")
            if answer.status_code == 200 and answer.json() == plain:
                ignored.append(asked)
    assert ignored == []


async def test_every_list_has_its_queries_documented_here(cloud: Cloud) -> None:
    reads = {route.path for route in cloud.service.table.routes if route.method == "GET"}
    plural = {path for path in reads if path.rpartition("/")[2].rstrip("}").endswith(("s", "detail"))}
    documented = {path.removeprefix("/") for path in DOCUMENTED} | NOTHING_TO_ASK
    assert {_below(path) for path in plural} - documented == set()


def _below(path: str) -> str:
    """A route's path below the version, with ``{id}`` for whatever varies."""
    parts = ["{id}" if part.startswith("{") else part for part in path.split("/")]
    return "/".join(part for part in parts if part not in ("", "v2.1"))


async def test_a_query_that_nobody_knows_is_refused_by_every_route_since_2_102(cloud: Cloud) -> None:
    server = await cloud.server()
    reads = [route for route in cloud.service.table.routes if route.method == "GET" and route.rule]
    for route in (route for route in reads if route.until >= (2, 104)):
        path = re.sub(r"\{\w+\}", server, route.path.removeprefix("/v2.1"))
        answer = await cloud.ask("GET", f"{path}?no-such-query=1", caller="admin", version="2.104")
        assert (answer.status_code, "no-such-query" in answer.text) == (400, True), path


async def test_each_filter_finds_the_server_by_what_it_shows(cloud: Cloud) -> None:
    body = cloud.body(await cloud.image(), accessIPv4="192.0.2.7", **{"OS-DCF:diskConfig": "MANUAL"})
    server = (await cloud.post("/servers", body))["server"]["id"]
    await cloud.until_status(server, "ACTIVE")
    shown = (await cloud.get(f"/servers/{server}", caller="admin", version="2.90"))["server"]
    attributes = {
        word: shown[f"OS-EXT-SRV-ATTR:{word}"]
        for word in ("hostname", "reservation_id", "root_device_name", "launch_index", "kernel_id", "host")
    }
    found = attributes | {
        "node": shown["OS-EXT-SRV-ATTR:hypervisor_hostname"],
        "access_ip_v4": "192.0.2.7",
        "auto_disk_config": "manual",
        "config_drive": "false",
        "power_state": "1",
        "vm_state": "active",
        "progress": "0",
        "deleted": "false",
        "created_at": shown["created"],
        "launched_at": shown["OS-SRV-USG:launched_at"],
    }
    lost = {
        "hostname": "other",
        "reservation_id": "r-00000000",
        "root_device_name": "/dev/hda",
        "launch_index": "1",
        "host": "other",
        "node": "other",
        "access_ip_v4": "192.0.2.8",
        "auto_disk_config": "auto",
        "config_drive": "true",
        "power_state": "4",
        "vm_state": "stopped",
        "ip": "192",
        "ip6": "2001",
        "locked_by": "admin",
        "created_at": "2001-01-01T00:00:00Z",
        "terminated_at": shown["created"],
    }
    for query, count in ((found, 1), (lost, 0)):
        for name, value in query.items():
            answer = await cloud.get(f"/servers?{name}={value}&all_tenants=1", caller="admin", version="2.90")
            assert len(answer["servers"]) == count, (name, value)


async def test_what_was_done_is_listed_by_page_and_time(cloud: Cloud) -> None:
    server = await cloud.server()
    for action, status in (("os-stop", "SHUTOFF"), ("os-start", "ACTIVE")):
        await cloud.post(f"/servers/{server}/action", {action: None})
        await cloud.until_status(server, status)
    path = f"/servers/{server}/os-instance-actions"
    start, stop, create = (await cloud.get(path))["instanceActions"]
    first = await cloud.get(f"{path}?limit=2")
    assert first["instanceActions"] == [start, stop]
    assert f"marker={stop['request_id']}" in first["links"][0]["href"]
    rest = await cloud.get(f"{path}?limit=2&marker={stop['request_id']}")
    assert rest == {"instanceActions": [create]}
    since = await cloud.get(f"{path}?changes-since={stop['updated_at']}")
    before = await cloud.get(f"{path}?changes-before={stop['updated_at']}")
    assert since["instanceActions"] == [start, stop]
    assert before["instanceActions"] == [stop, create]


async def test_a_limit_of_0_is_an_empty_page_where_there_are_markers_and_none_elsewhere(cloud: Cloud) -> None:
    server = await cloud.server()
    await cloud.attach(server, await cloud.volume())
    for words in ("servers", "servers/detail", "flavors", "os-hypervisors"):
        assert not any((await cloud.get(f"/{words}?limit=0", caller="admin", version="2.104")).values()), words
    assert len((await cloud.get(f"/servers/{server}/os-volume_attachments?limit=0"))["volumeAttachments"]) == 1


async def test_a_server_is_found_by_the_time_that_it_shows(cloud: Cloud) -> None:
    server = await cloud.server()
    shown = (await cloud.get(f"/servers/{server}"))["server"]["updated"]
    earlier = datetime.fromisoformat(shown) - timedelta(seconds=2)
    before = earlier.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert len((await cloud.get(f"/servers?changes-before={shown}"))["servers"]) == 1
    assert len((await cloud.get(f"/servers?changes-since={shown}"))["servers"]) == 1
    assert (await cloud.get(f"/servers?changes-before={before}"))["servers"] == []


async def test_a_hypervisor_shows_its_servers_when_that_is_asked(cloud: Cloud) -> None:
    server = await cloud.server()
    (found,) = (await cloud.get("/os-hypervisors?with_servers=true", caller="admin"))["hypervisors"]
    assert [one["uuid"] for one in found["servers"]] == [server]
    path = f"/os-hypervisors/{found['id']}"
    shown = (await cloud.get(f"{path}?with_servers=true", caller="admin"))["hypervisor"]
    assert [one["uuid"] for one in shown["servers"]] == [server]
    assert "servers" not in (await cloud.get(path, caller="admin"))["hypervisor"]
