"""What is shown at each microversion: Nova's keys, as its API samples have them."""

from typing import Any

import pytest
from compute_cloud import HOST, PROJECTS, Cloud

from databases import ON_SQLITE
from pumice.api.absent import GONE
from pumice.model.ids import new_id
from pumice.store import services

BASE = {
    "accessIPv4", "accessIPv6", "addresses", "created", "flavor", "hostId", "id", "image", "links", "metadata",
    "name", "status", "tenant_id", "user_id", "updated", "progress", "OS-DCF:diskConfig",
}  # fmt: skip
SHOWN = BASE | {
    "config_drive", "key_name", "security_groups", "OS-EXT-AZ:availability_zone", "OS-EXT-STS:task_state",
    "OS-EXT-STS:vm_state", "OS-EXT-STS:power_state", "OS-SRV-USG:launched_at", "OS-SRV-USG:terminated_at",
    "os-extended-volumes:volumes_attached",
}  # fmt: skip
ADDED = [
    ("2.9", {"locked"}),
    ("2.19", {"description"}),
    ("2.26", {"tags"}),
    ("2.63", {"trusted_image_certificates"}),
    ("2.71", {"server_groups"}),
    ("2.73", {"locked_reason"}),
    ("2.90", {"OS-EXT-SRV-ATTR:hostname"}),
    ("2.96", {"pinned_availability_zone"}),
    ("2.100", {"scheduler_hints"}),
]
ADMIN = {"OS-EXT-SRV-ATTR:host", "OS-EXT-SRV-ATTR:hypervisor_hostname", "OS-EXT-SRV-ATTR:instance_name"}
ADMIN_23 = ADMIN | {
    f"OS-EXT-SRV-ATTR:{key}"
    for key in (
        "hostname", "kernel_id", "launch_index", "ramdisk_id", "reservation_id", "root_device_name",
        "user_data",
    )
}  # fmt: skip
VERSIONS = ["2.1", "2.3", *(version for version, _ in ADDED), "2.47", "2.98", "2.104"]


def number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def keys_at(version: str, keys: set[str] = SHOWN) -> set[str]:
    return keys.union(*(more for since, more in ADDED if number(since) <= number(version)))


async def test_a_server_has_the_keys_of_each_version(cloud: Cloud) -> None:
    server_id = await cloud.server()
    for version in VERSIONS:
        shown = (await cloud.get(f"/servers/{server_id}", version=version))["server"]
        assert set(shown) == keys_at(version), version
        listed = (await cloud.get("/servers/detail", version=version))["servers"][0]
        assert set(listed) == keys_at(version) - {"server_groups"}, version
        admins = (await cloud.get(f"/servers/{server_id}", version=version, caller="admin"))["server"]
        extra = ADMIN_23 if number(version) >= (2, 3) else ADMIN
        status = {"host_status"} if number(version) >= (2, 16) else set[str]()
        assert set(admins) == keys_at(version) | extra | status, version


async def test_an_update_answers_everything_since_2_75(cloud: Cloud) -> None:
    server_id = await cloud.server()
    for version, keys in (("2.1", BASE), ("2.71", BASE), ("2.75", SHOWN), ("2.89", SHOWN)):
        answer = await cloud.ask(
            "PUT", f"/servers/{server_id}", {"server": {"name": f"at-{version}"}}, version=version
        )
        assert answer.status_code == 200, answer.text
        assert set(answer.json()["server"]) == keys_at(version, keys), version
        assert answer.json()["server"]["name"] == f"at-{version}"


async def test_the_flavor_of_a_server_is_a_link_and_then_its_values(cloud: Cloud) -> None:
    server_id = await cloud.server()
    old = (await cloud.get(f"/servers/{server_id}", version="2.46"))["server"]["flavor"]
    new = (await cloud.get(f"/servers/{server_id}", version="2.47"))["server"]["flavor"]
    assert set(old) == {"id", "links"}
    assert set(new) == {"vcpus", "ram", "disk", "ephemeral", "swap", "original_name", "extra_specs"}


