"""Every route is asked for real, and answers as Nova at each version that changes an answer."""

from typing import Any

from answers import name_of
from compute_cloud import PROJECTS, Cloud

from databases import ON_SQLITE

pytestmark = ON_SQLITE
NOT_OFFERED = {"POST /v2.1/servers/{id}/action createImage"}


async def ask(cloud: Cloud, version: str, method: str, path: str, body: Any = None) -> Any:
    reply = await cloud.ask(method, path, body, caller="admin", version=version)
    assert reply.status_code < 400, f"{method} {path} at {version}: {reply.status_code} {reply.text}"
    return reply.json() if reply.content else None


async def furnish(cloud: Cloud) -> dict[str, str]:
    """One of everything; the values of the paths' names by what they follow."""
    volume = await cloud.volume()
    server = await cloud.server(tags=["t"], metadata={"k": "v"})
    await cloud.attach(server, volume)
    actions = (await cloud.get(f"/servers/{server}/os-instance-actions"))["instanceActions"]
    await ask(cloud, "2.90", "POST", "/flavors/42/os-extra_specs", {"extra_specs": {"hw:cpu_policy": "shared"}})
    things = {"servers": server, "os-volume_attachments": volume, "metadata": "k", "tags": "t", "flavors": "42"}
    things |= {"os-instance-actions": actions[0]["request_id"], "os-extra_specs": "hw:cpu_policy"}
    return things | {"os-quota-sets": PROJECTS["ours"]}


async def read_everything(cloud: Cloud, things: dict[str, str], version: tuple[int, int]) -> None:
    """Every route that reads."""
    said = f"{version[0]}.{version[1]}"
    hypervisor = (await ask(cloud, said, "GET", "/os-hypervisors"))["hypervisors"][0]
    for route in cloud.service.table.routes:
        parts = route.path.removeprefix("/v2.1").split("/")
        if route.method == "GET" and route.path != "/" and route.since <= version <= route.until:
            known = things | {"os-hypervisors": str(hypervisor["id"])}
            filled = [known[parts[at - 1]] if part[:1] == "{" else part for at, part in enumerate(parts)]
            await ask(cloud, said, "GET", "/".join(filled))


async def test_what_is_read_has_novas_shape_at_every_version(cloud: Cloud) -> None:
    things = await furnish(cloud)
    cloud.answers.seen.clear()
    for version in cloud.answers.versions(of_reads=True):
        await read_everything(cloud, things, version)
    for root in ("", "/v2.1"):
        await cloud.client().get(f"http://cloud/compute{root}")
    routes = {name_of(route) for route in cloud.service.table.routes if route.method == "GET"}
    assert routes == cloud.answers.seen


async def test_what_is_written_answers_in_novas_shape_at_every_version(cloud: Cloud) -> None:
    image, volume = await cloud.image(), await cloud.volume()
    for version in cloud.answers.versions(of_reads=False):
        await write_everything(cloud, image, volume, version)
    routes = {name_of(route) for route in cloud.service.table.routes if route.method != "GET"}
    assert routes - cloud.answers.seen == NOT_OFFERED


