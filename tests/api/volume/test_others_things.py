"""Every route of Block Storage with everything of another project, also what is below one's own volume.

Each request is asked at the newest microversion or at the first that has its route; the long form asks all of
them at each: ``pytest -n 0 -m long tests/api/volume/test_others_things.py``.
"""

import random
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from raw_image import raw_image
from volume_cloud import CONNECTOR, PROJECT, THIRD_PROJECT, Cloud

from databases import ON_SQLITE
from pumice.api.routing import Route
from pumice.model.image import Visibility
from pumice.store import images, messages, tables
from pumice.store.database import Transaction
from pumice.store.messages import Event

TYPE = "__DEFAULT__"
OWNED = (
    tables.volumes,
    tables.snapshots,
    tables.backups,
    tables.groups,
    tables.group_snapshots,
    tables.attachments,
    tables.transfers,
    tables.messages,
)
OF_ALL = (
    tables.volume_types,
    tables.type_access,
    tables.group_types,
    tables.qos_specs,
    tables.default_types,
    tables.quota_limits,
)
"""What a tenant changes nothing of."""
NEWEST = 71


async def snapshot_of(cloud: Cloud, volume_id: str, who: str = "member") -> str:
    reply = await cloud.call("POST", "/snapshots", {"snapshot": {"volume_id": volume_id}}, who=who)
    made = await cloud.until(reply.json()["snapshot"]["id"], "available", kind="snapshot", who=who)
    return str(made["id"])


async def given(
    cloud: Cloud, volume_id: str, who: str = "member", to: str = "other", *, no_snapshots: bool = True
) -> None:
    """Hand a volume over, without its snapshots if nothing else is said."""
    asked = {"transfer": {"volume_id": volume_id, "no_snapshots": no_snapshots}}
    offered = (await cloud.call("POST", "/volume-transfers", asked, who=who)).json()["transfer"]
    path = f"/volume-transfers/{offered['id']}/accept"
    reply = await cloud.call("POST", path, {"accept": {"auth_key": offered["auth_key"]}}, who=to)
    assert reply.status_code == 202, reply.text


async def theirs_and_mine(cloud: Cloud) -> tuple[list[str], str]:
    """Something of each kind that is the giver's, and the volume that was the giver's."""
    mine, volume, offered, attached = [str((await cloud.make())["id"]) for _ in range(4)]
    found = [volume, offered, attached, await snapshot_of(cloud, volume), await snapshot_of(cloud, mine)]
    await given(cloud, mine)
    reply = await cloud.call("POST", "/attachments", {"attachment": {"volume_uuid": attached}})
    found.append(reply.json()["attachment"]["id"])
    reply = await cloud.call("POST", "/volume-transfers", {"transfer": {"volume_id": offered}})
    found.append(reply.json()["transfer"]["id"])
    await cloud.db.write(messages.tell, PROJECT, Event.REVERT_VOLUME, volume, "no", None)
    reply = await cloud.call("POST", "/backups", {"backup": {"volume_id": volume}})
    found.append((await cloud.until(reply.json()["backup"]["id"], "available", kind="backup"))["id"])
    await cloud.call("POST", "/group_types", {"group_type": {"name": "steady"}}, who="admin")
    wanted = {"name": "g", "group_type": "steady", "volume_types": [TYPE]}
    reply = await cloud.call("POST", "/groups", {"group": wanted})
    found.append((await cloud.until(reply.json()["group"]["id"], "available", kind="group"))["id"])
    await cloud.make(group_id=found[-1], volume_type=TYPE)
    reply = await cloud.call(
        "POST", "/group_snapshots", {"group_snapshot": {"name": "s", "group_id": found[-1]}}
    )
    made = reply.json()["group_snapshot"]["id"]
    found.append((await cloud.until(made, "available", kind="group_snapshot"))["id"])
    listed = (await cloud.call("GET", "/messages")).json()["messages"]
    return [*found, listed[0]["id"], await private_image(cloud), *await private_types(cloud)], mine


async def private_types(cloud: Cloud) -> list[str]:
    """A type of volumes that one project may use, and a type of groups that no tenant may."""
    wanted = {"name": "inner", "os-volume-type-access:is_public": False, "extra_specs": {"multiattach": "no"}}
    reply = await cloud.call("POST", "/types", {"volume_type": wanted}, who="admin")
    kind = reply.json()["volume_type"]["id"]
    reply = await cloud.call(
        "POST", f"/types/{kind}/action", {"addProjectAccess": {"project": PROJECT}}, who="admin"
    )
    assert reply.status_code == 202, reply.text
    asked = {"group_type": {"name": "hidden", "is_public": False, "group_specs": {"k": "v"}}}
    reply = await cloud.call("POST", "/group_types", asked, who="admin")
    return [kind, reply.json()["group_type"]["id"]]


