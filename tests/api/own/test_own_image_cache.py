"""Operators see what the image cache keeps, and let it go; nobody else learns that there is one."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from volume_cloud import POOL, Cloud

from pumice.model.ids import ImageId, new_id
from pumice.model.image import Image, Visibility
from pumice.model.image_base import ImageBase
from pumice.model.states import ImageStatus
from pumice.store import image_bases
from pumice.store.columns import now
from pumice.volumes.bases import make

Own = Callable[..., Awaitable[httpx.Response]]


def an_image() -> Image:
    told: dict[str, Any] = dict.fromkeys(("name", "checksum", "os_hash_algo"))
    return Image(
        id=ImageId(new_id()),
        owner="p",
        status=ImageStatus.ACTIVE,
        visibility=Visibility.PRIVATE,
        disk_format="raw",
        container_format="bare",
        size=1,
        virtual_size=1,
        os_hash_value="0" * 128,
        min_disk=0,
        min_ram=0,
        protected=False,
        os_hidden=False,
        tags=(),
        properties={},
        created_at=now(),
        updated_at=now(),
        **told,
    )


async def a_base(cloud: Cloud) -> ImageBase:
    """One that could not be made: there is no such image any more."""
    base = await cloud.db.write(make.begin, an_image(), POOL)
    await cloud.quiet()
    return base


async def test_operators_see_bases_and_let_them_go(cloud: Cloud, own: Own) -> None:
    base = await a_base(cloud)
    [shown] = (await own("GET", "/image-cache", who="admin")).json()["image_bases"]
    assert (shown["id"], shown["pool"], shown["image_id"]) == (base.id, POOL, base.image_id)
    assert (shown["size"], shown["status"], shown["uses"]) == (1, "error", 0)
    why = (await own("GET", f"/why/{base.id}", who="admin")).json()["why"]
    assert (why["kind"], why["status"]) == ("image base", "error")
    reply = await own("POST", f"/image-cache/{base.id}/actions/evict", who="admin")
    assert reply.status_code == 202
    assert reply.json()["operation_id"]
    await cloud.quiet()
    assert (await own("GET", "/image-cache", who="admin")).json() == {"image_bases": []}
    reply = await own("POST", f"/image-cache/{base.id}/actions/evict", who="admin")
    assert reply.status_code == 404
    assert await cloud.db.read(image_bases.every) == []


async def test_nobody_else_does(cloud: Cloud, own: Own) -> None:
    base = await a_base(cloud)
    for who in ("member", "reader"):
        assert (await own("GET", "/image-cache", who=who)).status_code == 403
        assert (await own("POST", f"/image-cache/{base.id}/actions/evict", who=who)).status_code == 403
        assert (await own("GET", f"/why/{base.id}", who=who)).status_code == 404
        assert (await own("GET", "/operations", who=who)).json()["operations"] == []
    for who in ("member", "admin"):
        assert (await cloud.call("GET", f"/volumes/{base.id}", who=who)).status_code == 404
        assert (await cloud.call("DELETE", f"/volumes/{base.id}", who=who)).status_code == 404
        listed = await cloud.call("GET", "/volumes/detail?all_tenants=1", who=who)
        assert listed.json()["volumes"] == []
        body = {"volume": {"size": 1, "source_volid": base.id}}
        assert (await cloud.call("POST", "/volumes", body, who=who)).status_code == 404
