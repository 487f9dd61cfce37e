"""Every route of Compute with everything of another project: in its path, its body, below one's own server."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import sqlalchemy as sa
from compute_cloud import PROJECTS, Cloud

from pumice.api.routing import Route
from pumice.model.image import Visibility
from pumice.store import tables
from pumice.store.database import Transaction

STRANGER = "stranger"


async def made_by(cloud: Cloud, caller: str) -> tuple[str, ...]:
    """A server, the volume it boots from, a free volume and its snapshot."""
    root = await cloud.volume(bootable=True, caller=caller)
    asked = cloud.body(block_device_mapping_v2=[cloud.from_volume(root)])
    server = (await cloud.post("/servers", asked, caller=caller))["server"]["id"]
    await cloud.until_status(server, "ACTIVE")
    free = await cloud.volume(bootable=True, caller=caller)
    return server, root, free, await cloud.snapshot(free, caller=caller)


def bodies(route: Route, it: str) -> list[Any]:
    """What the route may be sent that names ``it``."""
    if route.method not in ("POST", "PUT"):
        return [None]
    if route.action:
        return [{route.action: value} for value in (None, {}, {"type": "HARD"}, {"name": "x"}, {"length": 1})]
    if "os-volume_attachments" in route.path:
        kept = {"volumeId": it, "delete_on_termination": True}
        return [{"volumeAttachment": {"volumeId": it}}, {"volumeAttachment": kept}]
    if route.path.endswith("/servers"):
        disk = {"boot_index": 0, "uuid": it, "destination_type": "volume", "volume_size": 1}
        sources: list[dict[str, Any]] = [
            {"block_device_mapping_v2": [{**disk, "source_type": kind}]}
            for kind in ("volume", "snapshot", "image")
        ]
        local = {"destination_type": "local", "source_type": "image"}
        sources += [
            {"block_device_mapping_v2": [{"boot_index": 0, "uuid": it, **local}], "imageRef": it},
            {"block_device_mapping": [{"device_name": "vda", "volume_id": it}]},
            {"block_device_mapping": [{"device_name": "vda", "snapshot_id": it, "volume_size": 1}]},
            {"imageRef": it},
        ]
        return [Cloud.body(**more) for more in sources]
    return [{"server": {"name": "x"}}, {"metadata": {"a": "b"}}, {"meta": {"k": "v"}}, {"tags": ["a"]}, None]


def requests(
    cloud: Cloud, theirs: tuple[str, ...], mine: tuple[str, ...]
) -> Iterator[tuple[str, str, Any, str]]:
    """Each route with each of their things where a server, a volume or anything else is named."""
    for route in cloud.service.table.routes:
        if route.rule is None or "flavors" in route.path or "quota" in route.path:
            continue
        path = route.path.removeprefix("/v2.1").replace("{key}", "k").replace("{tag}", "t")
        names = [part.strip("{}") for part in path.split("/") if part.startswith("{")]
        for it, first, second in product(theirs, ("mine", "it"), ("mine", "it")):
            values = {"mine": mine[0], "it": it}[first], {"mine": mine[1], "it": it}[second]
            named = path
            for name, value in zip(names, values, strict=False):
                named = named.replace(f"{{{name}}}", value)
            for body in bodies(route, it):
                asked = f"{route.method} {named} {body}"
                if it in asked:
                    yield route.method, named, body, asked


async def rows_of(cloud: Cloud, project: str) -> dict[str, Any]:
    owned = (tables.servers, tables.volumes, tables.attachments, tables.snapshots)

    def read(tx: Transaction) -> dict[str, Any]:
        return {
            one.name: tx.execute(sa.select(one).where(one.c.project_id == project).order_by(one.c.id)).all()
            for one in owned
        }

    return await cloud.db.read(read)


async def test_no_route_does_or_tells_anything_about_what_another_project_owns(cloud: Cloud) -> None:
    image = await cloud.image(visibility=Visibility.PRIVATE)
    theirs, mine = (*await made_by(cloud, "member"), image), await made_by(cloud, STRANGER)
    before = await rows_of(cloud, PROJECTS["ours"])
    tried = set()
    for method, path, body, asked in requests(cloud, theirs, mine):
        if asked in tried:
            continue
        tried.add(asked)
        answer = await cloud.ask(method, path, body, caller=STRANGER)
        assert 400 <= answer.status_code < 500, (asked, answer.status_code, answer.text)
        told = [one for one in theirs if one in answer.text and one not in asked]
        assert not told, (asked, answer.text)
    assert len(tried) > 100
    assert await rows_of(cloud, PROJECTS["ours"]) == before


async def test_what_is_refused_to_others_is_the_owners_to_boot_from(cloud: Cloud) -> None:
    image = await cloud.image(visibility=Visibility.PRIVATE)
    volume = await cloud.volume(bootable=True)
    snapshot = await cloud.snapshot(volume)
    disk = {"boot_index": 0, "destination_type": "volume", "volume_size": 1}
    for kind, it in (("image", image), ("snapshot", snapshot), ("volume", volume)):
        asked = cloud.body(block_device_mapping_v2=[{**disk, "source_type": kind, "uuid": it}])
        answer = await cloud.ask("POST", "/servers", asked, caller=STRANGER)
        assert 400 <= answer.status_code < 500, (kind, answer.text)
        await cloud.post("/servers", asked)
    await cloud.until_quiet()