async def private_image(cloud: Cloud) -> str:
    """An image that only its owner sees."""
    image = raw_image(PROJECT, Visibility.PRIVATE)
    await cloud.db.write(images.insert, image)
    return image.id


NAMED_BY_PROJECTS = ("/os-quota", "/default-types")
PROJECTS: dict[str, list[Any]] = {
    "/v3/os-quota-sets/{project_id}": [None, {"quota_set": {"volumes": 1}}],
    "/v3/default-types/{id}": [None, {"default_type": {"volume_type": TYPE}}],
}
"""What may be sent to what is named by a project."""


def bodies(route: Route, it: str) -> list[Any]:
    """What the route may be sent that names ``it``."""
    named: dict[str, list[Any]] = {
        "/volumes": [
            {"volume": {"size": 1, key: it, "volume_type": TYPE}}
            for key in ("snapshot_id", "source_volid", "backup_id", "imageRef", "group_id")
        ]
        + [{"volume": {"size": 1, "volume_type": it}}],
        "/groups": [
            {"group": {"name": "mine", "group_type": it, "volume_types": [TYPE]}},
            {"group": {"name": "mine", "group_type": "steady", "volume_types": [it]}},
        ],
        "/snapshots": [{"snapshot": {"volume_id": it, "force": True}}],
        "/backups": [
            {"backup": {"volume_id": it, "force": True}},
            {"backup": {"volume_id": it, "snapshot_id": it, "incremental": True}},
        ],
        "/backups/{id}": [{"backup": {"name": "mine"}}],
        "/backups/{id}/restore": [{"restore": {"volume_id": it}}, {"restore": {}}],
        "/attachments": [
            {"attachment": {"volume_uuid": it}},
            {"attachment": {"volume_uuid": it, "connector": CONNECTOR}},
        ],
        "/attachments/{id}": [{"attachment": {"connector": CONNECTOR}}],
        "/groups/{id}": [{"group": {"name": "mine", "add_volumes": it}}, {"group": {"remove_volumes": it}}],
        "/group_snapshots": [{"group_snapshot": {"group_id": it}}],
        "/volume-transfers": [{"transfer": {"volume_id": it}}],
        "/os-volume-transfer": [{"transfer": {"volume_id": it}}],
        "/volume-transfers/{id}/accept": [{"accept": {"auth_key": it}}],
        "/os-volume-transfer/{id}/accept": [{"accept": {"auth_key": it}}],
    }
    actions: dict[str, list[Any]] = {
        "revert": [{"snapshot_id": it}],
        "create-from-src": [{"source_group_id": it}, {"group_snapshot_id": it}],
        "delete": [{"delete-volumes": True}],
        "os-detach": [{"attachment_id": it}, None],
        "os-force_detach": [{"attachment_id": it, "connector": CONNECTOR}],
        "os-initialize_connection": [{"connector": CONNECTOR}],
        "os-terminate_connection": [{"connector": CONNECTOR}],
        "os-extend": [{"new_size": 2}],
        "os-retype": [{"new_type": it, "migration_policy": "never"}],
        "os-reimage": [{"image_id": it}],
        "os-set_bootable": [{"bootable": True}],
        "os-update_readonly_flag": [{"readonly": True}],
    }
    if route.action:
        return [{route.action: value} for value in actions.get(route.action, [{}, None])]
    return named.get(route.path.removeprefix("/v3"), [None, {}])


def requests(cloud: Cloud, theirs: list[str], mine: str) -> Iterator[tuple[Route, str, Any, str]]:
    """Each route, with each thing in its path, and with the own volume there and each thing in its body."""
    for route in cloud.service.table.routes:
        if route.rule is None:
            continue
        path = route.path.removeprefix("/v3").replace("{key}", "k")
        if path.startswith(NAMED_BY_PROJECTS):
            continue
        for it in theirs:
            for inside in [mine, it] if "{id}" in path else [it]:
                for body in bodies(route, it) if route.method in ("POST", "PUT") else [None]:
                    yield route, path.replace("{id}", inside), body, it


def requests_by_project(cloud: Cloud) -> Iterator[tuple[Route, str, Any, str]]:
    """Each route to what is a project's, and named by it."""
    for route in cloud.service.table.routes:
        path = route.path.removeprefix("/v3").replace("{project_id}", PROJECT).replace("{id}", PROJECT)
        if path.startswith(NAMED_BY_PROJECTS):
            for body in PROJECTS.get(route.path, [None]):
                yield route, path, body, PROJECT


def everything(cloud: Cloud, theirs: list[str], mine: str) -> Iterator[tuple[Route, str, Any, str]]:
    """All that can be asked about what is another project's."""
    yield from requests(cloud, theirs, mine)
    yield from requests_by_project(cloud)