async def test_an_attachment_has_the_keys_of_each_version(cloud: Cloud) -> None:
    server_id, volume_id = await cloud.server(), await cloud.volume()
    await cloud.attach(server_id, volume_id, tag="data")
    path = f"/servers/{server_id}/os-volume_attachments"
    base = {"volumeId", "serverId", "device"}
    for version, keys in (
        ("2.1", base | {"id"}),
        ("2.70", base | {"id", "tag"}),
        ("2.79", base | {"id", "tag", "delete_on_termination"}),
        ("2.89", base | {"tag", "delete_on_termination", "attachment_id", "bdm_uuid"}),
    ):
        shown = (await cloud.get(f"{path}/{volume_id}", version=version))["volumeAttachment"]
        (listed,) = (await cloud.get(path, version=version))["volumeAttachments"]
        assert set(shown) == set(listed) == keys, version


@pytest.mark.parametrize("version", ["2.48", "2.70", "2.79", "2.89", "2.100", "2.101"])
async def test_an_attach_answers_as_its_version_does(cloud: Cloud, version: str) -> None:
    server_id, volume_id = await cloud.server(), await cloud.volume()
    body = {"volumeAttachment": {"volumeId": volume_id}}
    answer = await cloud.ask("POST", f"/servers/{server_id}/os-volume_attachments", body, version=version)
    if version == "2.101":
        assert (answer.status_code, answer.content) == (202, b"")
        return
    assert answer.status_code == 200, answer.text
    keys = {"id", "volumeId", "serverId", "device"}
    keys |= {"tag"} if number(version) >= (2, 70) else set()
    keys |= {"delete_on_termination"} if number(version) >= (2, 79) else set()
    assert set(answer.json()["volumeAttachment"]) == keys


async def test_whether_a_volume_ends_with_its_server_can_be_changed_and_nothing_else(cloud: Cloud) -> None:
    server_id, volume_id = await cloud.server(), await cloud.volume()
    await cloud.attach(server_id, volume_id)
    path = f"/servers/{server_id}/os-volume_attachments/{volume_id}"

    async def put(version: str = "2.85", caller: str = "member", **values: Any) -> int:
        body = {"volumeAttachment": {"volumeId": volume_id, **values}}
        return (await cloud.ask("PUT", path, body, version=version, caller=caller)).status_code

    assert await put(delete_on_termination=True) == 202
    assert (await cloud.get(path))["volumeAttachment"]["delete_on_termination"] is True
    assert await put(device="/dev/vdz") == 400
    assert await put(tag="other") == 400
    assert await put(version="2.84") == 403
    assert await put(version="2.84", caller="admin") == 409
    assert await put(volumeId=await cloud.volume(), caller="admin") == 409


async def test_flavors_have_the_keys_of_each_version(cloud: Cloud) -> None:
    base = {
        "id", "name", "links", "ram", "disk", "vcpus", "swap", "OS-FLV-EXT-DATA:ephemeral",
        "os-flavor-access:is_public",
    }  # fmt: skip
    former = {"OS-FLV-DISABLED:disabled", "rxtx_factor"}
    for version, keys in (
        ("2.1", base | former),
        ("2.55", base | former | {"description"}),
        ("2.61", base | former | {"description", "extra_specs"}),
        ("2.102", base | {"description", "extra_specs"}),
    ):
        shown = (await cloud.get("/flavors/42", version=version))["flavor"]
        assert set(shown) == keys, version
    assert (await cloud.get("/flavors/42", version="2.74"))["flavor"]["swap"] == ""
    assert (await cloud.get("/flavors/42", version="2.75"))["flavor"]["swap"] == 0