async def write_everything(cloud: Cloud, image: str, volume: str, version: tuple[int, int]) -> None:
    """Every route that writes and is of this version."""
    said = f"{version[0]}.{version[1]}"
    networks = {"networks": "none"} if version >= (2, 37) else {}
    body: Any = {"server": {"name": "one", "flavorRef": "42", "imageRef": image, **networks}}
    made = (await ask(cloud, said, "POST", "/servers", body))["server"]["id"]
    await cloud.until_status(made, "ACTIVE")
    await write_to(cloud, said, f"/servers/{made}", volume, version)
    if version[1] % 2:
        await ask(cloud, said, "DELETE", f"/servers/{made}")
    else:
        await ask(cloud, said, "POST", f"/servers/{made}/action", {"forceDelete": None})
    flavor = {"name": said, "ram": 1, "vcpus": 1, "disk": 0, "id": said}
    await ask(cloud, said, "POST", "/flavors", {"flavor": flavor})
    await ask(cloud, said, "POST", f"/flavors/{said}/os-extra_specs", {"extra_specs": {"k": "v"}})
    await ask(cloud, said, "PUT", f"/flavors/{said}/os-extra_specs/k", {"k": "w"})
    await ask(cloud, said, "DELETE", f"/flavors/{said}/os-extra_specs/k")
    if version >= (2, 55):
        await ask(cloud, said, "PUT", f"/flavors/{said}", {"flavor": {"description": "d"}})
    await ask(cloud, said, "DELETE", f"/flavors/{said}")
    which = {"host": "here", "binary": "nova-compute"}
    if version < (2, 53):
        for path in ("disable", "enable"):
            await ask(cloud, said, "PUT", f"/os-services/{path}", which)
        why = {**which, "disabled_reason": "r"}
        await ask(cloud, said, "PUT", "/os-services/disable-log-reason", why)
        await ask(cloud, said, "PUT", "/os-services/enable", which)
    if (2, 11) <= version < (2, 53):
        for down in (True, False):
            await ask(cloud, said, "PUT", "/os-services/force-down", {**which, "forced_down": down})
    if version >= (2, 53):
        services = (await ask(cloud, said, "GET", "/os-services"))["services"]
        service = next(it for it in services if it["host"] == which["host"])
        for status in ("disabled", "enabled"):
            await ask(cloud, said, "PUT", f"/os-services/{service['id']}", {"status": status})


async def write_to(cloud: Cloud, said: str, server: str, volume: str, version: tuple[int, int]) -> None:
    server_id = server.rpartition("/")[2]
    await ask(cloud, said, "PUT", server, {"server": {"name": "two"}})
    await ask(cloud, said, "POST", f"{server}/metadata", {"metadata": {"k": "v"}})
    await ask(cloud, said, "PUT", f"{server}/metadata", {"metadata": {"k": "v"}})
    await ask(cloud, said, "PUT", f"{server}/metadata/k", {"meta": {"k": "w"}})
    await ask(cloud, said, "DELETE", f"{server}/metadata/k")
    if version >= (2, 26):
        await ask(cloud, said, "PUT", f"{server}/tags", {"tags": ["a", "b"]})
        await ask(cloud, said, "PUT", f"{server}/tags/a")
        await ask(cloud, said, "DELETE", f"{server}/tags/a")
        await ask(cloud, said, "DELETE", f"{server}/tags")
    attached = f"{server}/os-volume_attachments"
    body: dict[str, Any] = {"volumeAttachment": {"volumeId": volume}}
    await ask(cloud, said, "POST", attached, body)
    await cloud.until_volume(volume, "in-use")
    if version >= (2, 85):
        body["volumeAttachment"]["delete_on_termination"] = False
        await ask(cloud, said, "PUT", f"{attached}/{volume}", body)
    await ask(cloud, said, "DELETE", f"{attached}/{volume}")
    await cloud.until_volume(volume, "available")
    for action, value in (("lock", None), ("unlock", None), ("os-getConsoleOutput", {})):
        await ask(cloud, said, "POST", f"{server}/action", {action: value})
    for action, status in (("os-stop", "SHUTOFF"), ("os-start", "ACTIVE")):
        await ask(cloud, said, "POST", f"{server}/action", {action: None})
        await cloud.until_status(server_id, status)
    await ask(cloud, said, "POST", f"{server}/action", {"reboot": {"type": "HARD"}})
    await cloud.until_status(server_id, "ACTIVE")
    await ask(cloud, said, "POST", f"{server}/action", {"os-resetState": {"state": "error"}})
    event = {"name": "network-changed", "server_uuid": server_id}
    await ask(cloud, said, "POST", "/os-server-external-events", {"events": [event]})
