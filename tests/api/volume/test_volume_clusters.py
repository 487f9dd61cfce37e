"""Backends that several hosts serve: what is told of them, and taking them out of scheduling."""

from typing import Any

import pytest
from volume_cloud import POOL_FACTS, Cloud

from pumice.store import pools, services
from pumice.store.services import Heartbeat

NAME = "both@shared"


@pytest.fixture(autouse=True)
async def members(cloud: Cloud) -> None:
    """A cluster of two hosts, one of which is down."""
    heartbeats = [Heartbeat("cinder-volume", f"{host}@shared", "nova", {}, NAME) for host in ("one", "two")]
    await cloud.db.write(services.heartbeat, heartbeats)
    await cloud.db.write(services.silence, [("cinder-volume", "two@shared")])


async def admin(cloud: Cloud, method: str, path: str, body: Any = None, **more: Any) -> Any:
    answer = await cloud.call(method, path, body, who="admin", **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_cluster_is_up_while_one_of_its_hosts_is(cloud: Cloud) -> None:
    (short,) = (await admin(cloud, "GET", "/clusters", version="3.7"))["clusters"]
    assert short == {"name": NAME, "binary": "cinder-volume", "state": "up", "status": "enabled"}
    (full,) = (await admin(cloud, "GET", "/clusters/detail", version="3.25"))["clusters"]
    assert full.keys() - short.keys() == {
        "num_hosts",
        "num_down_hosts",
        "last_heartbeat",
        "created_at",
        "updated_at",
        "disabled_reason",
    }
    assert (full["num_hosts"], full["num_down_hosts"]) == (2, 1)
    shown = (await admin(cloud, "GET", f"/clusters/{NAME}", version="3.26"))["cluster"]
    assert shown.keys() - full.keys() == {"replication_status", "frozen", "active_backend_id"}
    await cloud.db.write(services.silence, [("cinder-volume", "one@shared")])
    assert (await admin(cloud, "GET", f"/clusters/{NAME}"))["cluster"]["state"] == "down"


async def test_clusters_are_found_by_what_they_are(cloud: Cloud) -> None:
    for query, number in {"num_down_hosts=1": 1, "is_up=false": 0, f"name={NAME}&disabled=no": 1}.items():
        assert len((await admin(cloud, "GET", f"/clusters?{query}"))["clusters"]) == number
    for query in ("colour=red", "num_hosts=many"):
        assert (await cloud.call("GET", f"/clusters?{query}", who="admin")).status_code == 400
    assert (await cloud.call("GET", "/clusters/none", who="admin")).status_code == 404


async def test_a_disabled_cluster_is_given_nothing_and_so_is_who_joins_it(cloud: Cloud) -> None:
    await cloud.db.write(pools.report, {NAME: [{**POOL_FACTS, "name": f"{NAME}#pool"}]})
    assert NAME in await hosts_alive(cloud)
    body = {"name": NAME, "binary": "cinder-volume", "disabled_reason": "new disks"}
    told = (await admin(cloud, "PUT", "/clusters/disable", body))["cluster"]
    assert (told["status"], told["disabled_reason"]) == ("disabled", "new disks")
    await cloud.db.write(services.heartbeat, [Heartbeat("cinder-volume", "three@shared", "nova", {}, NAME)])
    assert NAME not in await hosts_alive(cloud)
    assert (await admin(cloud, "PUT", "/clusters/enable", {"name": NAME}))["cluster"]["status"] == "enabled"
    assert NAME in await hosts_alive(cloud)
    assert (await cloud.call("PUT", "/clusters/enable", {"name": "none"}, who="admin")).status_code == 404


async def test_services_and_volumes_name_their_cluster(cloud: Cloud) -> None:
    found = (await admin(cloud, "GET", "/os-services"))["services"]
    assert {one["host"]: one["cluster"] for one in found if "@" in one["host"]} == {
        "box@fake": None,
        "one@shared": NAME,
        "two@shared": NAME,
    }


async def hosts_alive(cloud: Cloud) -> set[str]:
    return {pool.host for pool in await cloud.db.write(pools.alive, 60)}