async def test_flavors_come_and_go_and_show_in_pages(cloud: Cloud) -> None:
    names = [flavor["name"] for flavor in (await cloud.get("/flavors"))["flavors"]]
    assert names == ["m1.tiny", "m1.small", "m1.medium", "m1.large", "m1.nano", "m1.micro"]
    page = await cloud.get("/flavors?limit=2&marker=2")
    assert [flavor["id"] for flavor in page["flavors"]] == ["3", "4"]
    assert "marker=4" in page["flavors_links"][0]["href"]
    big = await cloud.get("/flavors/detail?minRam=4096")
    assert [flavor["name"] for flavor in big["flavors"]] == ["m1.medium", "m1.large"]
    new = {
        "flavor": {"name": "huge", "ram": 65536, "vcpus": 16, "disk": 0, "os-flavor-access:is_public": False}
    }
    made = await cloud.post("/flavors", new, expect=200, caller="admin")
    flavor_id = made["flavor"]["id"]
    assert (await cloud.ask("POST", "/flavors", new, caller="admin")).status_code == 409
    assert (await cloud.ask("GET", f"/flavors/{flavor_id}")).status_code == 404
    specs = {"extra_specs": {"hw:cpu_policy": "shared"}}
    path = f"/flavors/{flavor_id}/os-extra_specs"
    assert await cloud.post(path, specs, expect=200, caller="admin") == specs
    assert await cloud.get(f"{path}/hw:cpu_policy", caller="admin") == {"hw:cpu_policy": "shared"}
    assert (await cloud.ask("DELETE", f"{path}/hw:cpu_policy", caller="admin")).status_code == 200
    assert await cloud.get(path, caller="admin") == {"extra_specs": {}}
    assert (await cloud.ask("DELETE", f"/flavors/{flavor_id}", caller="admin")).status_code == 202


async def test_servers_are_found_by_what_is_asked(cloud: Cloud) -> None:
    first = await cloud.server(name="db-one", tags=["db"])
    second = await cloud.server(name="web-one", metadata={"role": "web"})
    await cloud.post(f"/servers/{second}/action", {"os-stop": None})
    await cloud.until_status(second, "SHUTOFF")

    async def found(query: str, caller: str = "member") -> list[str]:
        return [server["id"] for server in (await cloud.get(f"/servers?{query}", caller=caller))["servers"]]

    assert await found("") == [second, first]
    assert await found("sort_key=display_name&sort_dir=asc") == [first, second]
    assert await found("limit=1") == [second]
    assert await found(f"marker={second}") == [first]
    assert await found("name=db") == [first]
    assert await found("name=^web-one$") == [second]
    assert await found(r"name=^.*\-ONE$") == [second, first]
    assert await found("name=^[a-d]%2B-o?n.$") == [first]
    for refused in ("(a%2B)%2B$", "one|two", "a{9}", "[z-a]", "%5Cd", "*"):
        assert (await cloud.ask("GET", f"/servers?name={refused}")).status_code == 400, refused
    assert await found("status=shutoff") == [second]
    assert await found("status=ACTIVE&status=SHUTOFF") == [second, first]
    assert await found("tags=db") == [first]
    assert await found("not-tags=db") == [second]
    assert await found("flavor=42&uuid=" + first) == [first]
    assert await found("changes-since=2100-01-01T00:00:00Z") == []
    assert await found("host=here", caller="admin") == [second, first]
    assert await found("host=there", caller="admin") == []
    assert await found("all_tenants=1", caller="admin") == [second, first]
    assert await found("all_tenants=1&project_id=" + PROJECTS["theirs"], caller="admin") == []


