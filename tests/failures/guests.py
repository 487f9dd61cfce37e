"""kill -9 of the volume process while volumes come to a running guest and go, by both doors."""

import contextlib
import time
from collections import Counter
from typing import Any

from tests.boot_sector import READY, boot_sector
from tests.failures.cloud import Cloud
from tests.failures.row import Completion, Row
from tests.failures.volume_process import BUSY, connector
from tests.pumice_installation import ATTACHMENTS, IMAGES, SERVERS, VOLUMES

from pumice.hypervisor.libvirt_connection import load


def attaching_and_detaching(cloud: Cloud, each: int, slow: float) -> Completion:
    """So many are being attached by Compute, connected by Block Storage, and detached, half by each of them."""
    cloud.slow_down(0)
    server = a_guest(cloud)
    disks = f"{SERVERS}/{server}/os-volume_attachments"
    volumes = cloud.volumes(3 * each)
    attached, connected, detached = volumes[:each], volumes[each : 2 * each], volumes[2 * each :]
    by_compute, by_storage = detached[: each // 2], detached[each // 2 :]
    cloud.ask_all(("POST", disks, {"volumeAttachment": {"volumeId": volume}}) for volume in by_compute)
    links = [attach(cloud, volume, connector(n)) for n, volume in enumerate(by_storage)]
    reserved = [attach(cloud, volume, None) for volume in connected]
    cloud.settle()
    cloud.slow_down(slow)
    asked: list[tuple[str, str, Any]] = []
    asked += [("POST", disks, {"volumeAttachment": {"volumeId": volume}}) for volume in attached]
    asked += [
        ("PUT", f"{ATTACHMENTS}/{link}", {"attachment": {"connector": connector(n)}})
        for n, link in enumerate(reserved)
    ]
    asked += [("DELETE", f"{disks}/{volume}", None) for volume in by_compute]
    asked += [("DELETE", f"{ATTACHMENTS}/{link}", None) for link in links]
    with cloud.asking(asked) as answers:
        cloud.wait_until_busy("volume", BUSY)
        cloud.kill("volume")
        cloud.launch("volume")
    refused = [answer.result().text for answer in answers if answer.result().status_code >= 300]
    cloud.settle()
    ended = {
        "attached by Compute": cloud.ended(VOLUMES, attached),
        "connected": cloud.ended(VOLUMES, connected),
        "detached": cloud.ended(VOLUMES, detached),
    }
    wanted = dict(
        zip(ended, (Counter({status: each}) for status in ("in-use", "attaching", "available")), strict=True)
    )
    words = "; ".join(
        f"{counts.total()} {what}" if counts == wanted[what] else f"{what}: {dict(counts)}"
        for what, counts in ended.items()
    )
    return Completion(
        "; ".join([f"{len(asked) - len(refused)} of {len(asked)} calls answered well", words, *refused]),
        ended == wanted and not refused,
    )


STANDS_STILL = 5.0
"""Seconds that a guest may, by default."""
LATE = 60.0
"""Seconds by which it may go on later, on a machine that is busy."""


def growing_under_a_guest(cloud: Cloud) -> Completion:
    """The guest is paused while its disk's target is to grow, and the target's host dies just then."""
    [server] = cloud.servers(1)
    [disk] = cloud.call("GET", f"{SERVERS}/{server}/os-volume_attachments")["volumeAttachments"]
    volume = disk["volumeId"]
    cloud.stop("volume")
    cloud.launch("volume", PUMICE_FAULT="volume.extend/do/tell_target/before")
    cloud.wait(lambda: cloud.is_up("volume"), "the volume service does not come up")
    with contextlib.closing(load().open(cloud.libvirtd.uri)) as libvirt:
        domain = libvirt.lookupByUUIDString(server)
        cloud.call("POST", f"{VOLUMES}/{volume}/action", {"os-extend": {"new_size": 2}})
        cloud.wait(lambda: domain.state()[0] == PAUSED, "the guest is not paused")
        began = time.monotonic()
        cloud.wait(lambda: domain.state()[0] == RUNNING, "the guest stays paused")
        stood = time.monotonic() - began
    cloud.wait_for_death("volume")
    cloud.launch("volume")
    cloud.settle()
    found = cloud.call("GET", f"{VOLUMES}/{volume}")["volume"]
    words = (
        f"the guest stood still for {stood:.1f} s; its disk has {found['size']} GiB and is {found['status']}"
    )
    return Completion(words, stood < STANDS_STILL + LATE and (found["size"], found["status"]) == (2, "in-use"))


def attach(cloud: Cloud, volume: str, by: dict[str, Any] | None) -> str:
    """Reserve a volume; with a connector attach it."""
    body = {"volume_uuid": volume, **({"connector": by} if by else {})}
    link = str(cloud.call("POST", ATTACHMENTS, {"attachment": body})["attachment"]["id"])
    if by:
        cloud.call("POST", f"{ATTACHMENTS}/{link}/action", {"os-complete": {}})
    return link


def a_guest(cloud: Cloud) -> str:
    """A server whose guest has booted, so that it lets go of disks."""
    body = {"name": "guest", "disk_format": "raw", "container_format": "bare"}
    image = cloud.call("POST", IMAGES, body)["id"]
    headers = {"Content-Type": "application/octet-stream"}
    answer = cloud.http.put(f"{IMAGES}/{image}/file", content=boot_sector(), headers=headers)
    assert answer.status_code == 204, answer.text
    root = cloud.call("POST", VOLUMES, {"volume": {"size": 1, "imageRef": image}})["volume"]["id"]
    cloud.settle()
    flavors = cloud.call("GET", "/compute/v2.1/flavors/detail")["flavors"]
    flavor = min((one for one in flavors if one["ram"] >= 256), key=lambda one: one["ram"])["id"]
    server = cloud.boot(root, flavor)

    def ready() -> bool:
        answer = cloud.http.post(f"{SERVERS}/{server}/action", json={"os-getConsoleOutput": {}})
        return answer.status_code == 200 and READY in answer.json()["output"]

    cloud.wait(ready, "the guest does not boot", 180)
    return server


RUNNING, PAUSED = 1, 3
"""``VIR_DOMAIN_RUNNING``, ``VIR_DOMAIN_PAUSED``."""

ROWS = (
    Row(
        "the same with 30 attach and detach calls under way",
        "all answered 500 after 60 s; 10 attaching, 10 reserved, 10 still attached",
        "every one as asked",
        attaching_and_detaching,
        {"each": 10, "slow": 1.5},
        {"each": 2, "slow": 0.5},
        hypervisor="libvirt",
    ),
    Row(
        "the volume process dies while a guest is paused for its disk to grow",
        "",
        "the guest goes on by itself within 5 s, its disk grows when the process is back",
        growing_under_a_guest,
        {},
        {},
        hypervisor="libvirt",
    ),
)
