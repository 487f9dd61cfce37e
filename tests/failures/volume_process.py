"""kill -9 of the volume process, with work of every kind under way."""

import statistics
import time
from typing import Any

from tests.failures.cloud import Cloud
from tests.failures.row import Completion, Row, counted
from tests.pumice_installation import ATTACHMENTS, SNAPSHOTS, VOLUMES

BUSY = 5
"""Operations in hand from which on a process counts as at work."""
LONG = 5.0
"""Seconds that no answer may take that needs nobody else; many times what it does on a busy machine."""


def connector(number: int) -> dict[str, Any]:
    return {"initiator": f"iqn.2026-11.org.example:client{number}", "host": "client", "ip": "127.0.0.1"}


def creates_under_way(cloud: Cloud, creates: int, more: int, slow: float) -> Completion:
    cloud.slow_down(slow)
    volumes = cloud.create_all(creates)
    cloud.wait_until_busy("volume", BUSY)
    cloud.kill("volume")
    volumes += cloud.create_all(more)
    cloud.launch("volume")
    cloud.settle()
    return counted(cloud.ended(VOLUMES, volumes), available=creates + more)


def deletes_under_way(cloud: Cloud, deletes: int, slow: float) -> Completion:
    cloud.slow_down(0)
    volumes = cloud.volumes(deletes)
    cloud.slow_down(slow)
    alone = cloud.seconds_to_create()
    cloud.ask_all(("DELETE", f"{VOLUMES}/{volume}", None) for volume in volumes)
    cloud.wait_until_busy("volume", BUSY)
    cloud.kill("volume")
    cloud.launch("volume")
    cloud.wait_until_busy("volume", BUSY)
    among = cloud.seconds_to_create()
    left = deletes - cloud.ended(VOLUMES, volumes)["gone"]
    cloud.settle()
    ending = counted(cloud.ended(VOLUMES, volumes), gone=deletes)
    words = (
        f"{ending.words}; a new create took {among:.1f} s while {left} of them were left, "
        f"{alone:.1f} s with nothing else under way"
    )
    return Completion(words, ending.kept and left > deletes // 2)  # it did not wait for the flood to end


def snapshots_under_way(cloud: Cloud, made: int, deleted: int, slow: float) -> Completion:
    cloud.slow_down(0)
    volumes = cloud.volumes(deleted)

    def snapshots(number: int) -> list[str]:
        bodies = [{"snapshot": {"volume_id": volumes[n % deleted]}} for n in range(number)]
        return [one["snapshot"]["id"] for one in cloud.ask_all(("POST", SNAPSHOTS, body) for body in bodies)]

    old = snapshots(deleted)
    cloud.settle()
    cloud.slow_down(slow)
    new = snapshots(made)
    cloud.ask_all(("DELETE", f"{SNAPSHOTS}/{snapshot}", None) for snapshot in old)
    cloud.wait_until_busy("volume", BUSY)
    cloud.kill("volume")
    cloud.launch("volume")
    cloud.settle()
    return counted(cloud.ended(SNAPSHOTS, new + old), available=made, gone=deleted)


def calls_outstanding(cloud: Cloud, calls: int, others: int) -> Completion:
    cloud.slow_down(0)
    unrelated, *volumes = cloud.volumes(calls + 1)
    cloud.kill("volume")
    wanted = [
        ("POST", ATTACHMENTS, {"attachment": {"volume_uuid": volume, "connector": connector(n)}})
        for n, volume in enumerate(volumes)
    ]
    with cloud.asking(wanted) as answers:
        outstanding = "SELECT count(*) FROM operations WHERE kind = 'attachment.connect' AND state = 'running'"
        cloud.wait(lambda: int(cloud.rows(outstanding)[0]) == calls, "not all calls are outstanding")
        seconds = []
        for _ in range(others):
            began = time.monotonic()
            cloud.call("GET", f"{VOLUMES}/{unrelated}")
            seconds.append(time.monotonic() - began)
        waiting = sum(not answer.done() for answer in answers)
        cloud.launch("volume")
    well = sum(answer.result().status_code == 200 for answer in answers)
    p99 = statistics.quantiles(seconds, n=100)[98]
    words = (
        f"{others} GETs while {waiting} calls waited: p99 {p99 * 1000:.0f} ms, longest "
        f"{max(seconds) * 1000:.0f} ms; {well} of the calls answered once the process was back"
    )
    return Completion(words, well == waiting == calls and max(seconds) < LONG)


ROWS = (
    Row(
        "kill -9 of the volume process with 100 creates under way, 40 more posted while it is down",
        "41 available, 64 error, 35 creating for ever",
        "140 available",
        creates_under_way,
        {"creates": 100, "more": 40, "slow": 1.5},
        {"creates": 20, "more": 8, "slow": 0.5},
    ),
    Row(
        "the same with 100 deletes under way",
        "36 deleting for ever; a new create waited 323 s",
        "100 gone; a new create not delayed",
        deletes_under_way,
        {"deletes": 100, "slow": 1.5},
        {"deletes": 80, "slow": 1.5},
    ),
    Row(
        "the same with 40 snapshots being made and 20 deleted",
        "40 error, 20 deleting for ever",
        "40 available, 20 gone",
        snapshots_under_way,
        {"made": 40, "deleted": 20, "slow": 1.5},
        {"made": 8, "deleted": 4, "slow": 0.5},
    ),
    Row(
        "volume process dead, 60 calls to it outstanding",
        "an unrelated GET waited 59 s",
        "no request waits on another's host",
        calls_outstanding,
        {"calls": 60, "others": 300},
        {"calls": 10, "others": 100},
    ),
)