async def test_metadata_and_tags_change(cloud: Cloud) -> None:
    server_id = await cloud.server(metadata={"a": "1"})
    path = f"/servers/{server_id}"
    answer = await cloud.post(f"{path}/metadata", {"metadata": {"b": "2"}}, expect=200)
    assert answer == {"metadata": {"a": "1", "b": "2"}}
    assert (await cloud.ask("PUT", f"{path}/metadata/a", {"meta": {"a": "3"}})).json() == {"meta": {"a": "3"}}
    assert (await cloud.ask("PUT", f"{path}/metadata/a", {"meta": {"b": "3"}})).status_code == 400
    assert (await cloud.ask("DELETE", f"{path}/metadata/b")).status_code == 204
    assert await cloud.get(f"{path}/metadata") == {"metadata": {"a": "3"}}
    assert (await cloud.ask("PUT", f"{path}/tags/x")).status_code == 201
    assert (await cloud.ask("PUT", f"{path}/tags/x")).status_code == 204
    assert (await cloud.ask("PUT", f"{path}/tags", {"tags": ["z", "y"]})).json() == {"tags": ["y", "z"]}
    assert (await cloud.ask("DELETE", f"{path}/tags/y")).status_code == 204
    assert await cloud.get(f"{path}/tags") == {"tags": ["z"]}
    assert (await cloud.ask("GET", f"{path}/tags", version="2.25")).status_code == 404


async def test_power_console_and_what_was_done(cloud: Cloud) -> None:
    server_id = await cloud.server()
    path = f"/servers/{server_id}"
    console = await cloud.post(f"{path}/action", {"os-getConsoleOutput": {"length": 10}}, expect=200)
    assert "says hello" in console["output"]
    for kind in ("SOFT", "HARD"):
        await cloud.post(f"{path}/action", {"reboot": {"type": kind}})
        await cloud.until_status(server_id, "ACTIVE")
    done = (await cloud.get(f"{path}/os-instance-actions"))["instanceActions"]
    assert [action["action"] for action in done] == ["reboot", "reboot", "create"]
    one = (await cloud.get(f"{path}/os-instance-actions/{done[-1]['request_id']}"))["instanceAction"]
    assert "do_power_on" in [event["event"] for event in one["events"]]
    await cloud.post(f"{path}/action", {"os-resetState": {"state": "error"}}, caller="admin")
    assert (await cloud.get(path))["server"]["status"] == "ERROR"
    await cloud.ask("DELETE", path)
    await cloud.until_gone(server_id)
    ended = (await cloud.get(f"{path}/os-instance-actions", version="2.21"))["instanceActions"]
    assert [action["action"] for action in ended] == ["delete", "reboot", "reboot", "create"]
    assert {action["user_id"] for action in ended} == {done[0]["user_id"]}


async def test_the_rest_that_clients_look_at(cloud: Cloud) -> None:
    root = cloud.client(version=None)
    versions = (await root.get("http://cloud/compute/")).json()["versions"]
    assert [(version["id"], version["version"]) for version in versions] == [("v2.1", "2.104")]
    answer = await root.get("http://cloud/compute/v2.1/")
    assert answer.json()["version"]["min_version"] == "2.1"
    legacy = await root.get("/flavors", headers={"X-OpenStack-Nova-API-Version": "2.55"})
    assert legacy.headers["X-OpenStack-Nova-API-Version"] == "2.55"
    assert legacy.headers["OpenStack-API-Version"] == "compute 2.55"
    server_id = await cloud.server()
    assert (await cloud.get(f"/{PROJECTS['ours']}/servers/{server_id}"))["server"]["id"] == server_id
    zones = (await cloud.get("/os-availability-zone"))["availabilityZoneInfo"]
    assert [zone["zoneName"] for zone in zones] == ["nova"]
    (service,) = (await cloud.get("/os-services", caller="admin"))["services"]
    assert (service["binary"], service["state"], service["status"]) == ("nova-compute", "up", "enabled")
    body = {"status": "disabled", "disabled_reason": "repair"}
    changed = await cloud.ask("PUT", f"/os-services/{service['id']}", body, caller="admin")
    assert changed.json()["service"]["disabled_reason"] == "repair"
    [row] = await cloud.db.read(services.every, binary="nova-compute")
    assert row["disabled_by"] == "admin"
    (hypervisor,) = (await cloud.get("/os-hypervisors/detail", caller="admin"))["hypervisors"]
    assert (hypervisor["hypervisor_hostname"], hypervisor["status"]) == ("here", "disabled")
    one = await cloud.get(f"/os-hypervisors/{hypervisor['id']}", caller="admin", version="2.53")
    assert one["hypervisor"]["vcpus"] == 0
    assert (await cloud.get("/limits"))["limits"]["absolute"]["totalInstancesUsed"] == 1
    quotas = (await cloud.get(f"/os-quota-sets/{PROJECTS['ours']}"))["quota_set"]
    assert (quotas["id"], quotas["instances"]) == (PROJECTS["ours"], -1)
    assert (await cloud.ask("GET", f"/os-quota-sets/{PROJECTS['theirs']}")).status_code == 403
    assert await cloud.get("/extensions") == {"extensions": []}
    assert await cloud.get("/os-keypairs") == {"keypairs": []}
    event = {"name": "volume-extended", "server_uuid": server_id, "tag": "x"}
    heard = await cloud.post("/os-server-external-events", {"events": [event]}, expect=200, caller="service")
    assert heard["events"][0]["code"] == 200