async def rows_of(cloud: Cloud, project: str) -> dict[str, Any]:
    """What the project owns, and what is everybody's."""

    def read(tx: Transaction) -> dict[str, Any]:
        owned = [sa.select(table).where(table.c.project_id == project).order_by(table.c.id) for table in OWNED]
        named = [table.name for table in (*OWNED, *OF_ALL)]
        asked = [*owned, *(sa.select(table).order_by(*table.primary_key) for table in OF_ALL)]
        return {name: tx.execute(one).all() for name, one in zip(named, asked, strict=True)}

    return await cloud.db.read(read)


async def refuse_what_is_anothers(
    cloud: Cloud, theirs: list[str], asked: tuple[Route, str, Any, str], version: int
) -> None:
    """The request is refused if it names something of theirs, and tells of nothing else that is."""
    route, path, body, it = asked
    reply = await cloud.call(route.method, path, body, who="other", version=f"3.{version}")
    named = f"{route.method} {path} {body}"
    where = (named, version, reply.status_code, reply.text)
    assert reply.status_code < 500, where
    assert not [one for one in theirs if one in reply.text and one not in named], where
    if it in named:
        assert reply.status_code >= 400, where


async def test_no_route_does_or_tells_anything_about_what_another_project_owns(cloud: Cloud) -> None:
    theirs, mine = await theirs_and_mine(cloud)
    await cloud.quiet()
    before, dice = await rows_of(cloud, PROJECT), random.Random(7)
    for query in ("", "?cascade=true&force=false"):
        for route, path, body, it in everything(cloud, theirs, mine):
            if route.method == "DELETE" or not query:
                version = dice.choice([route.since[1], NEWEST])
                await refuse_what_is_anothers(cloud, theirs, (route, path + query, body, it), version)
    await cloud.quiet()
    assert await rows_of(cloud, PROJECT) == before


@ON_SQLITE
@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_nor_does_any_at_any_microversion(cloud: Cloud) -> None:
    theirs, mine = await theirs_and_mine(cloud)
    await cloud.quiet()
    before = await rows_of(cloud, PROJECT)
    for version in range(NEWEST + 1):
        for asked in everything(cloud, theirs, mine):
            if asked[0].since[1] <= version <= asked[0].until[1]:
                await refuse_what_is_anothers(cloud, theirs, asked, version)
        await cloud.quiet()
        assert await rows_of(cloud, PROJECT) == before, version


async def test_a_taken_volume_is_not_reverted_to_what_its_giver_kept(cloud: Cloud) -> None:
    mine = str((await cloud.make())["id"])
    kept = await snapshot_of(cloud, mine)
    await given(cloud, mine)
    for who in ("other", "admin"):
        reply = await cloud.act(mine, "revert", {"snapshot_id": kept}, who=who)
        assert reply.status_code == 400
        assert reply.json()["badRequest"]["message"] == f"Volume {mine} doesn't have any snapshots."


async def test_a_volume_goes_back_to_its_own_snapshot_only_if_no_other_is_later(cloud: Cloud) -> None:
    mine = str((await cloud.make())["id"])
    first = await snapshot_of(cloud, mine)
    await given(cloud, mine)
    later = await snapshot_of(cloud, mine, "other")
    await given(cloud, mine, "other", "member")
    reply = await cloud.act(mine, "revert", {"snapshot_id": first})
    assert reply.status_code == 400
    assert later not in reply.text
    await given(cloud, mine)
    assert (await cloud.act(mine, "revert", {"snapshot_id": later}, who="other")).status_code == 202


@pytest.mark.parametrize("query", ["", "?cascade=true"])
async def test_a_volume_with_anothers_snapshots_stays_and_they_are_not_told(cloud: Cloud, query: str) -> None:
    mine = str((await cloud.make())["id"])
    kept = await snapshot_of(cloud, mine)
    await given(cloud, mine)
    own = await snapshot_of(cloud, mine, "other")
    reply = await cloud.call("DELETE", f"/volumes/{mine}{query}", who="other")
    assert (reply.status_code, kept in reply.text) == (400, False)
    assert "be disassociated from snapshots after volume transfer" in reply.text
    await cloud.until(own, "available", kind="snapshot", who="other")
    assert (await cloud.call("DELETE", f"/snapshots/{kept}")).status_code == 202
    await cloud.until(kept, None, kind="snapshot")
    assert (await cloud.call("DELETE", f"/volumes/{mine}?cascade=true", who="other")).status_code == 202


async def test_a_transfer_takes_along_what_is_the_givers_and_nothing_else(cloud: Cloud) -> None:
    mine = str((await cloud.make())["id"])
    kept = await snapshot_of(cloud, mine)
    await given(cloud, mine)
    own = await snapshot_of(cloud, mine, "other")
    await given(cloud, mine, "other", "third", no_snapshots=False)
    assert [row.id for row in (await rows_of(cloud, PROJECT))["snapshots"]] == [kept]
    assert [row.id for row in (await rows_of(cloud, THIRD_PROJECT))["snapshots"]] == [own]
