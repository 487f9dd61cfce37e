"""Every documented query of every list is read: a value that makes no sense is refused, or finds nothing."""

from test_volume_answers import Story
from volume_cloud import PROJECT, Cloud

from databases import ON_SQLITE

pytestmark = ON_SQLITE
PAGES = "limit offset marker sort sort_key sort_dir"
VOLUMES = (
    f"{PAGES} all_tenants with_count created_at updated_at consumes_quota name status metadata bootable size "
    "migration_status availability_zone group_id glance_metadata name~ user_id project_id description"
)
SNAPSHOTS = (
    f"{PAGES} all_tenants with_count name status volume_id metadata consumes_quota availability_zone user_id"
)
ATTACHMENTS = f"{PAGES} all_tenants status volume_id instance_id attach_status"
GROUPS = f"{PAGES} all_tenants name status description group_type_id user_id project_id"
TRANSFERS = f"{PAGES} all_tenants id name volume_id"
DOCUMENTED = {
    "/volumes": VOLUMES,
    "/volumes/detail": VOLUMES,
    "/volumes/summary": "all_tenants name status metadata bootable size",
    "/snapshots": SNAPSHOTS,
    "/snapshots/detail": SNAPSHOTS,
    "/attachments": ATTACHMENTS,
    "/attachments/detail": ATTACHMENTS,
    "/os-volume-transfer": TRANSFERS,
    "/os-volume-transfer/detail": TRANSFERS,
    "/volume-transfers": TRANSFERS,
    "/volume-transfers/detail": TRANSFERS,
    "/groups": GROUPS,
    "/consistencygroups": GROUPS,
    "/consistencygroups/detail": GROUPS,
    "/cgsnapshots": "limit offset",
    "/cgsnapshots/detail": "limit offset",
    "/group_snapshots": f"{GROUPS} group_id",
    "/group_snapshots/detail": f"{GROUPS} group_id",
    "/groups/detail": f"{GROUPS} list_volume",
    "/types": f"{PAGES} is_public extra_specs",
    "/messages": f"{PAGES} resource_uuid resource_type event_id request_id message_level",
    "/os-services": "host binary",
    "/os-hosts": "zone",
    "/scheduler-stats/get_pools": "detail name volume_type",
    f"/os-quota-sets/{PROJECT}": "usage",
    "/resource_filters": "resource",
    "/default-types": "",
    "/os-availability-zone": "",
    "/extensions": "",
    "/group_types": f"{PAGES} is_public",
}
NOTHING_TO_SEE = {
    "/clusters",  # tests/api/volume/test_volume_clusters.py
    "/os-volume-manage",  # tests/api/volume/test_volume_manage.py
    "/manageable_volumes",
    "/manageable_snapshots",
    "/os-snapshot-manage",
    "/backups",
    "/qos-specs",
}


async def test_every_documented_query_of_every_list_is_read(cloud: Cloud) -> None:
    await Story(cloud, "3.71").furnish()
    ignored = []
    for path, names in DOCUMENTED.items():
        plain = await cloud.call("GET", path, who="admin")
        assert plain.status_code == 200, path
        for name in names.split():
            answer = await cloud.call("GET", f"{path}?{name}=no-sense", who="admin")
            if answer.status_code == 200 and answer.json() == plain.json():
                ignored.append(f"{path}?{name}")
    assert ignored == []


REFUSED = 400
FINDS_NOTHING = 200
STRANGE: dict[str, tuple[int | None, int]] = {
    "/volumes": (REFUSED, FINDS_NOTHING),
    "/volumes/detail": (REFUSED, FINDS_NOTHING),
    "/snapshots": (REFUSED, FINDS_NOTHING),
    "/attachments": (REFUSED, FINDS_NOTHING),
    "/messages": (REFUSED, FINDS_NOTHING),
    "/types": (REFUSED, FINDS_NOTHING),
    "/backups": (REFUSED, FINDS_NOTHING),
    "/groups": (REFUSED, FINDS_NOTHING),
    "/group_snapshots/detail": (REFUSED, FINDS_NOTHING),
    "/volume-transfers": (FINDS_NOTHING, FINDS_NOTHING),
    "/os-volume-transfer/detail": (FINDS_NOTHING, FINDS_NOTHING),
    "/scheduler-stats/get_pools": (None, REFUSED),
    "/clusters": (None, REFUSED),
    "/manageable_snapshots": (None, REFUSED),
}
"""What becomes of a filter that nobody knows, asked by a tenant (None: may not ask at all) or an administrator.

Lists that are not here ignore it, as Cinder does.
"""


async def test_a_filter_that_nobody_knows_is_refused_or_finds_nothing(cloud: Cloud) -> None:
    await Story(cloud, "3.71").furnish()
    for path, expected in STRANGE.items():
        for who, status in zip(("member", "admin"), expected, strict=True):
            answer = await cloud.call("GET", f"{path}?bogus=x", who=who)
            if status is None:
                assert answer.status_code == 403, path
                continue
            assert answer.status_code == status, (path, who, answer.text)
            if status == FINDS_NOTHING:
                assert [] in answer.json().values(), (path, who)


async def test_an_administrator_asks_for_the_limits_of_another_project(cloud: Cloud) -> None:
    await cloud.make()
    mine = (await cloud.call("GET", "/limits", who="admin")).json()
    for name in ("project_id", "tenant_id"):
        other = await cloud.call("GET", f"/limits?{name}=no-sense", who="admin")
        assert other.json() != mine
        assert (await cloud.call("GET", f"/limits?{name}=no-sense")).json() == mine


NO_LISTS = ("/", "", "/limits", "/openapi.json", "/openapi.html")


async def test_every_list_has_its_queries_documented_here(cloud: Cloud) -> None:
    reads = {route.path.removeprefix("/v3") for route in cloud.service.table.routes if route.method == "GET"}
    lists = {path for path in reads if "{" not in path and path not in NO_LISTS}
    assert lists <= DOCUMENTED.keys() | NOTHING_TO_SEE | {f"{path}/detail" for path in NOTHING_TO_SEE}


async def test_a_host_s_services_are_listed_with_those_of_its_backends(cloud: Cloud) -> None:
    every = (await cloud.call("GET", "/os-services", who="admin")).json()["services"]
    backend = next(one["host"] for one in every if "@" in one["host"])
    host = backend.partition("@")[0]
    for asked, found in ((host, {host, backend}), (backend, {backend}), (host[:-1], set())):
        shown = (await cloud.call("GET", f"/os-services?host={asked}", who="admin")).json()["services"]
        assert {one["host"] for one in shown} == {one["host"] for one in every} & found, asked
        assert bool(shown) == bool(found)