async def test_a_server_without_a_host_to_run_on_is_in_error(cloud: Cloud) -> None:
    (service,) = (await cloud.get("/os-services", caller="admin"))["services"]
    await cloud.ask("PUT", f"/os-services/{service['id']}", {"status": "disabled"}, caller="admin")
    server_id = await cloud.server(status="ERROR")
    fault = (await cloud.get(f"/servers/{server_id}"))["server"]["fault"]
    assert "No valid host was found" in fault["message"]
    await cloud.check_invariants()


@ON_SQLITE
@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ({"OpenStack-API-Version": "volume 3.50, compute 2.30"}, "2.30"),
        ({"OpenStack-API-Version": "compute 2.30,Compute 2.40"}, "2.40"),
        ({"OpenStack-API-Version": "volumev3 3.27"}, "2.1"),
        ({"X-OpenStack-Nova-API-Version": "2.50"}, "2.50"),
        ({"X-OpenStack-Nova-API-Version": "2.50", "OpenStack-API-Version": "compute 2.60"}, "2.60"),
        ({"OpenStack-API-Version": "compute latest"}, "2.104"),
        ({"OpenStack-API-Version": "compute 2.999"}, 406),
        ({"OpenStack-API-Version": "compute x"}, 400),
        ({"OpenStack-API-Version": "compute 2.30 2.40"}, 400),
    ],
)
async def test_the_last_mention_of_the_service_says_the_version(
    cloud: Cloud, headers: dict[str, str], answer: str | int
) -> None:
    reply = await cloud.client(version=None).get("/servers", headers=headers)
    if isinstance(answer, int):
        assert reply.status_code == answer, reply.text
    else:
        assert reply.headers["openstack-api-version"] == f"compute {answer}"


async def test_a_path_with_an_empty_part_names_nothing(cloud: Cloud) -> None:
    for path in ("/servers/", "/servers//detail", "/flavors/"):
        for method in ("GET", "POST", "DELETE"):
            assert (await cloud.ask(method, path, {"server": {}})).status_code == 404, (method, path)


async def test_an_administrator_says_that_a_host_is_fenced(cloud: Cloud) -> None:
    [service] = (await cloud.get("/os-services", caller="admin"))["services"]
    assert (service["state"], service["forced_down"]) == ("up", False)
    path = f"/os-services/{service['id']}"
    told = await cloud.ask("PUT", path, {"forced_down": True}, caller="admin")
    assert told.json()["service"]["forced_down"] is True
    assert told.json()["service"]["state"] == "down"
    older = {"host": HOST, "binary": "nova-compute", "forced_down": False}
    told = await cloud.ask("PUT", "/os-services/force-down", older, caller="admin", version="2.52")
    assert (told.status_code, told.json()) == (200, {"service": older})
    [service] = (await cloud.get("/os-services", caller="admin"))["services"]
    assert (service["state"], service["forced_down"]) == ("up", False)
    assert (await cloud.ask("PUT", path, {}, caller="admin")).status_code == 400
    unknown = {**older, "host": "x"}
    answer = await cloud.ask("PUT", "/os-services/force-down", unknown, caller="admin", version="2.11")
    assert answer.status_code == 404
    newer = await cloud.ask("PUT", "/os-services/force-down", older, caller="admin", version="2.53")
    assert newer.status_code == 404
    assert (await cloud.ask("PUT", path, {"forced_down": True})).status_code == 403


