"""Every documented query of every list is read: a value that makes no sense is refused, or finds nothing."""

from datetime import datetime, timedelta

from compute_cloud import Cloud

from databases import ON_SQLITE

pytestmark = ON_SQLITE
SERVERS = (
    "limit marker sort_key sort_dir all_tenants name status image flavor host project_id tenant_id user_id "
    "uuid key_name availability_zone description changes-since changes-before locked tags tags-any deleted "
    "vm_state task_state"
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
    "/servers/{id}/os-volume_attachments": "limit offset",
    "/servers/{id}/os-instance-actions": "limit marker changes-since changes-before",
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
