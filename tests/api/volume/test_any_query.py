"""Queries that nobody would write, to every route of every service: each is an answer below 500."""

import random
import re
from typing import Any
from urllib.parse import quote

from test_long_queries import ask
from volume_cloud import Cloud

from databases import ON_SQLITE
from pumice.api.compute.service import compute_service
from pumice.api.identity.service import identity_service
from pumice.api.image.service import image_service
from pumice.api.own.service import own_service
from pumice.images.files import ImageFiles

pytestmark = ON_SQLITE
NAMES = (
    "limit marker offset sort sort_key sort_dir all_tenants with_count name name~ status metadata "
    "bootable migration_status availability_zone group_id size created_at updated_at consumes_quota "
    "volume_id instance_id attach_status resource_uuid resource_type event_id request_id message_level "
    "extra_specs is_public volume_type host binary detail project_id user_id tenant_id usage "
    "glance_metadata id uuid flavor image ip ip6 changes-since changes-before deleted description "
    "display_name hostname locked locked_by power_state progress root_device_name tags tags-any not-tags "
    "not-tags-any task_state vm_state minRam minDisk hypervisor_hostname_pattern with_servers visibility "
    "member_status owner protected os_hidden tag size_min size_max min_ram disk_format checksum domain_id "
    "parent_id is_domain enabled name__contains name__icontains password_expires_at role.id user.id "
    "group.id scope.project.id scope.domain.id scope.system scope.OS-INHERIT:inherited_to effective "
    "include_names include_subtree parents_as_list subtree_as_ids nocatalog type service_id interface "
    "region_id service path method cluster active_status replication_status disabled is_up backend_id "
    "cascade force"
)
VALUES = [
    "", " ", "\0", "💥", "9" * 30, "-1", "gt:", "gt:\0", "in:", 'in:"', "{'a': 'b'", "{'a': 'b'}",
    "{'a': None}",
    "{1: {2: 3}}", "[]", "[1]", "1e400", "NaN", "True", "null", "x" * 300, "name:asc,name", "id:asc",
    "created_at", "metadata", "eq:x", "1", "0", "x,y", "%", "\\", "'", "2147483648", "9223372036854775808",
    "a\nb",
]  # fmt: skip
VERSIONS = ("", "volume 3.34, compute 2.74", "volume 3.71, compute 2.104")
PER_ROUTE = 40


async def test_no_query_is_answered_with_a_bug(cloud: Cloud, tmp_path: Any) -> None:
    dice, ctx = random.Random(7), cloud.service.ctx
    await cloud.make()
    ctx.tunables = type(ctx.tunables)(api_wait_seconds=0.001, service_down_seconds=3600)
    images = image_service(ctx, ImageFiles(tmp_path / "images"))
    seen = set()
    for service in (cloud.service, compute_service(ctx), identity_service(ctx), images, own_service(ctx)):
        who = "system admin" if service.name == "identity" else "admin"
        for route in service.table.routes:
            if (
                route.method != "GET"
                or route.rule is None
                or "/auth/tokens" in route.path
                or "/events" in route.path
            ):
                continue
            path = service.prefix + re.sub(r"\{\w+\}", "x", route.path)
            for name in dice.sample(NAMES.split(), PER_ROUTE):
                query = f"{quote(name)}={quote(dice.choice(VALUES))}"
                status = await ask(service, path, query, dice.choice([who, "member"]), dice.choice(VERSIONS))
                assert status < 500 or route.waits, (path, query)
                seen.add(status)
    assert seen >= {200, 400, 403, 404}