async def test_hypervisors_are_summed_up_until_2_87(cloud: Cloud) -> None:
    path = "/os-hypervisors/statistics"
    for version, status in (("2.1", 200), ("2.87", 200), ("2.88", 404)):
        answer = await cloud.ask("GET", path, caller="admin", version=version)
        assert answer.status_code == status
        assert status == 404 or answer.json()["hypervisor_statistics"]["count"] == 1
    assert (await cloud.ask("GET", path, version="2.1")).status_code == 403


async def test_a_server_is_deleted_at_once_as_well_as_in_its_time(cloud: Cloud) -> None:
    server = await cloud.server()
    path, body = f"/servers/{server}/action", {"forceDelete": None}
    assert (await cloud.ask("POST", path, body, caller="reader")).status_code == 403
    assert (await cloud.ask("POST", path, body)).status_code == 202
    await cloud.until_gone(server)
    assert (await cloud.ask("POST", path, body)).status_code == 404


async def test_what_is_not_part_of_this_version_says_so_and_what_to_do_instead(cloud: Cloud) -> None:
    action = f"/servers/{new_id()}/action"
    absent = "resize restore trigger_crash_dump resetNetwork injectNetworkInfo pause rescue"
    bodies = [(action, {word: {}}) for word in absent.split()]
    for path, body in (("/os-keypairs", {"keypair": {"name": "k"}}), *bodies):
        answer = await cloud.ask("POST", path, body)
        assert answer.status_code == 501, answer.text
        assert "not part of this version of Pumice: " in answer.text
    older = "os-assisted-volume-snapshots os-baremetal-nodes os-console-auth-tokens/x servers/x/ips/private"
    named = f"os-simple-tenant-usage/{new_id()} os-quota-class-sets/default os-aggregates/1 servers/x/shares"
    looks = "os-hypervisors/1/uptime os-hypervisors/1/servers os-hypervisors/box/search"
    for path in [f"/{path}" for path in f"{older} {named} {looks}".split()]:
        answer = await cloud.ask("GET", path, caller="admin")
        assert (answer.status_code, "not part of this version" in answer.text) == (404, True), path
        assert answer.json()["itemNotFound"]["code"] == 404
    for method, path in (("PUT", f"/os-quota-sets/{new_id()}"), ("DELETE", f"/os-services/{new_id()}")):
        answer = await cloud.ask(method, path, {} if method == "PUT" else None, caller="admin")
        assert (answer.status_code, "not part of this version" in answer.text) == (501, True), path
    answer = await cloud.ask("POST", "/flavors/42/action", {"addTenantAccess": {"tenant": "x"}}, caller="admin")
    assert (answer.status_code, "make it public" in answer.text) == (404, True)


async def test_what_nova_has_removed_is_gone_in_its_words(cloud: Cloud) -> None:
    gone = {"computeFault": {"code": 410, "message": GONE}}
    older = "os-agents os-cells/info os-certificates/x os-cloudpipe os-fping os-fixed-ips/192.0.2.1"
    for path in f"{older} os-floating-ip-dns os-floating-ips-bulk servers/x/consoles".split():
        answer = await cloud.ask("GET", f"/{path}")
        assert (answer.status_code, answer.json()) == (410, gone), path
    assert (await cloud.ask("GET", "/nothing")).json() == {
        "itemNotFound": {"code": 404, "message": "The resource could not be found."}
    }
